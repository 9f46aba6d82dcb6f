//! The `_collections` table: reading all of it, and writing single rows.
//!
//! It stores what it is given. Whether a collection may be saved is decided by `validate`, and what that means for the
//! records' table by `sync`.

use std::sync::Arc;

use rusqlite::{Connection, Row, params};

use super::encoding::{COLUMNS, StoredCollection};
use super::{Collection, Schema};

/// Reads all collections, as the connection's transaction sees them.
pub fn load(conn: &Connection) -> rusqlite::Result<Schema> {
    let sql = format!("SELECT {} FROM _collections ORDER BY rowid", COLUMNS.join(", "));
    let mut statement = conn.prepare_cached(&sql)?;
    let collections = statement.query_map([], |row| read(row).map(Arc::new))?;
    Ok(Schema::of(collections.collect::<rusqlite::Result<_>>()?))
}

fn read(row: &Row<'_>) -> rusqlite::Result<Collection> {
    Collection::try_from(StoredCollection::read(row)?).map_err(|unreadable| {
        rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(unreadable))
    })
}

/// Adds the row of a new collection.
pub fn insert(conn: &Connection, collection: &Collection) -> rusqlite::Result<()> {
    write(
        conn,
        "INSERT INTO _collections (id, system, type, name, fields, indexes, listRule, viewRule, createRule,
                                   updateRule, deleteRule, options, created, updated)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
        collection,
    )
}

/// Replaces the row of the collection with the same id.
pub fn update(conn: &Connection, collection: &Collection) -> rusqlite::Result<()> {
    write(
        conn,
        "UPDATE _collections SET system = ?2, type = ?3, name = ?4, fields = ?5, indexes = ?6, listRule = ?7,
                viewRule = ?8, createRule = ?9, updateRule = ?10, deleteRule = ?11, options = ?12, created = ?13,
                updated = ?14
         WHERE id = ?1",
        collection,
    )
}

/// Removes a collection's row.
pub fn delete(conn: &Connection, id: &str) -> rusqlite::Result<()> {
    conn.prepare_cached("DELETE FROM _collections WHERE id = ?1")?.execute([id])?;
    Ok(())
}

fn write(conn: &Connection, sql: &str, collection: &Collection) -> rusqlite::Result<()> {
    let row = StoredCollection::from(collection);
    conn.prepare_cached(sql)?.execute(params![
        row.id,
        row.system,
        row.type_name,
        row.name,
        row.fields,
        row.indexes,
        row.list_rule,
        row.view_rule,
        row.create_rule,
        row.update_rule,
        row.delete_rule,
        row.options,
        row.created,
        row.updated,
    ])?;
    Ok(())
}
