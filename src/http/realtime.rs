//! `/api/realtime`: the stream of changes over SSE.

use std::any::Any;
use std::net::IpAddr;

use actix_web::dev::Extensions;
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};

use super::{ApiError, extract};
use crate::errors::{Errors, Invalid};
use crate::realtime::events::{Connect, Subscribe};
use crate::realtime::sse::Socket;
use crate::realtime::{ClientId, SubscribeError, WorkerHub};

/// Bytes of a body of 1,000 topics of 2,500 bytes each, escaped.
const BODY_LIMIT: usize = 16 << 20;

const MAX_ID: usize = 255;
const MAX_TOPICS: usize = 1000;
const MAX_TOPIC: usize = 2500;

pub fn configure(config: &mut web::ServiceConfig) {
    config
        .app_data(WorkerHub::default())
        .service(web::resource("/api/realtime").route(web::get().to(connect)).route(web::post().to(subscribe)));
}

/// To be given to the server: streams bound and close their sockets themselves.
pub fn on_connect(connection: &dyn Any, data: &mut Extensions) {
    Socket::remember(connection, data);
}

async fn connect(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let mut response = HttpResponse::Ok();
    response
        .insert_header((header::CONTENT_TYPE, "text/event-stream"))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header(("X-Accel-Buffering", "no"));
    if extract::is_head(&request) {
        return Ok(response.finish());
    }
    let app = extract::app(&request);
    let worker = request.app_data::<WorkerHub>().ok_or_else(|| ApiError::internal("no hub on this worker"))?;
    let mut event = Connect { client: ClientId::random() };
    let mut opened = None;
    let events = app.realtime.events();
    let result = events.connect.trigger(&mut event, |event| {
        let socket = request.conn_data::<Socket>().copied();
        opened = Some(app.realtime.open_stream(app, worker, event.client, address(&request), socket)?);
        Ok(())
    });
    result.map_err(ApiError::of_handler)?;
    match opened {
        Some(body) => Ok(response.body(body)),
        // A handler kept the stream from opening.
        None => Ok(response.finish()),
    }
}

async fn subscribe(request: HttpRequest, payload: web::Payload) -> Result<HttpResponse, ApiError> {
    let body = extract::body(&request, payload, BODY_LIMIT).await.map_err(|error| match error.status.as_u16() {
        400 => ApiError::bad_request(""),
        _ => error,
    })?;
    let (id, mut topics) = (body.text("clientId")?, body.texts("subscriptions")?);
    validate(&id, &topics).into_result().map_err(|errors| ApiError::bad_request("").with_errors(&errors))?;
    topics.retain(|topic| !topic.is_empty());

    let app = extract::app(&request);
    let unknown = || ApiError::not_found("Missing or invalid client id.");
    let client = ClientId::parse(&id).ok_or_else(unknown)?;
    let mut event = Subscribe { client, caller: extract::caller(&request), topics };
    let mut goes_on = false;
    let hook = &app.realtime.events().subscribe;
    if hook.is_empty() {
        goes_on = true;
    } else {
        app.realtime.check(&client, address(&request)).map_err(refused)?;
        hook.trigger(&mut event, |_| {
            goes_on = true;
            Ok(())
        })
        .map_err(ApiError::of_handler)?;
    }
    if goes_on {
        let Subscribe { client, caller, topics } = event;
        app.realtime.subscribe(app, &client, address(&request), caller, topics).await.map_err(refused)?;
    }
    Ok(HttpResponse::NoContent().finish())
}

fn refused(error: SubscribeError) -> ApiError {
    match error {
        SubscribeError::UnknownClient => ApiError::not_found("Missing or invalid client id."),
        SubscribeError::OtherAddress => ApiError::bad_request("Invalid realtime client."),
        SubscribeError::OtherCaller => {
            ApiError::forbidden("The current and the previous request authorization don't match.")
        }
    }
}

fn validate(id: &str, topics: &[String]) -> Errors {
    let mut errors = Errors::new();
    if id.is_empty() {
        errors.add("clientId", Invalid::required());
    } else if id.len() > MAX_ID {
        let message = format!("The length must be between 1 and {MAX_ID}.");
        let invalid = Invalid::new("validation_length_out_of_range", message);
        errors.add("clientId", invalid.with("min", 1).with("max", MAX_ID));
    }
    if topics.len() > MAX_TOPICS {
        errors.add("subscriptions", too_long(MAX_TOPICS));
        return errors;
    }
    let mut items = Errors::new();
    for (index, topic) in topics.iter().enumerate() {
        if topic.len() > MAX_TOPIC {
            items.add(index.to_string(), too_long(MAX_TOPIC));
        } else if topic.chars().any(char::is_control) {
            // It would be echoed into the stream as lines of its own.
            items.add(index.to_string(), Invalid::value());
        }
    }
    errors.nest("subscriptions", items);
    errors
}

fn too_long(max: usize) -> Invalid {
    let message = format!("The length must be no more than {max}.");
    Invalid::new("validation_length_too_long", message).with("min", 0).with("max", max)
}

fn address(request: &HttpRequest) -> Option<IpAddr> {
    extract::real_ip(request).parse().ok()
}
