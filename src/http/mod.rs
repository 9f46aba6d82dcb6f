//! The HTTP API: a file per area. Handlers turn requests into typed values, call the domain and answer; they decide
//! nothing themselves.

pub mod answer;
pub mod auth;
mod auth_answer;
pub mod batch;
mod body;
pub mod collections;
pub mod error;
pub mod extract;
pub mod health;
#[cfg(test)]
mod hook_tests;
mod json_weight;
pub mod limits;
pub mod metrics;
pub mod middleware;
pub mod oauth2_redirect;
pub mod real_ip;
pub mod realtime;
pub mod records;
pub mod server;
pub mod settings;
mod socket;
pub mod sql;
pub mod static_files;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::web;

#[cfg(any(test, fuzzing))]
pub(crate) use body::parse_json;
pub use error::ApiError;

use crate::app::App;

/// The service of one worker: all routes behind the layer that every request passes.
pub fn service(
    app: App,
) -> actix_web::App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody>,
        Error = actix_web::Error,
        InitError = (),
    >,
> {
    let origins = middleware::Origins::new(app.config.origins.clone());
    actix_web::App::new()
        .app_data(web::Data::new(app.clone()))
        .configure(configure)
        .wrap(middleware::Pipeline::new(app, origins))
}

/// All routes, and how what none of them understands is answered.
pub fn configure(config: &mut web::ServiceConfig) {
    error::configure(config);
    // Routes are tried one after the other: first those that are asked most.
    records::configure(config);
    auth::configure(config);
    realtime::configure(config);
    batch::configure(config);
    health::configure(config);
    metrics::configure(config);
    oauth2_redirect::configure(config);
    settings::configure(config);
    collections::configure(config);
    sql::configure(config);
    static_files::configure(config);
}
