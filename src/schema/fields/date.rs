//! A moment in UTC, to the millisecond: `2026-01-02 03:04:05.678Z`, or empty.

use std::borrow::Cow;

use headwater_actors::Value;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::errors::{Errors, Invalid};
use crate::schema::field::{Field, FieldType};
use crate::{dates, json};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Date {
    pub min: String,
    pub max: String,
}

impl FieldType for Date {
    fn type_name(&self) -> &'static str {
        "date"
    }

    fn column(&self) -> &'static str {
        "TEXT DEFAULT '' NOT NULL"
    }

    fn zero(&self) -> Value {
        Value::Text(String::new())
    }

    fn cast(&self, input: &Json) -> Value {
        cast(input)
    }

    fn to_json(&self, stored: &Value) -> Json {
        Json::String(read(stored).into_owned())
    }

    fn write_json(&self, stored: &Value, out: &mut Vec<u8>) {
        json::write_text(&read(stored), out);
    }

    fn is_blank(&self, stored: &Value) -> bool {
        read(stored).is_empty()
    }

    fn validate(&self, _field: &Field, stored: &Value) -> Result<(), Invalid> {
        // The stored form sorts like the moments that it stands for.
        let moment = read(stored);
        if moment.is_empty() {
            return Ok(());
        }
        if !self.min.is_empty() && *moment < *self.min {
            let code = "validation_min_greater_equal_than_required";
            return Err(out_of_range(code, "must be no less than", &self.min));
        }
        if !self.max.is_empty() && *moment > *self.max {
            let code = "validation_max_less_equal_than_required";
            return Err(out_of_range(code, "must be no greater than", &self.max));
        }
        Ok(())
    }

    fn check_options(&self, _field: &Field, _errors: &mut Errors) {}

    fn options_to_json(&self) -> serde_json::Map<String, Json> {
        super::options_to_json(self)
    }
}

impl Date {
    /// With the limits in the stored form, whichever notation they came in.
    pub(crate) fn normalised(self) -> Date {
        let normal = |limit: &str| dates::parse(limit).unwrap_or_default();
        Date { min: normal(&self.min), max: normal(&self.max) }
    }
}

fn out_of_range(code: &'static str, relation: &str, threshold: &str) -> Invalid {
    // Trailing zeros of the fraction are left out, as in RFC 3339 texts elsewhere.
    let (clock, fraction) = threshold.trim_end_matches('Z').split_once('.').unwrap_or((threshold, ""));
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    Invalid::new(code, format!("{relation} {clock}{point}{fraction} +0000 UTC"))
        .with("threshold", format!("{}{point}{fraction}Z", clock.replace(' ', "T")))
}

pub(super) fn cast(input: &Json) -> Value {
    let moment = match input {
        Json::String(text) => dates::parse(text),
        // No notation consists of digits alone, so a number is none either.
        _ => None,
    };
    Value::Text(moment.unwrap_or_default())
}

/// The stored moment; older files may have it in another notation.
pub(super) fn read(stored: &Value) -> Cow<'_, str> {
    match stored {
        Value::Text(text) if text.is_empty() || dates::is_stored_form(text) => Cow::Borrowed(text),
        Value::Text(text) => Cow::Owned(dates::parse(text).unwrap_or_default()),
        _ => Cow::Borrowed(""),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::schema::fields::table;

    #[test]
    fn casts() {
        let date = |sent: Json, stored: &str| (sent, json!(stored), json!(stored));
        table::casts(
            json!({ "type": "date" }),
            &[
                date(json!("2026-11-22 23:45:14.431Z"), "2026-11-22 23:45:14.431Z"),
                date(json!("2026-11-22T23:45:14+02:00"), "2026-11-22 21:45:14.000Z"),
                date(json!("2026-11-22"), "2026-11-22 00:00:00.000Z"),
                date(json!("2026-11-22 23:45"), ""),
                date(json!("0001-01-01 00:00:00.000Z"), ""),
                date(json!(2026), ""),
                date(json!(true), ""),
                date(Json::Null, ""),
                date(json!(["2026-11-22"]), ""),
            ],
        );
        table::reads(
            json!({ "type": "date" }),
            &[
                (Value::Null, json!("")),
                (Value::Text("2026-11-22 23:45:14Z".into()), json!("2026-11-22 23:45:14.000Z")),
                (Value::Text("x".into()), json!("")),
                (Value::Integer(5), json!("")),
            ],
        );
    }

    #[test]
    fn values() {
        let options = json!({ "type": "date", "min": "2022-01-01", "max": "2023-01-01 10:00:00.5Z", "required": true });
        table::values(
            options.clone(),
            &[
                (json!("2022-01-01"), Json::Null),
                (json!("2023-01-01 10:00:00.500Z"), Json::Null),
                (json!("x"), json!({ "code": "validation_required" })),
                (
                    json!("2021-12-31 23:59:59.999Z"),
                    json!({
                        "code": "validation_min_greater_equal_than_required",
                        "params": { "threshold": "2022-01-01T00:00:00Z" },
                    }),
                ),
                (
                    json!("2023-01-01 10:00:00.501Z"),
                    json!({
                        "code": "validation_max_less_equal_than_required",
                        "params": { "threshold": "2023-01-01T10:00:00.5Z" },
                    }),
                ),
            ],
        );
        let field = table::field(&options);
        assert_eq!(field.of().options_to_json()["max"], "2023-01-01 10:00:00.500Z");
        let error = field.validate(&Value::Text("2024-01-01 00:00:00.000Z".into())).unwrap_err();
        assert_eq!(error.message, "must be no greater than 2023-01-01 10:00:00.5 +0000 UTC");
    }

    #[test]
    fn options() {
        table::options("date", &[(json!({ "min": "2022-01-01", "max": "2021-01-01" }), json!({}))]);
    }
}
