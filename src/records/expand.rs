//! Expands relations: puts the related records under `expand` (records.md §11).
//!
//! A path like `author.team` is followed level by level, one query for all records of a level. A related record appears
//! only to whom its collection's view rule lets see it. A path that leads nowhere is left out without an error.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use headwater_actors::Value;
use rusqlite::Connection;

use super::{Expanded, Record, shows};
use crate::query::{Base, Select};
use crate::request::{Context, RequestInfo};
use crate::schema::indexes::Index;
use crate::schema::row_sql::quoted;
use crate::schema::{Collection, FieldKind, Rule, Schema};

/// How deep paths are followed; what lies deeper is cut silently.
const LEVELS: usize = 6;

/// How many records a back relation shows for each record.
const BACK_RELATIONS: usize = 1000;

/// How many records all paths of a request show together. A path there and back again multiplies with each level; what
/// would go beyond this is left out.
const ROOM: usize = 100_000;

/// Expands the relations that `paths` names, for all records of one collection.
///
/// Errors are those of the database alone; [`Record::expand`] stays `None` where nothing was processed.
pub fn expand(
    conn: &Connection,
    schema: &Schema,
    records: &mut [Record],
    paths: &str,
    request: &RequestInfo,
) -> rusqlite::Result<()> {
    let paths = Paths::parse(paths);
    if paths.0.is_empty() || records.is_empty() {
        return Ok(());
    }
    let mut request = request.clone();
    request.context = Context::Expand;
    Expansion { conn, schema, request: &request, room: Cell::new(ROOM) }.all(records, &paths, 1)?;
    Ok(())
}

/// Paths by their first name; what follows it is expanded in the records found behind it.
#[derive(Debug, Default, PartialEq)]
struct Paths(BTreeMap<String, Paths>);

impl Paths {
    /// Reads a comma list. A path that is the beginning of another is part of it.
    fn parse(text: &str) -> Paths {
        let mut paths = Paths::default();
        for path in text.split(',') {
            let path: String = path.chars().filter(|c| *c != ' ').collect();
            let path = path.trim_matches('.');
            if !path.is_empty() {
                let names = path.split('.').take(LEVELS);
                names.fold(&mut paths, |level, name| level.0.entry(name.to_owned()).or_default());
            }
        }
        paths
    }
}

/// What stands behind a name in a path.
struct Relation<'a> {
    collection: &'a Arc<Collection>,
    /// False: a single record is shown instead of a list.
    is_multiple: bool,
    source: Source<'a>,
}

enum Source<'a> {
    /// A relation field of the records themselves.
    Field(&'a str),
    /// A relation field of the other collection that points here.
    Back { field: &'a str, is_multiple: bool },
}

struct Expansion<'a> {
    conn: &'a Connection,
    schema: &'a Schema,
    request: &'a RequestInfo,
    /// How many more records may be shown.
    room: Cell<usize>,
}

impl Expansion<'_> {
    /// Expands all paths; false if there are some and every one of them led nowhere.
    fn all(&self, records: &mut [Record], paths: &Paths, level: usize) -> rusqlite::Result<bool> {
        if paths.0.is_empty() || records.is_empty() || level > LEVELS {
            return Ok(true);
        }
        let mut any = false;
        for (name, inner) in &paths.0 {
            any |= self.one(records, name, inner, level)?;
        }
        Ok(any)
    }

    fn one(&self, records: &mut [Record], name: &str, inner: &Paths, level: usize) -> rusqlite::Result<bool> {
        let collection = records[0].collection.clone();
        let Some(relation) = find_relation(self.schema, &collection, name) else { return Ok(false) };

        let mut ids = Vec::with_capacity(records.len());
        for record in records.iter() {
            ids.push(self.related_ids(record, &relation)?);
        }
        let mut seen = HashSet::new();
        let distinct = ids.iter().flatten().filter(|id| seen.insert(id.as_str())).cloned().collect::<Vec<_>>();

        let Some(mut found) = self.fetch(relation.collection, &distinct)? else { return Ok(false) };
        if !self.all(&mut found, inner, level + 1)? {
            return Ok(false);
        }
        let found: HashMap<String, Record> = found.into_iter().map(|record| (record.id().to_owned(), record)).collect();

        let weights: HashMap<&str, usize> = found.iter().map(|(id, record)| (id.as_str(), weight(record))).collect();
        let shown: usize = ids.iter().flatten().filter_map(|id| weights.get(id.as_str())).sum();
        let Some(room) = self.room.get().checked_sub(shown) else {
            log::debug!("expand: {name} of {} would show {shown} records more", collection.name);
            return Ok(true);
        };
        self.room.set(room);

        for (record, ids) in records.iter_mut().zip(ids) {
            let expand = record.expand.get_or_insert_default();
            let mut related = ids.iter().filter_map(|id| found.get(id)).cloned();
            let expanded = if relation.is_multiple {
                let related: Vec<Record> = related.collect();
                (!related.is_empty()).then_some(Expanded::Many(related))
            } else {
                related.next().map(|record| Expanded::One(Box::new(record)))
            };
            if let Some(expanded) = expanded {
                expand.insert(name.to_owned(), expanded);
            }
        }
        Ok(true)
    }

    fn related_ids(&self, record: &Record, relation: &Relation<'_>) -> rusqlite::Result<Vec<String>> {
        let (field, is_multiple) = match relation.source {
            Source::Field(field) => return Ok(record.list(field)),
            Source::Back { field, is_multiple } => (field, is_multiple),
        };
        let table = quoted(&relation.collection.name);
        // With its table: the rows of json_each have columns of their own, such as `parent`.
        let column = format!("{table}.{}", quoted(field));
        let condition = if is_multiple {
            format!(
                "instr({column},?1) AND EXISTS (SELECT 1 FROM json_each(CASE WHEN json_valid({column}) THEN {column} \
                 ELSE json_array({column}) END) WHERE value=?1)"
            )
        } else {
            format!("{column}=?1")
        };
        let sql = format!("SELECT \"id\" FROM {table} WHERE {condition} LIMIT {BACK_RELATIONS}");
        let mut statement = self.conn.prepare_cached(&sql)?;
        let ids = statement.query_map([record.id()], |row| row.get::<_, Value>(0))?;
        ids.map(|id| id.map(|id| if let Value::Text(id) = id { id } else { String::new() })).collect()
    }

    /// The records that the caller may view; none if he may view none at all.
    fn fetch(&self, collection: &Arc<Collection>, ids: &[String]) -> rusqlite::Result<Option<Vec<Record>>> {
        let mut select = Select::new(self.schema, collection, self.request, Base::Stored);
        if !self.request.caller.is_superuser() {
            match &collection.rules.view {
                Rule::Sealed => return Ok(None),
                Rule::Open => {}
                Rule::When(rule) => {
                    if let Err(error) = select.rule(rule) {
                        log::debug!("expand: view rule of {}: {error}", collection.name);
                        return Ok(None);
                    }
                }
            }
        }
        if ids.is_empty() {
            return Ok(Some(Vec::new()));
        }
        let mut records = select.only_any(ids).rows(None).records(self.conn, collection)?;
        shows::decide(self.conn, self.schema, &mut records, self.request)?;
        Ok(Some(records))
    }
}

/// How many records stand in a record, itself included.
fn weight(record: &Record) -> usize {
    let expanded = record.expand.iter().flat_map(BTreeMap::values);
    let inner = expanded.map(|expanded| match expanded {
        Expanded::One(record) => weight(record),
        Expanded::Many(records) => records.iter().map(weight).sum(),
    });
    1 + inner.sum::<usize>()
}

fn find_relation<'a>(schema: &'a Schema, from: &'a Collection, name: &'a str) -> Option<Relation<'a>> {
    if let Some((_, field)) = from.field(name) {
        let FieldKind::Relation(options) = &field.kind else { return None };
        let collection = schema.by_id(&options.collection_id)?;
        return Some(Relation { collection, is_multiple: field.is_multiple(), source: Source::Field(&field.name) });
    }
    // `COLL_via_FIELD`, and `COLL(FIELD)` as older clients write it.
    let (other, field) = match name.strip_suffix(')') {
        Some(older) => older.split_once('(')?,
        None => name.rsplit_once("_via_")?,
    };
    let collection = schema.find(other)?;
    let (_, field) = collection.field(field)?;
    let FieldKind::Relation(options) = &field.kind else { return None };
    if options.collection_id != from.id {
        return None;
    }
    let is_unique =
        collection.indexes.iter().filter_map(|text| Index::parse(text)).any(|index| index.is_unique_on(&field.name));
    let source = Source::Back { field: &field.name, is_multiple: field.is_multiple() };
    Some(Relation { collection, is_multiple: !is_unique, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_share_their_beginnings() {
        let names = |paths: &Paths| paths.0.keys().cloned().collect::<Vec<_>>();
        let paths = Paths::parse(" a , a.b, .c . d. ,,a.e,.");
        assert_eq!(names(&paths), ["a", "c"]);
        assert_eq!(names(&paths.0["a"]), ["b", "e"]);
        assert_eq!(names(&paths.0["c"]), ["d"]);
        drop(Paths::parse(&"a.".repeat(1_000_000)));
    }
}
