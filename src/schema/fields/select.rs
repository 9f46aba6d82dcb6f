//! One or several of a fixed list of values.

use headwater_actors::Value;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::list;
use crate::checks;
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
        let selected = list::stored(stored);
        list::check_count(selected.len(), self.max_select)?;
        match selected.iter().find(|value| !self.values.iter().any(|allowed| allowed == *value)) {
            Some(value) => {
                let message = format!("Invalid value {value}");
                Err(Invalid::new("validation_invalid_value", message).with("value", value.as_ref()))
            }
            None => Ok(()),
        }
    }

    fn check_options(&self, _field: &Field, errors: &mut Errors) {
        if self.values.is_empty() {
            errors.add("values", Invalid::required());
        }
        errors.check("maxSelect", checks::between(self.max_select, 0, self.values.len().max(1) as i64));
    }

    fn options_to_json(&self) -> serde_json::Map<String, Json> {
        super::options_to_json(self)
    }
}
