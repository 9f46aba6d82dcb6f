//! Single values as text: what the text-like types make of a request's JSON and of a stored value.

use std::borrow::Cow;

use headwater_actors::Value;
use serde_json::Value as Json;

/// A scalar of a request as text: numbers in decimal digits, without an exponent; nothing for what is no scalar.
pub(super) fn text(input: &Json) -> String {
    match input {
        Json::String(text) => text.clone(),
        Json::Bool(flag) => flag.to_string(),
        Json::Number(number) => number.as_f64().map(decimal).unwrap_or_default(),
        Json::Null | Json::Array(_) | Json::Object(_) => String::new(),
    }
}

/// A double in decimal digits, however many it takes.
fn decimal(number: f64) -> String {
    number.to_string()
}

/// A stored value as text, whatever SQLite type an older file has it in.
pub(super) fn stored_text(stored: &Value) -> Cow<'_, str> {
    match stored {
        Value::Text(text) => Cow::Borrowed(text),
        Value::Null => Cow::Borrowed(""),
        Value::Integer(number) => Cow::Owned(number.to_string()),
        Value::Real(number) => Cow::Owned(decimal(*number)),
        Value::Blob(bytes) => String::from_utf8_lossy(bytes),
    }
}

/// The number that a text stands for, as programs write numbers: `5`, `1e3`, `1_000`, `+3`, `.5`, `NaN`, `Inf`.
/// Blanks around it, or anything else: `None`.
pub(crate) fn parse_number(text: &str) -> Option<f64> {
    let plain;
    let digits = if text.contains('_') {
        // An underscore stands between digits only.
        let digit = |index: usize| text.as_bytes().get(index).is_some_and(u8::is_ascii_digit);
        let separates = |(index, _): (usize, &str)| index > 0 && digit(index - 1) && digit(index + 1);
        if !text.match_indices('_').all(separates) {
            return None;
        }
        plain = text.replace('_', "");
        &plain
    } else {
        text
    };
    let number: f64 = digits.parse().ok()?;
    // What is merely too large is no number; infinity has to be meant.
    let meant = || digits.bytes().any(|byte| matches!(byte, b'i' | b'I'));
    (!number.is_infinite() || meant()).then_some(number)
}

/// The words that stand for true.
pub(super) fn is_true(text: &str) -> bool {
    matches!(text, "1" | "t" | "T" | "true" | "TRUE" | "True")
}
