//! `/api/realtime`: the stream of changes over SSE.

use actix_web::web;

pub fn configure(_config: &mut web::ServiceConfig) {}
