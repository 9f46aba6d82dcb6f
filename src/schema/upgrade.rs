//! What a data directory of PocketBase v0.23 to v0.38 needs before it is like one of today. Called once, when a
//! directory is opened, inside that transaction.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, OptionalExtension, params};

use super::indexes::Index;
use super::{Collection, store, sync};

/// After it, a collection's list of indexes and the indexes of its table are the same.
pub const NORMALIZE_INDEXES: &str = "1778828400_normalize_indexes.go";

/// Does what is left to do, and notes it where PocketBase would.
pub fn bring_up_to_date(conn: &Connection) -> rusqlite::Result<()> {
    let sql = "SELECT 1 FROM _migrations WHERE file = ?1";
    if conn.query_row(sql, [NORMALIZE_INDEXES], |_| Ok(())).optional()?.is_some() {
        return Ok(());
    }
    for collection in store::load(conn)?.collections() {
        if !collection.system && !collection.is_view() {
            normalize_indexes(conn, collection)?;
        }
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_micros() as i64);
    conn.execute("INSERT INTO _migrations (file, applied) VALUES (?1, ?2)", params![NORMALIZE_INDEXES, now])?;
    Ok(())
}

/// Takes indexes that only the table has into the collection's list, so that its owner sees them.
fn normalize_indexes(conn: &Connection, collection: &Arc<Collection>) -> rusqlite::Result<()> {
    let listed: Vec<Index> = collection.indexes.iter().filter_map(|text| Index::parse(text)).collect();
    let mut updated = Collection::clone(collection);
    for (name, sql) in sync::table_indexes(conn, &collection.name)? {
        if listed.iter().any(|index| index.name.eq_ignore_ascii_case(&name)) {
            continue;
        }
        let Some(mut index) = Index::parse(&sql) else { continue };
        index.database.clear();
        index.table = collection.name.clone();
        sync::drop_index(conn, &name)?;
        let superseded = collection.is_auth() && (index.is_unique_on("tokenKey") || index.is_unique_on("email"));
        let known = listed
            .iter()
            .any(|other| Index { table: index.table.clone(), ..other.clone() }.definition() == index.definition());
        if !superseded && !known {
            updated.indexes.push(index.to_sql());
        }
    }
    sync::name_table_in_indexes(&mut updated);
    if updated.indexes != collection.indexes {
        store::update(conn, &updated)?;
    }
    sync::drop_indexes(conn, collection)?;
    match sync::create_indexes(conn, &updated) {
        Ok(()) => Ok(()),
        Err(sync::SyncError::Sqlite(error)) => Err(error),
        // It stood in the list and never in the table; the owner is told when the collection is next saved.
        Err(sync::SyncError::Indexes(errors)) => {
            log::warn!("the collection {} has indexes that cannot be created: {}", collection.name, errors);
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::install;

    #[test]
    fn indexes_that_only_the_table_has_are_listed_and_doubles_go() {
        let conn = Connection::open_in_memory().unwrap();
        install::create(&conn).unwrap();
        conn.execute("DELETE FROM _migrations WHERE file = ?1", [NORMALIZE_INDEXES]).unwrap();
        conn.execute_batch(
            "CREATE INDEX by_hand ON users (name COLLATE nocase);
             CREATE UNIQUE INDEX second_email ON users (email);
             UPDATE _collections SET indexes = replace(indexes, 'ON `users` (`tokenKey`)', 'ON `members` (`tokenKey`)')
             WHERE name = 'users';",
        )
        .unwrap();

        bring_up_to_date(&conn).unwrap();
        let schema = store::load(&conn).unwrap();
        let users = schema.find("users").unwrap();
        assert_eq!(
            users.indexes,
            [
                "CREATE UNIQUE INDEX `idx_tokenKey__pb_users_auth_` ON `users` (`tokenKey`)",
                "CREATE UNIQUE INDEX `idx_email__pb_users_auth_` ON `users` (`email`) WHERE `email` != ''",
                "CREATE INDEX `by_hand` ON `users` (`name` COLLATE nocase)",
            ]
        );
        let mut names: Vec<String> =
            sync::table_indexes(&conn, "users").unwrap().into_iter().map(|(name, _)| name).collect();
        names.sort();
        assert_eq!(names, ["by_hand", "idx_email__pb_users_auth_", "idx_tokenKey__pb_users_auth_"]);

        // Noted, so that it happens once.
        conn.execute_batch("DROP INDEX by_hand").unwrap();
        bring_up_to_date(&conn).unwrap();
        assert_eq!(sync::table_indexes(&conn, "users").unwrap().len(), 2);
    }
}
