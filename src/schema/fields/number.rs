//! A number: an IEEE double, stored as an integer where it is one.

use headwater_actors::Value;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::scalar;
use crate::errors::{Errors, Invalid};
use crate::json;
use crate::schema::field::{Field, FieldType};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Number {
    pub min: Option<f64>,
    pub max: Option<f64>,
    pub only_int: bool,
}

impl FieldType for Number {
    fn type_name(&self) -> &'static str {
        "number"
    }

    fn column(&self) -> &'static str {
        "NUMERIC DEFAULT 0 NOT NULL"
    }

    fn zero(&self) -> Value {
        Value::Integer(0)
    }

    fn cast(&self, input: &Json) -> Value {
        json::real(match input {
            Json::Number(number) => number.as_f64().unwrap_or_default(),
            Json::String(text) => scalar::parse_number(text).unwrap_or_default(),
            Json::Bool(true) => 1.0,
            Json::Bool(false) | Json::Null | Json::Array(_) | Json::Object(_) => 0.0,
        })
    }

    fn to_json(&self, stored: &Value) -> Json {
        json::number(read(stored))
    }

    fn write_json(&self, stored: &Value, out: &mut Vec<u8>) {
        json::write_number(read(stored), out);
    }

    fn is_blank(&self, stored: &Value) -> bool {
        read(stored) == 0.0
    }

    fn validate(&self, _field: &Field, stored: &Value) -> Result<(), Invalid> {
        let number = match stored {
            Value::Real(number) => *number,
            other => read(other),
        };
        if !number.is_finite() {
            let message = "The submitted number is not properly formatted";
            return Err(Invalid::new("validation_not_a_number", message));
        }
        if number == 0.0 {
            // Zero is the value of a number that was not given; the limits do not concern it.
            return Ok(());
        }
        self.check_integer(number)?;
        if let Some(min) = self.min.filter(|min| number < *min) {
            return Err(below(min));
        }
        if let Some(max) = self.max.filter(|max| number > *max) {
            let message = format!("Must be less or equal than {}", json::number(max));
            return Err(Invalid::new("validation_max_number_constraint", message).with("max", json::number(max)));
        }
        Ok(())
    }

    fn check_options(&self, _field: &Field, errors: &mut Errors) {
        if let Some(min) = self.min {
            errors.check("min", self.check_integer(min));
        }
        if let Some(max) = self.max {
            errors.check("max", self.check_integer(max));
            if let Some(min) = self.min.filter(|min| max < *min) {
                errors.add("max", below(min));
            }
        }
    }

    fn options_to_json(&self) -> serde_json::Map<String, Json> {
        let limit = |limit: Option<f64>| limit.map_or(Json::Null, json::number);
        serde_json::Map::from_iter([
            ("min".to_owned(), limit(self.min)),
            ("max".to_owned(), limit(self.max)),
            ("onlyInt".to_owned(), Json::Bool(self.only_int)),
        ])
    }
}

impl Number {
    fn check_integer(&self, number: f64) -> Result<(), Invalid> {
        if self.only_int && number as i64 as f64 != number {
            return Err(Invalid::new("validation_only_int_constraint", "Decimal numbers are not allowed"));
        }
        Ok(())
    }
}

fn below(min: f64) -> Invalid {
    let message = format!("Must be greater or equal than {}", json::number(min));
    Invalid::new("validation_min_number_constraint", message).with("min", json::number(min))
}

/// The stored number; older files hold NULL and, in columns of other declarations, texts.
pub(crate) fn read(stored: &Value) -> f64 {
    match stored {
        Value::Integer(number) => *number as f64,
        Value::Real(number) if number.is_finite() => *number,
        Value::Text(text) => scalar::parse_number(text).filter(|number| number.is_finite()).unwrap_or_default(),
        Value::Real(_) | Value::Null | Value::Blob(_) => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::schema::fields::table;

    #[test]
    fn casts() {
        let number = |sent: Json, stored: Json| (sent, stored.clone(), stored);
        table::casts(
            json!({ "type": "number" }),
            &[
                number(json!(5), json!(5)),
                number(json!(5.0), json!(5)),
                number(json!(-1.5), json!(-1.5)),
                number(json!("5"), json!(5)),
                number(json!("1e3"), json!(1000)),
                number(json!("1_000"), json!(1000)),
                number(json!("1__0"), json!(0)),
                number(json!("_1"), json!(0)),
                number(json!("+3"), json!(3)),
                number(json!("010"), json!(10)),
                number(json!(".5"), json!(0.5)),
                number(json!("5."), json!(5)),
                number(json!(" 5"), json!(0)),
                number(json!("0x10"), json!(0)),
                number(json!("1e400"), json!(0)),
                number(json!(true), json!(1)),
                number(json!(false), json!(0)),
                number(Json::Null, json!(0)),
                number(json!([5]), json!(0)),
                number(json!({}), json!(0)),
            ],
        );
        table::reads(
            json!({ "type": "number" }),
            &[
                (Value::Null, json!(0)),
                (Value::Real(5.0), json!(5)),
                (Value::Text("2.5".into()), json!(2.5)),
                (Value::Text("x".into()), json!(0)),
                (Value::Real(f64::INFINITY), json!(0)),
            ],
        );
    }

    #[test]
    fn values() {
        table::values(
            json!({ "type": "number", "min": 2, "max": 9.5 }),
            &[
                (json!(2), Json::Null),
                (json!(9.5), Json::Null),
                (json!(0), Json::Null),
                (json!(1.5), json!({ "code": "validation_min_number_constraint", "params": { "min": 2 } })),
                (json!(10), json!({ "code": "validation_max_number_constraint", "params": { "max": 9.5 } })),
                (json!("NaN"), json!({ "code": "validation_not_a_number" })),
                (json!("-inf"), json!({ "code": "validation_not_a_number" })),
            ],
        );
        table::values(
            json!({ "type": "number", "onlyInt": true, "required": true }),
            &[
                (json!(3), Json::Null),
                (json!(0), json!({ "code": "validation_required" })),
                (json!(3.5), json!({ "code": "validation_only_int_constraint" })),
                (json!(1e20), json!({ "code": "validation_only_int_constraint" })),
            ],
        );
    }

    #[test]
    fn options() {
        table::options(
            "number",
            &[
                (json!({ "min": 1, "max": 1 }), json!({})),
                (json!({ "min": 5, "max": 0 }), json!({ "max": "validation_min_number_constraint" })),
                (
                    json!({ "min": 1.5, "max": 2.5, "onlyInt": true }),
                    json!({ "min": "validation_only_int_constraint", "max": "validation_only_int_constraint" }),
                ),
            ],
        );
        let field = table::field(&json!({ "type": "number", "min": 5.0 }));
        assert_eq!(field.of().options_to_json()["min"].to_string(), "5");
    }
}
