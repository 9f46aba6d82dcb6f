//! The collections API (superusers only).

use actix_web::web;

pub fn configure(_config: &mut web::ServiceConfig) {}
