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
