//! The data directory: opening an existing one, creating a fresh one, and refusing what is neither.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

/// An open data directory, locked for this process until it is dropped.
pub struct DataDir {
    pub path: PathBuf,
    /// The read-write connection to `data.db`, with our pragmas, for the Writer.
    pub writer: Connection,
    /// True if this process created the directory's database.
    pub fresh: bool,
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

impl DataDir {
    pub fn open(path: &Path) -> Result<DataDir, DataDirError> {
        todo!("{path:?}")
    }

    /// `data.db`.
    pub fn database(&self) -> PathBuf {
        self.path.join("data.db")
    }
}

/// The pragmas of every connection to `data.db`.
pub fn prepare(conn: &Connection) -> rusqlite::Result<()> {
    todo!("{conn:?}")
}
