//! The way to the Writer, and what may be known of it without asking.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use actix::prelude::*;
use tokio::sync::Semaphore;

use super::counts::{Counters, WriterCounts};
use super::job::{self, Answer, Done, JobLimits, Tx, WriteError};
use super::{Checkpoint, Enqueue, Stop, Writer};
use crate::{Epoch, Position, Seq, change_log};

/// The way to the Writer: cheap to clone, usable from any thread.
#[derive(Clone)]
pub struct WriterHandle {
    pub(super) addr: Addr<Writer>,
    pub(super) slots: Arc<Semaphore>,
    pub(super) queue: usize,
    pub(super) wait: Duration,
    pub(super) shared: Arc<Shared>,
}

/// What others may read of the Writer without asking it.
pub(super) struct Shared {
    /// Locked while the number is read, so that the two always belong together.
    epoch: RwLock<Epoch>,
    last: AtomicU64,
    /// The oldest change of this epoch that the log keeps, or the next to come.
    oldest: AtomicU64,
    pub(super) counters: Counters,
}

impl Shared {
    pub(super) fn new(Position { epoch, seq }: Position, oldest: Seq) -> Shared {
        Shared {
            epoch: RwLock::new(epoch),
            last: AtomicU64::new(seq.0),
            oldest: AtomicU64::new(oldest.0),
            counters: Counters::default(),
        }
    }

    /// Changes were committed.
    pub(super) fn advance(&self, last: Seq) {
        self.last.store(last.0, Ordering::Release);
    }

    /// Changes up to this one are not told again.
    pub(super) fn expire(&self, through: Seq) {
        self.oldest.fetch_max(through.next().0, Ordering::AcqRel);
    }

    /// Another epoch began after `start`.
    pub(super) fn begin_epoch(&self, start: &Position) {
        let mut epoch = self.epoch.write().unwrap_or_else(PoisonError::into_inner);
        *epoch = start.epoch.clone();
        self.last.store(start.seq.0, Ordering::Release);
        self.oldest.store(start.seq.next().0, Ordering::Release);
    }
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
        let (job, answer) = job::job(limits, Some(slot), job);
        // The semaphore is the bound of the queue; the mailbox itself never refuses.
        self.addr.do_send(Enqueue(job));
        answer.await.unwrap_or(Err(WriteError::Stopped))
    }

    /// The position of the newest committed change.
    pub fn position(&self) -> Position {
        let epoch = self.shared.epoch.read().unwrap_or_else(PoisonError::into_inner);
        let seq = Seq(self.shared.last.load(Ordering::Acquire));
        Position { epoch: epoch.clone(), seq }
    }

    /// The oldest change of this epoch that the log keeps; the next to come where it keeps none. All after position N of
    /// the epoch are there if this is at most N + 1.
    pub fn oldest(&self) -> Seq {
        Seq(self.shared.oldest.load(Ordering::Acquire))
    }

    /// Jobs waiting or running now.
    pub fn queued(&self) -> usize {
        self.queue - self.slots.available_permits().min(self.queue)
    }

    /// What the Writer has done since it began.
    pub fn counts(&self) -> WriterCounts {
        self.shared.counters.read()
    }

    /// Takes the changes up to this one out of the log, in the next transaction. Never waits for a place in the queue:
    /// its only caller waits for one answer before it asks again.
    pub(crate) fn prune(&self, through: Seq) -> Answer<(), rusqlite::Error> {
        let shared = self.shared.clone();
        let (job, answer) = job::job(JobLimits::ONE, None, move |tx| {
            tx.is_own = true;
            change_log::prune(tx.conn(), through)?;
            tx.after_commit(move || shared.expire(through));
            Ok(())
        });
        self.addr.do_send(Enqueue(job));
        answer
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
