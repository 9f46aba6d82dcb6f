//! A moment in UTC, to the millisecond: `2026-01-02 03:04:05.678Z`, or empty.

use headwater_actors::Value;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::errors::{Errors, Invalid};
use crate::schema::field::{Field, FieldType};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Date {
    pub min: String,
    pub max: String,
}

impl FieldType for Date {
    fn type_name(&self) -> &'static str {
        "date"
    }

    fn column(&self) -> &'static str {
        "TEXT DEFAULT '' NOT NULL"
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
