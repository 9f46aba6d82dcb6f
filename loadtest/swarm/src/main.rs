//! `swarm`: one small process that plays thousands of clients against a server that speaks PocketBase's API, and says
//! what it saw: rates, latencies, memory and CPU of the server, order and loss of events.
//!
//! One thread and one epoll set drive everything, because on a small machine every cycle of the generator is taken from
//! what it measures. A command prints one JSON line to stdout and one line for people to stderr.

mod api;
mod audience;
mod client;
mod commands;
mod compare;
mod connection;
mod crowd;
mod events;
mod fanout;
mod fixture;
mod floor;
mod hold;
mod http;
mod latency;
mod ledger;
mod operation;
mod options;
mod process;
mod request;
mod response;
mod restart;
mod scenario;
mod scene;
mod server;
mod soak;
mod socket;
mod stall;
mod table;
mod websocket;
mod wire;
mod writers;

/// A run either completes or stops with a sentence for the person who started it; nobody handles the kinds apart.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> std::process::ExitCode {
    match commands::run(std::env::args().skip(1).collect()) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("swarm: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}
