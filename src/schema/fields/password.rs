//! A password, of which only the hash is kept.

use headwater_actors::Value;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::errors::{Errors, Invalid};
use crate::schema::field::{Field, FieldType};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Password {
    /// Code points; 0 for none.
    pub min: i64,
    /// Code points; 0 stands for 71.
    pub max: i64,
    pub pattern: String,
    /// Of bcrypt; 0 stands for 10.
    pub cost: i64,
}

impl FieldType for Password {
    fn type_name(&self) -> &'static str {
        "password"
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
