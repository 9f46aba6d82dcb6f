//! A record as JSON: which fields its viewer may see, and in which form.
//!
//! Everything that shows records (the API, realtime, files of exports) comes through here; nothing else decides what is
//! left out. [`Record::shows`] must have been decided for the viewer before ([`super::shows`]).

use serde_json::{Map, Value as Json};

use super::{Expanded, Record};
use crate::json;
use crate::schema::Field;

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
            object.insert(field.name.clone(), field.of().to_json(value));
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
            field.of().write_json(&record.values[position], out);
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
    json::write_text(name, out);
    out.push(b':');
}

fn write_extra(record: &Record, name: &str, start: usize, out: &mut Vec<u8>) {
    match (name, &record.expand) {
        ("collectionId", _) => {
            write_key(name, start, out);
            json::write_text(&record.collection.id, out);
        }
        ("collectionName", _) => {
            write_key(name, start, out);
            json::write_text(&record.collection.name, out);
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
