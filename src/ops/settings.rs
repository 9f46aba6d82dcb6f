//! The settings document (operations.md §2).

use rusqlite::Connection;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Settings {}

impl Settings {
    /// Reads the row of `_params`; defaults where it is missing.
    pub fn load(conn: &Connection) -> rusqlite::Result<Settings> {
        todo!("{conn:?}")
    }
}
