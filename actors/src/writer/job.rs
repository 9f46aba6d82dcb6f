//! What callers hand to the Writer: a job with its bounds, what it may do in the transaction, and how it is answered.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::guard::Guard;
use crate::{NewChange, Position};

/// What bounds a job.
#[derive(Clone, Copy, Debug)]
pub struct JobLimits {
    /// The job runs at most one statement that changes the file, and nothing after it can fail. SQLite undoes a failed
    /// statement by itself, so such a job needs no savepoint (5 us saved on each).
    pub single_statement: bool,
    /// How long the job may hold the Writer; its running statement is then interrupted and the job fails.
    pub time: Duration,
    /// The job shares its transaction with no other: SQLite undoes a whole transaction when it interrupts a statement
    /// that writes, and a job that may well take long must not take others with it.
    pub alone: bool,
}

impl JobLimits {
    /// A job of one changing statement, see [`JobLimits::single_statement`].
    pub const ONE: JobLimits = JobLimits { single_statement: true, time: Duration::from_secs(30), alone: false };
    /// A job of any number of statements, in a savepoint of its own.
    pub const MANY: JobLimits = JobLimits { single_statement: false, time: Duration::from_secs(30), alone: false };

    /// A job of unusual length, with a limit of its own and in a transaction of its own.
    pub fn with_time(self, time: Duration) -> JobLimits {
        JobLimits { time, alone: true, ..self }
    }
}

/// What a job sees: the connection inside the open transaction, and where to say what it changed.
pub struct Tx<'a> {
    conn: &'a Connection,
    guard: &'a Guard,
    pub(super) changes: Vec<NewChange>,
    pub(super) effects: Vec<Effect>,
    pub(super) ends_group: bool,
    pub(super) ends_epoch: bool,
    pub(super) expires_history: bool,
    /// It changes what the server keeps for itself, and nothing that anybody else reads.
    pub(super) is_own: bool,
}

pub(super) type Effect = Box<dyn FnOnce() + Send>;

impl<'a> Tx<'a> {
    pub(super) fn new(conn: &'a Connection, guard: &'a Guard) -> Tx<'a> {
        Tx {
            conn,
            guard,
            changes: Vec::new(),
            effects: Vec::new(),
            ends_group: false,
            ends_epoch: false,
            expires_history: false,
            is_own: false,
        }
    }

    /// The connection inside the open transaction. BEGIN, COMMIT and ROLLBACK are refused; savepoints are fine.
    pub fn conn(&self) -> &Connection {
        self.conn
    }

    /// Runs statements that somebody typed. They may read the tables of the change log and what else the server keeps for
    /// itself, but change neither these nor the connection.
    pub fn typed<T>(&self, run: impl FnOnce(&Connection) -> T) -> T {
        self.guard.typed(|| run(self.conn))
    }

    /// Records a change of the job. It gets its [`Seq`] and its row in the log if the job succeeds.
    pub fn changed(&mut self, change: NewChange) {
        self.changes.push(change);
    }

    /// How many changes were recorded so far; with [`Tx::truncate_changes`] the way to undo a nested savepoint.
    pub fn change_count(&self) -> usize {
        self.changes.len()
    }

    /// Forgets the changes recorded after the first `count`, for a job that rolled back to a savepoint of its own.
    pub fn truncate_changes(&mut self, count: usize) {
        self.changes.truncate(count);
    }

    /// Runs after the commit and before any job of the group is answered: the place to refresh caches. Never runs when
    /// the job or the commit fails. It must be quick and must not panic.
    ///
    /// Jobs of the same transaction run before it; a job whose effects the next ones must see also calls
    /// [`Tx::end_group`].
    pub fn after_commit(&mut self, effect: impl FnOnce() + Send + 'static) {
        self.effects.push(Box::new(effect));
    }

    /// Lets no further job join this transaction if the job succeeds: those that follow run after its commit and its
    /// effects.
    pub fn end_group(&mut self) {
        self.ends_group = true;
    }

    /// The rows of the log mean something else from here on: if the job succeeds, no change up to this transaction is told
    /// again to those who come back. Who listens is not disturbed. It ends the group too.
    pub fn expire_history(&mut self) {
        self.ends_group = true;
        self.expires_history = true;
    }

    /// The job changed records without saying which: if it succeeds, the history ends with this transaction, and what
    /// follows belongs to a new epoch. It ends the group too.
    pub fn end_epoch(&mut self) {
        self.ends_group = true;
        self.ends_epoch = true;
    }
}

/// A job's result, and where its changes stand in the stream.
#[derive(Debug)]
pub struct Done<T> {
    pub value: T,
    /// The position of the job's last change; none if it changed no record.
    pub position: Option<Position>,
}

/// Why a write did not happen. Nothing of it was stored, except where said otherwise.
#[derive(Debug, thiserror::Error)]
pub enum WriteError<E> {
    /// The job itself refused.
    #[error("the write was refused")]
    Job(E),
    /// The Writer's queue stayed full for as long as a caller may wait.
    #[error("too many writes are waiting; try again")]
    Overloaded,
    /// The job panicked; it was rolled back alone.
    #[error("the write failed unexpectedly")]
    Panicked,
    /// The database refused the transaction or its commit.
    #[error("the database could not commit: {0}")]
    Storage(Arc<rusqlite::Error>),
    /// The server is stopping.
    #[error("the server is stopping")]
    Stopped,
}

/// How a job ends, once its transaction did.
pub(super) enum Fate {
    Committed(Option<Position>),
    Storage(Arc<rusqlite::Error>),
}

/// A job as the Writer sees it: something to run, then to answer.
pub(super) trait Job: Send {
    fn limits(&self) -> JobLimits;
    /// Runs the job; false when it failed and must be rolled back.
    fn run(&mut self, tx: &mut Tx<'_>) -> bool;
    /// Answers the caller. Called exactly once, after the transaction ended.
    fn finish(self: Box<Self>, fate: Fate);
}

/// Where a job's answer arrives.
pub(super) type Answer<T, E> = oneshot::Receiver<Result<Done<T>, WriteError<E>>>;

struct TypedJob<T, E, F> {
    limits: JobLimits,
    run: Option<F>,
    result: Option<Result<T, E>>,
    reply: oneshot::Sender<Result<Done<T>, WriteError<E>>>,
    /// Held until the answer, so that the queue's length counts what is running too.
    _slot: Option<OwnedSemaphorePermit>,
}

/// A job for the queue; `slot` is its place there, which the Writer's own jobs do not take from anyone.
pub(super) fn job<T, E, F>(
    limits: JobLimits,
    slot: Option<OwnedSemaphorePermit>,
    run: F,
) -> (Box<dyn Job>, Answer<T, E>)
where
    T: Send + 'static,
    E: Send + 'static,
    F: FnOnce(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
{
    let (reply, answer) = oneshot::channel();
    (Box::new(TypedJob { limits, run: Some(run), result: None, reply, _slot: slot }), answer)
}

impl<T, E, F> Job for TypedJob<T, E, F>
where
    T: Send,
    E: Send,
    F: FnOnce(&mut Tx<'_>) -> Result<T, E> + Send,
{
    fn limits(&self) -> JobLimits {
        self.limits
    }

    fn run(&mut self, tx: &mut Tx<'_>) -> bool {
        let Some(run) = self.run.take() else { return false };
        self.result = Some(run(tx));
        matches!(self.result, Some(Ok(_)))
    }

    fn finish(self: Box<Self>, fate: Fate) {
        let answer = match (self.result, fate) {
            (Some(Err(error)), _) => Err(WriteError::Job(error)),
            (_, Fate::Storage(error)) => Err(WriteError::Storage(error)),
            (None, Fate::Committed(_)) => Err(WriteError::Panicked),
            (Some(Ok(value)), Fate::Committed(position)) => Ok(Done { value, position }),
        };
        // A caller that went away is no error: the write happened all the same.
        let _ = self.reply.send(answer);
    }
}
