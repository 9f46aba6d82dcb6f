//! The way of every request, in this order: CORS, one spelling of the path, who asks, where superusers may come from,
//! whether it is asked too often, the route itself; and on the way back panics and wrong methods as JSON errors, and the
//! headers of every answer.

use std::future::{Future, Ready, ready};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use actix_web::dev::{Service, ServiceRequest, ServiceResponse, Transform};
use actix_web::error::InternalError;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::{Error, HttpMessage, HttpResponse, ResponseError};
use futures_util::FutureExt;

use super::cors::{self, Origins};
use super::paths;
use crate::app::App;
use crate::auth::identity;
use crate::auth::tokens::TokenKind;
use crate::http::{ApiError, extract, limits};
use crate::request::Caller;

/// The layer around all routes.
#[derive(Clone)]
pub struct Pipeline {
    app: App,
    origins: Origins,
}

impl Pipeline {
    pub fn new(app: App, origins: Origins) -> Pipeline {
        Pipeline { app, origins }
    }
}

impl<S> Transform<S, ServiceRequest> for Pipeline
where
    S: Service<ServiceRequest, Response = ServiceResponse, Error = Error> + 'static,
{
    type Response = ServiceResponse;
    type Error = Error;
    type Transform = PipelineService<S>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, routes: S) -> Self::Future {
        ready(Ok(PipelineService { routes: Rc::new(routes), pipeline: Rc::new(self.clone()) }))
    }
}

/// [`Pipeline`] on one worker.
pub struct PipelineService<S> {
    routes: Rc<S>,
    pipeline: Rc<Pipeline>,
}

impl<S> Service<ServiceRequest> for PipelineService<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse, Error = Error> + 'static,
{
    type Response = ServiceResponse;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<ServiceResponse, Error>>>>;

    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.routes.poll_ready(context)
    }

    fn call(&self, request: ServiceRequest) -> Self::Future {
        let (routes, pipeline) = (self.routes.clone(), self.pipeline.clone());
        Box::pin(async move {
            let admitted = pipeline.origins.admitted(request.headers().get(header::ORIGIN));
            if request.method() == Method::OPTIONS {
                let response = cors::preflight(request.headers(), admitted);
                return Ok(request.into_response(response));
            }
            let passed = AssertUnwindSafe(pass(&*routes, &pipeline.app, request)).catch_unwind().await;
            let answered = passed.unwrap_or_else(|panic| {
                log::error!("a request panicked: {}", panic_text(&*panic));
                Err(ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "").into())
            });
            match answered {
                Ok(mut response) => {
                    mark(response.headers_mut(), admitted);
                    Ok(response)
                }
                Err(error) => {
                    let mut response = error.error_response();
                    mark(response.headers_mut(), admitted);
                    Err(InternalError::from_response(error, response).into())
                }
            }
        })
    }
}

/// From the clean path to the route and back.
async fn pass<S>(routes: &S, app: &App, mut request: ServiceRequest) -> Result<ServiceResponse, Error>
where
    S: Service<ServiceRequest, Response = ServiceResponse, Error = Error>,
{
    if let Some(path) = paths::cleaned(request.uri().path()) {
        let response = redirect(path, request.query_string());
        return Ok(request.into_response(response));
    }
    let record = match bearer(request.headers()) {
        None => None,
        Some(token) => match identity::of_token(app, token, TokenKind::Auth).await {
            Ok(record) => record,
            Err(error) => return Ok(request.into_response(ApiError::from(error).error_response())),
        },
    };
    if let Some(record) = record {
        let caller = Caller::of(record);
        if caller.is_superuser() && !extract::admits_superuser(request.request()) {
            return Ok(request.into_response(ApiError::forbidden("").error_response()));
        }
        request.extensions_mut().insert(caller);
    }
    if let Err(error) = limits::check(request.request()) {
        return Ok(request.into_response(error.error_response()));
    }
    // The codec remembers that it was a HEAD and leaves the body out.
    if request.method() == Method::HEAD {
        request.extensions_mut().insert(extract::Head);
        request.head_mut().method = Method::GET;
    }
    let response = routes.call(request).await?;
    if response.status() == StatusCode::METHOD_NOT_ALLOWED {
        return Ok(response.into_response(ApiError::not_found("").error_response()));
    }
    Ok(response)
}

fn redirect(path: String, query: &str) -> HttpResponse {
    let location = if query.is_empty() { path } else { format!("{path}?{query}") };
    HttpResponse::TemporaryRedirect().insert_header((header::LOCATION, location)).finish()
}

/// The token of the Authorization header: alone, or after `Bearer` and exactly one space.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?.trim();
    let token = match value.split_at_checked(7) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer ") => token,
        _ => value,
    };
    (!token.is_empty() && !token.contains(' ')).then_some(token)
}

/// The headers of every answer.
fn mark(headers: &mut HeaderMap, admitted: Option<HeaderValue>) {
    cors::mark(headers, admitted);
    headers.insert(HeaderName::from_static("x-xss-protection"), HeaderValue::from_static("1; mode=block"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("SAMEORIGIN"));
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    #[test]
    fn the_token_of_a_request() {
        let token = |value: &'static str| {
            let request = TestRequest::get().insert_header((header::AUTHORIZATION, value)).to_http_request();
            bearer(request.headers()).map(str::to_owned)
        };
        for value in ["abc", "Bearer abc", "bearer abc", "BEARER abc", " abc "] {
            assert_eq!(token(value).as_deref(), Some("abc"), "{value}");
        }
        for value in ["", "Bearer  abc", "Basic abc", "Token abc", "User abc"] {
            assert_eq!(token(value), None, "{value}");
        }
    }
}
