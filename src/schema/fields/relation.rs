//! References to records of another collection, by their ids.

use headwater_actors::Value;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::list;
use crate::checks;
use crate::errors::{Errors, Invalid};
use crate::schema::field::{Field, FieldType};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Relation {
    pub collection_id: String,
    /// Delete this record when nothing it refers to is left.
    pub cascade_delete: bool,
    pub min_select: i64,
    /// More than 1: several ids, stored as a JSON array.
    pub max_select: i64,
}

impl FieldType for Relation {
    fn type_name(&self) -> &'static str {
        "relation"
    }

    fn column(&self) -> &'static str {
        if self.max_select > 1 { "JSON DEFAULT '[]' NOT NULL" } else { "TEXT DEFAULT '' NOT NULL" }
    }

    fn zero(&self) -> Value {
        Value::Text(if self.max_select > 1 { "[]".into() } else { String::new() })
    }

    fn is_multiple(&self) -> bool {
        self.max_select > 1
    }

    fn cast(&self, input: &Json) -> Value {
        list::cast(input, self.is_multiple())
    }

    fn to_json(&self, stored: &Value) -> Json {
        list::to_json(stored, self.is_multiple())
    }

    fn write_json(&self, stored: &Value, out: &mut Vec<u8>) {
        list::write_json(stored, self.is_multiple(), out);
    }

    fn is_blank(&self, stored: &Value) -> bool {
        list::is_blank(stored)
    }

    fn validate(&self, _field: &Field, stored: &Value) -> Result<(), Invalid> {
        let count = list::stored(stored).len();
        if count > 0 && (count as i64) < self.min_select {
            let message = format!("Select at least {}", self.min_select);
            return Err(Invalid::new("validation_not_enough_values", message).with("minSelect", self.min_select));
        }
        list::check_count(count, self.max_select)
    }

    fn check_options(&self, _field: &Field, errors: &mut Errors) {
        errors.check("collectionId", checks::required(&self.collection_id));
        errors.check("minSelect", checks::min(self.min_select, 0));
        if self.min_select > 0 {
            errors.check("maxSelect", checks::required_number(self.max_select));
        }
        errors.check("maxSelect", checks::min(self.max_select, self.min_select));
    }

    fn options_to_json(&self) -> serde_json::Map<String, Json> {
        super::options_to_json(self)
    }
}
