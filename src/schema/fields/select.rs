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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::schema::fields::table;

    #[test]
    fn casts() {
        let one = json!({ "type": "select", "values": ["a", "b"], "maxSelect": 1 });
        let several = json!({ "type": "select", "values": ["a", "b"], "maxSelect": 2 });
        let single = |sent: Json, stored: &str| (sent, json!(stored), json!(stored));
        let multiple = |sent: Json, stored: &str, shown: Json| (sent, json!(stored), shown);
        table::casts(
            one.clone(),
            &[
                single(json!("a"), "a"),
                single(json!(["a", "b"]), "b"),
                single(json!(["a", "b", "a"]), "b"),
                single(json!(r#"["a","b"]"#), "b"),
                single(json!([r#"["a"]"#]), "a"),
                single(json!(5), "5"),
                single(json!(true), "true"),
                single(json!(""), ""),
                single(Json::Null, ""),
                single(json!({ "a": 1 }), ""),
                single(json!("[x"), "[x"),
                single(json!("[1,2]"), "[1,2]"),
            ],
        );
        table::casts(
            several.clone(),
            &[
                multiple(json!("a"), r#"["a"]"#, json!(["a"])),
                multiple(json!(["b", "a", "b", "", null]), r#"["b","a"]"#, json!(["b", "a"])),
                multiple(json!(["a", 5, true]), r#"["a","5","true"]"#, json!(["a", "5", "true"])),
                multiple(json!(["a", {}]), "[]", json!([])),
                multiple(json!(r#"["a","b"]"#), r#"["a","b"]"#, json!(["a", "b"])),
                multiple(json!("x<y"), r#"["x\u003cy"]"#, json!(["x<y"])),
                multiple(json!([]), "[]", json!([])),
                multiple(Json::Null, "[]", json!([])),
            ],
        );
        table::reads(one, &[(Value::Null, json!("")), (Value::Text(r#"["a","b"]"#.into()), json!("b"))]);
        table::reads(
            several,
            &[
                (Value::Null, json!([])),
                (Value::Text("a".into()), json!(["a"])),
                (Value::Integer(5), json!(["5"])),
                (Value::Text(r#"[ "a", "a", "" ]"#.into()), json!(["a"])),
            ],
        );
    }

    #[test]
    fn values() {
        table::values(
            json!({ "type": "select", "values": ["a", "b", "c"], "maxSelect": 2, "required": true }),
            &[
                (json!(["a", "b"]), Json::Null),
                (json!([]), json!({ "code": "validation_required" })),
                (json!(["a", "b", "c"]), json!({ "code": "validation_too_many_values", "params": { "maxSelect": 2 } })),
                (json!(["a", "z"]), json!({ "code": "validation_invalid_value", "params": { "value": "z" } })),
            ],
        );
    }

    #[test]
    fn options() {
        table::options(
            "select",
            &[
                (json!({ "values": ["a", "b"], "maxSelect": 2 }), json!({})),
                (json!({ "values": null }), json!({ "values": "validation_required" })),
                (
                    json!({ "values": ["a"], "maxSelect": 2 }),
                    json!({ "maxSelect": "validation_max_less_equal_than_required" }),
                ),
            ],
        );
    }
}
