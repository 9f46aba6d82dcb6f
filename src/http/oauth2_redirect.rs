//! `/api/oauth2-redirect`: where an OAuth2 provider sends the browser back to. The window in which somebody logged in is
//! not the one of the app: the code goes to the app over its realtime connection, and this window is shown how it went.
//!
//! The `state` that the app gave the provider is its client's id, which only that client and the provider know.

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};

use super::extract;
use crate::json;
use crate::realtime::ClientId;

/// What a client subscribes to while it waits for a code.
const TOPIC: &str = "@oauth2";

/// Pages of the dashboard, relative to this path.
const SUCCESS: &str = "../_/#/auth/oauth2-redirect-success";
const FAILURE: &str = "../_/#/auth/oauth2-redirect-failure";

/// Bytes of a provider's form.
const BODY_LIMIT: usize = 1 << 20;

pub fn configure(config: &mut web::ServiceConfig) {
    config.service(web::resource("/api/oauth2-redirect").route(web::get().to(by_query)).route(web::post().to(by_form)));
}

/// What a provider says.
#[derive(Default)]
struct Outcome {
    state: String,
    code: String,
    error: String,
}

impl Outcome {
    fn of(mut value: impl FnMut(&str) -> String) -> Outcome {
        Outcome { state: value("state"), code: value("code"), error: value("error") }
    }

    /// As an event, on a single line.
    fn to_json(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut member = |head: &str, text: &str| {
            out.extend_from_slice(head.as_bytes());
            json::write_text(text, &mut out);
        };
        member("{\"state\":", &self.state);
        member(",\"code\":", &self.code);
        if !self.error.is_empty() {
            member(",\"error\":", &self.error);
        }
        out.push(b'}');
        out
    }
}

async fn by_query(request: HttpRequest) -> HttpResponse {
    let mut query = extract::query(&request);
    let outcome = Outcome::of(|name| query.remove(name).unwrap_or_default());
    go_on(&request, outcome, StatusCode::TEMPORARY_REDIRECT).await
}

/// Some providers (Apple) let the browser post a form.
async fn by_form(request: HttpRequest, payload: web::Payload) -> HttpResponse {
    let outcome = match extract::body(&request, payload, BODY_LIMIT).await {
        Ok(body) => {
            // What a form does not have may stand in the path beside it.
            let mut query = if body.form { extract::query(&request) } else { Default::default() };
            Outcome::of(|name| match body.text(name) {
                Ok(text) if text.is_empty() => query.remove(name).unwrap_or_default(),
                text => text.unwrap_or_default(),
            })
        }
        Err(_) => Outcome::default(),
    };
    go_on(&request, outcome, StatusCode::SEE_OTHER).await
}

/// Tells the client, once, and shows the browser how it went.
async fn go_on(request: &HttpRequest, outcome: Outcome, status: StatusCode) -> HttpResponse {
    let realtime = &extract::app(request).realtime;
    let told = match ClientId::parse(&outcome.state) {
        // Also of a failure: the app waits for a word.
        Some(client) => {
            let ip = extract::real_ip(request).parse().ok();
            realtime.send_once(&client, ip, TOPIC, outcome.to_json().into()).await
        }
        None => false,
    };
    let succeeded = told && !outcome.code.is_empty() && outcome.error.is_empty();
    let page = if succeeded { SUCCESS } else { FAILURE };
    HttpResponse::build(status).insert_header((header::LOCATION, page)).finish()
}
