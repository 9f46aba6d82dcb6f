//! Decides what a viewer may see of records beyond their public fields (records.md §2).
//!
//! Called once for every set of records that is about to be shown to somebody, before [`super::output`].

use std::collections::HashSet;

use rusqlite::Connection;

use super::{Record, Shows};
use crate::query::{Base, Select};
use crate::request::RequestInfo;
use crate::schema::{Collection, Rule, Schema};

/// Sets [`Record::shows`] of records of one collection, for the caller of the request.
///
/// Superusers see hidden fields and all addresses. Of auth records everybody sees the own address, and a manager those
/// that he manages.
pub fn decide(
    conn: &Connection,
    schema: &Schema,
    records: &mut [Record],
    request: &RequestInfo,
) -> rusqlite::Result<()> {
    if decide_without_database(records, request) {
        return Ok(());
    }
    let Some(first) = records.first() else { return Ok(()) };
    let collection = first.collection.clone();
    let Some(rule) = manage_rule(&collection) else { return Ok(()) };
    let ids: Vec<String> = records.iter().filter(|r| !r.shows.email).map(|r| r.id().to_owned()).collect();

    let mut select = Select::new(schema, &collection, request, Base::Stored);
    if let Err(error) = select.rule(rule) {
        // A rule that no longer resolves manages nobody.
        log::debug!("manage rule of {}: {error}", collection.name);
        return Ok(());
    }
    let managed = select.only_any(&ids).rows(None).records(conn, &collection)?;
    let managed: HashSet<&str> = managed.iter().map(Record::id).collect();
    for record in records {
        if managed.contains(record.id()) {
            record.shows.email = true;
        }
    }
    Ok(())
}

/// As [`decide`] where no rule has to be asked; false if one has to.
pub fn decide_without_database(records: &mut [Record], request: &RequestInfo) -> bool {
    let Some(first) = records.first() else { return true };
    if request.caller.is_superuser() {
        records.iter_mut().for_each(|record| record.shows = Shows { hidden: true, email: true });
        return true;
    }
    if !first.collection.is_auth() {
        return true;
    }
    let collection = first.collection.clone();
    let mut decided = true;
    for record in records {
        record.shows = Shows { hidden: false, email: request.caller.is(record) };
        decided &= record.shows.email || record.flag("emailVisibility");
    }
    decided || manage_rule(&collection).is_none()
}

/// The expression that says who manages the records of an auth collection; none manages where there is none.
pub(crate) fn manage_rule(collection: &Collection) -> Option<&str> {
    match &collection.auth()?.manage_rule {
        Rule::When(text) => Some(text),
        Rule::Sealed | Rule::Open => None,
    }
}
