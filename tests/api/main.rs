//! The API over HTTP, against the real binary: a module per area, one test binary for all of them.
//!
//! A test starts its own server on a directory of its own (see [`harness`]) and reads like the specification: a case is
//! data, its name a sentence. Nothing sleeps to wait for something, and nothing asserts how long something took.

mod auth;
mod bad_input;
mod change_log;
mod collections;
mod crash;
mod defects;
mod directory;
mod epochs;
mod harness;
mod history;
mod own_settings;
mod query;
mod realtime;
mod records;
mod serve;
mod slow_filters;
mod twins;
