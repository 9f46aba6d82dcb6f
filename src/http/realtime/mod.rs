//! `/api/realtime`: the stream of changes, over SSE and over WebSockets.

mod messages;

use std::net::IpAddr;

use actix_web::http::{Version, header};
use actix_web::rt::net::TcpStream;
use actix_web::{HttpRequest, HttpResponse, web};
use headwater_actors::Position;
use headwater_actors::connection::Silent;
use serde::Serialize;

use super::middleware::Origins;
use super::socket::{TakeOver, Taker};
use super::{ApiError, answer, extract};
use crate::app::App;
use crate::auth::identity;
use crate::auth::tokens::TokenKind;
use crate::errors::{Errors, Invalid};
use crate::realtime::events::{Connect, Message};
use crate::realtime::sse::Sse;
use crate::realtime::wish::{check_topics, too_many_live, too_many_topics};
use crate::realtime::{ClientId, Opening, Since, SubscribeError, Topics, Wish, WorkerHub, ws};
use crate::request::Caller;
use messages::Session;

/// Bytes of a body of 1,000 topics of 2,500 bytes each, escaped.
const BODY_LIMIT: usize = 16 << 20;

const MAX_ID: usize = 255;

pub fn configure(config: &mut web::ServiceConfig) {
    config
        .app_data(WorkerHub::default())
        .route("/api/realtime/state", web::get().to(state))
        .service(web::resource("/api/realtime").route(web::get().to(connect)).route(web::post().to(subscribe)));
}

async fn connect(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let mut event = Connect { client: ClientId::random() };
    let mut goes_on = false;
    if !extract::is_head(&request) {
        let passed = extract::app(&request).realtime.events().connect.trigger(&mut event, |_| {
            goes_on = true;
            Ok(())
        });
        passed.map_err(ApiError::of_handler)?;
    }
    let upgrade = request.headers().get(header::UPGRADE).and_then(|value| value.to_str().ok());
    if goes_on && upgrade.is_some_and(|protocol| protocol.eq_ignore_ascii_case("websocket")) {
        return open_socket(&request, event.client).await;
    }
    let mut response = HttpResponse::Ok();
    response
        .insert_header((header::CONTENT_TYPE, "text/event-stream"))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header(("X-Accel-Buffering", "no"));
    if !goes_on {
        return Ok(response.finish());
    }
    let chunked = request.version() >= Version::HTTP_11;
    let body = open_stream(&request, event.client, chunked).await?;
    let mut response = response.body(body);
    // The body is written past actix-http, which must not promise chunks that do not come.
    response.head_mut().no_chunking(!chunked);
    Ok(response)
}

/// An event stream. With topics in its query it is subscribed to them at once, and goes on where `Last-Event-ID` says.
async fn open_stream(request: &HttpRequest, client: ClientId, chunked: bool) -> Result<TakeOver, ApiError> {
    let app = extract::app(request);
    let topics = topics_of_query(request)?;
    let wire = Sse::of(chunked, topics.is_some());
    let mut since = None;
    if topics.is_some() {
        let last = request.headers().get("Last-Event-ID").and_then(|value| value.to_str().ok());
        // What is no position of ours is nothing that we can go on from. Without one, the stream begins at the position
        // that it tells first, whatever is committed until it is subscribed.
        since = Some(match last.filter(|last| !last.is_empty()) {
            Some(last) => last.parse().map_or(Since::Unknown, Since::At),
            None => Since::At(app.writer.position()),
        });
    }
    let at = match &since {
        Some(Since::At(at)) => Some(at),
        _ => None,
    };
    let frame = |first: &Message, now: &Position| wire.connect(&client, at.unwrap_or(now), &first.name, &first.data);
    let first = app.realtime.greet(app, client, frame).map_err(ApiError::of_handler)?;
    let ip = address(request);
    let wish = match topics {
        None => None,
        Some(topics) => {
            let caller = Some(caller_of_query(request, app).await?);
            Some(Wish { client, ip, caller, any_caller: false, topics: Topics::Replace(topics), since })
        }
    };
    let opening = Opening { client, ip, wire, first };
    take_over(request, wish, move |app, worker, stream| app.realtime.open(app, worker, opening, stream, |_| Silent))
}

/// A WebSocket; its client may say who it is by a header, or later.
async fn open_socket(request: &HttpRequest, client: ClientId) -> Result<HttpResponse, ApiError> {
    let app = extract::app(request);
    let origin = request.headers().get(header::ORIGIN);
    if origin.is_some() && Origins::new(app.config.origins.clone()).admitted(origin).is_none() {
        return Err(ApiError::forbidden("The origin is not allowed."));
    }
    let mut response = ws::handshake(request).map_err(|error| ApiError::bad_request(error.to_string()))?;
    let ip = address(request);
    let caller = caller_of_query(request, app).await?;
    let topics = Topics::Add(Vec::new());
    let wish = (!caller.is_guest()).then(|| {
        let caller = Some(caller);
        Wish { client, ip, caller, any_caller: true, topics, since: None }
    });
    let first = app.realtime.greet(app, client, |first, _| ws::connect(&first.data)).map_err(ApiError::of_handler)?;
    let opening = Opening { client, ip, wire: &ws::WebSocket, first };
    let session = Session::new(app.clone(), client, ip);
    let body = take_over(request, wish, move |app, worker, stream| {
        app.realtime.open(app, worker, opening, stream, |subscription| {
            ws::Reader::new(subscription.clone(), Box::new(move |text| Box::pin(session.clone().answer(text))))
        });
    })?;
    Ok(response.body(body))
}

/// The body of a response whose socket becomes a client: `open` makes it one, and then it is granted its wish.
fn take_over(
    request: &HttpRequest,
    wish: Option<Wish>,
    open: impl FnOnce(&App, &WorkerHub, TcpStream) + 'static,
) -> Result<TakeOver, ApiError> {
    let worker = request.app_data::<WorkerHub>().ok_or_else(|| ApiError::internal("no hub on this worker"))?.clone();
    let app = extract::app(request).clone();
    let taker: Taker = Box::new(move |stream| {
        open(&app, &worker, stream);
        let Some(wish) = wish else { return };
        actix_web::rt::spawn(async move {
            // It may have gone already; anything else was checked before.
            if let Err(error) = app.realtime.subscribe(&app, wish).await {
                log::debug!("realtime: a new client was not subscribed: {error:?}");
            }
        });
    });
    TakeOver::of(request, taker).ok_or_else(|| ApiError::internal("not a socket of ours"))
}

/// The topics in the query (`subscribe=posts/*&subscribe=…`), if there are any.
fn topics_of_query(request: &HttpRequest) -> Result<Option<Vec<String>>, ApiError> {
    let parameters = form_urlencoded::parse(request.query_string().as_bytes());
    let topics: Vec<String> = parameters
        .filter(|(name, topic)| name == "subscribe" && !topic.is_empty())
        .map(|(_, topic)| topic.into_owned())
        .collect();
    let checked = check_topics(&topics).map_err(|errors| errors.of_field("subscribe"));
    checked.map_err(|errors| ApiError::bad_request("").with_errors(&errors))?;
    Ok((!topics.is_empty()).then_some(topics))
}

/// Who opens a stream: by the header, or by `token` in the query where headers cannot be set.
async fn caller_of_query(request: &HttpRequest, app: &App) -> Result<Caller, ApiError> {
    let caller = extract::caller(request);
    if !caller.is_guest() {
        return Ok(caller);
    }
    match extract::query(request).remove("token").filter(|token| !token.is_empty()) {
        Some(token) => Ok(caller_of_token(app, &token, address(request)).await?.unwrap_or_default()),
        None => Ok(caller),
    }
}

/// Whom a token stands for; none if it is not good.
async fn caller_of_token(app: &App, token: &str, ip: Option<IpAddr>) -> Result<Option<Caller>, ApiError> {
    let Some(record) = identity::of_token(app, token, TokenKind::Auth).await? else { return Ok(None) };
    let caller = Caller::of(record);
    let settings = app.settings.current();
    if caller.is_superuser() && !settings.superuser_ips.is_empty() && !settings.admits_superuser(ip) {
        return Err(ApiError::forbidden(""));
    }
    Ok(Some(caller))
}

async fn subscribe(request: HttpRequest, payload: web::Payload) -> Result<HttpResponse, ApiError> {
    let body = extract::body(&request, payload, BODY_LIMIT).await.map_err(|error| match error.status.as_u16() {
        400 => ApiError::bad_request(""),
        _ => error,
    })?;
    let (id, topics, since) = (body.text("clientId")?, body.texts("subscriptions")?, body.text("since")?);
    let mut errors = Errors::new();
    if id.is_empty() {
        errors.add("clientId", Invalid::required());
    } else if id.len() > MAX_ID {
        let message = format!("The length must be between 1 and {MAX_ID}.");
        let invalid = Invalid::new("validation_length_out_of_range", message);
        errors.add("clientId", invalid.with("min", 1).with("max", MAX_ID));
    }
    let since = parse_since(&since).unwrap_or_else(|invalid| {
        errors.add("since", invalid);
        None
    });
    if let Err(wrong) = check_topics(&topics) {
        errors.merge(wrong.of_field("subscriptions"));
    }
    errors.into_result().map_err(|errors| ApiError::bad_request("").with_errors(&errors))?;
    let app = extract::app(&request);
    let client = ClientId::parse(&id).ok_or(SubscribeError::UnknownClient).map_err(refused)?;
    let (ip, caller) = (address(&request), Some(extract::caller(&request)));
    let wish = Wish { client, ip, caller, any_caller: false, topics: Topics::Replace(topics), since };
    app.realtime.subscribe(app, wish).await.map_err(refused)?;
    Ok(HttpResponse::NoContent().finish())
}

/// A position by which a client says where it wants to go on; empty for nowhere in particular.
fn parse_since(text: &str) -> Result<Option<Since>, Invalid> {
    if text.is_empty() {
        return Ok(None);
    }
    let position = text.parse::<Position>();
    position
        .map(|at| Some(Since::At(at)))
        .map_err(|error| Invalid::new("validation_invalid_position", error.to_string()))
}

fn refused(error: SubscribeError) -> ApiError {
    match error {
        SubscribeError::UnknownClient => ApiError::not_found("Missing or invalid client id."),
        SubscribeError::OtherAddress => ApiError::bad_request("Invalid realtime client."),
        SubscribeError::OtherCaller => {
            ApiError::forbidden("The current and the previous request authorization don't match.")
        }
        SubscribeError::TooManyTopics => {
            ApiError::bad_request("").with_errors(&Errors::one("topics", too_many_topics()))
        }
        SubscribeError::TooManyLive => ApiError::bad_request("").with_errors(&Errors::one("topics", too_many_live())),
        SubscribeError::Stopped(error) => ApiError::of_handler(error),
    }
}

/// What the stream is like at this moment.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct State {
    epoch: String,
    /// The position of the last committed change.
    seq: String,
    last: u64,
    /// The oldest change that a client can be told.
    oldest: u64,
    /// The last change that every hub is done with.
    delivered: u64,
    clients: Clients,
    subscriptions: usize,
    /// Clients that are being told what they missed.
    replaying: usize,
    queued_bytes: usize,
    deliveries: u64,
    overflows: u64,
    stalls: u64,
    lagged: u64,
    resets: u64,
    replays: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Clients {
    sse: usize,
    web_socket: usize,
}

async fn state(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    extract::require_superuser(&request)?;
    let app = extract::app(&request);
    let stats = app.realtime.stats().await;
    let at = app.writer.position();
    let state = State {
        epoch: at.epoch.to_string(),
        seq: at.to_string(),
        last: at.seq.0,
        oldest: app.writer.oldest().0,
        delivered: stats.delivered.unwrap_or(at.seq).0,
        clients: Clients { sse: stats.event_streams, web_socket: stats.web_sockets },
        subscriptions: stats.subscriptions,
        replaying: stats.replaying,
        queued_bytes: stats.queued_bytes,
        deliveries: stats.counts.deliveries,
        overflows: stats.counts.overflows,
        stalls: stats.counts.stalls,
        lagged: stats.counts.lagged,
        resets: stats.counts.resets,
        replays: stats.counts.replays,
    };
    answer::json(&state)
}

fn address(request: &HttpRequest) -> Option<IpAddr> {
    extract::real_ip(request).parse().ok()
}
