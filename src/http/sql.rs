//! `POST /api/sql` (superusers only).

use actix_web::{HttpRequest, HttpResponse, web};

use super::collections::read_query;
use super::{ApiError, answer, extract};
use crate::ops::sql_console::{self, ConsoleError};

pub fn configure(config: &mut web::ServiceConfig) {
    config.service(web::resource("/api/sql").route(web::post().to(run)));
}

async fn run(request: HttpRequest, payload: web::Payload) -> Result<HttpResponse, ApiError> {
    extract::require_superuser(&request)?;
    let query = read_query(&request, payload).await?;
    let outcome = sql_console::run(extract::app(&request), query).await.map_err(|error| match error {
        ConsoleError::Failed(reason) => ApiError::bad_request(format!("Failed to execute query. Raw error:\n{reason}")),
        ConsoleError::Overloaded => ApiError::overloaded(),
        ConsoleError::Internal(cause) => ApiError::internal(cause),
    })?;
    answer::json(&outcome)
}
