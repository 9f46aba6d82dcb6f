//! What must hold for any bytes that come in: a function for each way in, which panics where it does not.
//!
//! Not part of the server: built for tests and fuzzers alone. `cargo test` replays the inputs that are kept below
//! `tests/fuzz/corpus` and mutations of them; how to look for new ones is told in `tests/fuzz/README.md`.

#[cfg(test)]
mod tests;
mod world;

use chrono::{DateTime, Utc};
use headwater_actors::Value;
use serde_json::{Map, Value as Json, json};

use crate::http::parse_json;
use crate::query::{self, Base, Predicate, QueryError, Select};
use crate::records::pick::Fields;
use crate::records::{self, Record};
use crate::schema::{Field, FieldKind};
use world::{World, with_world};

/// The text of a filter or rule: what is printed of its tree parses to the same tree, and what becomes SQL is SQL.
pub fn filter(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Ok(tree) = query::parse(text) else { return };
    let printed = tree.to_string();
    assert_eq!(query::parse(&printed).as_deref(), Ok(&*tree), "{printed}");
    with_world(|world| {
        for request in [&world.guest, &world.superuser] {
            prepares(world, request, Base::Stored, |select| select.filter(text).map(drop));
        }
        let record = &world.record;
        for base in [Base::Stored, Base::Candidate(record), Base::Snapshot(record)] {
            prepares(world, &world.user, base, |select| select.rule(text).map(drop));
        }
        for predicate in [
            Predicate::rule(&world.schema, &record.collection, text),
            Predicate::filter(&world.schema, &record.collection, text),
        ] {
            predicate.holds(record, &world.user, DateTime::<Utc>::UNIX_EPOCH);
        }
    });
}

/// The text of a `sort`: what becomes SQL is SQL.
pub fn sort(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    with_world(|world| {
        for request in [&world.guest, &world.user, &world.superuser] {
            prepares(world, request, Base::Stored, |select| select.sort(text).map(drop));
        }
    });
}

fn prepares(
    world: &World,
    request: &crate::request::RequestInfo,
    base: Base<'_>,
    narrow: impl Fn(&mut Select<'_>) -> Result<(), QueryError>,
) {
    let mut select = Select::new(&world.schema, &world.record.collection, request, base);
    if narrow(&mut select).is_err() {
        return;
    }
    for statement in [select.rows(Some((30, 0))), select.count().statement] {
        match world.conn.prepare(&statement.sql) {
            Ok(prepared) => assert!(prepared.parameter_count() <= statement.params.len(), "{}", statement.sql),
            Err(error) => panic!("{error}: {}", statement.sql),
        }
    }
}

/// A `fields` parameter on the first line, and an HTML text on the others: nothing is picked that was not there, and
/// what was picked stays when it is picked from again.
pub fn fields(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let (text, html) = text.split_once('\n').unwrap_or((&text, "<p>Hi <b>there</b> &amp; you</p>"));
    let Ok(fields) = Fields::parse(text) else { return };
    let record = json!({
        "id": "a", "body": html, "n": 1, "tags": ["x", "y"], "meta": { "a": { "b": [1, { "c": null }] } },
        "expand": { "author": { "id": "b", "body": html }, "comments": [{ "id": "c", "text": html }, { "id": "d" }] },
    });
    let picked = fields.apply(record.clone());
    assert!(is_part(&picked, &record), "{picked}");
    fields.apply_to_items(json!({ "items": [record.clone(), record], "page": 1 }));
    // An excerpt of an excerpt may be another one: text that looked like an entity becomes one.
    if !text.contains(':') {
        assert_eq!(fields.apply(picked.clone()), picked);
    }
}

/// True if all keys of one are in the other, with values of the same kind.
fn is_part(part: &Json, whole: &Json) -> bool {
    match (part, whole) {
        (Json::Object(part), Json::Object(whole)) => {
            part.iter().all(|(key, value)| whole.get(key).is_some_and(|of| is_part(value, of)))
        }
        (Json::Array(part), Json::Array(whole)) => {
            part.len() == whole.len() && part.iter().zip(whole).all(|(part, whole)| is_part(part, whole))
        }
        (Json::String(_), Json::String(_)) => true,
        (part, whole) => part == whole,
    }
}

/// A JSON body of a record, or any JSON as the value of each type of field: it is cast, checked, stored and shown.
pub fn body(input: &[u8]) {
    with_world(|world| {
        if let Ok(value) = serde_json::from_slice::<Json>(input) {
            let collection = &world.record.collection;
            let values = collection.fields.iter().map(|field| field.of().cast(&value)).collect();
            is_kept(world, &Record::from_values(collection.clone(), values));
        }
        if let Ok(values) = parse_json(input) {
            written(world, &values);
        }
    });
}

/// The way of a body through a create and an update.
fn written(world: &World, values: &Map<String, Json>) {
    records::id_of(values);
    for may_set_hidden in [false, true] {
        let given = records::Given::read(&world.record.collection, values, may_set_hidden);
        let mut created = Record::blank(world.record.collection.clone());
        given.apply(&mut created);
        is_kept(world, &created);
        let mut updated = world.record.clone();
        given.apply(&mut updated);
        is_kept(world, &updated);
        given.resolved(values, &created, may_set_hidden);
        given.resolved(values, &updated, may_set_hidden);
        records::check_values(&created, None, &[]);
        records::check_values(&updated, Some(&world.record), &[]);
    }
}

/// The values of a record are in the form in which they are stored: the same when they are given once more, when they
/// were in the table, and when they are shown and given back.
fn is_kept(world: &World, record: &Record) {
    let mut sound = Record::blank(record.collection.clone());
    for (position, field) in record.collection.fields.iter().enumerate() {
        let (kind, value) = (field.of(), &record.values[position]);
        let is_valid = field.validate(value).is_ok();
        if matches!(value, Value::Real(number) if !number.is_finite()) {
            assert!(!is_valid, "{}: {value:?}", field.name);
            continue;
        }
        assert_eq!(kind.cast(&given_back(field, value)), *value, "{}", field.name);
        is_shown_alike(field, value);
        if is_valid {
            sound.values[position] = value.clone();
        }
    }
    assert_eq!(world.stored(&sound), sound.values);
}

/// A stored value as a client would write it down.
fn given_back(field: &Field, value: &Value) -> Json {
    match value {
        Value::Null | Value::Blob(_) => Json::Null,
        // A number in JSON is a double; a text that holds one keeps all its digits.
        Value::Integer(number) if matches!(field.kind, FieldKind::Json(_)) => Json::String(number.to_string()),
        Value::Integer(number) => Json::from(*number),
        Value::Real(number) => Json::from(*number),
        Value::Text(text) => Json::String(text.clone()),
    }
}

fn is_shown_alike(field: &Field, value: &Value) {
    let kind = field.of();
    let shown = kind.to_json(value);
    let mut written = Vec::new();
    kind.write_json(value, &mut written);
    match serde_json::from_slice::<Json>(&written) {
        Ok(read) => assert!(is_same(&read, &shown), "{}: {read} {shown}", field.name),
        // Documents may be deeper, and their numbers larger, than what is read here.
        Err(error) => assert!(matches!(field.kind, FieldKind::Json(_)), "{}: {error}", field.name),
    }
    // A text in a JSON field may be JSON itself, which it is taken for when it comes back; passwords are not shown.
    if !matches!(field.kind, FieldKind::Json(_) | FieldKind::Password(_)) {
        assert!(is_same(&kind.to_json(&kind.cast(&shown)), &shown), "{}: {shown}", field.name);
    }
}

/// Equality of JSON whose numbers are doubles, however they are written.
fn is_same(a: &Json, b: &Json) -> bool {
    match (a, b) {
        (Json::Number(a), Json::Number(b)) => a.as_f64() == b.as_f64(),
        (Json::Array(a), Json::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_same(a, b)),
        (Json::Object(a), Json::Object(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|((k, a), (l, b))| k == l && is_same(a, b))
        }
        (a, b) => a == b,
    }
}
