//! From a request to typed values: its body, its caller, and what rules may know of it.

use actix_web::{HttpRequest, web};
use bytes::Bytes;
use serde_json::{Map, Value as Json};

use super::ApiError;
use crate::app::App;
use crate::request::{Caller, Context, RequestInfo};

/// A request's body, whatever its content type was (records.md §5).
#[derive(Clone, Debug, Default)]
pub struct Body {
    pub values: Map<String, Json>,
    pub files: Vec<Upload>,
}

/// An uploaded file of a multipart body.
#[derive(Clone, Debug)]
pub struct Upload {
    /// The part's name: a file field, maybe with a modifier.
    pub key: String,
    /// The name that the client gave the file.
    pub name: String,
    pub content: Bytes,
}

/// The app that serves this request.
pub fn app(request: &HttpRequest) -> &App {
    request.app_data::<web::Data<App>>().expect("every server is built with its app").get_ref()
}

/// Who asks. Set by the auth middleware; an invalid token is a guest.
pub fn caller(request: &HttpRequest) -> Caller {
    todo!("{request:?}")
}

/// 401 for guests, 403 for other records than superusers.
pub fn require_superuser(request: &HttpRequest) -> Result<(), ApiError> {
    todo!("{request:?}")
}

/// Reads the body of up to `limit` bytes: JSON, multipart or urlencoded; none at all is an empty object.
pub async fn body(request: &HttpRequest, payload: web::Payload, limit: usize) -> Result<Body, ApiError> {
    let _ = payload;
    todo!("{request:?} {limit}")
}

/// The request as rules see it, with an empty body.
pub fn info(request: &HttpRequest, context: Context) -> RequestInfo {
    todo!("{request:?} {context:?}")
}

/// First value of each query parameter, decoded.
pub fn query(request: &HttpRequest) -> std::collections::BTreeMap<String, String> {
    todo!("{request:?}")
}
