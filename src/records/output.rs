//! A record as JSON: which fields its viewer may see, and in which form.
//!
//! Everything that shows records (the API, realtime, files of exports) comes through here; nothing else decides what is
//! left out. [`Record::shows`] must have been decided for the viewer before ([`super::shows`]).

use std::io::Write;

use headwater_actors::Value;
use serde_json::{Map, Value as Json};

use super::{Expanded, Record};
use crate::schema::{Field, FieldKind};

/// The keys beside the fields, in the alphabetical order in which all keys come.
const EXTRAS: [&str; 3] = ["collectionId", "collectionName", "expand"];

/// True if the viewer of this copy sees the field.
fn is_shown(record: &Record, field: &Field) -> bool {
    if record.collection.is_auth() {
        match field.name.as_str() {
            "password" | "tokenKey" => return false,
            "email" if !record.shows.email && !record.flag("emailVisibility") => return false,
            _ => {}
        }
    }
    !field.hidden || record.shows.hidden
}

/// The record as a JSON object.
pub fn to_json(record: &Record) -> Json {
    let collection = &record.collection;
    let mut object = Map::new();
    for (field, value) in collection.fields.iter().zip(&record.values) {
        if is_shown(record, field) {
            object.insert(field.name.clone(), field_to_json(field, value));
        }
    }
    object.insert("collectionId".into(), Json::String(collection.id.clone()));
    object.insert("collectionName".into(), Json::String(collection.name.clone()));
    if let Some(expand) = &record.expand {
        let expanded = expand.iter().map(|(name, found)| {
            let value = match found {
                Expanded::One(record) => to_json(record),
                Expanded::Many(records) => Json::Array(records.iter().map(to_json).collect()),
            };
            (name.clone(), value)
        });
        object.insert("expand".into(), Json::Object(expanded.collect()));
    }
    Json::Object(object)
}

/// The same object as text, without building it first.
pub fn write_json(record: &Record, out: &mut Vec<u8>) {
    let collection = &record.collection;
    let mut extras = EXTRAS.iter().copied().peekable();
    out.push(b'{');
    let start = out.len();
    for &position in collection.alphabetical() {
        let field = &collection.fields[position];
        while let Some(extra) = extras.next_if(|extra| *extra < field.name.as_str()) {
            write_extra(record, extra, start, out);
        }
        if is_shown(record, field) {
            write_key(&field.name, start, out);
            write_field(field, &record.values[position], out);
        }
    }
    for extra in extras {
        write_extra(record, extra, start, out);
    }
    out.push(b'}');
}

/// Several records as a JSON array.
pub fn write_json_array(records: &[Record], out: &mut Vec<u8>) {
    out.push(b'[');
    for (index, record) in records.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_json(record, out);
    }
    out.push(b']');
}

fn write_key(name: &str, start: usize, out: &mut Vec<u8>) {
    if out.len() > start {
        out.push(b',');
    }
    write_text(name, out);
    out.push(b':');
}

fn write_extra(record: &Record, name: &str, start: usize, out: &mut Vec<u8>) {
    match (name, &record.expand) {
        ("collectionId", _) => {
            write_key(name, start, out);
            write_text(&record.collection.id, out);
        }
        ("collectionName", _) => {
            write_key(name, start, out);
            write_text(&record.collection.name, out);
        }
        (_, Some(expand)) => {
            write_key(name, start, out);
            out.push(b'{');
            let start = out.len();
            for (name, found) in expand {
                write_key(name, start, out);
                match found {
                    Expanded::One(record) => write_json(record, out),
                    Expanded::Many(records) => write_json_array(records, out),
                }
            }
            out.push(b'}');
        }
        (_, None) => {}
    }
}

/// A field's value as JSON. Of a password not even the hash is shown.
fn field_to_json(field: &Field, value: &Value) -> Json {
    match field.kind {
        FieldKind::Password(_) => Json::String(String::new()),
        _ => field.of().to_json(value),
    }
}

/// Plain texts, which most values are, go from the row to the wire without a copy.
fn write_field(field: &Field, value: &Value, out: &mut Vec<u8>) {
    use FieldKind::*;
    match (&field.kind, value) {
        (Text(_) | Editor(_) | Email(_) | Url(_), Value::Text(text)) => write_text(text, out),
        (Date(_) | Autodate(_), Value::Text(text)) if is_stored_date(text) => write_text(text, out),
        (Select(_) | Relation(_) | File(_), Value::Text(text)) if !field.is_multiple() && !text.starts_with('[') => {
            write_text(text, out)
        }
        _ => write_value(&field_to_json(field, value), out),
    }
}

/// A date in the form that we write ourselves; others (older files) are read by their type first.
fn is_stored_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.is_empty() || (bytes.len() == 24 && bytes[10] == b' ' && bytes[19] == b'.' && bytes[23] == b'Z')
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    // Most texts need no escape: one look, one copy.
    if text.bytes().all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\') {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        // Writing to memory does not fail.
        let _ = serde_json::to_writer(&mut *out, text);
    }
}

fn write_value(value: &Json, out: &mut Vec<u8>) {
    let _ = write!(out, "{value}");
}
