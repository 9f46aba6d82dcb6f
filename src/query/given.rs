//! What a request carries beside records: values of its body, query and headers, by path.

use serde_json::Value as Json;

use super::literal::Literal;
use super::path::Root;
use crate::request::RequestInfo;
use crate::schema::fields::parse_number;
use crate::schema::{Collection, Field, FieldKind};

/// A value found under `@request.`: present (though perhaps null) or absent.
pub(super) fn find(request: &RequestInfo, root: &Root, parts: &[Box<str>]) -> Option<Literal> {
    let first = parts.first().map(|part| &**part);
    match root {
        Root::Method => Some(Literal::Text(request.method.clone())),
        Root::Context => Some(Literal::Text(request.context.as_str().to_owned())),
        Root::Query if parts.len() == 1 => request.query.get(first?).cloned().map(Literal::Text),
        Root::Headers if parts.len() == 1 => request.headers.get(first?).map(str::to_owned).map(Literal::Text),
        Root::Body => body_part(request, parts).map(Literal::from_json),
        _ => None,
    }
}

/// A value of the body. A whole JSON or point field is its JSON text, scalars and null included.
pub(super) fn body(request: &RequestInfo, collection: &Collection, parts: &[Box<str>]) -> Option<Literal> {
    let value = body_part(request, parts)?;
    match parts {
        [name] => Some(collection.field(name).map_or_else(|| Literal::from_json(value), |(_, f)| of_field(f, value))),
        _ => Some(Literal::from_json(value)),
    }
}

/// A field of the body as text; empty for lists.
pub(super) fn body_text(request: &RequestInfo, field: &Field) -> String {
    match request.body.get(&field.name) {
        None | Some(Json::Array(_)) if !matches!(field.kind, FieldKind::Json(_)) => String::new(),
        None => String::new(),
        Some(value) => of_field(field, value).to_text(),
    }
}

fn of_field(field: &Field, value: &Json) -> Literal {
    match (&field.kind, value) {
        (FieldKind::Json(_), value) => Literal::Text(value.to_string()),
        (FieldKind::GeoPoint(_), Json::Object(_)) => Literal::from_value(&field.of().cast(value)),
        _ => Literal::from_json(value),
    }
}

fn body_part<'a>(request: &'a RequestInfo, parts: &[Box<str>]) -> Option<&'a Json> {
    let (first, rest) = parts.split_first()?;
    rest.iter().try_fold(request.body.get(&**first)?, |value, part| step(value, part))
}

/// Forms send numbers as texts: a text under the name of a number field is read as a number where it is one, by the
/// field's own reading, so that a rule sees the number that would be stored.
pub(super) fn as_number(literal: Literal, collection: &Collection, parts: &[Box<str>]) -> Literal {
    let Literal::Text(text) = &literal else { return literal };
    let field = parts.last().and_then(|name| collection.field(name));
    match field {
        Some((_, field)) if matches!(field.kind, FieldKind::Number(_)) => {
            parse_number(text).map_or(literal, Literal::Number)
        }
        _ => literal,
    }
}

/// The submitted items of a field: none if it is absent or null, one if it is no list.
pub(super) fn items<'a>(request: &'a RequestInfo, field: &str) -> Vec<&'a Json> {
    match request.body.get(field) {
        None | Some(Json::Null) => Vec::new(),
        Some(Json::Array(items)) => items.iter().collect(),
        Some(item) => vec![item],
    }
}

/// The submitted ids of a relation field, each once.
pub(super) fn ids<'a>(request: &'a RequestInfo, field: &str) -> Vec<&'a str> {
    let mut ids = Vec::new();
    for id in items(request, field).into_iter().filter_map(Json::as_str) {
        if !id.is_empty() && !ids.contains(&id) {
            ids.push(id);
        }
    }
    ids
}

/// A key of an object or an index of a list.
fn step<'a>(value: &'a Json, part: &str) -> Option<&'a Json> {
    match value {
        Json::Object(map) => map.get(part),
        Json::Array(items) => items.get(part.parse::<usize>().ok()?),
        _ => None,
    }
}
