//! Operations: the data directory, settings, and what keeps a server running.

pub mod cron;
pub mod data_dir;
pub mod math_functions;
pub mod metrics;
pub mod own_settings;
pub mod rate_limits;
pub mod seal;
pub mod settings;
pub mod sql_console;
pub mod subnet;
