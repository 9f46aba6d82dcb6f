//! Names of uploaded files.

use headwater_actors::Value;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::list;
use crate::checks;
use crate::errors::{Errors, Invalid};
use crate::schema::field::{Field, FieldType};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct File {
    /// More than 1: several files, stored as a JSON array.
    pub max_select: i64,
    /// Bytes each; 0 stands for 5 MiB.
    pub max_size: i64,
    pub mime_types: Option<Vec<String>>,
    pub thumbs: Option<Vec<String>>,
    /// Served only with a file token.
    pub protected: bool,
}

impl FieldType for File {
    fn type_name(&self) -> &'static str {
        "file"
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
        let max = self.max_select.max(1);
        if list::stored(stored).len() as i64 > max {
            let message = format!("The maximum allowed files is {max}");
            return Err(Invalid::new("validation_too_many_files", message).with("maxSelect", max));
        }
        Ok(())
    }

    fn check_options(&self, _field: &Field, errors: &mut Errors) {
        errors.check("maxSelect", checks::between(self.max_select, 0, checks::MAX_SAFE_INTEGER));
        errors.check("maxSize", checks::between(self.max_size, 0, checks::MAX_SAFE_INTEGER));
        let mut wrong = Errors::new();
        for (index, thumb) in self.thumbs.iter().flatten().enumerate() {
            wrong.check(index.to_string(), check_thumb(thumb));
        }
        errors.nest("thumbs", wrong);
    }

    fn options_to_json(&self) -> serde_json::Map<String, Json> {
        super::options_to_json(self)
    }
}

impl File {
    /// The largest file, in bytes.
    pub fn max_bytes(&self) -> i64 {
        if self.max_size <= 0 { 5 << 20 } else { self.max_size }
    }
}

/// `100x50`, with `t`, `b` or `f` for which part of the picture to keep; one of the sides may be 0.
fn check_thumb(thumb: &str) -> Result<(), Invalid> {
    if thumb.is_empty() {
        return Ok(());
    }
    let size = thumb.strip_suffix(['t', 'b', 'f']).unwrap_or(thumb);
    if size == "0x0" {
        return Err(Invalid::new("validation_not_in_invalid", "must not be in list"));
    }
    let digits = |side: &str| !side.is_empty() && side.bytes().all(|byte| byte.is_ascii_digit());
    match size.split_once('x') {
        Some((width, height)) if digits(width) && digits(height) => Ok(()),
        _ => Err(checks::bad_format()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::schema::fields::table;

    #[test]
    fn values() {
        table::casts(
            json!({ "type": "file", "maxSelect": 2 }),
            &[(json!("a.txt"), json!(r#"["a.txt"]"#), json!(["a.txt"]))],
        );
        table::values(
            json!({ "type": "file", "maxSelect": 2, "required": true }),
            &[
                (json!(["a", "b"]), Json::Null),
                (json!(""), json!({ "code": "validation_required" })),
                (json!(["a", "b", "c"]), json!({ "code": "validation_too_many_files", "params": { "maxSelect": 2 } })),
            ],
        );
    }

    #[test]
    fn options() {
        table::options(
            "file",
            &[
                (
                    json!({ "maxSelect": 9, "thumbs": ["100x50", "0x50t", "5x0f", ""], "mimeTypes": ["image/png"] }),
                    json!({}),
                ),
                (
                    json!({ "maxSelect": -1, "maxSize": 9007199254740992_i64 }),
                    json!({
                        "maxSelect": "validation_min_greater_equal_than_required",
                        "maxSize": "validation_max_less_equal_than_required",
                    }),
                ),
                (
                    json!({ "thumbs": ["0x0", "0x0t", "100", "5x5x", "x5"] }),
                    json!({ "thumbs": {
                        "0": "validation_not_in_invalid",
                        "1": "validation_not_in_invalid",
                        "2": "validation_match_invalid",
                        "3": "validation_match_invalid",
                        "4": "validation_match_invalid",
                    } }),
                ),
            ],
        );
    }
}
