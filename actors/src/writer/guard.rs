//! What statements may not do, by SQLite's authorizer: end the transaction that jobs share, or meddle with the Writer's
//! own doings. It is asked when a statement is compiled.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::Connection;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};

/// What the names of the tables that the server keeps for itself begin with.
const OWN_TABLES: &str = "_hw_";

/// Pragmas with an argument that only tell something; the others would outlive the statements of which they are part.
const TELLING: [&str; 9] = [
    "table_info",
    "table_xinfo",
    "table_list",
    "index_list",
    "index_info",
    "index_xinfo",
    "foreign_key_list",
    "integrity_check",
    "quick_check",
];

#[derive(Default)]
pub(super) struct Guard {
    /// A job runs.
    in_job: AtomicBool,
    /// The job runs statements that somebody typed.
    typed: AtomicBool,
}

impl Guard {
    pub fn install(conn: &Connection) -> rusqlite::Result<Arc<Guard>> {
        let guard = Arc::new(Guard::default());
        let asked = guard.clone();
        conn.authorizer(Some(
            move |context: AuthContext<'_>| {
                if asked.refuses(&context) { Authorization::Deny } else { Authorization::Allow }
            },
        ))?;
        Ok(guard)
    }

    pub fn enter_job(&self) {
        self.in_job.store(true, Ordering::Relaxed);
    }

    /// Also where the job panicked.
    pub fn leave_job(&self) {
        self.in_job.store(false, Ordering::Relaxed);
        self.typed.store(false, Ordering::Relaxed);
    }

    /// Runs what compiles statements that somebody typed.
    pub fn typed<T>(&self, run: impl FnOnce() -> T) -> T {
        self.typed.store(true, Ordering::Relaxed);
        let value = run();
        self.typed.store(false, Ordering::Relaxed);
        value
    }

    fn refuses(&self, context: &AuthContext<'_>) -> bool {
        let (in_job, typed) = (self.in_job.load(Ordering::Relaxed), self.typed.load(Ordering::Relaxed));
        match context.action {
            AuthAction::Pragma { pragma_name, pragma_value } => {
                let is = |name: &&str| pragma_name.eq_ignore_ascii_case(name);
                // The first would take the place of the hook that counts our commits.
                in_job && is(&"wal_autocheckpoint") || typed && pragma_value.is_some() && !TELLING.iter().any(is)
            }
            AuthAction::Transaction { .. } => in_job,
            AuthAction::Savepoint { savepoint_name, .. } => in_job && savepoint_name == "_hw_job",
            // They would stay with the connection, and hide the tables of the file.
            AuthAction::Attach { .. }
            | AuthAction::Detach { .. }
            | AuthAction::CreateTempTable { .. }
            | AuthAction::CreateTempIndex { .. }
            | AuthAction::CreateTempTrigger { .. }
            | AuthAction::CreateTempView { .. } => typed,
            // Also by a trigger that was typed once, whatever sets it off.
            ref action if typed || context.accessor.is_some() => changes(action).is_some_and(is_own),
            _ => false,
        }
    }
}

fn is_own(table: &str) -> bool {
    table.get(..OWN_TABLES.len()).is_some_and(|head| head.eq_ignore_ascii_case(OWN_TABLES))
}

/// The table whose rows or shape an action changes.
fn changes<'a>(action: &AuthAction<'a>) -> Option<&'a str> {
    match *action {
        AuthAction::Insert { table_name }
        | AuthAction::Update { table_name, .. }
        | AuthAction::Delete { table_name }
        | AuthAction::AlterTable { table_name, .. }
        | AuthAction::DropTable { table_name }
        | AuthAction::CreateTable { table_name }
        | AuthAction::CreateVtable { table_name, .. }
        | AuthAction::CreateIndex { table_name, .. }
        | AuthAction::DropIndex { table_name, .. }
        | AuthAction::CreateTrigger { table_name, .. }
        | AuthAction::DropTrigger { table_name, .. } => Some(table_name),
        _ => None,
    }
}
