//! The data directory: opening an existing one, creating a fresh one, and refusing what is neither.
//!
//! Called once per process, before anything else of the server exists. A directory is looked at read-only first, so
//! that one which is refused is left exactly as it was.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, TransactionBehavior};

use headwater_actors::{Position, change_log};

use super::math_functions;
use super::seal::{Doubt, Seal, Whole};
use super::settings::Settings;
use crate::schema::{install, upgrade};

/// An open data directory, locked for this process until it is dropped.
pub struct DataDir {
    pub path: PathBuf,
    /// The read-write connection to `data.db`, with our pragmas, for the Writer.
    pub writer: Connection,
    /// The read-write connection to `auxiliary.db`, the file of the logs.
    pub auxiliary: Connection,
    /// True if this process created the directory's database.
    pub fresh: bool,
    /// Who created it, also if that was long ago.
    pub creator: Creator,
    /// Held as long as the directory is in use.
    pub lock: File,
    /// To be closed when nothing writes to the database any more.
    pub seal: Seal,
}

/// The program that created a data directory. Passwords of a directory that PocketBase is to open again must stay
/// readable for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Creator {
    Headwater,
    PocketBase,
}

/// Why a directory was not opened. Nothing in it was touched.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {reason}\n  {hint}")]
pub struct DataDirError {
    pub path: String,
    pub reason: String,
    /// What to do about it.
    pub hint: String,
}

impl DataDirError {
    fn new(path: &Path, reason: impl Into<String>, hint: impl Into<String>) -> DataDirError {
        DataDirError { path: path.display().to_string(), reason: reason.into(), hint: hint.into() }
    }

    fn io(path: &Path, doing: &str, error: &io::Error) -> DataDirError {
        let hint = match error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                "Give the user that runs headwater the right to write there, or choose another directory with --dir."
            }
            io::ErrorKind::StorageFull => "Free some space on the disk, then start again.",
            _ => "Check the path given with --dir.",
        };
        DataDirError::new(path, format!("could not {doing}: {error}"), hint)
    }

    fn sqlite(path: &Path, error: &rusqlite::Error) -> DataDirError {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => DataDirError::new(
                path,
                "another program holds the database locked for writing",
                "Stop the program that uses it (a PocketBase server, a sqlite3 shell with an open transaction, \
                 a backup), then start again.",
            ),
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => DataDirError::new(
                path,
                format!("the file is damaged or no SQLite database ({error})"),
                "Restore it from a backup, or choose another directory with --dir.",
            ),
            Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => DataDirError::new(
                path,
                format!("the database is not writable ({error})"),
                "Give the user that runs headwater the right to write the directory and the files in it.",
            ),
            Some(ErrorCode::DiskFull) => {
                DataDirError::new(path, error.to_string(), "Free some space on the disk, then start again.")
            }
            _ => DataDirError::new(
                path,
                format!("could not open the database: {error}"),
                "Check that the file is a PocketBase or Headwater database and that it is intact \
                 (sqlite3 data.db 'PRAGMA integrity_check').",
            ),
        }
    }
}

/// What stands in a directory before we do anything to it.
enum Found {
    Nothing,
    Database,
}

impl DataDir {
    /// Opens the directory, or creates it where there is nothing yet.
    pub fn open(path: &Path) -> Result<DataDir, DataDirError> {
        let database = path.join("data.db");
        let seal = Seal::of(&database);
        let left = seal.examine();
        let found = inspect(&database)?;
        std::fs::create_dir_all(path).map_err(|error| DataDirError::io(path, "create the directory", &error))?;
        let lock = lock(path)?;
        let unsealed = |error: io::Error| DataDirError::io(path, "write into the directory", &error);
        if let Ok(Whole(position)) = &left {
            seal.open(position).map_err(unsealed)?;
        }
        let opened = Self::open_databases(path, &database, &found, &left);
        let (writer, auxiliary, creator, position) = opened.inspect_err(|_| {
            // Nothing was changed, but the last to close the database has copied its log into it.
            if let Ok(Whole(position)) = &left {
                let _ = seal.close(position);
            }
        })?;
        if left.map_or(true, |Whole(sealed)| sealed != position) {
            seal.open(&position).map_err(unsealed)?;
        }
        let fresh = matches!(found, Found::Nothing);
        Ok(DataDir { path: path.to_owned(), writer, auxiliary, fresh, creator, lock, seal })
    }

    fn open_databases(
        path: &Path,
        database: &Path,
        found: &Found,
        left: &Result<Whole, Doubt>,
    ) -> Result<(Connection, Connection, Creator, Position), DataDirError> {
        let refused = |error: rusqlite::Error| DataDirError::sqlite(database, &error);
        let mut writer = Connection::open(database).map_err(refused)?;
        // Short here: who holds the file now is a program that runs beside us, not a passing query.
        writer.busy_timeout(Duration::from_secs(2)).map_err(refused)?;
        let (creator, position) = set_up(&mut writer, found, left).map_err(refused)?;
        prepare(&writer).map_err(refused)?;

        let auxiliary_path = path.join("auxiliary.db");
        let auxiliary = open_auxiliary(&auxiliary_path).map_err(|e| DataDirError::sqlite(&auxiliary_path, &e))?;
        Ok((writer, auxiliary, creator, position))
    }

    /// `data.db`.
    pub fn database(&self) -> PathBuf {
        self.path.join("data.db")
    }
}

/// The pragmas and functions of every connection to a file of the directory.
pub fn prepare(conn: &Connection) -> rusqlite::Result<()> {
    conn.execute_batch(
        "PRAGMA busy_timeout = 10000;
         PRAGMA journal_size_limit = 200000000;
         PRAGMA synchronous = NORMAL;
         PRAGMA foreign_keys = ON;
         PRAGMA temp_store = MEMORY;
         PRAGMA cache_size = -32000;",
    )?;
    // Existing files hold declarations such as DEFAULT "base", and views whose texts stand in double quotes.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DDL, true)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, true)?;
    // Plans do not depend on bound values: with statistics of samples (STAT4) SQLite would otherwise compile a statement
    // anew whenever a value that it looked at changes.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    math_functions::register(conn)?;
    crate::query::register_functions(conn)
}

/// One transaction: either everything that we need is there afterwards, or nothing was changed.
fn set_up(conn: &mut Connection, found: &Found, left: &Result<Whole, Doubt>) -> rusqlite::Result<(Creator, Position)> {
    // Whoever writes at this moment makes it fail, before anything of the file was changed.
    conn.execute_batch("BEGIN IMMEDIATE; ROLLBACK")?;
    conn.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON;")?;
    math_functions::register(conn)?;
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let position = join_history(&tx, left)?;
    let creator = match found {
        Found::Nothing => {
            install::create(&tx)?;
            set_creator(&tx, Creator::Headwater)?
        }
        Found::Database => {
            upgrade::bring_up_to_date(&tx)?;
            set_creator(&tx, Creator::PocketBase)?
        }
    };
    tx.commit()?;
    if let Found::Nothing = found {
        conn.execute_batch("PRAGMA optimize")?;
    }
    Ok((creator, position))
}

/// Where the stream of changes goes on: where it ended if the file is as we left it, with a new epoch otherwise.
fn join_history(conn: &Connection, left: &Result<Whole, Doubt>) -> rusqlite::Result<Position> {
    let begins = change_log::create_tables(conn)?;
    let found = Position { epoch: change_log::epoch(conn)?, seq: change_log::last(conn)? };
    let doubt = match left {
        _ if begins => return Ok(found),
        Ok(whole) if whole.fits(&found) => return Ok(found),
        Ok(_) => Doubt::OtherContent,
        Err(doubt) => *doubt,
    };
    let position = Position { epoch: change_log::begin_epoch(conn, found.seq)?, seq: found.seq };
    log::info!("data.db is not known to be as it was left ({doubt}): positions of before {position} count no more");
    Ok(position)
}

/// Notes who created the directory unless that is known already, and says who it was.
fn set_creator(conn: &Connection, creator: Creator) -> rusqlite::Result<Creator> {
    let word = match creator {
        Creator::Headwater => "headwater",
        Creator::PocketBase => "pocketbase",
    };
    conn.execute("INSERT OR IGNORE INTO _hw_state (key, value) VALUES ('creator', ?1)", [word])?;
    let word: String = conn.query_row("SELECT value FROM _hw_state WHERE key = 'creator'", [], |row| row.get(0))?;
    Ok(if word == "headwater" { Creator::Headwater } else { Creator::PocketBase })
}

fn open_auxiliary(path: &Path) -> rusqlite::Result<Connection> {
    let mut conn = Connection::open(path)?;
    conn.busy_timeout(Duration::from_secs(2))?;
    conn.execute_batch("PRAGMA journal_mode = WAL")?;
    prepare(&conn)?;
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    install::create_logs(&tx)?;
    tx.commit()?;
    Ok(conn)
}

/// The lock that keeps a second Headwater away. The system releases it when the process ends, however it ends.
fn lock(path: &Path) -> Result<File, DataDirError> {
    let file = path.join(".headwater.lock");
    let opened = OpenOptions::new().write(true).create(true).truncate(false).open(&file);
    let opened = opened.map_err(|error| DataDirError::io(&file, "write into the directory", &error))?;
    match opened.try_lock() {
        Ok(()) => Ok(opened),
        Err(TryLockError::WouldBlock) => Err(DataDirError::new(
            path,
            "another headwater process uses this directory",
            "Stop that process first, or choose another directory with --dir.",
        )),
        Err(TryLockError::Error(error)) => Err(DataDirError::io(&file, "lock the directory", &error)),
    }
}

/// Looks at an existing database without changing anything, and refuses what we cannot serve.
fn inspect(database: &Path) -> Result<Found, DataDirError> {
    let mut head = [0; 16];
    match File::open(database).map(|file| read_up_to(file, &mut head)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(DataDirError::io(database, "read the database", &error)),
        Ok(Err(error)) => return Err(DataDirError::io(database, "read the database", &error)),
        Ok(Ok(0)) => return Ok(Found::Nothing),
        Ok(Ok(_)) if head != *b"SQLite format 3\0" => {
            return Err(DataDirError::new(
                database,
                "the file is no SQLite database",
                "Move it away or restore it from a backup, or choose another directory with --dir.",
            ));
        }
        Ok(Ok(_)) => {}
    }
    let refused = |error: rusqlite::Error| DataDirError::sqlite(database, &error);
    let conn = look_into(database).map_err(refused)?;
    let Some(applied) = applied_migrations(&conn).map_err(refused)? else { return Ok(Found::Nothing) };
    check_migrations(database, &applied)?;
    // What the server could not load after all is refused before anything is changed, too.
    crate::schema::store::load(&conn).and(Settings::load(&conn).map(drop)).map_err(|error| {
        DataDirError::new(
            database,
            format!("its collections or settings cannot be read: {error}"),
            "Settings encrypted by --encryptionEnv cannot be read yet: save them once in PocketBase without it. Otherwise restore a backup.",
        )
    })?;
    Ok(Found::Database)
}

fn read_up_to(mut file: File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match file.read(&mut buffer[length..])? {
            0 => break,
            count => length += count,
        }
    }
    Ok(length)
}

/// Opens the database so that nothing of it can change.
fn look_into(database: &Path) -> rusqlite::Result<Connection> {
    // Without a write-ahead log the file is complete by itself; `immutable` then keeps SQLite from creating one.
    let wal = PathBuf::from(format!("{}-wal", database.display()));
    let immutable = if wal.exists() { "" } else { "&immutable=1" };
    let path = percent_encoding::utf8_percent_encode(&database.to_string_lossy(), URI_PATH).to_string();
    let conn = Connection::open_with_flags(
        format!("file:{path}?mode=ro{immutable}"),
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    conn.busy_timeout(Duration::from_secs(2))?;
    Ok(conn)
}

/// The files named in `_migrations`; none if the database has no table at all.
fn applied_migrations(conn: &Connection) -> rusqlite::Result<Option<Vec<String>>> {
    let tables: i64 = conn.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0))?;
    if tables == 0 {
        return Ok(None);
    }
    let known = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = '_migrations'";
    if conn.query_row(known, [], |_| Ok(())).optional()?.is_none() {
        return Ok(Some(Vec::new()));
    }
    let mut statement = conn.prepare("SELECT file FROM _migrations")?;
    let files = statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    Ok(Some(files))
}

/// What must be escaped in the path of an SQLite URI.
const URI_PATH: &percent_encoding::AsciiSet =
    &percent_encoding::CONTROLS.add(b' ').add(b'%').add(b'?').add(b'#').add(b'"');

/// The migrations of a directory tell which version of its layout it has.
fn check_migrations(database: &Path, applied: &[String]) -> Result<(), DataDirError> {
    if applied.is_empty() {
        return Err(DataDirError::new(
            database,
            "the database was created by another program",
            "Choose an empty directory, or a data directory of PocketBase v0.23 or newer, with --dir.",
        ));
    }
    if !applied.iter().any(|file| file == install::FIRST_SUPPORTED_MIGRATION) {
        return Err(DataDirError::new(
            database,
            "the data directory was last written by PocketBase before v0.23",
            "Start it once with PocketBase v0.23 or newer, which migrates it, then start headwater again.",
        ));
    }
    let newest = install::MIGRATIONS.last().map_or(0, |file| timestamp(file));
    // Migrations written in JavaScript are the owner's own and say nothing about the layout.
    let unknown = applied.iter().find(|file| file.ends_with(".go") && timestamp(file) > newest);
    if let Some(file) = unknown {
        return Err(DataDirError::new(
            database,
            format!("the data directory was written by a newer PocketBase (migration {file} is not known here)"),
            "Update headwater, or restore a backup from before that version.",
        ));
    }
    Ok(())
}

/// The number that a migration's file name begins with.
fn timestamp(file: &str) -> u64 {
    file.split('_').next().and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::store;

    /// A directory of its own for each test, removed at the end.
    struct Place(PathBuf);

    impl Place {
        fn new(name: &str) -> Place {
            let path = std::env::temp_dir().join(format!("headwater-data-dir-{name}-{}", std::process::id()));
            let _ = std::fs::remove_dir_all(&path);
            Place(path)
        }

        fn files(&self) -> Vec<String> {
            let entries = std::fs::read_dir(&self.0).unwrap();
            let mut names: Vec<String> =
                entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
            names.sort();
            names
        }

        fn with_database(self, sql: &str) -> Place {
            std::fs::create_dir_all(&self.0).unwrap();
            Connection::open(self.0.join("data.db")).unwrap().execute_batch(sql).unwrap();
            self
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn refusal(place: &Place) -> String {
        match DataDir::open(&place.0) {
            Ok(_) => panic!("the directory was opened"),
            Err(error) => error.to_string(),
        }
    }

    const APPLIED: &str = "CREATE TABLE _migrations (file TEXT, applied INTEGER); INSERT INTO _migrations VALUES";

    #[test]
    fn a_fresh_directory_has_the_system_collections_and_opens_again() {
        let place = Place::new("fresh");
        let dir = DataDir::open(&place.0).unwrap();
        assert!(dir.fresh);
        assert_eq!(dir.creator, Creator::Headwater);
        let schema = store::load(&dir.writer).unwrap();
        let names: Vec<&str> = schema.collections().iter().map(|collection| collection.name.as_str()).collect();
        assert_eq!(names, ["_mfas", "_otps", "_externalAuths", "_authOrigins", "_superusers", "users"]);
        drop(dir);

        let again = DataDir::open(&place.0).unwrap();
        assert!(!again.fresh);
        assert_eq!(again.creator, Creator::Headwater);
        assert_eq!(store::load(&again.writer).unwrap().collections(), schema.collections());
    }

    #[test]
    fn a_directory_in_use_is_refused() {
        let place = Place::new("in-use");
        let _held = DataDir::open(&place.0).unwrap();
        assert!(refusal(&place).contains("another headwater process"));
    }

    #[test]
    fn a_database_that_somebody_writes_to_is_refused() {
        let place = Place::new("locked");
        drop(DataDir::open(&place.0).unwrap());
        let other = Connection::open(place.0.join("data.db")).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        assert!(refusal(&place).contains("holds the database locked for writing"));
    }

    #[test]
    fn what_cannot_be_served_is_refused_and_left_alone() {
        let cases = [
            ("other", "CREATE TABLE notes (a)".to_owned(), "created by another program"),
            ("old", format!("{APPLIED} ('1640988000_init.go', 1)"), "before v0.23"),
            (
                "new",
                format!("{APPLIED} ('1717233556_v0.23_migrate.go', 1), ('1999999999_more.go', 2)"),
                "newer PocketBase (migration 1999999999_more.go",
            ),
        ];
        for (name, sql, expected) in cases {
            let place = Place::new(name).with_database(&sql);
            let reason = refusal(&place);
            assert!(reason.contains(expected), "{name}: {reason}");
            assert_eq!(place.files(), ["data.db"], "{name}");
        }
    }

    #[test]
    fn a_file_that_is_no_database_is_refused_and_left_alone() {
        let place = Place::new("no-database");
        std::fs::create_dir_all(&place.0).unwrap();
        std::fs::write(place.0.join("data.db"), "something else, and long enough").unwrap();
        assert!(refusal(&place).contains("is no SQLite database"));
        assert_eq!(place.files(), ["data.db"]);
    }

    #[test]
    fn texts_in_double_quotes_are_taken() {
        let conn = Connection::open_in_memory().unwrap();
        prepare(&conn).unwrap();
        conn.execute_batch("CREATE TABLE t (a TEXT DEFAULT \"base\"); INSERT INTO t DEFAULT VALUES").unwrap();
        let found: String = conn.query_row("SELECT a FROM t WHERE a = \"base\"", [], |row| row.get(0)).unwrap();
        assert_eq!(found, "base");
    }
}
