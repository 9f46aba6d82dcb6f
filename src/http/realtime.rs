//! `/api/realtime`: the stream of changes over SSE.

use std::net::IpAddr;

use actix_web::http::{Version, header};
use actix_web::{HttpRequest, HttpResponse, web};

use super::socket::TakeOver;
use super::{ApiError, extract};
use crate::errors::{Errors, Invalid};
use crate::realtime::events::{Connect, Subscribe};
use crate::realtime::{ClientId, SubscribeError, WorkerHub, sse};

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
    let wire = if request.version() < Version::HTTP_11 { &sse::PLAIN } else { &sse::CHUNKED };
    let mut event = Connect { client: ClientId::random() };
    let mut opened = None;
    let events = app.realtime.events();
    let result = events.connect.trigger(&mut event, |event| {
        opened = Some(app.realtime.greet(app, event.client, address(&request), wire)?);
        Ok(())
    });
    result.map_err(ApiError::of_handler)?;
    // A handler may have kept the stream from opening.
    let Some(opening) = opened else { return Ok(response.finish()) };
    let worker = request.app_data::<WorkerHub>().ok_or_else(|| ApiError::internal("no hub on this worker"))?;
    let (owner, worker) = (app.clone(), worker.clone());
    let taker = Box::new(move |stream| owner.realtime.open(&owner, &worker, opening, stream));
    let body = TakeOver::of(&request, taker).ok_or_else(|| ApiError::internal("not a socket of ours"))?;
    let mut response = response.body(body);
    // The body is written past actix-http, which must not promise chunks that do not come.
    response.head_mut().no_chunking(request.version() < Version::HTTP_11);
    Ok(response)
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
