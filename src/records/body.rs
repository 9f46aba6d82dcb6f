//! What a request's body says about the fields of a record: plain values and modifiers (records.md §5.1).
//!
//! Values are cast here, before the write waits for the Writer. Modifiers are only noted, and applied to the record as
//! it is inside the Writer's transaction, so that none is lost. No database is touched.

use std::borrow::Cow;
use std::collections::HashSet;

use headwater_actors::Value;
use serde_json::{Map, Value as Json};

use super::{Record, RecordError};
use crate::patterns;
use crate::request::Upload;
use crate::schema::fields::list;
use crate::schema::{Collection, Field, FieldKind};

/// A body before it was understood.
#[derive(Clone, Debug, Default)]
pub struct Input {
    pub values: Map<String, Json>,
    pub files: Vec<Upload>,
}

impl From<Map<String, Json>> for Input {
    fn from(values: Map<String, Json>) -> Input {
        Input { values, files: Vec::new() }
    }
}

/// The id that a body gives, as text.
pub(crate) fn id_of(values: &Map<String, Json>) -> Option<String> {
    given(values.get("id")?).pop()
}

/// What the body gives to fields, in the order in which it is applied: shorter keys first, so `n` before `n+`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Given(Vec<Gift>);

#[derive(Clone, Debug)]
struct Gift {
    /// The key in the body.
    key: String,
    /// The field's position in the collection.
    position: usize,
    how: How,
}

#[derive(Clone, Debug)]
enum How {
    Set(Value),
    /// Added to the number that is there.
    Add(f64),
    Append(Vec<String>),
    Prepend(Vec<String>),
    /// Both the given and the stored list may be long.
    Remove(HashSet<String>),
}

impl Given {
    /// Reads a body. Unknown keys say nothing; neither do hidden fields, but for who may set them, nor autodates.
    pub fn read(collection: &Collection, values: &Map<String, Json>, may_set_hidden: bool) -> Given {
        let mut gifts = Vec::with_capacity(values.len());
        for (key, value) in values {
            let Some((position, modifier)) = find_field(collection, key) else { continue };
            let field = &collection.fields[position];
            // The password of an auth record is hidden, and yet for everyone to set.
            let is_password = collection.is_auth() && field.name == "password";
            if field.hidden && !may_set_hidden && !is_password {
                continue;
            }
            if let Some(how) = read_gift(field, modifier, value) {
                gifts.push(Gift { key: key.clone(), position, how });
            }
        }
        gifts.sort_by_key(|gift| gift.key.len());
        Given(gifts)
    }

    /// True if some values depend on the stored ones.
    pub fn has_modifiers(&self) -> bool {
        self.0.iter().any(|gift| !matches!(gift.how, How::Set(_)))
    }

    /// True if the field of this name is given in any form.
    pub fn gives(&self, collection: &Collection, name: &str) -> bool {
        collection.position(name).is_some_and(|position| self.0.iter().any(|gift| gift.position == position))
    }

    /// The plain passwords among the values. Who has hashed one puts the hash in its place.
    pub fn passwords<'a>(&'a mut self, collection: &'a Collection) -> impl Iterator<Item = (usize, &'a mut String)> {
        self.0.iter_mut().filter_map(|gift| match (&collection.fields[gift.position].kind, &mut gift.how) {
            (FieldKind::Password(_), How::Set(Value::Text(text))) => Some((gift.position, text)),
            _ => None,
        })
    }

    /// Sets a field, instead of what the body says about it.
    pub fn set(&mut self, position: usize, value: Value) {
        self.0.retain(|gift| gift.position != position);
        self.0.push(Gift { key: String::new(), position, how: How::Set(value) });
    }

    /// Puts the values of these passwords, which were hashed since, into a record to which all was applied before.
    pub fn apply_passwords(&self, record: &mut Record, plain: &[(usize, String)]) {
        for gift in self.0.iter().filter(|gift| plain.iter().any(|(position, _)| *position == gift.position)) {
            if let How::Set(value) = &gift.how {
                record.values[gift.position] = value.clone();
            }
        }
    }

    /// Refuses uploads to file fields; parts under other keys say nothing.
    pub fn refuse_files(&self, collection: &Collection, files: &[Upload]) -> Result<(), RecordError> {
        let concerns = |upload: &Upload| {
            find_field(collection, &upload.key)
                .is_some_and(|(position, _)| matches!(collection.fields[position].kind, FieldKind::File(_)))
        };
        if files.iter().any(concerns) {
            return Err(RecordError::Refused("Uploading files is not supported yet."));
        }
        Ok(())
    }

    /// Changes the record as the body says.
    pub fn apply(&self, record: &mut Record) {
        for gift in &self.0 {
            let field = &record.collection.fields[gift.position];
            let stored = &record.values[gift.position];
            let value = match &gift.how {
                How::Set(value) => value.clone(),
                // What is no number stays none, for the check to refuse.
                How::Add(amount) => crate::json::real(number(stored) + amount),
                How::Append(items) => store(field, [&names(stored)[..], items].concat()),
                How::Prepend(items) => store(field, [items, &names(stored)[..]].concat()),
                How::Remove(items) => {
                    let mut kept = names(stored);
                    kept.retain(|item| !items.contains(item));
                    store(field, kept)
                }
            };
            record.values[gift.position] = value;
        }
    }

    /// `@request.body`: the body with its modifiers resolved and its known fields in their types. `record` is the one
    /// after [`Given::apply`].
    pub fn resolved(&self, values: &Map<String, Json>, record: &Record, may_set_hidden: bool) -> Map<String, Json> {
        let collection = &record.collection;
        let mut body = Map::new();
        for (key, value) in values {
            if find_field(collection, key).is_none() {
                body.insert(key.clone(), value.clone());
            }
        }
        for (position, field) in collection.fields.iter().enumerate() {
            let is_password = matches!(field.kind, FieldKind::Password(_));
            if self.0.iter().any(|gift| gift.position == position) {
                // The record may already hold the hash.
                let value = match values.get(&field.name) {
                    Some(plain) if is_password => Json::String(given(plain).pop().unwrap_or_default()),
                    _ => field.of().to_json(&record.values[position]),
                };
                body.insert(field.name.clone(), value);
            } else if matches!(field.kind, FieldKind::Autodate(_))
                && values.contains_key(&field.name)
                && (may_set_hidden || !field.hidden)
            {
                body.insert(field.name.clone(), field.of().to_json(&record.values[position]));
            }
        }
        body
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Modifier {
    None,
    Plus,
    Minus,
    Before,
    Autogenerate,
}

/// The field that a key means, and with what modifier.
fn find_field(collection: &Collection, key: &str) -> Option<(usize, Modifier)> {
    if let Some(position) = collection.position(key) {
        return Some((position, Modifier::None));
    }
    let (name, modifier) = if let Some(name) = key.strip_suffix('+') {
        (name, Modifier::Plus)
    } else if let Some(name) = key.strip_suffix('-') {
        (name, Modifier::Minus)
    } else if let Some(name) = key.strip_prefix('+') {
        (name, Modifier::Before)
    } else {
        (key.strip_suffix(":autogenerate")?, Modifier::Autogenerate)
    };
    let position = collection.position(name)?;
    use FieldKind::*;
    let is_known = match collection.fields[position].kind {
        Number(_) => matches!(modifier, Modifier::Plus | Modifier::Minus),
        Select(_) | Relation(_) | File(_) => modifier != Modifier::Autogenerate,
        Text(_) => modifier == Modifier::Autogenerate,
        _ => false,
    };
    is_known.then_some((position, modifier))
}

fn read_gift(field: &Field, modifier: Modifier, value: &Json) -> Option<How> {
    Some(match (modifier, &field.kind) {
        (_, FieldKind::Autodate(_)) => return None,
        (Modifier::None, _) => How::Set(field.of().cast(value)),
        (Modifier::Autogenerate, FieldKind::Text(options)) => {
            let Value::Text(mut text) = field.of().cast(value) else { return None };
            if !options.autogenerate_pattern.is_empty() {
                text.push_str(&patterns::generate(&options.autogenerate_pattern).unwrap_or_default());
            }
            How::Set(Value::Text(text))
        }
        (Modifier::Plus, FieldKind::Number(_)) => How::Add(number(&field.of().cast(value))),
        (Modifier::Minus, FieldKind::Number(_)) => How::Add(-number(&field.of().cast(value))),
        (Modifier::Plus, _) => How::Append(given(value)),
        (Modifier::Minus, _) => How::Remove(given(value).into_iter().collect()),
        (Modifier::Before, _) => How::Prepend(given(value)),
        (Modifier::Autogenerate, _) => return None,
    })
}

fn number(stored: &Value) -> f64 {
    match stored {
        Value::Integer(number) => *number as f64,
        Value::Real(number) => *number,
        _ => 0.0,
    }
}

fn names(stored: &Value) -> Vec<String> {
    list::stored(stored).into_iter().map(Cow::into_owned).collect()
}

fn given(value: &Json) -> Vec<String> {
    list::given(value).into_iter().map(Cow::into_owned).collect()
}

/// Without repeated names; where only one has room, the last one.
fn store(field: &Field, names: Vec<String>) -> Value {
    field.of().cast(&Json::Array(names.into_iter().map(Json::String).collect()))
}
