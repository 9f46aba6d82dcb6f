//! `POST /api/batch`: several record writes in one transaction.

use std::net::IpAddr;
use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

use super::limits::{self, Route, Visit};
use super::{ApiError, answer, extract, records};
use crate::app::App;
use crate::checks;
use crate::errors::{Errors, Invalid};
use crate::records::Input;
use crate::records::batch::{self, BatchError, Item, ItemAction, ItemResult};
use crate::request::{Context, Headers, RequestInfo, Upload};

const METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];
const MAX_URL: usize = 2000;
const DEFAULT_BODY_LIMIT: usize = 128 << 20;
const DEFAULT_TIME: Duration = Duration::from_secs(3);

pub fn configure(config: &mut web::ServiceConfig) {
    config.route("/api/batch", web::post().to(run));
}

/// A request inside the request.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Inner {
    method: String,
    url: String,
    headers: Map<String, Json>,
    body: Map<String, Json>,
}

async fn run(request: HttpRequest, payload: web::Payload) -> Result<HttpResponse, ApiError> {
    let app = extract::app(&request);
    let settings = app.settings.current();
    let limits = &settings.batch;
    if !limits.enabled || limits.max_requests <= 0 {
        return Err(ApiError::forbidden("Batch requests are not allowed."));
    }
    let body_limit = usize::try_from(limits.max_body_size).ok().filter(|limit| *limit > 0);
    let time = u64::try_from(limits.timeout).ok().filter(|seconds| *seconds > 0);
    let max = usize::try_from(limits.max_requests).unwrap_or_default();

    let mut body = extract::body(&request, payload, body_limit.unwrap_or(DEFAULT_BODY_LIMIT))
        .await
        .map_err(|error| error.or_message("Failed to read the submitted batch data."))?;
    let requests = match body.values.remove("requests") {
        None | Some(Json::Null) => Vec::new(),
        Some(requests) => serde_json::from_value::<Vec<Inner>>(without_nulls(requests))
            .map_err(|_| ApiError::bad_request("Failed to read the submitted batch data."))?,
    };
    check(&requests, max)
        .into_result()
        .map_err(|errors| ApiError::bad_request("Invalid batch request data.").with_errors(&errors))?;

    let outer = extract::info(&request, Context::Batch);
    let client = limits::client(&request);
    let items = requests.into_iter().enumerate().map(|(index, inner)| {
        let item = item(inner, files_of(index, &body.files), &outer);
        limited(app, client, item)
    });
    let time = time.map_or(DEFAULT_TIME, Duration::from_secs);
    let (results, position) = batch::run(app, items.collect(), time).await.map_err(failed)?;

    let mut out = vec![b'['];
    for (index, result) in results.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        match result {
            ItemResult::Deleted => out.extend_from_slice(b"{\"body\":null,\"status\":204}"),
            ItemResult::Written(json) => {
                out.extend_from_slice(b"{\"body\":");
                out.extend_from_slice(&json);
                out.extend_from_slice(b",\"status\":200}");
            }
        }
    }
    out.push(b']');
    Ok(records::at(answer::bytes(out), position))
}

/// Keys whose value is null are as good as missing.
fn without_nulls(requests: Json) -> Json {
    match requests {
        Json::Array(items) => items
            .into_iter()
            .map(|item| match item {
                Json::Object(item) => Json::Object(item.into_iter().filter(|(_, value)| !value.is_null()).collect()),
                other => other,
            })
            .collect(),
        other => other,
    }
}

fn check(requests: &[Inner], max: usize) -> Errors {
    if requests.is_empty() {
        return Errors::one("requests", Invalid::required());
    }
    if requests.len() > max {
        let too_long = Invalid::new("validation_length_too_long", format!("the length must be no more than {max}"));
        return Errors::one("requests", too_long.with("min", 0).with("max", max));
    }
    let mut items = Errors::new();
    for (index, inner) in requests.iter().enumerate() {
        let mut errors = Errors::new();
        errors.check("method", checks::required(&inner.method));
        if !METHODS.contains(&inner.method.as_str()) {
            errors.add("method", Invalid::new("validation_in_invalid", "must be a valid value"));
        }
        errors.check("url", checks::required(&inner.url).and_then(|()| checks::length(&inner.url, 0, MAX_URL)));
        items.nest(index.to_string(), errors);
    }
    let mut errors = Errors::new();
    errors.nest("requests", items);
    errors
}

/// The uploads of one item: parts named `requests.N.KEY` or `requests[N].KEY`.
fn files_of(index: usize, files: &[Upload]) -> Vec<Upload> {
    let prefixes = [format!("requests.{index}."), format!("requests[{index}].")];
    files
        .iter()
        .filter_map(|upload| {
            let key = prefixes.iter().find_map(|prefix| upload.key.strip_prefix(prefix.as_str()))?;
            Some(Upload { key: key.to_owned(), ..upload.clone() })
        })
        .collect()
}

fn item(inner: Inner, files: Vec<Upload>, outer: &RequestInfo) -> Item {
    let (path, query) = inner.url.split_once('?').unwrap_or((&inner.url, ""));
    let (action, collection) = route(&inner.method, path);
    let mut headers = Headers::default();
    for (name, value) in &inner.headers {
        if !name.eq_ignore_ascii_case("authorization") {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            headers.add(name, &text);
        }
    }
    outer.headers.iter().for_each(|(name, value)| headers.add(name, value));
    let request = RequestInfo {
        context: Context::Batch,
        method: inner.method,
        query: extract::parameters(query),
        headers,
        body: Map::new(),
        caller: outer.caller.clone(),
    };
    Item { action, collection, input: Input { values: inner.body, files }, request }
}

/// Items count like requests of their own.
fn limited(app: &App, client: Option<IpAddr>, item: Item) -> Item {
    let (tag, method, id) = match &item.action {
        ItemAction::Create => ("create", "POST", None),
        ItemAction::Update { id } => ("update", "PATCH", Some(id)),
        ItemAction::Delete { id } => ("delete", "DELETE", Some(id)),
        ItemAction::Upsert if item.input.values.contains_key("id") => ("update", "PATCH", None),
        ItemAction::Upsert => ("create", "POST", None),
        ItemAction::Limited | ItemAction::Unknown => return item,
    };
    let schema = app.schema.current();
    let Some(collection) = schema.find(&item.collection) else { return item };
    let mut path = format!("/api/collections/{}/records", item.collection);
    if let Some(id) = id {
        path = format!("{path}/{id}");
    }
    let tags = [tag];
    let route = Some(Route { collection, tags: &tags, in_batch: true });
    let visit = Visit { caller: &item.request.caller, client, method, path: &path, route };
    if limits::admits(app, &visit) { item } else { Item { action: ItemAction::Limited, ..item } }
}

/// The write that a method and a path mean, and the collection.
fn route(method: &str, path: &str) -> (ItemAction, String) {
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let mut parts = path.strip_prefix("/api/collections/").unwrap_or_default().split('/');
    let (collection, records, id, rest) = (parts.next(), parts.next(), parts.next(), parts.next());
    let collection = collection.unwrap_or_default();
    if collection.is_empty() || records != Some("records") || rest.is_some() || id == Some("") {
        return (ItemAction::Unknown, String::new());
    }
    let action = match (method, id) {
        ("POST", None) => ItemAction::Create,
        ("PUT", None) => ItemAction::Upsert,
        ("PATCH", Some(id)) => ItemAction::Update { id: decoded(id) },
        ("DELETE", Some(id)) => ItemAction::Delete { id: decoded(id) },
        _ => ItemAction::Unknown,
    };
    (action, decoded(collection))
}

fn failed(error: BatchError) -> ApiError {
    let failed = ApiError::bad_request("Batch transaction failed.");
    match error {
        BatchError::Item(index, error) => {
            let response = ApiError::from(error).to_json();
            let item = json!({
                "code": "batch_request_failed",
                "message": "Batch request failed.",
                "response": response,
            });
            let items: Map<String, Json> = [(index.to_string(), item)].into_iter().collect();
            ApiError { data: json!({ "requests": items }), ..failed }
        }
        BatchError::TooLong => failed,
        BatchError::Whole(error) => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_writes_of_records_have_a_route() {
        let known = |method, path| !matches!(route(method, path).0, ItemAction::Unknown);
        assert!(known("POST", "/api/collections/tags/records"));
        assert!(known("PUT", "/api/collections/tags/records"));
        assert!(known("PATCH", "/api/collections/tags/records/x"));
        assert!(known("DELETE", "/api/collections/tags/records/x"));
        for (method, path) in [
            ("GET", "/api/collections/tags/records"),
            ("POST", "/api/collections/tags/records/x"),
            ("POST", "/api/collections/tags/records/"),
            ("POST", "/api/collections//records"),
            ("PATCH", "/api/collections/tags/records"),
            ("PATCH", "/api/collections/tags/records/x/y"),
            ("PATCH", "/api/collections/tags/records/"),
            ("POST", "/api/collections/tags"),
            ("POST", "http://example.com/api/collections/tags/records"),
            ("POST", ""),
        ] {
            assert!(!known(method, path), "{method} {path}");
        }
    }
}
