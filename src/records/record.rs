//! A record: the stored values of one row, with the collection that says what they mean.
//!
//! Values are kept as SQLite stores them, from the request's cast to the answer's JSON: rules, the change log and
//! realtime then all speak of the same thing as the file.

use std::collections::BTreeMap;
use std::sync::Arc;

use headwater_actors::{Row, Value};

use crate::schema::{Collection, Field};

#[derive(Clone, Debug)]
pub struct Record {
    pub collection: Arc<Collection>,
    /// One value per field, in the order of `collection.fields`.
    pub values: Vec<Value>,
    /// Filled where the request asked for it: by relation name or back-relation path. `Some` but empty when an expand
    /// was processed and found nothing.
    pub expand: Option<BTreeMap<String, Expanded>>,
    /// What the viewer of this copy may see beyond the public fields; decided when the record is read for somebody.
    pub shows: Shows,
}

/// What was found behind a relation.
#[derive(Clone, Debug)]
pub enum Expanded {
    One(Box<Record>),
    Many(Vec<Record>),
}

/// What a viewer may see of a record beyond what everybody may who may see it at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Shows {
    /// Fields marked hidden (superusers only; never password and tokenKey).
    pub hidden: bool,
    /// The e-mail of an auth record although `emailVisibility` is off.
    pub email: bool,
}

impl Record {
    /// A record of zero values.
    pub fn blank(collection: Arc<Collection>) -> Record {
        let values = collection.fields.iter().map(|field| field.of().zero()).collect();
        Record::from_values(collection, values)
    }

    /// A record of values that stand in the order of the collection's fields.
    pub fn from_values(collection: Arc<Collection>, values: Vec<Value>) -> Record {
        Record { collection, values, expand: None, shows: Shows::default() }
    }

    /// A record of a row that belonged to `then`, which may be another version of the collection. Fields are known by their
    /// ids, which outlive a new name; one that the row does not have is zero.
    pub fn from_row(collection: Arc<Collection>, then: &Collection, row: &Row) -> Record {
        if Arc::ptr_eq(collection.columns(), &row.columns) {
            return Record::from_values(collection, row.values.to_vec());
        }
        let is_same_version = std::ptr::eq(then, &*collection);
        let value = |field: &Field| {
            let before =
                if is_same_version { Some(field) } else { then.fields.iter().find(|before| before.id == field.id) };
            before.and_then(|before| row.get(&before.name)).cloned().unwrap_or_else(|| field.of().zero())
        };
        let values = collection.fields.iter().map(value).collect();
        Record::from_values(collection, values)
    }

    /// The values as the change log and realtime carry them.
    pub fn to_row(&self) -> Arc<Row> {
        Arc::new(Row { columns: self.collection.columns().clone(), values: self.values.clone().into() })
    }

    /// As [`Record::to_row`], of a record that is no longer needed.
    pub fn into_row(self) -> Row {
        Row { columns: self.collection.columns().clone(), values: self.values.into() }
    }

    pub fn id(&self) -> &str {
        self.text("id")
    }

    pub fn get(&self, field: &str) -> Option<&Value> {
        self.collection.position(field).and_then(|index| self.values.get(index))
    }

    /// A text field's value; empty where the field does not exist or holds something else.
    pub fn text(&self, field: &str) -> &str {
        match self.get(field) {
            Some(Value::Text(text)) => text,
            _ => "",
        }
    }

    /// A bool field's value; false where the field does not exist.
    pub fn flag(&self, field: &str) -> bool {
        match self.get(field) {
            Some(Value::Integer(number)) => *number != 0,
            Some(Value::Real(number)) => *number != 0.0,
            _ => false,
        }
    }

    /// Sets a stored value; ignored where the field does not exist.
    pub fn set(&mut self, field: &str, value: impl Into<Value>) {
        if let Some(index) = self.collection.position(field) {
            self.values[index] = value.into();
        }
    }

    /// The ids that a relation field holds, or the names of a select or file field: one or several.
    pub fn list(&self, field: &str) -> Vec<String> {
        match self.get(field) {
            Some(Value::Text(text)) if text.is_empty() => Vec::new(),
            Some(Value::Text(text)) if text.starts_with('[') => {
                serde_json::from_str(text).unwrap_or_else(|_| vec![text.clone()])
            }
            Some(Value::Text(text)) => vec![text.clone()],
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{CollectionKind, FieldKind};

    #[test]
    fn rows_of_another_version_are_read_by_the_ids_of_their_fields() {
        let version = |fields: &[(&str, &str)]| {
            let field = |(id, name): &(&str, &str)| {
                let kind = FieldKind::Text(Default::default());
                Field { id: (*id).to_owned(), ..Field::new(name, kind) }
            };
            let fields = fields.iter().map(field).collect();
            Arc::new(Collection::new("c", "c", CollectionKind::Base).with_fields(fields))
        };
        let then = version(&[("1", "a"), ("2", "b")]);
        let now = version(&[("3", "c"), ("2", "a"), ("1", "b")]);
        let mut record = Record::blank(then.clone());
        record.set("a", "first".to_owned());
        record.set("b", "second".to_owned());
        let read = Record::from_row(now, &then, &record.into_row());
        assert_eq!(["a", "b", "c"].map(|name| read.text(name)), ["second", "first", ""]);
    }
}
