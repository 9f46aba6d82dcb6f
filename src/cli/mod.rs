//! The command line, a file per command.
//!
//! Errors go to standard error and the exit code tells: 0 for success, 1 for an error, 2 for a wrong call.

mod passwords;
mod serve;
mod superuser;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::app::Config;

/// A realtime-first backend in one binary and one SQLite file.
#[derive(Parser)]
#[command(name = "headwater", version, disable_help_subcommand = true)]
struct Cli {
    /// The data directory; created if it does not exist
    #[arg(long, global = true, default_value = "pb_data", value_name = "DIR")]
    dir: PathBuf,

    /// Seconds after which a query is interrupted
    #[arg(long = "queryTimeout", global = true, default_value_t = 30, value_name = "SECONDS")]
    query_timeout: u64,

    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Starts the server
    Serve(serve::Options),
    /// Says how new password hashes are made
    Passwords(passwords::Options),
    /// Manages the accounts that may do everything
    #[command(subcommand)]
    Superuser(superuser::Command),
}

/// Runs the command of this process's arguments.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn")).init();
    let config = Config { dir: cli.dir, query_timeout: Duration::from_secs(cli.query_timeout), origins: Vec::new() };
    let result = match cli.command {
        Command::Serve(options) => serve::run(config, options),
        Command::Passwords(options) => passwords::run(config, options),
        Command::Superuser(command) => superuser::run(config, command),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("Error: {error}");
            ExitCode::FAILURE
        }
    }
}
