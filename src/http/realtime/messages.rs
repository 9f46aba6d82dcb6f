//! What clients say over a WebSocket, and what they are answered: one JSON object for one.

use std::net::IpAddr;
use std::rc::Rc;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value as Json;

use super::{caller_of_token, parse_since, refused};
use crate::app::App;
use crate::errors::{Errors, Invalid};
use crate::http::ApiError;
use crate::realtime::wish::check_topics;
use crate::realtime::{ClientId, SubscribeError, Topics, Wish};
use crate::request::Caller;

/// One client's conversation. Whose client it is, its hub knows.
pub(super) struct Session {
    app: App,
    client: ClientId,
    ip: Option<IpAddr>,
}

/// A message. Without a `type` it is what `POST /api/realtime` has as its body.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Message {
    r#type: Option<String>,
    client_id: Option<String>,
    subscriptions: Option<Vec<String>>,
    topics: Option<Vec<String>>,
    /// Nobody says nothing about it; `null` is a guest's.
    #[serde(default, deserialize_with = "said")]
    token: Option<Option<String>>,
    since: Option<String>,
}

fn said<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Option<String>>, D::Error> {
    Deserialize::deserialize(value).map(Some)
}

#[derive(Serialize)]
struct Done<'a> {
    r#type: &'a str,
    id: &'a Json,
    seq: String,
}

#[derive(Serialize)]
struct Failed<'a> {
    r#type: &'a str,
    id: &'a Json,
    status: u16,
    message: &'a Json,
    data: &'a Json,
}

impl Session {
    pub(super) fn new(app: App, client: ClientId, ip: Option<IpAddr>) -> Rc<Session> {
        Rc::new(Session { app, client, ip })
    }

    /// Does what a message asks for.
    pub(super) async fn answer(self: Rc<Session>, text: String) -> String {
        let message: Json = serde_json::from_str(&text).unwrap_or_default();
        let id = message.get("id").cloned().unwrap_or_default();
        let answer = match self.act(message).await {
            Ok(seq) => serde_json::to_string(&Done { r#type: "ok", id: &id, seq }),
            Err(error) => {
                let status = error.status.as_u16();
                let error = error.to_json();
                let (message, data) = (&error["message"], &error["data"]);
                serde_json::to_string(&Failed { r#type: "error", id: &id, status, message, data })
            }
        };
        // Texts and JSON always serialise.
        answer.unwrap_or_default()
    }

    async fn act(&self, message: Json) -> Result<String, ApiError> {
        if !message.is_object() {
            return Err(ApiError::bad_request("A message is a JSON object."));
        }
        let message: Message =
            serde_json::from_value(message).map_err(|error| ApiError::bad_request(error.to_string()))?;
        if message.client_id.is_some_and(|id| id != self.client.as_str()) {
            return Err(refused(SubscribeError::UnknownClient));
        }
        let required = |field: &'static str, topics: Option<Vec<String>>| {
            let topics = topics.ok_or_else(|| Errors::one(field, Invalid::required()));
            let topics = topics.and_then(|topics| match check_topics(&topics) {
                Ok(()) => Ok(topics),
                Err(wrong) => Err(wrong.of_field(field)),
            });
            topics.map_err(|errors| ApiError::bad_request("").with_errors(&errors))
        };
        let is_auth = message.r#type.as_deref() == Some("auth");
        let topics = match message.r#type.as_deref() {
            // Without a list it is an empty one, as in a POST.
            None => Topics::Replace(required("subscriptions", message.subscriptions.or_else(|| Some(Vec::new())))?),
            Some("subscribe") => Topics::Add(required("topics", message.topics)?),
            Some("unsubscribe") => Topics::Remove(required("topics", message.topics)?),
            Some("auth") => Topics::Add(Vec::new()),
            Some(_) => {
                let known = Invalid::new("validation_in_invalid", "Must be subscribe, unsubscribe, auth or nothing.");
                return Err(ApiError::bad_request("").with_errors(&Errors::one("type", known)));
            }
        };
        if is_auth && message.token.is_none() {
            return Err(ApiError::bad_request("").with_errors(&Errors::one("token", Invalid::required())));
        }
        let caller = match message.token {
            None => None,
            Some(None) => Some(Caller::GUEST),
            Some(Some(token)) if token.is_empty() => Some(Caller::GUEST),
            Some(Some(token)) => match caller_of_token(&self.app, &token, self.ip).await? {
                Some(caller) => Some(caller),
                // As with a request whose token is not good: nobody in particular asks.
                None if !is_auth => Some(Caller::GUEST),
                None => return Err(ApiError::unauthorized("The token is not valid.")),
            },
        };
        let since = parse_since(message.since.as_deref().unwrap_or_default())
            .map_err(|invalid| ApiError::bad_request("").with_errors(&Errors::one("since", invalid)))?;
        let wish = Wish { client: self.client, ip: self.ip, caller, any_caller: is_auth, topics, since };
        let position = self.app.realtime.subscribe(&self.app, wish).await.map_err(refused)?;
        Ok(position.to_string())
    }
}
