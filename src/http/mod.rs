//! The HTTP API: a file per area. Handlers turn requests into typed values, call the domain and answer; they decide
//! nothing themselves.

pub mod auth;
pub mod batch;
mod body;
pub mod collections;
pub mod error;
pub mod extract;
pub mod health;
pub mod middleware;
pub mod realtime;
pub mod records;
pub mod settings;
pub mod static_files;

use actix_web::web;

pub use error::ApiError;

/// All routes.
pub fn configure(config: &mut web::ServiceConfig) {
    health::configure(config);
    realtime::configure(config);
    settings::configure(config);
    batch::configure(config);
    collections::configure(config);
    auth::configure(config);
    records::configure(config);
    static_files::configure(config);
}
