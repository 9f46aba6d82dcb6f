//! Whether a collection may be saved as it is wanted: everything that can be said about it before the database is
//! changed, in one answer.
//!
//! What concerns one field alone is checked by its type, what concerns the options of auth collections by themselves;
//! here stands what needs the whole collection, the other collections, or the collection as it was.

mod fields;
mod indexes;

use std::sync::Arc;

use rusqlite::Connection;

use super::{Collection, CollectionKind, Rule, Schema, sync};
use crate::checks;
use crate::errors::{Errors, Invalid};
use crate::query;

pub use fields::field;

/// A wanted collection in its surroundings.
pub struct Candidate<'a> {
    pub conn: &'a Connection,
    /// All collections, with the wanted one in its place.
    pub schema: &'a Schema,
    /// The collection as it is stored; none for a new one.
    pub present: Option<&'a Collection>,
    pub wanted: &'a Arc<Collection>,
    /// The wanted collection has been written already and is to be taken back if it is refused.
    pub is_saved: bool,
    /// The `type` that was asked for, which may be none that exists.
    pub type_name: &'a str,
    /// Why the query of a wanted view cannot be one.
    pub view_problem: Option<&'a str>,
}

/// Checks everything.
pub fn collection(candidate: &Candidate<'_>) -> rusqlite::Result<Errors> {
    let Candidate { conn, schema, present, wanted, .. } = *candidate;
    let mut errors = Errors::new();
    identity(candidate, &mut errors);
    if !errors.contains("name") {
        name_is_free(candidate, &mut errors)?;
    }
    fields::all(schema, present, wanted, &mut errors);
    errors.merge(rules(schema, present, wanted));
    indexes::all(conn, present, wanted, &mut errors)?;
    match &wanted.kind {
        CollectionKind::Auth(options) => options.check(wanted, &mut errors),
        CollectionKind::View { query } if query.is_empty() => errors.add("viewQuery", Invalid::required()),
        CollectionKind::View { .. } => {
            if let Some(problem) = candidate.view_problem {
                let message = format!("Invalid query - {}", problem.chars().take(500).collect::<String>());
                errors.add("viewQuery", Invalid::new("validation_invalid_view_query", message));
            }
        }
        CollectionKind::Base => {}
    }
    Ok(errors)
}

/// Id, type, name and system flag.
fn identity(candidate: &Candidate<'_>, errors: &mut Errors) {
    let Candidate { present, wanted, type_name, is_saved, .. } = *candidate;
    errors.check("id", checks::required(&wanted.id));
    if present.is_some_and(|present| present.id != wanted.id) {
        errors.add("id", Invalid::new("validation_values_mismatch", "Values don't match."));
    }
    // What was saved before it is checked may be new; its files will lie in a folder of this name.
    if present.is_none() || is_saved {
        errors.check("id", checks::length(&wanted.id, 1, 100));
        errors.check("id", checks::word(&wanted.id));
    }
    if !["base", "auth", "view"].contains(&type_name) {
        errors.add("type", Invalid::new("validation_in_invalid", "Must be a valid value."));
    }
    errors.check("name", checks::required(&wanted.name));
    errors.check("name", checks::length(&wanted.name, 1, 255));
    errors.check("name", without_via(&wanted.name));
    errors.check("name", checks::word(&wanted.name));
    let Some(present) = present else { return };
    if present.type_name() != type_name {
        errors.add("type", Invalid::new("validation_collection_type_change", "Collection type cannot be changed."));
    }
    if present.system != wanted.system {
        let message = "System collection state cannot be changed.";
        errors.add("system", Invalid::new("validation_collection_system_flag_change", message));
    }
    if present.system && present.name != wanted.name {
        let message = "System collection name cannot be changed.";
        errors.add("name", Invalid::new("validation_collection_system_name_change", message));
    }
}

/// Back relations are written `collection_via_field`, so neither name may contain the middle of it.
fn without_via(name: &str) -> Result<(), Invalid> {
    if name.to_lowercase().contains("_via_") {
        return Err(Invalid::new("validation_found_via", "The value cannot contain \"_via_\"."));
    }
    Ok(())
}

fn name_is_free(candidate: &Candidate<'_>, errors: &mut Errors) -> rusqlite::Result<()> {
    let Candidate { conn, schema, present, wanted, .. } = *candidate;
    let own_id = present.map_or(&wanted.id, |present| &present.id);
    let others = || schema.collections().iter().filter(|other| other.id != *own_id && other.id != wanted.id);
    let name = wanted.name.to_lowercase();
    let own_name = present.is_some_and(|present| present.name.to_lowercase() == name);
    if others().any(|other| other.name.to_lowercase() == name) {
        let message = "Collection name must be unique (case insensitive).";
        errors.add("name", Invalid::new("validation_collection_name_exists", message));
    } else if others().any(|other| other.id == wanted.name) || present.is_some_and(|own| own.id == wanted.name) {
        let message = "The name must not match an existing collection id.";
        errors.add("name", Invalid::new("validation_collection_name_id_duplicate", message));
    } else if !own_name && !candidate.is_saved && sync::exists(conn, &wanted.name)? {
        let message = "The name shouldn't match with an existing internal table.";
        errors.add("name", Invalid::new("validation_collection_name_invalid", message));
    }
    Ok(())
}

/// The access rules, and those among the options of auth collections.
pub fn rules(schema: &Schema, present: Option<&Collection>, wanted: &Arc<Collection>) -> Errors {
    let mut errors = Errors::new();
    let now = &wanted.rules;
    let before = present.map(|present| &present.rules);
    let system = present.is_some_and(|present| present.system);
    let mut check = |key: &str, rule: &Rule, before: Option<&Rule>, sealed: bool| {
        if sealed && *rule != Rule::Sealed {
            errors.add(key, Invalid::new("validation_nil", "must be blank"));
        }
        errors.check(key, rule_is_valid(schema, wanted, rule));
        if system && before.is_some_and(|before| before != rule) {
            let message = "System collection API rule cannot be changed.";
            errors.add(key, Invalid::new("validation_collection_system_rule_change", message));
        }
    };
    check("listRule", &now.list, before.map(|rules| &rules.list), false);
    check("viewRule", &now.view, before.map(|rules| &rules.view), false);
    check("createRule", &now.create, before.map(|rules| &rules.create), wanted.is_view());
    check("updateRule", &now.update, before.map(|rules| &rules.update), wanted.is_view());
    check("deleteRule", &now.delete, before.map(|rules| &rules.delete), wanted.is_view());
    if let Some(options) = wanted.auth() {
        let before = present.and_then(Collection::auth);
        check("authRule", &options.auth_rule, before.map(|options| &options.auth_rule), false);
        check("manageRule", &options.manage_rule, before.map(|options| &options.manage_rule), false);
        if options.mfa.enabled && !options.mfa.rule.is_empty() {
            let rule = Rule::from(Some(options.mfa.rule.clone()));
            if let Err(invalid) = rule_is_valid(schema, wanted, &rule) {
                errors.nest("mfa", Errors::one("rule", invalid));
            }
        }
    }
    errors
}

fn rule_is_valid(schema: &Schema, wanted: &Arc<Collection>, rule: &Rule) -> Result<(), Invalid> {
    let Rule::When(text) = rule else { return Ok(()) };
    query::check_rule(schema, wanted, text)
        .map_err(|error| Invalid::new("validation_invalid_rule", format!("Invalid rule. Raw error: {error}")))
}
