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
