//! The SQL texts that read and write single rows of a collection, built once per schema version.

use super::Collection;

/// Texts for statements that bind values in field order.
#[derive(Debug, Default)]
pub struct RowSql {
    /// All columns, by id (`?1`).
    pub select: String,
    /// All columns.
    pub insert: String,
    /// By id (`?1`).
    pub delete: String,
    /// `"a","b"`: all columns, for statements that others put together.
    pub columns: String,
}

impl RowSql {
    pub(super) fn new(collection: &Collection) -> RowSql {
        let table = quoted(&collection.name);
        let columns = collection.fields.iter().map(|field| quoted(&field.name)).collect::<Vec<_>>().join(",");
        let places = (1..=collection.fields.len()).map(|n| format!("?{n}")).collect::<Vec<_>>().join(",");
        RowSql {
            select: format!("SELECT {columns} FROM {table} WHERE \"id\"=?1"),
            insert: format!("INSERT INTO {table} ({columns}) VALUES ({places})"),
            delete: format!("DELETE FROM {table} WHERE \"id\"=?1"),
            columns,
        }
    }
}

/// A name as SQL reads it, whatever is in it.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
