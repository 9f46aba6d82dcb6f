//! Any JSON value.

use headwater_actors::Value;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::errors::{Errors, Invalid};
use crate::schema::field::{Field, FieldType};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct JsonField {
    /// Bytes; 0 stands for 1 MiB.
    pub max_size: i64,
}

impl FieldType for JsonField {
    fn type_name(&self) -> &'static str {
        "json"
    }

    fn column(&self) -> &'static str {
        "JSON DEFAULT NULL"
    }

    fn zero(&self) -> Value {
        Value::Null
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
