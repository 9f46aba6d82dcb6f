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
        if plain.len() > MAX_BYTES {
            return Err(Invalid::value());
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
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::schema::fields::table;

    #[test]
    fn values() {
        table::values(
            json!({ "type": "password", "min": 3, "max": 5, "pattern": "^[a-zé]+$", "required": true }),
            &[
                (json!("ééé"), Json::Null),
                (json!(""), json!({ "code": "validation_required" })),
                (Json::Null, json!({ "code": "validation_required" })),
                (json!("éé"), json!({ "code": "validation_min_text_constraint" })),
                (json!("abcdef"), json!({ "code": "validation_max_text_constraint" })),
                (json!("ab1"), json!({ "code": "validation_invalid_format" })),
            ],
        );
        table::values(
            json!({ "type": "password" }),
            &[
                (json!("x".repeat(71)), Json::Null),
                (json!("x".repeat(72)), json!({ "code": "validation_max_text_constraint" })),
                (json!("é".repeat(36)), Json::Null),
                (json!("é".repeat(37)), json!({ "code": "validation_invalid_value" })),
            ],
        );
    }

    #[test]
    fn a_hash_is_not_shown() {
        table::reads(json!({ "type": "password" }), &[(Value::Text("$2a$10$abc".into()), json!(""))]);
    }

    #[test]
    fn options() {
        let too_small = "validation_min_greater_equal_than_required";
        let too_large = "validation_max_less_equal_than_required";
        table::options(
            "password",
            &[
                (json!({ "min": 8, "max": 0, "cost": 10 }), json!({})),
                (
                    json!({ "min": 72, "max": 73, "cost": 3 }),
                    json!({ "min": too_large, "max": too_large, "cost": too_small }),
                ),
                (json!({ "min": -1, "cost": 32 }), json!({ "min": too_small, "cost": too_large })),
                (
                    json!({ "min": 5, "max": 3, "pattern": "(" }),
                    json!({ "max": too_small, "pattern": "validation_invalid_regex" }),
                ),
            ],
        );
    }
}
