//! The table of a collection's records, kept in step with its fields and indexes.
//!
//! Runs inside the transaction that saves the collection; a failure leaves it to the caller to roll back. It decides
//! nothing about whether a change is allowed.

use std::fmt::Write;

use rusqlite::{Connection, ErrorCode, OptionalExtension};

use super::indexes::{Index, quoted};
use super::{Collection, Field};
use crate::errors::{Errors, Invalid};
use crate::patterns;

/// Why the table could not follow its collection.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// Indexes that cannot be created, under `indexes.<position>`.
    #[error("some indexes cannot be created")]
    Indexes(Errors),
}

impl SyncError {
    /// For callers whose collections are their own, so that an index that fails is their bug.
    pub fn into_sqlite(self) -> rusqlite::Error {
        match self {
            SyncError::Sqlite(error) => error,
            SyncError::Indexes(errors) => rusqlite::Error::UserFunctionError(errors.to_string().into()),
        }
    }
}

/// Creates the table of a new collection, columns in alphabetical order, and its indexes.
pub fn create_table(conn: &Connection, collection: &Collection) -> Result<(), SyncError> {
    let mut fields: Vec<&Field> = collection.fields.iter().collect();
    fields.sort_by(|a, b| a.name.cmp(&b.name));
    let mut sql = format!("CREATE TABLE {} (", quoted(&collection.name));
    for (position, field) in fields.iter().enumerate() {
        let between = if position > 0 { ", " } else { "" };
        let _ = write!(sql, "{between}{} {}", quoted(&field.name), field.of().column());
    }
    sql.push(')');
    conn.execute_batch(&sql)?;
    create_indexes(conn, collection)
}

/// Removes a table with everything in it.
pub fn drop_table(conn: &Connection, name: &str) -> rusqlite::Result<()> {
    conn.execute_batch(&format!("DROP TABLE IF EXISTS {}", quoted(name)))
}

/// True if a table or view of this name exists, in any case.
pub fn exists(conn: &Connection, name: &str) -> rusqlite::Result<bool> {
    let sql = "SELECT 1 FROM sqlite_master WHERE type IN ('table', 'view') AND lower(name) = lower(?1)";
    Ok(conn.query_row(sql, [name], |_| Ok(())).optional()?.is_some())
}

/// Makes the table of `old` that of `new`: renames it, drops, adds, renames and converts columns, rebuilds the indexes.
pub fn alter_table(conn: &Connection, old: &Collection, new: &Collection) -> Result<(), SyncError> {
    if !exists(conn, &old.name)? {
        return create_table(conn, new);
    }
    // Names of tables have no case in SQLite: a change of it alone leaves the table as it is.
    let renamed = !old.name.eq_ignore_ascii_case(&new.name);
    if !renamed && old.fields == new.fields && old.indexes == new.indexes {
        return Ok(());
    }
    drop_indexes(conn, old)?;
    if renamed {
        conn.execute_batch(&format!("ALTER TABLE {} RENAME TO {}", quoted(&old.name), quoted(&new.name)))?;
    }
    alter_columns(conn, old, new)?;
    convert_columns(conn, old, new)?;
    create_indexes(conn, new)
}

/// Columns belong to fields by the field's id. New names are given through temporary ones, so that two fields may
/// swap theirs and a new field may take the name of a dropped one.
fn alter_columns(conn: &Connection, old: &Collection, new: &Collection) -> Result<(), SyncError> {
    let table = quoted(&new.name);
    for field in &old.fields {
        if by_id(new, &field.id).is_none() {
            conn.execute_batch(&format!("ALTER TABLE {table} DROP COLUMN {}", quoted(&field.name)))?;
        }
    }
    let mut names = Vec::new();
    for field in &new.fields {
        let temporary = temporary_name(&field.name);
        match by_id(old, &field.id) {
            Some(before) if before.name == field.name => continue,
            Some(before) => conn.execute_batch(&format!(
                "ALTER TABLE {table} RENAME COLUMN {} TO {}",
                quoted(&before.name),
                quoted(&temporary)
            ))?,
            None => conn.execute_batch(&format!(
                "ALTER TABLE {table} ADD COLUMN {} {}",
                quoted(&temporary),
                field.of().column()
            ))?,
        }
        names.push((temporary, &field.name));
    }
    for (temporary, name) in names {
        let sql = format!("ALTER TABLE {table} RENAME COLUMN {} TO {}", quoted(&temporary), quoted(name));
        conn.execute_batch(&sql)?;
    }
    Ok(())
}

/// Columns of fields that went from one value to several, or back. The column is made anew, with the other
/// declaration.
fn convert_columns(conn: &Connection, old: &Collection, new: &Collection) -> Result<(), SyncError> {
    let changed: Vec<&Field> = new
        .fields
        .iter()
        .filter(|field| by_id(old, &field.id).is_some_and(|before| before.is_multiple() != field.is_multiple()))
        .collect();
    if changed.is_empty() {
        return Ok(());
    }
    // SQLite refuses to rename a column that a view reads under the old name.
    let views = drop_views(conn)?;
    for field in changed {
        convert_column(conn, &quoted(&new.name), field)?;
    }
    restore_views(conn, &views)?;
    Ok(())
}

fn convert_column(conn: &Connection, table: &str, field: &Field) -> rusqlite::Result<()> {
    let column = quoted(&field.name);
    let before = quoted(&temporary_name(&format!("_{}", field.name)));
    let is_list = format!("json_valid({before}) AND json_type({before}) = 'array'");
    let converted = if field.is_multiple() {
        format!(
            "CASE WHEN coalesce({before}, '') = '' THEN '[]' WHEN {is_list} THEN {before} ELSE json_array({before}) END"
        )
    } else {
        format!(
            "CASE WHEN coalesce({before}, '') IN ('', '[]') THEN ''
                  WHEN {is_list} THEN coalesce(json_extract({before}, '$[#-1]'), '') ELSE {before} END"
        )
    };
    conn.execute_batch(&format!(
        "ALTER TABLE {table} RENAME COLUMN {column} TO {before};
         ALTER TABLE {table} ADD COLUMN {column} {};
         UPDATE {table} SET {column} = {converted};
         ALTER TABLE {table} DROP COLUMN {before};",
        field.of().column()
    ))
}

/// Drops all views; the answer is what restores them, in order of their creation.
pub fn drop_views(conn: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut statement = conn.prepare("SELECT name, sql FROM sqlite_master WHERE type = 'view' AND sql IS NOT NULL")?;
    let views = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let views: Vec<(String, String)> = views.collect::<rusqlite::Result<_>>()?;
    for (name, _) in &views {
        drop_view(conn, name)?;
    }
    Ok(views.into_iter().map(|(_, sql)| sql).collect())
}

/// Creates views again that [`drop_views`] dropped. SQLite does not look at what they select from.
pub fn restore_views(conn: &Connection, views: &[String]) -> rusqlite::Result<()> {
    views.iter().try_for_each(|sql| conn.execute_batch(sql))
}

pub fn drop_view(conn: &Connection, name: &str) -> rusqlite::Result<()> {
    conn.execute_batch(&format!("DROP VIEW IF EXISTS {}", quoted(name)))
}

/// The names and texts of the indexes that a table has, but for those that SQLite made itself.
pub fn table_indexes(conn: &Connection, table: &str) -> rusqlite::Result<Vec<(String, String)>> {
    let mut statement = conn.prepare(
        "SELECT name, sql FROM sqlite_master
         WHERE type = 'index' AND sql IS NOT NULL AND lower(tbl_name) = lower(?1) ORDER BY rowid",
    )?;
    let indexes = statement.query_map([table], |row| Ok((row.get(0)?, row.get(1)?)))?;
    indexes.collect()
}

pub fn drop_index(conn: &Connection, name: &str) -> rusqlite::Result<()> {
    conn.execute_batch(&format!("DROP INDEX IF EXISTS {}", quoted(name)))
}

/// Drops the indexes that the collection lists.
pub fn drop_indexes(conn: &Connection, collection: &Collection) -> rusqlite::Result<()> {
    let listed = collection.indexes.iter().filter_map(|text| Index::parse(text));
    listed.map(|index| index.name).try_for_each(|name| drop_index(conn, &name))
}

/// Creates the indexes that the collection lists, always on its own table. All of them are tried, so that one answer
/// names all that fail.
pub fn create_indexes(conn: &Connection, collection: &Collection) -> Result<(), SyncError> {
    let mut errors = Errors::new();
    for (position, text) in collection.indexes.iter().enumerate() {
        let created = match Index::parse(text) {
            None => Err("Invalid CREATE INDEX expression.".to_owned()),
            Some(index) => {
                let index = Index { table: collection.name.clone(), ..index };
                // One statement, whatever else its condition or expressions may hold.
                conn.execute(&index.to_sql(), [])
                    .map_err(|error| format!("Failed to create index {} - {}.", index.name, sqlite_text(&error)))
            }
        };
        if let Err(message) = created {
            errors.add(position.to_string(), Invalid::new("validation_invalid_index_expression", message));
        }
    }
    if errors.is_empty() {
        return Ok(());
    }
    let mut under = Errors::new();
    under.nest("indexes", errors);
    Err(SyncError::Indexes(under))
}

/// Writes the collection's name as the table's into index texts that name another one.
pub fn name_table_in_indexes(collection: &mut Collection) {
    for text in &mut collection.indexes {
        if let Some(index) = Index::parse(text)
            && index.table != collection.name
        {
            *text = Index { table: collection.name.clone(), ..index }.to_sql();
        }
    }
}

/// What SQLite says: the class of the error, its text and its code.
pub fn sqlite_text(error: &rusqlite::Error) -> String {
    let (failure, text) = match error {
        rusqlite::Error::SqliteFailure(failure, Some(text)) => (failure, text),
        rusqlite::Error::SqlInputError { error, msg, .. } => (error, msg),
        other => return other.to_string(),
    };
    let class = match failure.code {
        ErrorCode::ConstraintViolation => "constraint failed",
        ErrorCode::OperationInterrupted => "interrupted",
        ErrorCode::TooBig => "string or blob too big",
        _ => "SQL logic error",
    };
    format!("{class}: {text} ({})", failure.extended_code)
}

fn by_id<'a>(collection: &'a Collection, id: &str) -> Option<&'a Field> {
    collection.fields.iter().find(|field| field.id == id)
}

/// A column name that no owner has chosen.
fn temporary_name(name: &str) -> String {
    format!("{name}{}", patterns::random_text(8, "abcdefghijklmnopqrstuvwxyz0123456789"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{CollectionKind, install};

    #[test]
    fn the_text_of_an_index_is_no_way_to_run_other_statements() {
        let conn = Connection::open_in_memory().unwrap();
        install::create(&conn).unwrap();
        for text in [
            "create index by_hand on users (name) where 1; drop table users",
            "create index by_hand on users (name /* ' */); drop table users; -- ')",
        ] {
            let mut users = Collection::new("_pb_users_auth_", "users", CollectionKind::Base);
            users.indexes = vec![text.to_owned()];
            assert!(matches!(create_indexes(&conn, &users), Err(SyncError::Indexes(_))), "{text}");
            assert!(exists(&conn, "users").unwrap(), "{text}");
        }
    }
}
