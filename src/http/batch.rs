//! `POST /api/batch`: several record writes in one transaction.

use actix_web::web;

pub fn configure(_config: &mut web::ServiceConfig) {}
