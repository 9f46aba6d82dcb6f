//! Deletes a record, and with it what referred to it (records.md §9).
//!
//! Every reference is taken out of its record. A record that has nothing left in a cascading field is deleted too, with
//! all that refers to it; one that has nothing left in a required field makes the whole deletion fail. Chains of
//! references may be of any length, so they are followed with a stack of our own.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use headwater_actors::Action;
use rusqlite::params;
use serde_json::Value as Json;

use super::work::Work;
use super::{Record, RecordError, autodates, save};
use crate::errors::Errors;
use crate::schema::row_sql::quoted;
use crate::schema::{Collection, FieldKind, Schema};

/// What belongs to an auth record and goes with it; rows name it by `collectionRef` and `recordRef`.
const SIDE_COLLECTIONS: [&str; 4] = ["_authOrigins", "_externalAuths", "_mfas", "_otps"];

/// Referring records are looked up in pages of so many.
const PAGE: usize = 1000;

/// Deletes the record, which must be as it is stored now.
pub(crate) fn remove(work: &mut Work<'_, '_>, record: Record) -> Result<(), RecordError> {
    let mut memo = HashMap::new();
    let mut open = vec![delete_row(work, record, &mut memo)?];
    while let Some(deleted) = open.last_mut() {
        let Some((reference, id)) = deleted.next_referrer(work)? else {
            open.pop();
            continue;
        };
        // Read when its turn comes: what was deleted before may have changed it, or taken it along.
        let Some(referrer) = save::load(work.conn(), &reference.collection, &id)? else { continue };
        if let Some(orphan) = release(work, &reference, referrer, &deleted.id)? {
            let next = delete_row(work, orphan, &mut memo)?;
            open.push(next);
        }
    }
    Ok(())
}

/// Deletes what a side collection keeps for an auth record. True if there was anything.
pub(crate) fn remove_side_rows(work: &mut Work<'_, '_>, side: &str, owner: &Record) -> Result<bool, RecordError> {
    let Some(collection) = work.schema.find(side).cloned() else { return Ok(false) };
    let table = quoted(&collection.name);
    let sql = format!("SELECT \"id\" FROM {table} WHERE \"collectionRef\"=?1 AND \"recordRef\"=?2");
    let ids = {
        let mut statement = work.conn().prepare_cached(&sql)?;
        let ids = statement.query_map([owner.collection.id.as_str(), owner.id()], |row| row.get::<_, String>(0))?;
        ids.collect::<rusqlite::Result<Vec<_>>>()?
    };
    for id in &ids {
        if let Some(row) = save::load(work.conn(), &collection, id)? {
            remove(work, row)?;
        }
    }
    Ok(!ids.is_empty())
}

/// True if the deletion of such a record is a single statement: nothing can refer to it.
pub(crate) fn is_unreferenced(schema: &Schema, collection: &Collection) -> bool {
    !collection.is_auth() && references(schema, collection).is_empty()
}

/// True if such a deletion may go on to any number of other records: relations lead to it, or to what goes with it.
pub(crate) fn may_spread(schema: &Schema, collection: &Collection) -> bool {
    references(schema, collection).iter().any(|reference| match reference.how {
        How::Field(_) => true,
        // A handful, found by an index.
        How::Owner => may_spread(schema, &reference.collection),
    })
}

/// A way in which records may refer to those of a collection.
#[derive(Clone)]
struct Reference {
    collection: Arc<Collection>,
    how: How,
}

#[derive(Clone, Copy)]
enum How {
    /// By the relation field at this position.
    Field(usize),
    /// As the owner of a row in a side collection.
    Owner,
}

type Memo = HashMap<String, Rc<[Reference]>>;

/// All ways to refer to records of a collection: its side collections, then relation fields by name of their collection.
fn references(schema: &Schema, target: &Collection) -> Vec<Reference> {
    let mut found = Vec::new();
    if target.is_auth() {
        let sides = SIDE_COLLECTIONS.iter().filter_map(|name| schema.find(name));
        found.extend(sides.map(|collection| Reference { collection: collection.clone(), how: How::Owner }));
    }
    let mut others: Vec<_> = schema.collections().iter().filter(|other| !other.is_view()).collect();
    others.sort_by(|a, b| a.name.cmp(&b.name));
    for collection in others {
        for (position, field) in collection.fields.iter().enumerate() {
            if matches!(&field.kind, FieldKind::Relation(options) if options.collection_id == target.id) {
                found.push(Reference { collection: collection.clone(), how: How::Field(position) });
            }
        }
    }
    found
}

/// A record whose row is gone, and whose referrers are being released.
struct Deleted {
    id: String,
    collection_id: String,
    references: Rc<[Reference]>,
    /// The reference whose referrers are next.
    at: usize,
    page: VecDeque<String>,
    /// Where the next page begins: after this id.
    last: String,
    is_last_page: bool,
}

impl Deleted {
    fn next_referrer(&mut self, work: &Work<'_, '_>) -> Result<Option<(Reference, String)>, RecordError> {
        while let Some(reference) = self.references.get(self.at) {
            if let Some(id) = self.page.pop_front() {
                return Ok(Some((reference.clone(), id)));
            }
            if self.is_last_page {
                (self.at, self.last, self.is_last_page) = (self.at + 1, String::new(), false);
                continue;
            }
            self.page = self.read_page(work, reference)?;
            self.is_last_page = self.page.len() < PAGE;
            if let Some(id) = self.page.back() {
                self.last = id.clone();
            }
        }
        Ok(None)
    }

    fn read_page(&self, work: &Work<'_, '_>, reference: &Reference) -> rusqlite::Result<VecDeque<String>> {
        let table = quoted(&reference.collection.name);
        let condition = match reference.how {
            How::Owner => "\"collectionRef\"=?3 AND \"recordRef\"=?1".to_owned(),
            How::Field(position) => {
                let field = &reference.collection.fields[position];
                // With its table: the rows of json_each have columns of their own, such as `parent`.
                let column = format!("{table}.{}", quoted(&field.name));
                if field.is_multiple() {
                    // The text is searched first: most rows are passed over without being parsed.
                    format!(
                        "?3=?3 AND instr({column},?1) AND EXISTS (SELECT 1 FROM json_each(CASE WHEN json_valid({column}) \
                         THEN {column} ELSE json_array({column}) END) WHERE value=?1)"
                    )
                } else {
                    format!("?3=?3 AND {column}=?1")
                }
            }
        };
        let sql = format!("SELECT \"id\" FROM {table} WHERE {condition} AND \"id\">?2 ORDER BY \"id\" LIMIT {PAGE}");
        let mut statement = work.conn().prepare_cached(&sql)?;
        let ids = statement.query_map(params![self.id, self.last, self.collection_id], |row| row.get(0))?;
        ids.collect()
    }
}

/// Deletes one row and records it.
fn delete_row(work: &mut Work<'_, '_>, mut record: Record, memo: &mut Memo) -> Result<Deleted, RecordError> {
    if record.collection.is_superusers() {
        let sql = "SELECT count(*) FROM \"_superusers\"";
        let total: i64 = work.conn().prepare_cached(sql)?.query_row([], |row| row.get(0))?;
        if total <= 1 {
            return Err(RecordError::Refused("You can't delete the only existing superuser."));
        }
    }
    let collection = record.collection.clone();
    let references = match memo.get(&collection.id) {
        Some(known) => known.clone(),
        None => {
            let found: Rc<[Reference]> = references(work.schema, &collection).into();
            memo.insert(collection.id.clone(), found.clone());
            found
        }
    };
    let stored = record.clone();
    let app = work.app;
    let hooks = &app.record_hooks.delete;
    work.around(&hooks.write, Action::Delete, &mut record, Some(&stored), &mut |work, record| {
        work.around(&hooks.execute, Action::Delete, record, Some(&stored), &mut |work, record| {
            Ok(save::delete(work.conn(), record)?)
        })
    })?;
    let id = stored.id().to_owned();
    work.changed(Action::Delete, Some(stored), None);
    Ok(Deleted {
        id,
        collection_id: collection.id.clone(),
        references,
        at: 0,
        page: VecDeque::new(),
        last: String::new(),
        is_last_page: false,
    })
}

/// Takes the deleted id out of a record that refers to it. Returns the record if it has to be deleted too.
fn release(
    work: &mut Work<'_, '_>,
    reference: &Reference,
    referrer: Record,
    deleted: &str,
) -> Result<Option<Record>, RecordError> {
    let How::Field(position) = reference.how else { return Ok(Some(referrer)) };
    let field = &reference.collection.fields[position];
    let FieldKind::Relation(options) = &field.kind else { return Ok(None) };
    let ids = referrer.list(&field.name);
    let left: Vec<Json> = ids.iter().filter(|id| *id != deleted).map(|id| Json::String(id.clone())).collect();
    if left.len() == ids.len() {
        return Ok(None);
    }
    if left.is_empty() && options.cascade_delete {
        return Ok(Some(referrer));
    }
    if left.is_empty() && field.required {
        log::debug!("delete: {} of {} requires it", referrer.id(), reference.collection.name);
        return Err(RecordError::Failed(Action::Delete, Errors::new()));
    }
    let mut after = referrer.clone();
    after.values[position] = field.of().cast(&Json::Array(left));
    autodates::touch(&mut after, Action::Update);
    let app = work.app;
    work.around(&app.record_hooks.update.execute, Action::Update, &mut after, Some(&referrer), &mut |work, after| {
        Ok(save::update(work.conn(), &referrer, after)?)
    })?;
    work.changed(Action::Update, Some(referrer), Some(&after));
    Ok(None)
}
