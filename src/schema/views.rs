//! View collections in the database: checking a query, deriving fields from it, and keeping the SQL views in step.

use std::collections::HashSet;
use std::sync::Arc;

use rusqlite::Connection;

use super::indexes::quoted;
use super::sync::{drop_view, sqlite_text};
use super::view_query::{self, ViewQuery};
use super::{Collection, CollectionKind, Field, Schema, draft, store, validate, view_rename};
use crate::dates;
use crate::patterns;
use crate::records::Record;
use headwater_actors::Value;

/// What a query turned out to be.
pub struct Shape {
    /// A view needs an `id` among them, see [`Shape::check`].
    pub fields: Vec<Field>,
    /// The query as it is stored in the SQL view: ids are texts in it.
    pub sql: String,
}

/// Why a query cannot be a view; for its author.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ViewError(pub String);

impl From<rusqlite::Error> for ViewError {
    fn from(error: rusqlite::Error) -> ViewError {
        ViewError(sqlite_text(&error))
    }
}

/// Finds the columns of a query and their fields. The query is prepared, not run.
pub fn shape(conn: &Connection, schema: &Schema, query: &str) -> Result<Shape, ViewError> {
    let query = view_query::single_statement(query).map_err(ViewError)?;
    let mut known = ViewQuery::parse(query).and_then(|parsed| parsed.fields(schema)).map_err(ViewError)?;
    let columns = columns(conn, query)?;
    let other_id = columns.iter().any(|(name, kind)| name == "id" && !kind.eq_ignore_ascii_case("text"));
    let sql = if other_id { with_text_id(query, &columns) } else { query.to_owned() };
    let mut fields = Vec::with_capacity(columns.len());
    for (name, _) in &columns {
        let field = known.remove(name).map_or_else(|| view_query::any(name), |known| known.field);
        draft::put(&mut fields, field);
    }
    Ok(Shape { fields, sql })
}

impl Shape {
    /// Whether a view may have these columns.
    pub fn check(&self) -> Result<(), ViewError> {
        if self.fields.iter().any(|field| field.name == "id") {
            return Ok(());
        }
        let message = "missing required id column (you can use `(ROW_NUMBER() OVER()) as id` if you don't have one)";
        Err(ViewError(message.into()))
    }
}

/// The names and declared types of a query's columns. A temporary view tells them also where they come from other
/// views or expressions; it works on read-only connections too.
fn columns(conn: &Connection, query: &str) -> Result<Vec<(String, String)>, ViewError> {
    let name = format!("_hw_{}", patterns::random_text(10, "abcdefghijklmnopqrstuvwxyz"));
    conn.execute(&format!("CREATE TEMP VIEW {name} AS SELECT * FROM ({query})"), [])?;
    let columns = read_columns(conn, &name);
    conn.execute_batch(&format!("DROP VIEW temp.{name}"))?;
    Ok(columns?)
}

fn read_columns(conn: &Connection, view: &str) -> rusqlite::Result<Vec<(String, String)>> {
    let mut statement = conn.prepare(&format!("PRAGMA temp.table_info({view})"))?;
    let columns = statement.query_map([], |row| Ok((row.get("name")?, row.get("type")?)))?;
    columns.collect()
}

fn with_text_id(query: &str, columns: &[(String, String)]) -> String {
    let column = |(name, _): &(String, String)| match name.as_str() {
        "id" => "CAST(`id` as TEXT) `id`".to_owned(),
        _ => quoted(name),
    };
    format!("SELECT {} FROM ({query})", columns.iter().map(column).collect::<Vec<_>>().join(","))
}

/// The first rows that a view would have. Their ids must be there and be different.
pub fn sample(
    conn: &Connection,
    collection: &Arc<Collection>,
    sql: &str,
    limit: u32,
) -> Result<Vec<Record>, ViewError> {
    let names: Vec<String> = collection.fields.iter().map(|field| quoted(&field.name)).collect();
    let mut statement =
        conn.prepare(&format!("SELECT {} FROM (SELECT * FROM ({sql})) LIMIT {limit}", names.join(",")))?;
    let records = statement.query_map([], |row| {
        let values = (0..names.len()).map(|index| row.get::<_, Value>(index)).collect::<rusqlite::Result<_>>()?;
        Ok(Record::from_values(Arc::clone(collection), values))
    })?;
    let records: Vec<Record> = records.collect::<rusqlite::Result<_>>()?;
    let mut ids = HashSet::new();
    for record in &records {
        if record.id().is_empty() {
            return Err(ViewError("the query could return records with empty or invalid ids".into()));
        }
        if !ids.insert(record.id()) {
            return Err(ViewError("the query could return records with non-unique ids".into()));
        }
    }
    Ok(records)
}

/// Checks a query in full, as if a view of it were saved: its fields, and its first ten rows, which it returns.
pub fn dry_run(conn: &Connection, schema: &Schema, query: &str) -> Result<(Arc<Collection>, Vec<Record>), ViewError> {
    let shape = shape(conn, schema, query)?;
    shape.check()?;
    let name = format!("temp_view_{}", patterns::random_text(5, patterns::ALPHANUMERIC));
    let kind = CollectionKind::View { query: query.to_owned() };
    let collection = Collection::new(draft::derived_id("view", &name), &name, kind).with_fields(shape.fields);
    for (position, field) in collection.fields.iter().enumerate() {
        let errors = validate::field(schema, &collection, None, field);
        if !errors.is_empty() {
            return Err(ViewError(format!("invalid field {:?} ({position}): {errors}", field.name)));
        }
    }
    let collection = Arc::new(collection);
    let records = sample(conn, &collection, &shape.sql, 10)?;
    Ok((collection, records))
}

/// Creates the SQL view of a collection, in the place of the one there was.
pub fn create(conn: &Connection, name: &str, sql: &str) -> rusqlite::Result<()> {
    drop_view(conn, name)?;
    conn.execute(&format!("CREATE VIEW {} AS SELECT * FROM ({sql})", quoted(name)), [])?;
    // SQLite does not look at what a view reads before somebody reads the view.
    conn.prepare(&format!("SELECT * FROM {}", quoted(name))).map(drop)
}

/// The ids of the view collections whose query no longer runs.
pub fn broken(conn: &Connection, schema: &Schema) -> HashSet<String> {
    let views = schema.collections().iter().filter_map(|collection| match &collection.kind {
        CollectionKind::View { query } => Some((collection, query.trim().trim_matches(';'))),
        _ => None,
    });
    views
        .filter(|(_, query)| conn.prepare(&format!("SELECT * FROM ({query})")).is_err())
        .map(|(collection, _)| collection.id.clone())
        .collect()
}

/// Gives a view's query the new name of a table that it reads, if there is no doubt what in it is that table.
pub fn follow(
    conn: &Connection,
    schema: Schema,
    view: &Arc<Collection>,
    old: &str,
    new: &str,
) -> rusqlite::Result<Schema> {
    let CollectionKind::View { query } = &view.kind else { return Ok(schema) };
    let Some(query) = view_rename::rename_table(query, old, new) else { return Ok(schema) };
    let names = |fields: &[Field]| fields.iter().map(|field| field.name.clone()).collect::<Vec<_>>();
    match shape(conn, &schema, &query) {
        Ok(shape) if names(&shape.fields) == names(&view.fields) => {
            let mut updated = Collection::clone(view);
            updated.kind = CollectionKind::View { query };
            updated.updated = dates::now();
            create(conn, &updated.name, &shape.sql)?;
            store::update(conn, &updated)?;
            Ok(schema.with(Arc::new(updated)))
        }
        _ => Ok(schema),
    }
}

/// Derives the fields of all views but one anew, because what they select from has changed, and saves those that came
/// out different. A view that cannot follow is left as it is: its author has to adjust it.
pub fn refresh(conn: &Connection, mut schema: Schema, except: &str) -> rusqlite::Result<Schema> {
    // A view may select from another one, hence as many rounds as there may be steps between them.
    let rounds = schema.collections().iter().filter(|collection| collection.is_view()).count();
    for _ in 0..rounds {
        let mut changed = false;
        for collection in schema.collections().to_vec() {
            let CollectionKind::View { query } = &collection.kind else { continue };
            if collection.id == except {
                continue;
            }
            let shape = match shape(conn, &schema, query) {
                Ok(shape) if shape.check().is_ok() && !same_fields(&shape.fields, &collection.fields) => shape,
                Ok(_) => continue,
                Err(error) => {
                    log::warn!("the view {} can no longer be read: {error}", collection.name);
                    continue;
                }
            };
            let mut updated = Collection::clone(&collection).with_fields(shape.fields);
            updated.updated = dates::now();
            let updated = Arc::new(updated);
            let next = schema.with(Arc::clone(&updated));
            let errors = validate::rules(&next, Some(&collection), &updated);
            if !errors.is_empty() {
                log::warn!("the view {} needs other rules: {}", collection.name, errors);
                continue;
            }
            create(conn, &updated.name, &shape.sql)?;
            store::update(conn, &updated)?;
            schema = next;
            changed = true;
        }
        if !changed {
            break;
        }
    }
    Ok(schema)
}

/// Copied fields get new ids every time; they say nothing.
fn same_fields(a: &[Field], b: &[Field]) -> bool {
    let same = |a: &Field, b: &Field| *a == Field { id: a.id.clone(), ..b.clone() };
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
}
