//! Errors as clients see them: `{"data":{…},"message":"…","status":…}`. The one place where they become responses.

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, ResponseError, web};
use serde_json::{Value as Json, json};

use crate::errors::{Errors, sentence};
use crate::records::RecordError;

/// An error answer.
#[derive(Clone, Debug)]
pub struct ApiError {
    pub status: StatusCode,
    /// Made a sentence when it is answered; empty for the status's generic one.
    pub message: String,
    /// What stands under `data`: an object.
    pub data: Json,
    /// Seconds for `Retry-After`, where trying again makes sense.
    pub retry_after: Option<u32>,
}

impl ApiError {
    pub fn new(status: StatusCode, message: impl Into<String>) -> ApiError {
        ApiError { status, message: message.into(), data: json!({}), retry_after: None }
    }

    pub fn bad_request(message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::BAD_REQUEST, message)
    }

    pub fn unauthorized(message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::UNAUTHORIZED, message)
    }

    pub fn forbidden(message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::FORBIDDEN, message)
    }

    pub fn not_found(message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::NOT_FOUND, message)
    }

    /// 500. The cause is for the log, never for the client.
    pub fn internal(cause: impl std::fmt::Display) -> ApiError {
        log::error!("internal error: {cause}");
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "")
    }

    /// 503: a queue is full. Nothing was stored.
    pub fn overloaded() -> ApiError {
        let message = "The server is busy. Nothing was stored, please try again.";
        ApiError { retry_after: Some(1), ..ApiError::new(StatusCode::SERVICE_UNAVAILABLE, message) }
    }

    /// What a handler of a hook stopped the request with: its own answer, if it gave one.
    pub fn of_handler(error: Box<dyn std::error::Error + Send + Sync>) -> ApiError {
        let error = match error.downcast::<ApiError>() {
            Ok(error) => return *error,
            Err(error) => error,
        };
        match error.downcast::<RecordError>() {
            Ok(error) => (*error).into(),
            Err(error) => {
                log::debug!("a handler stopped the request: {error}");
                ApiError::bad_request("")
            }
        }
    }

    pub fn with_errors(self, errors: &Errors) -> ApiError {
        ApiError { data: errors.to_json(), ..self }
    }

    /// With this message, unless it has one of its own already or is not about the request's content.
    pub fn or_message(self, message: &str) -> ApiError {
        if self.message.is_empty() && self.status == StatusCode::BAD_REQUEST {
            return ApiError { message: message.to_owned(), ..self };
        }
        self
    }

    /// The body as JSON.
    pub fn to_json(&self) -> Json {
        let message = if self.message.is_empty() { generic_message(self.status) } else { &self.message };
        json!({ "data": self.data, "message": sentence(message), "status": self.status.as_u16() })
    }
}

fn generic_message(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => "Missing or invalid authentication.",
        StatusCode::FORBIDDEN => "You are not allowed to perform this request.",
        StatusCode::NOT_FOUND => "The requested resource wasn't found.",
        StatusCode::PAYLOAD_TOO_LARGE => "Request entity too large.",
        StatusCode::TOO_MANY_REQUESTS => "Too Many Requests.",
        _ => "Something went wrong while processing your request.",
    }
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.status, self.message)
    }
}

impl std::error::Error for ApiError {}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        if let Some(seconds) = self.retry_after {
            response.insert_header((header::RETRY_AFTER, seconds.to_string()));
        }
        response.content_type("application/json").body(format!("{}\n", self.to_json()))
    }
}

/// Routes of no match, and arguments that actix itself could not read.
pub(super) fn configure(config: &mut web::ServiceConfig) {
    config
        .app_data(web::PathConfig::default().error_handler(|_, _| ApiError::not_found("").into()))
        .app_data(web::QueryConfig::default().error_handler(|_, _| ApiError::bad_request("").into()))
        .default_service(web::to(no_route));
}

async fn no_route(request: HttpRequest) -> ApiError {
    match request.path() {
        path if path == "/api" || path.starts_with("/api/") => ApiError::not_found(""),
        _ => ApiError::not_found("File not found."),
    }
}

impl actix_web::Responder for ApiError {
    type Body = actix_web::body::BoxBody;

    fn respond_to(self, _: &HttpRequest) -> HttpResponse {
        self.error_response()
    }
}

impl From<headwater_actors::ReadError> for ApiError {
    fn from(error: headwater_actors::ReadError) -> ApiError {
        match error {
            headwater_actors::ReadError::Overloaded => ApiError::overloaded(),
            error => ApiError::internal(error),
        }
    }
}

/// A write that was refused answers as its job says.
impl<E: Into<ApiError>> From<headwater_actors::WriteError<E>> for ApiError {
    fn from(error: headwater_actors::WriteError<E>) -> ApiError {
        match error {
            headwater_actors::WriteError::Job(error) => error.into(),
            headwater_actors::WriteError::Overloaded => ApiError::overloaded(),
            headwater_actors::WriteError::Panicked => ApiError::internal("a write panicked"),
            headwater_actors::WriteError::Storage(error) => ApiError::internal(error),
            headwater_actors::WriteError::Stopped => ApiError::internal("the server is stopping"),
        }
    }
}

impl From<rusqlite::Error> for ApiError {
    fn from(error: rusqlite::Error) -> ApiError {
        ApiError::internal(error)
    }
}
