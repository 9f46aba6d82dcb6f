//! A password, of which only the hash is kept.

use headwater_actors::Value;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::scalar;
use crate::errors::{Errors, Invalid};
use crate::schema::field::{Field, FieldType};
use crate::{checks, patterns};

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
        Value::Text(scalar::text(input))
    }

    /// Nobody is shown a hash.
    fn to_json(&self, _stored: &Value) -> Json {
        Json::String(String::new())
    }

    fn write_json(&self, _stored: &Value, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\"\"");
    }

    /// What is stored is a hash, which says nothing; see [`Password::validate_plain`].
    fn validate(&self, _field: &Field, _stored: &Value) -> Result<(), Invalid> {
        Ok(())
    }

    fn check_options(&self, _field: &Field, errors: &mut Errors) {
        errors.check("min", checks::between(self.min, 1, 71));
        errors.check("max", checks::between(self.max, self.min, 71));
        errors.check("cost", checks::between(self.cost, 4, 31));
        errors.check("pattern", checks::pattern(&self.pattern));
    }

    fn options_to_json(&self) -> serde_json::Map<String, Json> {
        super::options_to_json(self)
    }
}

/// What bcrypt reads of a password; the rest would not count.
const MAX_BYTES: usize = 72;

impl Password {
    /// Checks a password as it was entered, before it is hashed. An empty one is the concern of `required`.
    pub fn validate_plain(&self, plain: &str) -> Result<(), Invalid> {
        if plain.is_empty() {
            return Ok(());
        }
        let length = plain.chars().count() as i64;
        if length < self.min {
            let message = format!("Must be at least {} character(s)", self.min);
            return Err(Invalid::new("validation_min_text_constraint", message));
        }
        let max = if self.max <= 0 { 71 } else { self.max };
        if length > max {
            let message = format!("Must be less than {max} character(s)");
            return Err(Invalid::new("validation_max_text_constraint", message));
        }
        if !self.pattern.is_empty() && !patterns::matches(&self.pattern, plain) {
            return Err(Invalid::new("validation_invalid_format", "Invalid value format"));
        }
        if plain.len() > MAX_BYTES { Err(Invalid::value()) } else { Ok(()) }
    }
}
