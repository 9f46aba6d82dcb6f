//! Successful answers: JSON that ends with a newline, or nothing.

use actix_web::HttpResponse;
use serde::Serialize;
use serde_json::Value as Json;

use super::ApiError;
use crate::records::pick::Fields;

/// 200 with this value, its keys in the value's own order.
pub fn json(value: &impl Serialize) -> Result<HttpResponse, ApiError> {
    serde_json::to_vec(value).map(bytes).map_err(ApiError::internal)
}

/// 200 with the part of this value that the `fields` parameter asks for; all of it if it does not stand in the query.
pub fn picked(value: &impl Serialize, fields: Option<&str>) -> Result<HttpResponse, ApiError> {
    let Some(fields) = fields.filter(|text| !text.is_empty()) else { return json(value) };
    // Clients know a parameter that makes no sense by an empty answer.
    let Ok(fields) = Fields::parse(fields) else { return Ok(bytes_or_nothing(Vec::new())) };
    json(&fields.apply(serde_json::to_value(value).map_err(ApiError::internal)?))
}

/// 200 with JSON that is written already.
pub fn bytes(mut json: Vec<u8>) -> HttpResponse {
    json.push(b'\n');
    HttpResponse::Ok().content_type("application/json").body(json)
}

/// As [`bytes`]; a body without a byte where nothing was picked.
pub fn bytes_or_nothing(json: Vec<u8>) -> HttpResponse {
    if json.is_empty() { HttpResponse::Ok().finish() } else { bytes(json) }
}

/// 204.
pub fn nothing() -> HttpResponse {
    HttpResponse::NoContent().finish()
}

/// An answer of another status than 200.
pub fn json_with_status(status: actix_web::http::StatusCode, value: &Json) -> HttpResponse {
    HttpResponse::build(status).content_type("application/json").body(format!("{value}\n"))
}
