//! One or several of a fixed list of values.

use headwater_actors::Value;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::errors::{Errors, Invalid};
use crate::schema::field::{Field, FieldType};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Select {
    #[serde(deserialize_with = "crate::schema::fields::null_as_empty")]
    pub values: Vec<String>,
    /// More than 1: several values, stored as a JSON array.
    pub max_select: i64,
}

impl FieldType for Select {
    fn type_name(&self) -> &'static str {
        "select"
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
