//! The fields of a wanted collection.

use std::collections::HashSet;

use crate::checks;
use crate::errors::{Errors, Invalid};
use crate::schema::{Collection, Field, FieldKind, Schema};

/// Field names that have a meaning of their own in the bodies of requests to auth collections.
const RESERVED_AUTH_NAMES: [&str; 2] = ["passwordConfirm", "oldPassword"];

/// Checks the list, then each field. What is found first in the list is reported alone, as the rest may follow from it.
pub fn all(schema: &Schema, present: Option<&Collection>, wanted: &Collection, errors: &mut Errors) {
    let found = [duplicates, missing, locked, changed_types, reserved_names]
        .into_iter()
        .map(|check| check(present, wanted))
        .find(|found| !found.is_empty());
    if let Some(found) = found {
        return errors.merge(found);
    }
    let mut found = Errors::new();
    for (position, wanted_field) in wanted.fields.iter().enumerate() {
        found.nest(position.to_string(), field(schema, wanted, present, wanted_field));
    }
    errors.nest("fields", found);
}

/// One field: its common keys, its options, and what it refers to.
pub fn field(schema: &Schema, collection: &Collection, present: Option<&Collection>, field: &Field) -> Errors {
    let mut errors = Errors::new();
    field.check(&mut errors);
    let before = present.and_then(|present| present.fields.iter().find(|before| before.id == field.id));
    match &field.kind {
        FieldKind::Text(text) if text.primary_key => only_key(collection, &mut errors),
        FieldKind::Relation(relation) => {
            let before = match before.map(|before| &before.kind) {
                Some(FieldKind::Relation(before)) => Some(before.collection_id.as_str()),
                _ => None,
            };
            let target = &relation.collection_id;
            errors.check("collectionId", relation_target(schema, collection, present.is_none(), before, target));
        }
        FieldKind::Autodate(dates) if field.system => {
            if let Some(FieldKind::Autodate(before)) = before.map(|before| &before.kind) {
                let mismatch = || Invalid::new("validation_values_mismatch", "Values don't match.");
                if before.on_create != dates.on_create {
                    errors.add("onCreate", mismatch());
                }
                if before.on_update != dates.on_update {
                    errors.add("onUpdate", mismatch());
                }
            }
        }
        _ => {}
    }
    errors
}

/// There is no other primary key.
fn only_key(collection: &Collection, errors: &mut Errors) {
    let is_key = |field: &&Field| matches!(&field.kind, FieldKind::Text(text) if text.primary_key);
    if collection.fields.iter().filter(is_key).count() > 1 {
        let message = "Composite PKs are not supported and the collection must have only 1 PK.";
        errors.add("primaryKey", Invalid::new("validation_unsupported_composite_pk", message));
    }
}

fn relation_target(
    schema: &Schema,
    collection: &Collection,
    is_new: bool,
    before: Option<&str>,
    target: &str,
) -> Result<(), Invalid> {
    checks::required(target)?;
    if before.is_some_and(|before| before != target) {
        let message = "The relation collection cannot be changed.";
        return Err(Invalid::new("validation_field_relation_change", message));
    }
    // A new collection cannot refer to itself yet.
    let known = schema.by_id(target).filter(|known| !is_new || known.id != collection.id);
    let Some(target) = known else {
        let message = "The relation collection doesn't exist.";
        return Err(Invalid::new("validation_field_relation_missing_collection", message));
    };
    if target.is_view() && !collection.is_view() {
        let message = "Only view collections are allowed to have relations to other views.";
        return Err(Invalid::new("validation_relation_field_non_view_base_collection", message));
    }
    Ok(())
}

/// Ids and, as they are column names, names in any case are different.
fn duplicates(_: Option<&Collection>, wanted: &Collection) -> Errors {
    let mut ids = HashSet::new();
    let mut names = HashSet::new();
    for (position, field) in wanted.fields.iter().enumerate() {
        if !ids.insert(&field.id) {
            let message = format!("Duplicated or invalid field id {:?}", field.id);
            return at(position, Errors::one("id", Invalid::new("validation_duplicated_field_id", message)));
        }
        if !names.insert(field.name.to_lowercase()) {
            let message = format!("Duplicated or invalid field name {}", field.name);
            let invalid = Invalid::new("validation_duplicated_field_name", message);
            return at(position, Errors::one("name", invalid.with("fieldName", field.name.as_str())));
        }
    }
    Errors::new()
}

fn missing(_: Option<&Collection>, wanted: &Collection) -> Errors {
    if wanted.fields.is_empty() {
        return Errors::one("fields", Invalid::required());
    }
    let is_key = |field: &Field| matches!(&field.kind, FieldKind::Text(text) if text.primary_key);
    if !wanted.fields.iter().any(|field| field.name == "id" && is_key(field)) {
        let message = "Missing or invalid \"id\" PK field.";
        return Errors::one("fields", Invalid::new("validation_missing_primary_key", message));
    }
    Errors::new()
}

fn locked(present: Option<&Collection>, wanted: &Collection) -> Errors {
    let Some(present) = present.filter(|_| !wanted.is_view()) else { return Errors::new() };
    let kept = |system: &&Field| wanted.fields.iter().any(|field| field.id == system.id && field.name == system.name);
    if present.fields.iter().filter(|field| field.system).all(|field| kept(&field)) {
        return Errors::new();
    }
    let message = "System fields cannot be deleted or renamed.";
    Errors::one("fields", Invalid::new("validation_system_field_change", message))
}

fn changed_types(present: Option<&Collection>, wanted: &Collection) -> Errors {
    let Some(present) = present.filter(|_| !wanted.is_view()) else { return Errors::new() };
    let mut found = Errors::new();
    for (position, field) in wanted.fields.iter().enumerate() {
        let before = present.fields.iter().find(|before| before.id == field.id);
        if before.is_some_and(|before| before.of().type_name() != field.of().type_name()) {
            let message = "Field type cannot be changed.";
            found.add(position.to_string(), Invalid::new("validation_field_type_change", message));
        }
    }
    under_fields(found)
}

fn reserved_names(_: Option<&Collection>, wanted: &Collection) -> Errors {
    let mut found = Errors::new();
    for (position, field) in wanted.fields.iter().enumerate() {
        if wanted.is_auth() && RESERVED_AUTH_NAMES.contains(&field.name.as_str()) {
            let message = "The field name is reserved and cannot be used.";
            let invalid = Invalid::new("validation_reserved_field_name", message);
            found.nest(position.to_string(), Errors::one("name", invalid));
        }
    }
    under_fields(found)
}

fn at(position: usize, errors: Errors) -> Errors {
    let mut found = Errors::new();
    found.nest(position.to_string(), errors);
    under_fields(found)
}

fn under_fields(found: Errors) -> Errors {
    let mut errors = Errors::new();
    errors.nest("fields", found);
    errors
}
