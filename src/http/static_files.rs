//! The page below `/_/`, and the public directory.

use actix_web::web;

pub fn configure(_config: &mut web::ServiceConfig) {}
