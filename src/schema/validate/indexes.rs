//! The indexes of a wanted collection. Whether SQLite takes their expressions shows only when they are created.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension, params};

use crate::errors::{Errors, Invalid};
use crate::schema::Collection;
use crate::schema::indexes::{Index, single_unique};

/// Checks the list; the first mistake is reported.
pub fn all(
    conn: &Connection,
    present: Option<&Collection>,
    wanted: &Collection,
    errors: &mut Errors,
) -> rusqlite::Result<()> {
    if wanted.is_view() {
        if !wanted.indexes.is_empty() {
            let message = "View collections don't support indexes.";
            errors.add("indexes", Invalid::new("validation_indexes_not_supported", message));
        }
        return Ok(());
    }
    let mut names = HashSet::new();
    let mut definitions = HashSet::new();
    for (position, text) in wanted.indexes.iter().enumerate() {
        let invalid = match Index::parse(text) {
            None => Some(Invalid::new("validation_invalid_index_expression", "Invalid CREATE INDEX expression.")),
            Some(index) => {
                let index = Index { table: wanted.name.clone(), ..index };
                if !names.insert(index.name.to_lowercase()) {
                    Some(Invalid::new("validation_duplicated_index_name", "The index name already exists."))
                } else if let Some(table) = used_elsewhere(conn, present, wanted, &index.name)? {
                    let message = format!("The index name is already used in {table} collection.");
                    Some(Invalid::new("validation_existing_index_name", message).with("usedTableName", table))
                } else if !definitions.insert(index.definition()) {
                    let message = "The index definition already exists.";
                    Some(Invalid::new("validation_duplicated_index_definition", message))
                } else {
                    None
                }
            }
        };
        if let Some(invalid) = invalid {
            errors.nest("indexes", Errors::one(position.to_string(), invalid));
            return Ok(());
        }
    }
    errors.check("indexes", unique_system_indexes_stay(present, wanted));
    if wanted.is_auth() {
        for name in ["tokenKey", "email"] {
            if single_unique(&wanted.indexes, name).is_none() {
                let message = format!("Missing required unique index for field \"{name}\".");
                let invalid = Invalid::new("validation_missing_required_unique_index", message);
                errors.add("indexes", invalid.with("fieldName", name));
            }
        }
    }
    Ok(())
}

/// Names of indexes are shared by all tables of the file.
fn used_elsewhere(
    conn: &Connection,
    present: Option<&Collection>,
    wanted: &Collection,
    name: &str,
) -> rusqlite::Result<Option<String>> {
    let sql = "SELECT tbl_name FROM sqlite_master
               WHERE type = 'index' AND lower(name) = lower(?1) AND lower(tbl_name) NOT IN (lower(?2), lower(?3))";
    let own = present.map_or("", |present| &present.name);
    conn.prepare_cached(sql)?.query_row(params![name, own, wanted.name], |row| row.get(0)).optional()
}

/// What makes values of system fields unique (the keys and addresses that one logs in with) may get other names,
/// conditions, collations and orders, but must not go.
fn unique_system_indexes_stay(present: Option<&Collection>, wanted: &Collection) -> Result<(), Invalid> {
    let Some(present) = present else { return Ok(()) };
    let bare = |text: &String| {
        let mut index = Index::parse(text)?;
        index.table.clear();
        index.condition.clear();
        for column in &mut index.columns {
            column.collation.clear();
            column.order.clear();
            column.name = column.name.to_lowercase();
        }
        Some(index)
    };
    let now: HashSet<String> = wanted.indexes.iter().filter_map(bare).map(|index| index.definition()).collect();
    for before in present.indexes.iter().filter_map(bare).filter(|index| index.unique) {
        let system = present.fields.iter().find(|field| {
            field.system && before.columns.iter().any(|column| column.name.eq_ignore_ascii_case(&field.name))
        });
        if let Some(field) = system
            && !now.contains(&before.definition())
        {
            let message = format!("Unique index definition on system fields ({}) is invalid or missing.", field.name);
            let invalid = Invalid::new("validation_invalid_unique_system_field_index", message);
            return Err(invalid.with("fieldName", field.name.as_str()));
        }
    }
    Ok(())
}
