//! Headwater: a realtime-first backend in one binary and one SQLite file.
//!
//! The library is the server without its command line. `http` turns requests into typed values, the domain (`schema`,
//! `query`, `records`, `auth`, `realtime`) decides what they mean, and the actors of `headwater_actors` store and deliver.

pub mod app;
pub mod auth;
pub mod checks;
pub mod cli;
pub mod dates;
pub mod errors;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod generations;
pub mod hooks;
pub mod http;
pub mod json;
pub mod ops;
pub mod patterns;
pub mod query;
pub mod realtime;
pub mod records;
pub mod request;
pub mod schema;
