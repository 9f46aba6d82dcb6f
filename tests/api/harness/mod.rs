//! What every API test stands on: a server process on a temporary directory, a small HTTP client, a reader of event
//! streams. All of it blocks and uses the standard library, so that a test is a straight line and a hung server shows as
//! a failed read, never as a hung test.

// A module of tests uses a part of this; the whole is one interface.
#![allow(dead_code, unused_imports)]

mod embedded;
mod events;
mod http;
mod server;
mod socket;

pub use embedded::Embedded;
pub use events::{Event, Stream};
pub use http::{Answer, Client, Multipart, Session, query, raw};
pub use server::{Directory, Program, Server};
pub use socket::Socket;

/// The superuser of every directory that the harness makes.
pub const SUPERUSER: (&str, &str) = ("a@example.com", "1234567890");

/// How long a test waits for bytes that must come before it fails. Never part of what is asserted.
pub const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

/// Asks until the answer is yes. For what happens by itself, at a moment that nobody is told of.
#[track_caller]
pub fn eventually(what: &str, mut happened: impl FnMut() -> bool) {
    let begin = std::time::Instant::now();
    while !happened() {
        assert!(begin.elapsed() < PATIENCE, "{what}: not in time");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}
