//! From a request to typed values: its body, its caller, and what rules may know of it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use actix_web::{HttpMessage, HttpRequest, web};
use serde_json::Map;

pub use super::body::{Body, Upload};
use super::{ApiError, real_ip};
use crate::app::App;
use crate::ops::settings::Settings;
use crate::request::{Caller, Context, Headers, RequestInfo};

/// Bytes of a body that has no larger allowance of its own.
pub const DEFAULT_BODY_LIMIT: usize = 32 << 20;

/// The app that serves this request.
pub fn app(request: &HttpRequest) -> &App {
    request.app_data::<web::Data<App>>().expect("every server is built with its app").get_ref()
}

/// Marks a HEAD request, which the routes see as a GET.
#[derive(Clone, Copy)]
pub(crate) struct Head;

/// True if only the headers of the answer will be sent. Matters to answers that would never end.
pub fn is_head(request: &HttpRequest) -> bool {
    request.extensions().contains::<Head>()
}

/// Who asks. Set by the request pipeline; an invalid token is a guest.
pub fn caller(request: &HttpRequest) -> Caller {
    request.extensions().get::<Caller>().cloned().unwrap_or_default()
}

/// 401 for guests; the caller otherwise.
pub fn require_auth(request: &HttpRequest) -> Result<Caller, ApiError> {
    let caller = caller(request);
    if caller.is_guest() {
        return Err(ApiError::unauthorized("The request requires valid record authorization token."));
    }
    Ok(caller)
}

/// 401 for guests, 403 for other records than superusers.
pub fn require_superuser(request: &HttpRequest) -> Result<(), ApiError> {
    if require_auth(request)?.is_superuser() {
        return Ok(());
    }
    Err(ApiError::forbidden("The authorized record is not allowed to perform this action."))
}

/// Where the request comes from, as the trusted proxy's headers say; empty if nobody knows.
pub fn real_ip(request: &HttpRequest) -> String {
    address(request, &app(request).settings.current()).map(real_ip::expanded).unwrap_or_default()
}

/// True if superusers may come from where the request comes from.
pub fn admits_superuser(request: &HttpRequest) -> bool {
    let settings = app(request).settings.current();
    settings.superuser_ips.is_empty() || settings.admits_superuser(address(request, &settings))
}

fn address(request: &HttpRequest, settings: &Settings) -> Option<IpAddr> {
    let peer = request.peer_addr().map(|address| address.ip());
    real_ip::real_ip(request.headers(), peer, &settings.trusted_proxy)
}

/// Reads the body of up to `limit` bytes: JSON, multipart or urlencoded; none at all is an empty object.
pub async fn body(request: &HttpRequest, payload: web::Payload, limit: usize) -> Result<Body, ApiError> {
    super::body::read(request, payload, limit).await
}

/// The request as rules see it, with an empty body.
pub fn info(request: &HttpRequest, context: Context) -> RequestInfo {
    RequestInfo {
        context,
        method: request.method().as_str().to_owned(),
        query: query(request),
        headers: headers(request),
        body: Map::new(),
        caller: caller(request),
    }
}

/// First value of each query parameter, decoded.
pub fn query(request: &HttpRequest) -> BTreeMap<String, String> {
    parameters(request.query_string())
}

/// First value of each parameter of a query string, decoded.
pub fn parameters(text: &str) -> BTreeMap<String, String> {
    let mut parameters = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(text.as_bytes()) {
        if !parameters.contains_key(&*name) {
            parameters.insert(name.into_owned(), value.into_owned());
        }
    }
    parameters
}

fn headers(request: &HttpRequest) -> Headers {
    let mut headers = Headers::default();
    for name in request.headers().keys() {
        if let Some(value) = request.headers().get(name) {
            headers.add(name.as_str(), &String::from_utf8_lossy(value.as_bytes()));
        }
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    #[test]
    fn the_first_value_of_each_parameter_and_header_counts() {
        let request = TestRequest::get()
            .uri("/?a=1&a=2&b=x%20y&c")
            .append_header(("X-Token", "one"))
            .append_header(("X-Token", "two"))
            .append_header(("Accept", "*/*"))
            .to_http_request();
        let info = info(&request, Context::Default);
        assert_eq!(info.query.get("a").map(String::as_str), Some("1"));
        assert_eq!(info.query.get("b").map(String::as_str), Some("x y"));
        assert_eq!(info.query.get("c").map(String::as_str), Some(""));
        assert_eq!(info.headers.get("x_token"), Some("one"));
        assert_eq!(info.headers.get("accept"), Some("*/*"));
        assert_eq!(info.headers.get("none"), None);
        assert!(info.caller.is_guest());
    }
}
