//! References to records of another collection, by their ids.

use headwater_actors::Value;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

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
        todo!("{input}")
    }

    fn to_json(&self, stored: &Value) -> Json {
        todo!("{stored:?}")
    }

    fn validate(&self, field: &Field, stored: &Value) -> Result<(), Invalid> {
        todo!("{field:?} {stored:?}")
    }

    fn check_options(&self, field: &Field, errors: &mut Errors) {
        todo!("{field:?} {errors:?}")
    }

    fn options_to_json(&self) -> serde_json::Map<String, Json> {
        super::options_to_json(self)
    }
}
