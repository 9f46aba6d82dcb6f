//! Logging in, refreshing and everything else about auth collections.

use actix_web::web;

pub fn configure(_config: &mut web::ServiceConfig) {}
