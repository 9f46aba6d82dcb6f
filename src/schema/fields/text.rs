//! Plain text.

use headwater_actors::Value;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::scalar;
use crate::errors::{Errors, Invalid};
use crate::schema::field::{Field, FieldType};
use crate::{checks, json, patterns};

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
        Value::Text(scalar::text(input))
    }

    fn to_json(&self, stored: &Value) -> Json {
        Json::String(scalar::stored_text(stored).into_owned())
    }

    fn write_json(&self, stored: &Value, out: &mut Vec<u8>) {
        json::write_text(&scalar::stored_text(stored), out);
    }

    fn validate(&self, _field: &Field, stored: &Value) -> Result<(), Invalid> {
        self.check_text(&scalar::stored_text(stored))
    }

    fn check_options(&self, field: &Field, errors: &mut Errors) {
        if self.primary_key {
            if field.name != "id" {
                errors.add("name", Invalid::new("validation_in_invalid", r#"The primary key must be named "id"."#));
            }
            if self.pattern.is_empty() {
                errors.add("pattern", Invalid::required());
            }
            if !field.required {
                errors.add("required", Invalid::required());
            }
            if field.hidden {
                errors.add("hidden", Invalid::new("validation_empty", "must be blank"));
            }
        }
        errors.check("min", checks::between(self.min, 0, checks::MAX_SAFE_INTEGER));
        errors.check("max", checks::between(self.max, self.min, checks::MAX_SAFE_INTEGER));
        errors.check("pattern", checks::pattern(&self.pattern));
        errors.check("autogeneratePattern", self.check_autogenerate());
    }

    fn options_to_json(&self) -> serde_json::Map<String, Json> {
        super::options_to_json(self)
    }
}

/// Code points that a text may have where its field sets no limit.
const DEFAULT_MAX: i64 = 5_000;

/// What ids consist of unless the owner wants otherwise. Such ids are safe as file names, and equal only if they are the
/// same; all others are looked at more closely.
pub const DEFAULT_ID_PATTERN: &str = "^[a-z0-9]+$";

/// Characters that mean something in paths, shells or URLs.
const FORBIDDEN_IN_IDS: [char; 19] =
    ['.', '/', '\\', '|', '"', '\'', '`', '<', '>', ':', '?', '*', '%', '$', '\0', '\t', '\n', '\r', ' '];

impl Text {
    /// Checks a text that is not blank against the limits, the pattern and, for ids, what file systems bear.
    pub(crate) fn check_text(&self, text: &str) -> Result<(), Invalid> {
        if text.is_empty() {
            return Ok(());
        }
        let length = text.chars().count() as i64;
        if self.min > 0 && length < self.min {
            let message = format!("Must be at least {} character(s).", self.min);
            return Err(Invalid::new("validation_min_text_constraint", message).with("min", self.min));
        }
        let max = if self.max == 0 { DEFAULT_MAX } else { self.max };
        if max > 0 && length > max {
            let message = format!("Must be no more than {max} character(s).");
            return Err(Invalid::new("validation_max_text_constraint", message).with("max", max));
        }
        if !self.pattern.is_empty() && !patterns::matches(&self.pattern, text) {
            return Err(Invalid::new("validation_invalid_format", "Invalid value format."));
        }
        if self.primary_key && self.pattern != DEFAULT_ID_PATTERN { check_id(text, length) } else { Ok(()) }
    }

    /// Ten samples must pass the field's own limits.
    fn check_autogenerate(&self) -> Result<(), Invalid> {
        if self.autogenerate_pattern.is_empty() {
            return Ok(());
        }
        checks::pattern(&self.autogenerate_pattern)?;
        for _ in 0..10 {
            let sample = patterns::generate(&self.autogenerate_pattern)
                .map_err(|reason| Invalid::new("validation_invalid_autogenerate_pattern", reason))?;
            if self.check_text(&sample).is_err() || (self.primary_key && sample.is_empty()) {
                let message =
                    format!("The provided autogenerate pattern could produce invalid field values, ex.: {sample:?}");
                return Err(Invalid::new("validation_invalid_autogenerate_pattern_value", message));
            }
        }
        Ok(())
    }
}

/// An id becomes the name of a folder, on whatever system the files end up.
fn check_id(id: &str, length: i64) -> Result<(), Invalid> {
    if let Some(forbidden) = FORBIDDEN_IN_IDS.into_iter().find(|forbidden| id.contains(*forbidden)) {
        let message = format!("'{forbidden}' is not a valid primary key character.");
        return Err(Invalid::new("validation_forbidden_pk_character", message).with("ch", forbidden.to_string()));
    }
    let upper = id.to_ascii_uppercase();
    let reserved = match upper.as_bytes() {
        b"CON" | b"PRN" | b"AUX" | b"NUL" => true,
        [b'C', b'O', b'M', b'1'..=b'9'] | [b'L', b'P', b'T', b'1'..=b'9'] => length == 4,
        _ => false,
    };
    if !reserved {
        return Ok(());
    }
    let message = format!("The primary key '{upper}' is reserved and cannot be used.");
    Err(Invalid::new("validation_reserved_pk", message).with("reserved", upper))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::schema::fields::table;

    #[test]
    fn casts() {
        table::casts(
            json!({ "type": "text" }),
            &[
                (json!("a b "), json!("a b "), json!("a b ")),
                (json!(""), json!(""), json!("")),
                (json!(5), json!("5"), json!("5")),
                (json!(1.5), json!("1.5"), json!("1.5")),
                (json!(1e21), json!("1000000000000000000000"), json!("1000000000000000000000")),
                (json!(true), json!("true"), json!("true")),
                (Json::Null, json!(""), json!("")),
                (json!(["a"]), json!(""), json!("")),
                (json!({ "a": 1 }), json!(""), json!("")),
            ],
        );
        table::reads(
            json!({ "type": "text" }),
            &[
                (Value::Null, json!("")),
                (Value::Integer(12), json!("12")),
                (Value::Real(1.5), json!("1.5")),
                (Value::Blob(b"ab".to_vec()), json!("ab")),
            ],
        );
    }

    #[test]
    fn values() {
        table::values(
            json!({ "type": "text", "min": 2, "max": 4, "pattern": "^[a-zé]+$" }),
            &[
                (json!(""), Json::Null),
                (json!("éé"), Json::Null),
                (json!("é"), json!({ "code": "validation_min_text_constraint", "params": { "min": 2 } })),
                (json!("ééééé"), json!({ "code": "validation_max_text_constraint", "params": { "max": 4 } })),
                (json!("ab1"), json!({ "code": "validation_invalid_format" })),
            ],
        );
        table::values(
            json!({ "type": "text", "required": true }),
            &[
                (json!(""), json!({ "code": "validation_required" })),
                (json!("  "), Json::Null),
                (json!("x".repeat(5_000)), Json::Null),
                (
                    json!("x".repeat(5_001)),
                    json!({ "code": "validation_max_text_constraint", "params": { "max": 5000 } }),
                ),
            ],
        );
    }

    #[test]
    fn ids() {
        let forbidden = |ch: &str| json!({ "code": "validation_forbidden_pk_character", "params": { "ch": ch } });
        let reserved = |word: &str| json!({ "code": "validation_reserved_pk", "params": { "reserved": word } });
        table::values(
            json!({ "type": "text", "primaryKey": true, "required": true, "pattern": "^.+$" }),
            &[
                (json!("Abc-_é"), Json::Null),
                (json!("a.b"), forbidden(".")),
                (json!("a/b"), forbidden("/")),
                (json!("a b"), forbidden(" ")),
                (json!("a\tb"), forbidden("\t")),
                (json!("con"), reserved("CON")),
                (json!("Com9"), reserved("COM9")),
                (json!("com0"), Json::Null),
                (json!("console"), Json::Null),
                (json!(""), json!({ "code": "validation_required" })),
            ],
        );
        table::values(
            json!({ "type": "text", "primaryKey": true, "required": true, "pattern": DEFAULT_ID_PATTERN }),
            &[(json!("con"), Json::Null), (json!("a.b"), json!({ "code": "validation_invalid_format" }))],
        );
    }

    #[test]
    fn options() {
        let too_small = "validation_min_greater_equal_than_required";
        table::options(
            "text",
            &[
                (json!({}), json!({})),
                (json!({ "min": 5, "max": 0 }), json!({})),
                (json!({ "min": -1, "max": -2 }), json!({ "min": too_small, "max": too_small })),
                (json!({ "min": 5, "max": 3 }), json!({ "max": too_small })),
                (json!({ "max": 9007199254740992_i64 }), json!({ "max": "validation_max_less_equal_than_required" })),
                (json!({ "pattern": "(a" }), json!({ "pattern": "validation_invalid_regex" })),
                (json!({ "autogeneratePattern": "(a" }), json!({ "autogeneratePattern": "validation_invalid_regex" })),
                (json!({ "autogeneratePattern": "[a-z]{9}", "min": 9, "max": 9, "pattern": "^[a-z]+$" }), json!({})),
                (
                    json!({ "autogeneratePattern": "[a-z]{3}", "min": 5 }),
                    json!({ "autogeneratePattern": "validation_invalid_autogenerate_pattern_value" }),
                ),
                (
                    json!({ "primaryKey": true, "hidden": true }),
                    json!({
                        "name": "validation_in_invalid",
                        "pattern": "validation_required",
                        "required": "validation_required",
                        "hidden": "validation_empty",
                    }),
                ),
                (json!({ "name": "id", "primaryKey": true, "required": true, "pattern": "^a$" }), json!({})),
                (
                    json!({ "id": "", "name": "" }),
                    json!({ "id": "validation_required", "name": "validation_required" }),
                ),
                (
                    json!({ "id": "x".repeat(101), "name": "x".repeat(101), "help": "x".repeat(301) }),
                    json!({
                        "id": "validation_length_out_of_range",
                        "name": "validation_length_out_of_range",
                        "help": "validation_length_out_of_range",
                    }),
                ),
                (json!({ "name": "a b" }), json!({ "name": "validation_match_invalid" })),
                (json!({ "name": "expand" }), json!({ "name": "validation_not_in_invalid" })),
                (json!({ "name": "a_VIA_b" }), json!({ "name": "validation_found_via" })),
            ],
        );
    }
}
