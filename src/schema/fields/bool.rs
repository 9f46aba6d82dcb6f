//! True or false.

use headwater_actors::Value;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::scalar;
use crate::errors::{Errors, Invalid};
use crate::schema::field::{Field, FieldType};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Bool {}

impl FieldType for Bool {
    fn type_name(&self) -> &'static str {
        "bool"
    }

    fn column(&self) -> &'static str {
        "BOOLEAN DEFAULT FALSE NOT NULL"
    }

    fn zero(&self) -> Value {
        Value::Integer(0)
    }

    fn cast(&self, input: &Json) -> Value {
        Value::Integer(i64::from(match input {
            Json::Bool(flag) => *flag,
            Json::Number(number) => number.as_f64() != Some(0.0),
            Json::String(text) => scalar::is_true(text),
            Json::Null | Json::Array(_) | Json::Object(_) => false,
        }))
    }

    fn to_json(&self, stored: &Value) -> Json {
        Json::Bool(read(stored))
    }

    fn write_json(&self, stored: &Value, out: &mut Vec<u8>) {
        out.extend_from_slice(if read(stored) { b"true" } else { b"false" });
    }

    fn is_blank(&self, stored: &Value) -> bool {
        !read(stored)
    }

    fn validate(&self, _field: &Field, _stored: &Value) -> Result<(), Invalid> {
        Ok(())
    }

    fn check_options(&self, _field: &Field, _errors: &mut Errors) {}

    fn options_to_json(&self) -> serde_json::Map<String, Json> {
        super::options_to_json(self)
    }
}

fn read(stored: &Value) -> bool {
    match stored {
        Value::Integer(number) => *number != 0,
        Value::Real(number) => *number != 0.0,
        Value::Text(text) => scalar::is_true(text),
        Value::Null | Value::Blob(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::schema::fields::table;

    #[test]
    fn casts() {
        let yes = |sent: Json| (sent, json!(1), json!(true));
        let no = |sent: Json| (sent, json!(0), json!(false));
        let words = ["1", "t", "T", "true", "True", "TRUE"].map(|word| yes(json!(word)));
        let others = ["yes", "on", "tRUE", "", "0", "2"].map(|word| no(json!(word)));
        table::casts(json!({ "type": "bool" }), &words);
        table::casts(json!({ "type": "bool" }), &others);
        table::casts(
            json!({ "type": "bool" }),
            &[yes(json!(true)), yes(json!(-0.5)), no(json!(0)), no(Json::Null), no(json!([1])), no(json!({}))],
        );
        table::reads(
            json!({ "type": "bool" }),
            &[(Value::Null, json!(false)), (Value::Real(1.0), json!(true)), (Value::Text("true".into()), json!(true))],
        );
        table::values(
            json!({ "type": "bool", "required": true }),
            &[(json!(true), Json::Null), (json!(false), json!({ "code": "validation_required" }))],
        );
    }
}
