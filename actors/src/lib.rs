//! The actors that Headwater is made of.
//!
//! This crate knows connections, jobs, sequence numbers, changes, topics and frames. It has never heard of
//! collections, rules or HTTP: the domain hands it closures to run and subjects to name.
//!
//! * [`writer`]: the one owner of the read-write connection. It groups jobs into commits and numbers every change.
//! * [`readers`]: a fixed set of threads with read-only connections.
//! * [`change_log`]: the table that makes the order of changes durable.
//! * [`recent`]: the newest changes, in memory.
//! * [`pruner`]: keeps the change log within its bounds.
//! * [`checkpoint`]: moves the write-ahead log back, off the Writer's thread.
//! * [`hub`] and [`subscription`]: who hears of a change, one hub per worker thread, one subscription per client.
//! * [`connection`]: the actor of one client, which owns its socket; [`wire`]: what messages look like on it.

pub mod change;
pub mod change_log;
pub mod checkpoint;
pub mod connection;
mod deadline;
mod foreign;
pub mod hub;
pub mod pruner;
pub mod readers;
pub mod recent;
pub mod seq;
pub mod subscription;
#[cfg(test)]
mod testing;
pub mod topic;
pub mod wire;
pub mod writer;

pub use change::{Action, Change, Commit, NewChange, Row, Subject};
pub use checkpoint::Checkpointer;
pub use deadline::is_overdue;
pub use pruner::Pruner;
pub use readers::{ReadError, Readers};
pub use recent::Recent;
pub use seq::{Epoch, Position, Seq};
pub use writer::{Done, Downstream, JobLimits, Tx, WriteError, WriterHandle};

/// A value as SQLite stores it. Records, changes and query parameters all speak of these.
pub use rusqlite::types::Value;
