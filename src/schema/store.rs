//! The `_collections` table: reading all of it, and writing single rows.
//!
//! It stores what it is given. Whether a collection may be saved is decided by `validate`, and what that means for the
//! records' table by `sync`.

use std::sync::Arc;

use rusqlite::{Connection, Row, params};

use super::encoding::StoredCollection;
use super::{Collection, Schema};

/// Reads all collections, as the connection's transaction sees them.
pub fn load(conn: &Connection) -> rusqlite::Result<Schema> {
    let mut statement = conn.prepare_cached(
        "SELECT id, system, type, name, fields, indexes, listRule, viewRule, createRule, updateRule, deleteRule,
                options, created, updated
         FROM _collections ORDER BY rowid",
    )?;
    let collections = statement.query_map([], |row| read(row).map(Arc::new))?.collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(Schema::of(collections))
}

fn read(row: &Row<'_>) -> rusqlite::Result<Collection> {
    let stored = StoredCollection {
        id: row.get(0)?,
        system: row.get(1)?,
        kind: row.get(2)?,
        name: row.get(3)?,
        fields: text(row, 4)?,
        indexes: text(row, 5)?,
        list_rule: row.get(6)?,
        view_rule: row.get(7)?,
        create_rule: row.get(8)?,
        update_rule: row.get(9)?,
        delete_rule: row.get(10)?,
        options: text(row, 11)?,
        created: row.get(12)?,
        updated: row.get(13)?,
    };
    let name = stored.name.clone();
    Collection::try_from(stored).map_err(|error| {
        let error = format!("the collection {name} cannot be read: {error}");
        rusqlite::Error::FromSqlConversionFailure(4, rusqlite::types::Type::Text, error.into())
    })
}

/// JSON columns hold texts, or blobs where another program bound bytes.
fn text(row: &Row<'_>, index: usize) -> rusqlite::Result<String> {
    use rusqlite::types::ValueRef;
    Ok(match row.get_ref(index)? {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        ValueRef::Null => String::new(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
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
        row.kind,
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
