//! Plain text.

use headwater_actors::Value;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::errors::{Errors, Invalid};
use crate::schema::field::{Field, FieldType};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Text {
    /// Code points.
    pub min: i64,
    /// Code points; 0 stands for 5000.
    pub max: i64,
    /// A regular expression that the value must match; empty for any.
    pub pattern: String,
    /// A pattern from which an empty value is filled on create; empty for none.
    pub autogenerate_pattern: String,
    /// True for the field `id` only.
    pub primary_key: bool,
}

impl FieldType for Text {
    fn type_name(&self) -> &'static str {
        "text"
    }

    fn column(&self) -> &'static str {
        if self.primary_key {
            "TEXT PRIMARY KEY DEFAULT ('r'||lower(hex(randomblob(7)))) NOT NULL"
        } else {
            "TEXT DEFAULT '' NOT NULL"
        }
    }

    fn zero(&self) -> Value {
        Value::Text(String::new())
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
