//! A collection as somebody wants it: the JSON of a request laid over a blank collection or over the present one.
//!
//! Nothing is checked here but that the JSON has the right shape; whether the collection may be saved so is for
//! `validate` to say.

use serde_json::{Map, Value as Json};

use super::auth_options::OAuth2Provider;
use super::{AuthOptions, Collection, CollectionKind, Field, Rule, system_fields};

/// The body cannot be a collection: a value of the wrong type, or an unknown type of field.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(String);

/// A wanted collection.
#[derive(Clone, Debug)]
pub struct Draft {
    pub collection: Collection,
    /// The `type` that was asked for. The collection has the kind that it has, or base where there is no such type.
    pub type_name: String,
    /// The id was derived from type and name, and may become another one if it is taken.
    pub id_is_derived: bool,
}

/// A collection of this type with all defaults.
pub fn blank(type_name: &str, name: &str, id: &str) -> Collection {
    let kind = match type_name {
        "auth" => CollectionKind::Auth(Box::new(AuthOptions::fresh(false))),
        "view" => CollectionKind::View { query: String::new() },
        _ => CollectionKind::Base,
    };
    let mut collection = Collection::new(id, name, kind);
    system_fields::enforce(&mut collection);
    collection
}

/// The id that a collection gets if nobody chose one.
pub fn derived_id(type_name: &str, name: &str) -> String {
    format!("pbc_{}", crc32fast::hash(format!("{type_name}{name}").as_bytes()))
}

/// A new collection.
pub fn create(body: &Map<String, Json>) -> Result<Draft, Malformed> {
    let text = |key: &str| match body.get(key) {
        None | Some(Json::Null) => Ok(""),
        Some(Json::String(text)) => Ok(text.as_str()),
        Some(_) => Err(Malformed(format!("{key} must be a text"))),
    };
    let (type_name, name, id) = (text("type")?, text("name")?, text("id")?);
    let type_name = if type_name.is_empty() { "base" } else { type_name };
    let id_is_derived = id.is_empty();
    let id = if id_is_derived { derived_id(type_name, name) } else { id.to_owned() };
    let mut collection = blank(type_name, name, &id);
    overlay(&mut collection, body)?;
    collection.id = id;
    Ok(Draft { collection, type_name: type_name.to_owned(), id_is_derived })
}

/// The present collection with what the body gives.
pub fn update(present: &Collection, body: &Map<String, Json>) -> Result<Draft, Malformed> {
    let mut collection = present.clone();
    overlay(&mut collection, body)?;
    let type_name = match body.get("type") {
        Some(Json::String(name)) if !name.is_empty() => name.clone(),
        None | Some(Json::Null | Json::String(_)) => present.type_name().to_owned(),
        Some(_) => return Err(Malformed("type must be a text".into())),
    };
    Ok(Draft { collection, type_name, id_is_derived: false })
}

/// Lays the given keys over the collection. Lists and rules are replaced, objects are merged, `null` changes nothing
/// where it means nothing. Unknown keys are ignored.
fn overlay(collection: &mut Collection, body: &Map<String, Json>) -> Result<(), Malformed> {
    for (key, value) in body {
        match (key.as_str(), value) {
            ("listRule", _) => collection.rules.list = rule(key, value)?,
            ("viewRule", _) => collection.rules.view = rule(key, value)?,
            ("createRule", _) => collection.rules.create = rule(key, value)?,
            ("updateRule", _) => collection.rules.update = rule(key, value)?,
            ("deleteRule", _) => collection.rules.delete = rule(key, value)?,
            ("fields", Json::Null) => collection.fields.clear(),
            ("fields", Json::Array(items)) => collection.fields = fields(items)?,
            ("indexes", Json::Null) => collection.indexes.clear(),
            ("indexes", Json::Array(items)) => collection.indexes = texts(key, items)?,
            ("id" | "name" | "created" | "updated" | "system" | "viewQuery", Json::Null) => {}
            ("id", Json::String(id)) => collection.id.clone_from(id),
            ("name", Json::String(name)) => collection.name.clone_from(name),
            ("created", Json::String(date)) => collection.created.clone_from(date),
            ("system", Json::Bool(system)) => collection.system = *system,
            ("viewQuery", Json::String(text)) => {
                if let CollectionKind::View { query } = &mut collection.kind {
                    query.clone_from(text);
                }
            }
            ("id" | "name" | "system" | "fields" | "indexes" | "viewQuery", _) => {
                return Err(Malformed(format!("{key} has a value of the wrong type")));
            }
            _ => {}
        }
    }
    if let CollectionKind::Auth(options) = &mut collection.kind {
        overlay_auth(options, body)?;
    }
    collection.index();
    Ok(())
}

fn rule(key: &str, value: &Json) -> Result<Rule, Malformed> {
    match value {
        Json::Null => Ok(Rule::Sealed),
        Json::String(text) => Ok(Rule::from(Some(text.clone()))),
        _ => Err(Malformed(format!("{key} must be a text or null"))),
    }
}

fn texts(key: &str, items: &[Json]) -> Result<Vec<String>, Malformed> {
    let text = |item: &Json| item.as_str().map(str::to_owned);
    items.iter().map(text).collect::<Option<_>>().ok_or_else(|| Malformed(format!("{key} must be texts")))
}

fn fields(items: &[Json]) -> Result<Vec<Field>, Malformed> {
    let mut fields = Vec::with_capacity(items.len());
    for item in items {
        put(&mut fields, Field::from_json(item).map_err(Malformed)?);
    }
    Ok(fields)
}

/// Adds a field to a list. One with an id takes the place of the field with that id; one without takes the place, and
/// the id, of the field with its name, or else gets an id from its type and name.
pub fn put(fields: &mut Vec<Field>, mut field: Field) {
    let place = if field.id.is_empty() {
        fields.iter().position(|other| !field.name.is_empty() && other.name == field.name)
    } else {
        fields.iter().position(|other| other.id == field.id)
    };
    if field.id.is_empty() {
        field.id = match place {
            Some(place) => fields[place].id.clone(),
            None => free_field_id(fields, &field),
        };
    }
    match place {
        Some(place) => fields[place] = field,
        None => fields.push(field),
    }
}

fn free_field_id(fields: &[Field], field: &Field) -> String {
    let derived = format!("{}{}", field.of().type_name(), crc32fast::hash(field.name.as_bytes()));
    let taken = |id: &str| fields.iter().any(|other| other.id == id);
    if !taken(&derived) {
        return derived;
    }
    (2..1000).map(|number| format!("{derived}{number}")).find(|id| !taken(id)).unwrap_or(derived)
}

/// The keys of the options whose value `null` means something other than "as it was".
const NULLABLE: [&str; 4] = ["authRule", "manageRule", "pkce", "extra"];

fn overlay_auth(options: &mut AuthOptions, body: &Map<String, Json>) -> Result<(), Malformed> {
    let wrong = |error: serde_json::Error| Malformed(error.to_string());
    let mut merged = serde_json::to_value(&*options).map_err(wrong)?;
    let Json::Object(target) = &mut merged else { return Ok(()) };
    for (key, value) in body {
        let Some(present) = target.get_mut(key) else { continue };
        match (key.as_str(), value) {
            ("oauth2", Json::Object(given)) => {
                let mut given = given.clone();
                if let Some(Json::Array(providers)) = given.get_mut("providers") {
                    keep_provider_settings(providers, &options.oauth2.providers).map_err(wrong)?;
                }
                merge(present, &Json::Object(given), key);
            }
            _ => merge(present, value, key),
        }
    }
    *options = serde_json::from_value(merged).map_err(wrong)?;
    Ok(())
}

/// Providers belong together by their name: what one is given without keeps its present value, above all the secret,
/// which no answer ever contains.
fn keep_provider_settings(given: &mut [Json], present: &[OAuth2Provider]) -> Result<(), serde_json::Error> {
    for provider in given {
        let name = provider.get("name").and_then(Json::as_str).unwrap_or_default();
        if let Some(known) = present.iter().find(|known| known.name == name) {
            let mut merged = serde_json::to_value(known)?;
            merge(&mut merged, provider, "");
            *provider = merged;
        } else if let Json::Object(provider) = provider {
            provider.retain(|key, value| !value.is_null() || NULLABLE.contains(&key.as_str()));
        }
    }
    Ok(())
}

/// Objects key by key, everything else by replacement.
fn merge(target: &mut Json, given: &Json, key: &str) {
    match (target, given) {
        (Json::Object(target), Json::Object(given)) => {
            for (key, value) in given {
                match target.get_mut(key) {
                    Some(present) => merge(present, value, key),
                    None => {
                        target.insert(key.clone(), value.clone());
                    }
                }
            }
        }
        (Json::Array(target), Json::Null) => target.clear(),
        (_, Json::Null) if !NULLABLE.contains(&key) => {}
        (target, given) => *target = given.clone(),
    }
}
