//! The Writer: the one actor that owns the read-write connection.
//!
//! Callers hand it jobs through a [`WriterHandle`]. It takes whatever waits in its mailbox, runs it in one transaction,
//! commits once, answers every job and then publishes the changes. While it is busy committing, the next group gathers
//! by itself, so there is no timer. The order of commits is the order of [`Seq`] is the order of delivery.
//!
//! What must always hold:
//! * A job is answered only after its commit; a job that fails or panics fails alone.
//! * Every change is in the log in the transaction that made it, numbered without holes.
//! * Nothing is published before it is committed, and everything committed is published.
//! * Nothing waits here without a bound: beyond the queue's length callers wait outside, and only for a while.

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use actix::prelude::*;
use rusqlite::Connection;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::checkpoint::checkpoint;
use crate::deadline::Deadline;
use crate::{Change, Commit, Epoch, NewChange, Position, Seq, change_log};

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
    changes: Vec<NewChange>,
    effects: Vec<Effect>,
    ends_group: bool,
}

type Effect = Box<dyn FnOnce() + Send>;

impl Tx<'_> {
    /// The connection inside the open transaction. BEGIN, COMMIT and ROLLBACK are refused; savepoints are fine.
    pub fn conn(&self) -> &Connection {
        self.conn
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
enum Fate {
    Committed(Option<Position>),
    Storage(Arc<rusqlite::Error>),
}

/// A job as the Writer sees it: something to run, then to answer.
trait Job: Send {
    fn limits(&self) -> JobLimits;
    /// Runs the job; false when it failed and must be rolled back.
    fn run(&mut self, tx: &mut Tx<'_>) -> bool;
    /// Answers the caller. Called exactly once, after the transaction ended.
    fn finish(self: Box<Self>, fate: Fate);
}

struct TypedJob<T, E, F> {
    limits: JobLimits,
    run: Option<F>,
    result: Option<Result<T, E>>,
    reply: oneshot::Sender<Result<Done<T>, WriteError<E>>>,
    /// Held until the answer, so that the queue's length counts what is running too.
    _slot: OwnedSemaphorePermit,
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

/// Where commits go: called on the Writer's thread, after the commit and after all answers, in order.
pub type Publish = Box<dyn FnMut(Arc<Commit>) + Send>;

/// The bounds of the Writer, with defaults that were measured on two cores.
#[derive(Clone, Copy, Debug)]
pub struct WriterLimits {
    /// Jobs that may wait or run; further callers wait outside.
    pub queue: usize,
    /// How long a caller waits for a place in the queue before it is told [`WriteError::Overloaded`].
    pub wait: Duration,
    /// Jobs in one transaction.
    pub group_jobs: usize,
    /// After this long no further job joins the running transaction.
    pub group_time: Duration,
}

impl Default for WriterLimits {
    fn default() -> WriterLimits {
        WriterLimits {
            queue: 1024,
            wait: Duration::from_secs(10),
            group_jobs: 256,
            group_time: Duration::from_millis(20),
        }
    }
}

/// The way to the Writer: cheap to clone, usable from any thread.
#[derive(Clone)]
pub struct WriterHandle {
    addr: Addr<Writer>,
    slots: Arc<Semaphore>,
    queue: usize,
    wait: Duration,
    shared: Arc<Shared>,
}

/// What others may read of the Writer without asking it.
struct Shared {
    epoch: Epoch,
    last: AtomicU64,
}

impl WriterHandle {
    /// Runs `job` in the next transaction and answers after its commit.
    ///
    /// If the returned future is dropped before the job was queued, nothing happens; once it is queued, it runs.
    pub async fn run<T, E, F>(&self, limits: JobLimits, job: F) -> Result<Done<T>, WriteError<E>>
    where
        T: Send + 'static,
        E: Send + 'static,
        F: FnOnce(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
    {
        let slot = match self.slots.clone().try_acquire_owned() {
            Ok(slot) => slot,
            Err(_) => match tokio::time::timeout(self.wait, self.slots.clone().acquire_owned()).await {
                Ok(Ok(slot)) => slot,
                Ok(Err(_)) => return Err(WriteError::Stopped),
                Err(_) => return Err(WriteError::Overloaded),
            },
        };
        let (reply, answer) = oneshot::channel();
        // The semaphore is the bound of the queue; the mailbox itself never refuses.
        self.addr.do_send(Enqueue(Box::new(TypedJob { limits, run: Some(job), result: None, reply, _slot: slot })));
        answer.await.unwrap_or(Err(WriteError::Stopped))
    }

    /// The position of the newest committed change.
    pub fn position(&self) -> Position {
        Position { epoch: self.shared.epoch.clone(), seq: Seq(self.shared.last.load(Ordering::Acquire)) }
    }

    /// Jobs waiting or running now.
    pub fn queued(&self) -> usize {
        self.queue - self.slots.available_permits().min(self.queue)
    }

    /// Asks the Writer to copy the rest of the write-ahead log between two transactions.
    pub(crate) fn checkpoint(&self) {
        self.addr.do_send(Checkpoint);
    }

    /// Lets everything queued finish, then stops the Writer and closes its connection.
    pub async fn stop(&self) {
        self.slots.close();
        let _ = self.addr.send(Stop).await;
    }
}

/// See the module's documentation.
pub struct Writer {
    conn: Connection,
    limits: WriterLimits,
    /// Jobs received and not yet run. The mailbox is drained into it before each transaction.
    waiting: VecDeque<Box<dyn Job>>,
    last: Seq,
    shared: Arc<Shared>,
    publish: Publish,
    deadline: Arc<Deadline>,
    /// True while a job runs: it may not end the transaction that it shares with others.
    in_job: Arc<AtomicBool>,
}

impl Writer {
    /// Starts the Writer on a thread of its own. The connection must be the only one that writes to its file; the
    /// change log's tables must exist. Its commits do not checkpoint: that is for [`crate::Checkpointer`].
    pub fn start(
        conn: Connection,
        limits: WriterLimits,
        publish: Publish,
    ) -> rusqlite::Result<(WriterHandle, Arbiter)> {
        let last = change_log::last(&conn)?;
        let shared = Arc::new(Shared { epoch: change_log::epoch(&conn)?, last: AtomicU64::new(last.0) });
        let deadline = Deadline::install(&conn)?;
        let in_job = guard_transactions(&conn)?;
        conn.set_prepared_statement_cache_capacity(256);
        conn.pragma_update(None, "wal_autocheckpoint", 0)?;

        let arbiter = Arbiter::new();
        let handle_shared = shared.clone();
        let addr = Writer::start_in_arbiter(&arbiter.handle(), move |ctx| {
            ctx.set_mailbox_capacity(limits.queue + 1);
            Writer { conn, limits, waiting: VecDeque::new(), last, shared, publish, deadline, in_job }
        });
        let handle = WriterHandle {
            addr,
            slots: Arc::new(Semaphore::new(limits.queue)),
            queue: limits.queue,
            wait: limits.wait,
            shared: handle_shared,
        };
        Ok((handle, arbiter))
    }

    /// One transaction: takes what waits, runs it, commits, answers, publishes.
    fn flush(&mut self) {
        if let Err(error) = self.conn.execute_batch("BEGIN IMMEDIATE") {
            return self.fail_waiting(error);
        }
        // Not before: a slow BEGIN must not leave a group without its first job.
        let started = Instant::now();
        let mut ended: Vec<(Box<dyn Job>, Option<Seq>)> = Vec::with_capacity(self.waiting.len());
        let mut changes: Vec<Change> = Vec::with_capacity(self.waiting.len());
        let mut effects: Vec<Effect> = Vec::new();
        let mut broken: Option<rusqlite::Error> = None;

        while ended.len() < self.limits.group_jobs && started.elapsed() < self.limits.group_time {
            let starts_anew = self.waiting.front().is_some_and(|job| job.limits().alone) && !ended.is_empty();
            let Some(mut job) = (if starts_anew { None } else { self.waiting.pop_front() }) else { break };
            let alone = job.limits().alone;
            match self.run_job(job.as_mut()) {
                Ok(Some(tx)) => {
                    let first = changes.len();
                    for change in tx.changes {
                        let seq = Seq(self.last.0 + changes.len() as u64 + 1);
                        changes.push(change.numbered(seq));
                    }
                    effects.extend(tx.effects);
                    let last = changes[first..].last().map(|change| change.seq);
                    ended.push((job, last));
                    if tx.ends_group {
                        break;
                    }
                }
                Ok(None) => ended.push((job, None)),
                Err(error) => {
                    ended.push((job, None));
                    broken = Some(error);
                    break;
                }
            }
            if alone {
                break;
            }
        }

        let committed = match broken {
            Some(error) => Err(error),
            None => changes
                .iter()
                .try_for_each(|change| change_log::append(&self.conn, change))
                .and_then(|()| self.conn.execute_batch("COMMIT")),
        };
        if let Err(error) = committed {
            log::error!("writer: the transaction of {} jobs was rolled back: {error}", ended.len());
            let _ = self.conn.execute_batch("ROLLBACK");
            let error = Arc::new(error);
            for (job, _) in ended {
                job.finish(Fate::Storage(error.clone()));
            }
            return;
        }

        for effect in effects {
            unbroken("an effect of a commit", effect);
        }
        self.last = Seq(self.last.0 + changes.len() as u64);
        self.shared.last.store(self.last.0, Ordering::Release);
        for (job, last) in ended {
            let position = last.map(|seq| Position { epoch: self.shared.epoch.clone(), seq });
            job.finish(Fate::Committed(position));
        }
        if !changes.is_empty() {
            let commit = Arc::new(Commit { changes, last: self.last });
            unbroken("publishing a commit", || (self.publish)(commit));
        }
    }

    /// Runs one job. `Ok(None)`: it failed and left nothing behind. `Err`: the transaction as a whole is lost.
    fn run_job(&self, job: &mut dyn Job) -> rusqlite::Result<Option<Tx<'_>>> {
        let limits = job.limits();
        let before = self.conn.total_changes();
        if !limits.single_statement {
            self.conn.prepare_cached("SAVEPOINT _hw_job")?.execute([])?;
        }
        let mut tx = Tx { conn: &self.conn, changes: Vec::new(), effects: Vec::new(), ends_group: false };
        // None for a time that is beyond what the clock can count.
        self.deadline.set(Instant::now().checked_add(limits.time));
        self.in_job.store(true, Ordering::Relaxed);
        let succeeded = catch_unwind(AssertUnwindSafe(|| job.run(&mut tx))).unwrap_or_else(|panic| {
            log::error!("writer: a job panicked: {}", panic_text(&*panic));
            false
        });
        self.in_job.store(false, Ordering::Relaxed);
        self.deadline.set(None);

        if self.conn.is_autocommit() {
            // SQLite ends the transaction by itself on a severe error (disk full, I/O): that was everybody's.
            return Err(lost_transaction());
        }
        match (limits.single_statement, succeeded) {
            (true, true) => Ok(Some(tx)),
            (true, false) if self.conn.total_changes() == before => Ok(None),
            (true, false) => Err(lost_transaction()),
            (false, true) => {
                self.conn.prepare_cached("RELEASE _hw_job")?.execute([])?;
                Ok(Some(tx))
            }
            (false, false) => {
                self.conn.execute_batch("ROLLBACK TO _hw_job; RELEASE _hw_job")?;
                Ok(None)
            }
        }
    }

    fn fail_waiting(&mut self, error: rusqlite::Error) {
        log::error!("writer: could not begin a transaction: {error}");
        let error = Arc::new(error);
        for job in self.waiting.drain(..) {
            job.finish(Fate::Storage(error.clone()));
        }
    }
}

/// Refuses the statements that begin or end a transaction, or a job's own savepoint, while the returned flag is set.
fn guard_transactions(conn: &Connection) -> rusqlite::Result<Arc<AtomicBool>> {
    let in_job = Arc::new(AtomicBool::new(false));
    let seen = in_job.clone();
    conn.authorizer(Some(move |context: AuthContext<'_>| match context.action {
        AuthAction::Transaction { .. } if seen.load(Ordering::Relaxed) => Authorization::Deny,
        AuthAction::Savepoint { savepoint_name: "_hw_job", .. } if seen.load(Ordering::Relaxed) => Authorization::Deny,
        _ => Authorization::Allow,
    }))?;
    Ok(in_job)
}

fn lost_transaction() -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(
        rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_ABORT),
        Some("a job ended or spoiled the transaction that it shared".into()),
    )
}

/// Runs what must not end the Writer, whatever happens in it.
fn unbroken(what: &str, run: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(run)) {
        log::error!("writer: {what} panicked: {}", panic_text(&*panic));
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

impl Actor for Writer {
    type Context = Context<Self>;
}

#[derive(Message)]
#[rtype(result = "()")]
struct Enqueue(Box<dyn Job>);

impl Handler<Enqueue> for Writer {
    type Result = ();

    fn handle(&mut self, Enqueue(job): Enqueue, ctx: &mut Context<Self>) {
        // The first job of a group asks for the flush; the mailbox is drained before the flush's turn comes.
        if self.waiting.is_empty() {
            ctx.notify(Flush);
        }
        self.waiting.push_back(job);
    }
}

#[derive(Message)]
#[rtype(result = "()")]
struct Flush;

impl Handler<Flush> for Writer {
    type Result = ();

    fn handle(&mut self, _: Flush, ctx: &mut Context<Self>) {
        self.flush();
        if !self.waiting.is_empty() {
            ctx.notify(Flush);
        }
    }
}

#[derive(Message)]
#[rtype(result = "()")]
struct Checkpoint;

impl Handler<Checkpoint> for Writer {
    type Result = ();

    fn handle(&mut self, _: Checkpoint, _: &mut Context<Self>) {
        if let Err(error) = checkpoint(&self.conn) {
            log::warn!("writer: the checkpoint failed: {error}");
        }
    }
}

#[derive(Message)]
#[rtype(result = "()")]
struct Stop;

impl Handler<Stop> for Writer {
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Context<Self>) {
        while !self.waiting.is_empty() {
            self.flush();
        }
        ctx.stop();
    }
}

#[cfg(test)]
mod tests;
