//! Commits of other programs, seen by the Writer while it runs.
//!
//! SQLite counts the commits of a file in WAL mode in the shared wal-index (`iChange`, at byte 8 of its header; "WAL-mode
//! File Format", §2.1), whoever makes them. The Writer knows how many are its own, because SQLite tells a connection of
//! each of them, so what is left over is foreign. Checkpoints do not count, whoever runs them and however.
//! `PRAGMA data_version` would not do: it also changes with another program's RESTART and TRUNCATE checkpoints, which
//! backup tools run all the time.
//!
//! One program's commits are let pass: Litestream counts up a row of a table of its own with each of its checkpoints.
//! As many commits as that row grew by are these and nothing else.

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};

use rusqlite::{Connection, ffi};

thread_local! {
    /// Commits of this thread's connection that nobody took note of yet. The Writer has its thread to itself.
    static OWN_COMMITS: Cell<u32> = const { Cell::new(0) };
}

/// Counts the commits of other programs. Belongs to one connection and must not outlive it.
pub(crate) struct ForeignWrites {
    /// The counter in the wal-index, which stays mapped as long as the connection is open.
    commits: *const AtomicU32,
    /// What it should stand at if nobody else wrote.
    expected: u32,
    /// Litestream's row.
    litestream: i64,
}

// SAFETY: the mapping belongs to the process, not to a thread.
unsafe impl Send for ForeignWrites {}

impl ForeignWrites {
    /// The size of a part of the wal-index, and the version of its layout.
    const PART: c_int = 32_768;
    const LAYOUT: u32 = 3_007_000;

    /// Begins to count. None for a database that is not in WAL mode: nobody else can write to one in memory.
    pub(crate) fn watch(conn: &Connection) -> rusqlite::Result<Option<ForeignWrites>> {
        // The wal-index is there after the first read; within a transaction nobody writes it.
        conn.execute_batch("BEGIN IMMEDIATE; SELECT 1 FROM sqlite_master LIMIT 1")?;
        let header = wal_index(conn);
        let watch = (!header.is_null()).then(|| {
            // SAFETY: the header has 48 bytes and is aligned.
            let (layout, commits) = unsafe { (header.read_volatile(), header.add(2).cast::<AtomicU32>()) };
            let expected = unsafe { &*commits }.load(Ordering::Relaxed);
            (layout == Self::LAYOUT).then_some(ForeignWrites { commits, expected, litestream: litestream(conn) })
        });
        conn.execute_batch("ROLLBACK")?;
        conn.wal_hook(Some(|_, _| {
            OWN_COMMITS.set(OWN_COMMITS.get() + 1);
            Ok(())
        }));
        Ok(watch.flatten())
    }

    /// True if somebody else committed since [`ForeignWrites::take`]. Exact only inside a write transaction; between
    /// two of them a commit in progress may be seen now or the next time.
    pub(crate) fn are_there(&self) -> bool {
        self.current() != self.expected
    }

    /// Takes note of those that are there, inside the write transaction that follows them. True if they changed
    /// anything that matters.
    pub(crate) fn take(&mut self, conn: &Connection) -> bool {
        let (current, litestream) = (self.current(), litestream(conn));
        let (commits, theirs) = (current.wrapping_sub(self.expected), litestream.wrapping_sub(self.litestream));
        (self.expected, self.litestream) = (current, litestream);
        i64::from(commits) != theirs
    }

    /// The connection's own transaction ended. To be called after each of them, on the thread on which it ran.
    pub(crate) fn ended(&mut self) {
        self.expected = self.expected.wrapping_add(OWN_COMMITS.replace(0));
    }

    fn current(&self) -> u32 {
        // SAFETY: see the field. SQLite writes it with the file's write lock held, a word at a time.
        unsafe { &*self.commits }.load(Ordering::Acquire)
    }
}

/// How often Litestream has written; 0 where it never did.
fn litestream(conn: &Connection) -> i64 {
    conn.query_row("SELECT seq FROM _litestream_seq WHERE id = 1", [], |row| row.get(0)).unwrap_or_default()
}

/// The beginning of the wal-index that SQLite maps for this connection; null where there is none.
fn wal_index(conn: &Connection) -> *const u32 {
    let mut file: *mut ffi::sqlite3_file = ptr::null_mut();
    let mut part: *mut c_void = ptr::null_mut();
    // SAFETY: documented calls of SQLite and of its files' methods, on an open connection; a method that a file does
    // not have is null, and xShmMap without the right to extend gives null for a part that does not exist.
    unsafe {
        let asked = ffi::sqlite3_file_control(
            conn.handle(),
            c"main".as_ptr(),
            ffi::SQLITE_FCNTL_FILE_POINTER,
            (&raw mut file).cast(),
        );
        if asked != ffi::SQLITE_OK || file.is_null() || (*file).pMethods.is_null() || !is_wal(conn) {
            return ptr::null();
        }
        let Some(map) = (*(*file).pMethods).xShmMap else { return ptr::null() };
        if map(file, 0, ForeignWrites::PART, 0, &raw mut part) != ffi::SQLITE_OK {
            return ptr::null();
        }
    }
    part.cast_const().cast()
}

fn is_wal(conn: &Connection) -> bool {
    let mode: rusqlite::Result<String> = conn.query_row("PRAGMA journal_mode", [], |row| row.get(0));
    mode.is_ok_and(|mode| mode == "wal")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Place;

    fn data_version(conn: &Connection) -> i64 {
        conn.query_row("PRAGMA data_version", [], |row| row.get(0)).unwrap()
    }

    fn checkpoint(conn: &Connection, mode: &str) {
        let busy: i64 = conn.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| row.get(0)).unwrap();
        assert_eq!(busy, 0);
    }

    #[test]
    fn only_commits_of_others_count() {
        let place = Place::new("foreign");
        let conn = place.open();
        conn.execute_batch("PRAGMA wal_autocheckpoint = 0; CREATE TABLE t (v)").unwrap();
        let other = place.open();
        let mut foreign = ForeignWrites::watch(&conn).unwrap().unwrap();
        let own = |foreign: &mut ForeignWrites, sql: &str| {
            conn.execute_batch("BEGIN IMMEDIATE").unwrap();
            let found = foreign.are_there() && foreign.take(&conn);
            conn.execute_batch(sql).unwrap();
            conn.execute_batch("COMMIT").unwrap();
            foreign.ended();
            found
        };
        // Transactions with and without a change, and one that is too long to stay in memory.
        for sql in ["INSERT INTO t VALUES (1)", "SELECT 1", "CREATE TABLE u (v)", "UPDATE t SET v = 1 WHERE v = 2"] {
            assert!(!own(&mut foreign, sql), "{sql}");
        }
        let many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
                    INSERT INTO t SELECT randomblob(500) FROM n";
        conn.execute_batch("BEGIN; INSERT INTO t VALUES (2); ROLLBACK; PRAGMA cache_size = 1; BEGIN").unwrap();
        conn.execute_batch(many).unwrap();
        conn.execute_batch("COMMIT").unwrap();
        foreign.ended();
        assert!(!foreign.are_there());

        let version = data_version(&conn);
        checkpoint(&other, "PASSIVE");
        checkpoint(&other, "RESTART");
        checkpoint(&other, "TRUNCATE");
        checkpoint(&conn, "PASSIVE");
        assert!(!foreign.are_there(), "checkpoints are no writes");
        assert_ne!(data_version(&conn), version, "the reason not to ask for it");
        assert!(!own(&mut foreign, "INSERT INTO t VALUES (3)"));
        assert!(!foreign.are_there());

        other.execute_batch("INSERT INTO t VALUES (4)").unwrap();
        assert!(foreign.are_there());
        assert!(own(&mut foreign, "INSERT INTO t VALUES (5)"));
        assert!(!own(&mut foreign, "INSERT INTO t VALUES (6)"));
        // Another program that comes for a single statement, and leaves.
        place.open().execute_batch("CREATE TABLE w (v)").unwrap();
        assert!(own(&mut foreign, "SELECT 1"));
        assert!(!foreign.are_there());
    }

    #[test]
    fn what_litestream_keeps_for_itself_does_not_count() {
        let place = Place::new("litestream");
        let conn = place.open();
        let other = place.open();
        other
            .execute_batch("CREATE TABLE t (v); CREATE TABLE _litestream_seq (id INTEGER PRIMARY KEY, seq INTEGER)")
            .unwrap();
        let mut foreign = ForeignWrites::watch(&conn).unwrap().unwrap();
        let mut matters = || {
            conn.execute_batch("BEGIN IMMEDIATE").unwrap();
            assert!(foreign.are_there());
            let matters = foreign.take(&conn);
            conn.execute_batch("COMMIT").unwrap();
            foreign.ended();
            assert!(!foreign.are_there());
            matters
        };
        let counts = "INSERT INTO _litestream_seq VALUES (1, 1) ON CONFLICT DO UPDATE SET seq = seq + 1";
        other.execute_batch(counts).unwrap();
        assert!(!matters());
        other.execute_batch(counts).unwrap();
        other.execute_batch("BEGIN; INSERT INTO t VALUES (1); ROLLBACK; PRAGMA wal_checkpoint(RESTART)").unwrap();
        other.execute_batch(counts).unwrap();
        assert!(!matters());
        other.execute_batch(counts).unwrap();
        other.execute_batch("INSERT INTO t VALUES (1)").unwrap();
        assert!(matters());
        other.execute_batch("DROP TABLE _litestream_seq").unwrap();
        assert!(matters());
    }

    #[test]
    fn a_database_in_memory_has_no_others() {
        let conn = Connection::open_in_memory().unwrap();
        assert!(ForeignWrites::watch(&conn).unwrap().is_none());
    }
}
