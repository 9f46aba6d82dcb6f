//! Any JSON value.

use headwater_actors::Value;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::scalar;
use crate::errors::{Errors, Invalid};
use crate::schema::field::{Field, FieldType};
use crate::{checks, json};

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
        match input {
            Json::Null => Value::Null,
            Json::String(text) => json::numeric_affinity(document(text)),
            other => json::numeric_affinity(json::text(other)),
        }
    }

    fn to_json(&self, stored: &Value) -> Json {
        match stored {
            Value::Null => Json::Null,
            // Integers keep all their digits.
            Value::Integer(number) => Json::from(*number),
            Value::Real(number) => json::number(*number),
            other => {
                let text = scalar::stored_text(other);
                serde_json::from_str(&text).unwrap_or_else(|_| outside_json(&text))
            }
        }
    }

    fn write_json(&self, stored: &Value, out: &mut Vec<u8>) {
        match stored {
            // Documents are stored minified by us; those with line breaks go the long way, because what is written
            // here may have to stand in one line.
            Value::Text(text) if !text.bytes().any(|byte| byte < b' ') && is_document(text) => {
                out.extend_from_slice(text.as_bytes());
            }
            Value::Integer(number) => out.extend_from_slice(number.to_string().as_bytes()),
            other => json::write(&self.to_json(other), out),
        }
    }

    fn is_blank(&self, stored: &Value) -> bool {
        match stored {
            Value::Null => true,
            Value::Text(text) => matches!(text.trim(), "" | "null" | "\"\"" | "[]" | "{}"),
            _ => false,
        }
    }

    fn validate(&self, _field: &Field, stored: &Value) -> Result<(), Invalid> {
        let length = match stored {
            Value::Text(text) => text.len(),
            // A number beyond doubles.
            Value::Real(number) if !number.is_finite() => return Err(no_document()),
            Value::Integer(number) => number.to_string().len(),
            Value::Real(number) => {
                let mut text = Vec::new();
                json::write_number(*number, &mut text);
                text.len()
            }
            _ => return Ok(()),
        };
        let max = self.max_bytes();
        if length as i64 > max {
            let message = format!("The maximum allowed JSON size is {max} bytes");
            return Err(Invalid::new("validation_json_size_limit", message).with("maxSize", max));
        }
        match stored {
            Value::Text(text) if !is_document(text) => Err(no_document()),
            _ => Ok(()),
        }
    }

    fn check_options(&self, _field: &Field, errors: &mut Errors) {
        errors.check("maxSize", checks::between(self.max_size, 0, checks::MAX_SAFE_INTEGER));
    }

    fn options_to_json(&self) -> serde_json::Map<String, Json> {
        super::options_to_json(self)
    }
}

impl JsonField {
    /// The largest value, in bytes.
    pub fn max_bytes(&self) -> i64 {
        if self.max_size <= 0 { 1 << 20 } else { self.max_size }
    }
}

fn no_document() -> Invalid {
    Invalid::new("validation_invalid_json", "Must be a valid json value")
}

/// A text of a request as a document: forms can send nothing but texts, so one that reads as JSON is taken as JSON.
fn document(text: &str) -> String {
    let json = match text.bytes().next() {
        Some(b'0'..=b'9' | b'-' | b'"' | b'[' | b'{') => is_document(text),
        _ => matches!(text, "null" | "true" | "false"),
    };
    if json {
        return text.to_owned();
    }
    serde_json::to_string(text).unwrap_or_default()
}

/// True for one JSON value, of any size of numbers.
fn is_document(text: &str) -> bool {
    serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok()
}

/// A stored text that is no JSON, or that holds numbers beyond doubles.
fn outside_json(text: &str) -> Json {
    if text.is_empty() { Json::Null } else { Json::String(text.to_owned()) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::schema::fields::table;

    #[test]
    fn casts() {
        let same = |sent: Json, stored: Json| (sent.clone(), stored, sent);
        table::casts(
            json!({ "type": "json" }),
            &[
                same(Json::Null, Json::Null),
                same(json!(true), json!("true")),
                same(json!(5), json!(5)),
                same(json!(1.5), json!(1.5)),
                same(json!(""), json!(r#""""#)),
                same(json!("abc"), json!(r#""abc""#)),
                same(json!(" 5"), json!(r#"" 5""#)),
                same(json!("[1"), json!(r#""[1""#)),
                same(json!({ "b": [1, "<"], "a": null }), json!(r#"{"a":null,"b":[1,"\u003c"]}"#)),
                (json!(1.0), json!(1), json!(1)),
                (json!("null"), json!("null"), Json::Null),
                (json!("false"), json!("false"), json!(false)),
                (json!("12"), json!(12), json!(12)),
                (json!("-1.50"), json!(-1.5), json!(-1.5)),
                (json!("[1, 2]"), json!("[1, 2]"), json!([1, 2])),
                (json!(r#"{"b": 1, "a": 2}"#), json!(r#"{"b": 1, "a": 2}"#), json!({ "a": 2, "b": 1 })),
                (json!(r#""x""#), json!(r#""x""#), json!("x")),
            ],
        );
        table::reads(
            json!({ "type": "json" }),
            &[
                (Value::Text(String::new()), Json::Null),
                (Value::Text("no json".into()), json!("no json")),
                (Value::Text("{\n\"a\": 1}".into()), json!({ "a": 1 })),
                (Value::Integer(i64::MAX), json!(i64::MAX)),
                (Value::Real(f64::INFINITY), Json::Null),
            ],
        );
        let number = table::field(&json!({ "type": "json" })).of().cast(&json!(12345678901234567890_u64));
        assert_eq!(number, Value::Real(1.2345678901234567e19));
    }

    #[test]
    fn values() {
        let required = json!({ "code": "validation_required" });
        table::values(
            json!({ "type": "json", "required": true, "maxSize": 6 }),
            &[
                (Json::Null, required.clone()),
                (json!("null"), required.clone()),
                (json!(""), required.clone()),
                (json!([]), required.clone()),
                (json!({}), required),
                (json!(0), Json::Null),
                (json!(false), Json::Null),
                (json!("abcd"), Json::Null),
                (json!("abcde"), json!({ "code": "validation_json_size_limit", "params": { "maxSize": 6 } })),
                (json!("1e400"), json!({ "code": "validation_invalid_json" })),
            ],
        );
    }

    #[test]
    fn what_is_written_stands_in_one_line() {
        let field = table::field(&json!({ "type": "json" }));
        let mut out = Vec::new();
        field.of().write_json(&Value::Text("[1,\n2]".into()), &mut out);
        assert_eq!(out, b"[1,2]");
    }

    #[test]
    fn options() {
        table::options(
            "json",
            &[(json!({ "maxSize": -1 }), json!({ "maxSize": "validation_min_greater_equal_than_required" }))],
        );
    }
}
