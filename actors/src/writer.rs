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
//! * A change of the file that was not made here begins a new epoch, with the next transaction at the latest.
//! * Nothing waits here without a bound: beyond the queue's length callers wait outside, and only for a while.

mod counts;
mod guard;
mod handle;
mod job;

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use rusqlite::Connection;
use tokio::sync::Semaphore;

pub use counts::{TIME_BOUNDS, WriterCounts};
use guard::Guard;
use handle::Shared;
pub use handle::WriterHandle;
pub use job::{Done, JobLimits, Tx, WriteError};
use job::{Effect, Fate, Job};

use crate::checkpoint::checkpoint;
use crate::deadline::Deadline;
use crate::foreign::ForeignWrites;
use crate::{Action, Change, Commit, NewChange, Position, Seq, change_log};

/// Who hears of what the Writer did. Called on the Writer's thread, in the order in which it happened; must be quick.
pub trait Downstream: Send {
    /// A transaction was committed, and its jobs are not answered yet: whatever is kept of the database may not be older
    /// than an answer. `more`: something was written beside these changes.
    fn committed(&mut self, _: &Arc<Commit>, _more: bool) {}

    /// Changes were committed, and their jobs answered.
    fn commit(&mut self, commit: Arc<Commit>);

    /// Another program wrote to the file. Called inside the transaction that begins a new epoch for it, before any job
    /// of the transaction: the place to read again what is kept in memory.
    fn overwritten(&mut self, _: &Connection) {}

    /// No change up to this one is told again to those who come back. Called before the job is answered: who made it may
    /// come back at once.
    fn expired(&mut self, _: Seq) {}

    /// A new epoch began after this position: every commit that follows belongs to it, every one before did not.
    fn new_epoch(&mut self, _: Position) {}
}

impl<F: FnMut(Arc<Commit>) + Send> Downstream for F {
    fn commit(&mut self, commit: Arc<Commit>) {
        self(commit);
    }
}

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

/// See the module's documentation.
pub struct Writer {
    conn: Connection,
    limits: WriterLimits,
    /// Jobs received and not yet run. The mailbox is drained into it before each transaction.
    waiting: VecDeque<Box<dyn Job>>,
    /// The epoch, and the last number given out.
    position: Position,
    shared: Arc<Shared>,
    downstream: Box<dyn Downstream>,
    deadline: Arc<Deadline>,
    guard: Arc<Guard>,
    /// None where nobody else can write.
    foreign: Option<ForeignWrites>,
    /// Another program wrote, and no epoch began for it yet.
    overwritten: bool,
}

/// What the jobs of one transaction did.
#[derive(Default)]
struct Group {
    ended: Vec<(Box<dyn Job>, Option<Seq>)>,
    changes: Vec<Change>,
    effects: Vec<Effect>,
    ends_epoch: bool,
    /// A job wrote what is no change of a record, or did not say which it changed.
    more: bool,
    expires_history: bool,
}

impl Writer {
    /// How often commits of other programs are looked for while there is nothing to do.
    const LOOK: Duration = Duration::from_secs(1);

    /// Starts the Writer on a thread of its own. The connection must be the only one of this process that writes to its
    /// file; the change log's tables must exist. Its commits do not checkpoint: that is for [`crate::Checkpointer`].
    ///
    /// Other programs' commits are noticed from here on: what is read from the file later than this is up to date, or
    /// [`Downstream::overwritten`] is called.
    pub fn start(
        conn: Connection,
        limits: WriterLimits,
        downstream: Box<dyn Downstream>,
    ) -> rusqlite::Result<(WriterHandle, Arbiter)> {
        // Before the hook that counts commits: both use the same one.
        conn.pragma_update(None, "wal_autocheckpoint", 0)?;
        let foreign = ForeignWrites::watch(&conn)?;
        let position = Position { epoch: change_log::epoch(&conn)?, seq: change_log::last(&conn)? };
        let shared = Arc::new(Shared::new(position.clone(), change_log::oldest(&conn)?));
        let deadline = Deadline::install(&conn)?;
        let guard = Guard::install(&conn)?;
        conn.set_prepared_statement_cache_capacity(256);

        let arbiter = Arbiter::new();
        let handle_shared = shared.clone();
        let addr = Writer::start_in_arbiter(&arbiter.handle(), move |ctx| {
            ctx.set_mailbox_capacity(limits.queue + 1);
            Writer {
                conn,
                limits,
                waiting: VecDeque::new(),
                position,
                shared,
                downstream,
                deadline,
                guard,
                foreign,
                overwritten: false,
            }
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
        let started = Instant::now();
        if let Err(error) = self.conn.execute_batch("BEGIN IMMEDIATE") {
            return self.fail_waiting(error);
        }
        let begun = match self.follow_foreign_writes() {
            Ok(begun) => begun,
            Err(error) => {
                let _ = self.conn.execute_batch("ROLLBACK");
                return self.fail_waiting(error);
            }
        };
        let from = begun.as_ref().map_or(self.position.seq, |start| start.seq);
        let (group, broken) = self.run_group(from);
        let committed = match broken {
            Some(error) => Err(error),
            None => self.commit(&group, from),
        };
        if let Some(foreign) = &mut self.foreign {
            foreign.ended();
        }
        let ended = match committed {
            Ok(ended) => ended,
            Err(error) => {
                log::error!("writer: the transaction of {} jobs was rolled back: {error}", group.ended.len());
                let _ = self.conn.execute_batch("ROLLBACK");
                let error = Arc::new(error);
                group.ended.into_iter().for_each(|(job, _)| job.finish(Fate::Storage(error.clone())));
                return;
            }
        };
        let (jobs, changes) = (group.ended.len(), group.changes.len());
        self.tell(group, begun, ended);
        self.shared.counters.committed(jobs, changes, started.elapsed());
    }

    /// Begins a new epoch if another program wrote since the last transaction, and returns its start.
    fn follow_foreign_writes(&mut self) -> rusqlite::Result<Option<Position>> {
        if let Some(foreign) = &mut self.foreign
            && foreign.are_there()
            && foreign.take(&self.conn)
        {
            // Until it is committed: the transaction may yet fail.
            self.overwritten = true;
        }
        if !self.overwritten {
            return Ok(None);
        }
        // They may have been dropped.
        change_log::create_tables(&self.conn)?;
        let start = self.position.seq.max(change_log::last(&self.conn)?);
        let start = Position { epoch: change_log::begin_epoch(&self.conn, start)?, seq: start };
        unbroken("reading anew what was overwritten", || self.downstream.overwritten(&self.conn));
        Ok(Some(start))
    }

    /// Runs what waits, and numbers the changes after `from`. With an error the transaction as a whole is lost.
    fn run_group(&mut self, from: Seq) -> (Group, Option<rusqlite::Error>) {
        let started = Instant::now();
        let mut group = Group::default();
        while group.ended.len() < self.limits.group_jobs && started.elapsed() < self.limits.group_time {
            let starts_anew = self.waiting.front().is_some_and(|job| job.limits().alone) && !group.ended.is_empty();
            let Some(mut job) = (if starts_anew { None } else { self.waiting.pop_front() }) else { break };
            let alone = job.limits().alone;
            let before = self.conn.total_changes();
            match self.run_job(job.as_mut()) {
                Ok(Some(tx)) => {
                    let first = group.changes.len();
                    let rows = self.conn.total_changes() - before;
                    // A trigger may have written, too, or have kept a row from being written.
                    let has_row =
                        |change: &&NewChange| change.action != Action::Update || change.before != change.after;
                    let told = tx.changes.iter().filter(has_row).count();
                    group.more |= !tx.is_own && (tx.changes.is_empty() || tx.ends_epoch || rows != told as u64);
                    for change in tx.changes {
                        let seq = Seq(from.0 + group.changes.len() as u64 + 1);
                        group.changes.push(change.numbered(seq));
                    }
                    group.effects.extend(tx.effects);
                    group.ends_epoch |= tx.ends_epoch;
                    group.expires_history |= tx.expires_history;
                    let last = group.changes[first..].last().map(|change| change.seq);
                    group.ended.push((job, last));
                    if tx.ends_group {
                        break;
                    }
                }
                Ok(None) => group.ended.push((job, None)),
                Err(error) => {
                    group.ended.push((job, None));
                    return (group, Some(error));
                }
            }
            if alone {
                break;
            }
        }
        (group, None)
    }

    /// Writes the log and commits. Returns the start of the epoch that begins with the next transaction, if one does.
    fn commit(&self, group: &Group, from: Seq) -> rusqlite::Result<Option<Position>> {
        group.changes.iter().try_for_each(|change| change_log::append(&self.conn, change))?;
        let last = group.changes.last().map_or(from, |change| change.seq);
        let next = if group.ends_epoch {
            Some(Position { epoch: change_log::begin_epoch(&self.conn, last)?, seq: last })
        } else {
            None
        };
        if group.expires_history && next.is_none() {
            change_log::expire(&self.conn, last)?;
        }
        self.conn.execute_batch("COMMIT")?;
        Ok(next)
    }

    /// After the commit: everybody is told, in the order of what happened. `begun` is the epoch that the transaction
    /// began with, `next` the one that begins after it.
    fn tell(&mut self, group: Group, begun: Option<Position>, next: Option<Position>) {
        let Group { ended, changes, effects, more, expires_history, .. } = group;
        if let Some(start) = &begun {
            self.overwritten = false;
            self.position = start.clone();
            self.shared.begin_epoch(start);
        }
        let expired = expires_history.then(|| changes.last().map_or(self.position.seq, |change| change.seq));
        if let Some(through) = expired {
            // Before the effects, which replace what is known of the log's rows: see `Tx::expire_history`.
            self.shared.expire(through);
        }
        for effect in effects {
            unbroken("an effect of a commit", effect);
        }
        if let Some(change) = changes.last() {
            self.position.seq = change.seq;
            self.shared.advance(change.seq);
        }
        let epoch = self.position.epoch.clone();
        let last = self.position.seq;
        if let Some(start) = &next {
            self.position = start.clone();
            self.shared.begin_epoch(start);
        }
        if let Some(through) = expired {
            unbroken("telling of an expired past", || self.downstream.expired(through));
        }
        let more = more || begun.is_some();
        let commit = Arc::new(Commit { changes, last });
        unbroken("telling of a transaction", || self.downstream.committed(&commit, more));
        for (job, last) in ended {
            job.finish(Fate::Committed(last.map(|seq| Position { epoch: epoch.clone(), seq })));
        }
        if let Some(start) = begun {
            unbroken("telling of a new epoch", || self.downstream.new_epoch(start));
        }
        if !commit.changes.is_empty() {
            unbroken("publishing a commit", || self.downstream.commit(commit));
        }
        if let Some(start) = next {
            unbroken("telling of a new epoch", || self.downstream.new_epoch(start));
        }
    }

    /// Runs one job. `Ok(None)`: it failed and left nothing behind. `Err`: the transaction as a whole is lost.
    fn run_job(&self, job: &mut dyn Job) -> rusqlite::Result<Option<Tx<'_>>> {
        let limits = job.limits();
        let before = self.conn.total_changes();
        if !limits.single_statement {
            self.conn.prepare_cached("SAVEPOINT _hw_job")?.execute([])?;
        }
        let mut tx = Tx::new(&self.conn, &self.guard);
        // None for a time that is beyond what the clock can count.
        self.deadline.set(Instant::now().checked_add(limits.time));
        self.guard.enter_job();
        let succeeded = catch_unwind(AssertUnwindSafe(|| job.run(&mut tx))).unwrap_or_else(|panic| {
            log::error!("writer: a job panicked: {}", panic_text(&*panic));
            false
        });
        self.guard.leave_job();
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

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.run_interval(Self::LOOK, |writer, _| {
            // Otherwise the next transaction finds them.
            if writer.waiting.is_empty() && writer.foreign.as_ref().is_some_and(ForeignWrites::are_there) {
                writer.flush();
            }
        });
    }
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
