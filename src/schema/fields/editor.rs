//! Rich text (HTML).

use headwater_actors::Value;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::scalar;
use crate::errors::{Errors, Invalid};
use crate::schema::field::{Field, FieldType};
use crate::{checks, json};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Editor {
    /// Bytes; 0 stands for 5 MiB.
    pub max_size: i64,
    /// A hint for the dashboard's editor.
    #[serde(rename = "convertURLs")]
    pub convert_urls: bool,
}

impl FieldType for Editor {
    fn type_name(&self) -> &'static str {
        "editor"
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

    fn to_json(&self, stored: &Value) -> Json {
        Json::String(scalar::stored_text(stored).into_owned())
    }

    fn write_json(&self, stored: &Value, out: &mut Vec<u8>) {
        json::write_text(&scalar::stored_text(stored), out);
    }

    fn validate(&self, _field: &Field, stored: &Value) -> Result<(), Invalid> {
        let max = self.max_bytes();
        if scalar::stored_text(stored).len() as i64 > max {
            let message = format!("The maximum allowed content size is {max} bytes");
            return Err(Invalid::new("validation_content_size_limit", message).with("maxSize", max));
        }
        Ok(())
    }

    fn check_options(&self, _field: &Field, errors: &mut Errors) {
        errors.check("maxSize", checks::between(self.max_size, 0, checks::MAX_SAFE_INTEGER));
    }

    fn options_to_json(&self) -> serde_json::Map<String, Json> {
        super::options_to_json(self)
    }
}

impl Editor {
    /// The largest value, in bytes.
    pub fn max_bytes(&self) -> i64 {
        if self.max_size <= 0 { 5 << 20 } else { self.max_size }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::schema::fields::table;

    #[test]
    fn values() {
        table::casts(json!({ "type": "editor" }), &[(json!("<p>a</p>"), json!("<p>a</p>"), json!("<p>a</p>"))]);
        let limit = json!({ "code": "validation_content_size_limit", "params": { "maxSize": 5 } });
        table::values(
            json!({ "type": "editor", "maxSize": 5 }),
            &[(json!("abcde"), Json::Null), (json!("éé"), Json::Null), (json!("ééé"), limit)],
        );
        table::options(
            "editor",
            &[
                (json!({ "maxSize": 10, "convertURLs": true }), json!({})),
                (json!({ "maxSize": -1 }), json!({ "maxSize": "validation_min_greater_equal_than_required" })),
            ],
        );
    }
}
