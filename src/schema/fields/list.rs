//! The values of select, file and relation fields: one text, or several in a JSON array.

use std::borrow::Cow;

use headwater_actors::Value;
use serde_json::Value as Json;

use super::scalar;
use crate::errors::Invalid;
use crate::json;

/// What a request gives, as stored: without empty and repeated values; where only one has room, the last one.
pub(super) fn cast(input: &Json, multiple: bool) -> Value {
    store(given(input), multiple)
}

/// Names as stored.
pub(crate) fn store(names: Vec<Cow<'_, str>>, multiple: bool) -> Value {
    if multiple { Value::Text(array(&names)) } else { Value::Text(last(names)) }
}

/// The last name. One that is a list itself would be read as a list, so it counts as one.
fn last(mut names: Vec<Cow<'_, str>>) -> String {
    let mut last = names.pop().unwrap_or_default().into_owned();
    while last.contains('[') {
        let inner = expand(&last).pop().unwrap_or_default().into_owned();
        if inner == last {
            break;
        }
        last = inner;
    }
    last
}

/// The values that a request gives.
pub(crate) fn given(input: &Json) -> Vec<Cow<'_, str>> {
    match input {
        Json::String(text) => expand(text),
        Json::Array(items) if items.iter().any(|item| item.is_array() || item.is_object()) => Vec::new(),
        Json::Array(items) => distinct(items.iter().map(scalar_text)),
        scalar => distinct(std::iter::once(scalar_text(scalar))),
    }
}

fn scalar_text(input: &Json) -> Cow<'_, str> {
    match input {
        Json::String(text) => Cow::Borrowed(text),
        other => Cow::Owned(scalar::text(other)),
    }
}

/// A text that may hold a JSON array of texts.
fn expand(text: &str) -> Vec<Cow<'_, str>> {
    if text.contains('[')
        && let Ok(items) = serde_json::from_str::<Vec<Cow<'_, str>>>(text)
    {
        return distinct(items.into_iter());
    }
    distinct(std::iter::once(Cow::Borrowed(text)))
}

/// The values of a stored list, or the only one; older files may hold either in either column.
pub(crate) fn stored(value: &Value) -> Vec<Cow<'_, str>> {
    match value {
        Value::Text(text) => expand(text),
        other => distinct(std::iter::once(scalar::stored_text(other))),
    }
}

/// Without empty ones, each once, in order.
fn distinct<'a>(names: impl Iterator<Item = Cow<'a, str>>) -> Vec<Cow<'a, str>> {
    let mut found: Vec<Cow<'a, str>> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for name in names.filter(|name| !name.is_empty()) {
        // A set pays only for long lists.
        if found.len() < 16 {
            if !found.contains(&name) {
                found.push(name);
            }
            continue;
        }
        if seen.is_empty() {
            seen.extend(found.iter().cloned());
        }
        if seen.insert(name.clone()) {
            found.push(name);
        }
    }
    found
}

/// A stored value as JSON.
pub(super) fn to_json(value: &Value, multiple: bool) -> Json {
    if !multiple {
        return match value {
            Value::Text(text) if !text.contains('[') => Json::String(text.clone()),
            other => Json::String(last(stored(other))),
        };
    }
    Json::Array(stored(value).into_iter().map(|name| Json::String(name.into_owned())).collect())
}

/// Writes what [`to_json`] gives.
pub(super) fn write_json(value: &Value, multiple: bool, out: &mut Vec<u8>) {
    match (multiple, value) {
        (false, Value::Text(text)) if !text.contains('[') => json::write_text(text, out),
        (false, other) => json::write_text(&last(stored(other)), out),
        (true, other) => write_array(&stored(other), out),
    }
}

fn array(names: &[Cow<'_, str>]) -> String {
    let mut out = Vec::with_capacity(2 + names.len() * 20);
    write_array(names, &mut out);
    json::into_text(out)
}

fn write_array(names: &[Cow<'_, str>], out: &mut Vec<u8>) {
    out.push(b'[');
    for (index, name) in names.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        json::write_text(name, out);
    }
    out.push(b']');
}

/// True for an empty list and for no value.
pub(super) fn is_blank(value: &Value) -> bool {
    match value {
        Value::Text(text) => text.is_empty() || text == "[]" || expand(text).is_empty(),
        other => *other == Value::Null,
    }
}

/// How many values may be selected; 0 stands for 1.
pub(super) fn check_count(count: usize, max_select: i64) -> Result<(), Invalid> {
    let max = max_select.max(1);
    if count as i64 > max {
        let message = format!("Select no more than {max}");
        return Err(Invalid::new("validation_too_many_values", message).with("maxSelect", max));
    }
    Ok(())
}
