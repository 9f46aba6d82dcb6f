//! Request bodies: JSON, urlencoded and multipart forms, all as one object of values and a list of files (records.md §5).
//!
//! Handlers come here through [`super::extract::body`]. Nothing is read beyond the limit that they give, and nothing
//! here knows what the values are for.

use actix_multipart::{Multipart, MultipartError};
use actix_web::error::PayloadError;
use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, web};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt, TryStreamExt};
use serde::Deserialize;
use serde_json::{Map, Value as Json};

use super::{ApiError, json_weight};
pub use crate::request::Upload;

/// Values and files that one form may have. Each costs a multiple of its bytes on the wire.
const MAX_FORM_ENTRIES: usize = 20_000;

/// Values that a JSON body may hold: some 100 MB in memory. Counted only where its length makes it possible.
const MAX_JSON_VALUES: usize = 1_000_000;

/// The part of a form that holds a JSON object, laid over the other values.
const JSON_PAYLOAD: &str = "@jsonPayload";

/// A request's body, whatever its content type was.
#[derive(Clone, Debug, Default)]
pub struct Body {
    pub values: Map<String, Json>,
    pub files: Vec<Upload>,
    /// True if the values were texts of a form, of which bools and numbers were recognised by their looks.
    pub form: bool,
}

impl Body {
    /// The text under a key; empty if it is missing or null. A form's value is always a text; in JSON it must be one.
    pub fn text(&self, key: &str) -> Result<String, ApiError> {
        match self.values.get(key) {
            None | Some(Json::Null) => Ok(String::new()),
            Some(Json::String(text)) => Ok(text.clone()),
            Some(value) if self.form => Ok(match value {
                Json::Array(all) => all.first().map(form_text).unwrap_or_default(),
                value => form_text(value),
            }),
            Some(_) => Err(malformed()),
        }
    }

    /// The texts under a key; none if it is missing or null. In JSON they must be a list.
    pub fn texts(&self, key: &str) -> Result<Vec<String>, ApiError> {
        match self.values.get(key) {
            None | Some(Json::Null) => Ok(Vec::new()),
            Some(Json::Array(all)) if self.form => Ok(all.iter().map(form_text).collect()),
            Some(Json::Array(all)) => {
                let text = |value: &Json| match value {
                    Json::Null => Ok(String::new()),
                    Json::String(text) => Ok(text.clone()),
                    _ => Err(malformed()),
                };
                all.iter().map(text).collect()
            }
            Some(value) if self.form => Ok(vec![form_text(value)]),
            Some(_) => Err(malformed()),
        }
    }

    /// The whole number under a key; 0 if it is missing or null.
    pub fn integer(&self, key: &str) -> Result<i64, ApiError> {
        match self.values.get(key) {
            None | Some(Json::Null) => Ok(0),
            Some(Json::String(text)) if self.form && text.is_empty() => Ok(0),
            Some(value) => value.as_i64().ok_or_else(malformed),
        }
    }
}

/// The text from which a form's value was inferred.
fn form_text(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        value => value.to_string(),
    }
}

/// 400: the body is not what its content type says. Handlers with a message of their own replace the generic one.
fn malformed() -> ApiError {
    ApiError::bad_request("")
}

fn too_large() -> ApiError {
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "")
}

fn payload_error(error: &PayloadError) -> ApiError {
    if matches!(error, PayloadError::Overflow) { too_large() } else { malformed() }
}

fn multipart_error(error: MultipartError) -> ApiError {
    match error {
        MultipartError::Payload(error) => payload_error(&error),
        _ => malformed(),
    }
}

pub(super) async fn read(request: &HttpRequest, payload: web::Payload, limit: usize) -> Result<Body, ApiError> {
    let length = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if length.is_some_and(|length: u64| length > limit as u64) {
        return Err(too_large());
    }
    if length == Some(0) {
        return Ok(Body::default());
    }
    let content_type = request.headers().get(header::CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
    let stream = within(payload.into_inner(), limit);

    if content_type.starts_with(b"multipart/form-data") {
        return read_multipart(request, stream).await;
    }
    let content = collect(stream, length.unwrap_or_default() as usize).await.map_err(|error| payload_error(&error))?;
    if content.is_empty() {
        return Ok(Body::default());
    }
    if content_type.starts_with(b"application/json") {
        Ok(Body { values: parse_json(&content)?, ..Body::default() })
    } else if content_type.starts_with(b"application/x-www-form-urlencoded") {
        let mut form = Form::default();
        parse_urlencoded(&content, &mut form)?;
        form.add_query(request)?;
        form.into_body()
    } else {
        Err(ApiError::bad_request("Unsupported Content-Type."))
    }
}

/// The stream, ending in [`PayloadError::Overflow`] once it is longer than `limit`.
fn within(
    payload: actix_web::dev::Payload,
    limit: usize,
) -> impl Stream<Item = Result<Bytes, PayloadError>> + Unpin + 'static {
    let mut received = 0usize;
    payload.map(move |chunk| {
        let chunk = chunk?;
        received = received.saturating_add(chunk.len());
        if received > limit { Err(PayloadError::Overflow) } else { Ok(chunk) }
    })
}

async fn collect<E>(mut stream: impl Stream<Item = Result<Bytes, E>> + Unpin, expected: usize) -> Result<Bytes, E> {
    let Some(first) = stream.try_next().await? else { return Ok(Bytes::new()) };
    // Most bodies arrive in one piece, which is then not copied.
    let Some(second) = stream.try_next().await? else { return Ok(first) };
    let mut content = BytesMut::with_capacity(expected.clamp(first.len() + second.len(), 1 << 20));
    content.extend_from_slice(&first);
    content.extend_from_slice(&second);
    while let Some(chunk) = stream.try_next().await? {
        content.extend_from_slice(&chunk);
    }
    Ok(content.freeze())
}

/// The first JSON value of the text must be an object (or null); what comes after it is ignored, and its depth is bounded.
pub(crate) fn parse_json(content: &[u8]) -> Result<Map<String, Json>, ApiError> {
    // A value takes two bytes at least.
    if content.len() / 2 > MAX_JSON_VALUES {
        json_weight::within(content, MAX_JSON_VALUES).map_err(|_| malformed())?;
    }
    let mut deserializer = serde_json::Deserializer::from_slice(content);
    let object = Option::<Map<String, Json>>::deserialize(&mut deserializer).map_err(|_| malformed())?;
    Ok(object.unwrap_or_default())
}

fn parse_urlencoded(content: &[u8], form: &mut Form) -> Result<(), ApiError> {
    for pair in content.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
        let mut halves = pair.splitn(2, |byte| *byte == b'=');
        let key = decode_component(halves.next().unwrap_or_default())?;
        form.add(key, decode_component(halves.next().unwrap_or_default())?)?;
    }
    Ok(())
}

fn decode_component(raw: &[u8]) -> Result<String, ApiError> {
    let spaced: Vec<u8> = raw.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    let decoded: Vec<u8> = percent_encoding::percent_decode(&spaced).collect();
    String::from_utf8(decoded).map_err(|_| malformed())
}

async fn read_multipart(
    request: &HttpRequest,
    stream: impl Stream<Item = Result<Bytes, PayloadError>> + 'static,
) -> Result<Body, ApiError> {
    let mut parts = Multipart::new(request.headers(), stream);
    let mut form = Form::default();
    let mut files = Vec::new();
    while let Some(mut part) = parts.try_next().await.map_err(multipart_error)? {
        let Some(key) = part.name().map(str::to_owned) else { continue };
        let name = part.content_disposition().and_then(file_name);
        let content = collect(&mut part, 0).await.map_err(multipart_error)?;
        match name {
            None => form.add(key, String::from_utf8(content.into()).map_err(|_| malformed())?)?,
            Some(name) => {
                files.push(Upload { key, name, content });
                form.count()?;
            }
        }
    }
    form.add_query(request)?;
    Ok(Body { files, ..form.into_body()? })
}

/// The name of a part's file, without the directories that some clients send; none if the part is a plain value.
fn file_name(disposition: &header::ContentDisposition) -> Option<String> {
    let name = match disposition.get_filename_ext() {
        Some(extended) => String::from_utf8_lossy(&extended.value).into_owned(),
        None => disposition.get_filename()?.to_owned(),
    };
    let base = name.rsplit('/').next().unwrap_or_default();
    (!base.is_empty()).then(|| base.to_owned())
}

/// The values of a form while it is read.
#[derive(Default)]
struct Form {
    values: Map<String, Json>,
    json: Vec<String>,
    entries: usize,
}

impl Form {
    fn count(&mut self) -> Result<(), ApiError> {
        self.entries += 1;
        if self.entries > MAX_FORM_ENTRIES {
            Err(ApiError::bad_request("The form has too many values."))
        } else {
            Ok(())
        }
    }

    fn add(&mut self, key: String, text: String) -> Result<(), ApiError> {
        self.count()?;
        if key == JSON_PAYLOAD {
            self.json.push(text);
            return Ok(());
        }
        let value = infer(text);
        match self.values.get_mut(&key) {
            None => {
                self.values.insert(key, value);
            }
            Some(Json::Array(all)) => all.push(value),
            Some(first) => *first = Json::Array(vec![first.take(), value]),
        }
        Ok(())
    }

    /// A form's values may also stand in the query string.
    fn add_query(&mut self, request: &HttpRequest) -> Result<(), ApiError> {
        for (key, value) in form_urlencoded::parse(request.query_string().as_bytes()) {
            self.add(key.into_owned(), value.into_owned())?;
        }
        Ok(())
    }

    fn into_body(mut self) -> Result<Body, ApiError> {
        // Each is bounded by itself, and many may come.
        let length: usize = self.json.iter().map(String::len).sum();
        if self.json.len() > 1 && length / 2 > MAX_JSON_VALUES {
            let weigh = |left, text: &String| json_weight::within(text.as_bytes(), left);
            self.json.iter().try_fold(MAX_JSON_VALUES, weigh).map_err(|_| malformed())?;
        }
        for text in &self.json {
            self.values.extend(parse_json(text.as_bytes())?);
        }
        Ok(Body { values: self.values, files: Vec::new(), form: true })
    }
}

/// The value that a form's text stands for: a bool or a number only if it is written exactly as we would write it.
fn infer(text: String) -> Json {
    match text.as_str() {
        "true" => return Json::Bool(true),
        "false" => return Json::Bool(false),
        _ => {}
    }
    let numeric = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'.'));
    match text.parse::<f64>() {
        Ok(number) if numeric && number.to_string() == text => {
            if number.fract() == 0.0 && number.abs() < 9e15 {
                Json::from(number as i64)
            } else {
                Json::from(number)
            }
        }
        _ => Json::String(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::FromRequest;
    use actix_web::test::TestRequest;
    use serde_json::json;

    async fn parse(request: TestRequest, limit: usize) -> Result<Body, (u16, String)> {
        let (request, mut payload) = request.to_http_parts();
        let payload = web::Payload::from_request(&request, &mut payload).await.unwrap();
        read(&request, payload, limit).await.map_err(|error| (error.status.as_u16(), error.message))
    }

    fn post(content_type: &str, body: impl Into<Bytes>) -> TestRequest {
        let request = TestRequest::post().set_payload(body);
        if content_type.is_empty() { request } else { request.insert_header(("content-type", content_type.to_owned())) }
    }

    async fn values(request: TestRequest) -> Result<Json, (u16, String)> {
        parse(request, 1 << 20).await.map(|body| Json::Object(body.values))
    }

    #[actix_web::test]
    async fn json_bodies() {
        let json = |text: &str| values(post("application/json; charset=utf-8", text.to_owned()));
        assert_eq!(json(r#"{"a":1,"a":[true,"x"]} trailing"#).await, Ok(json!({"a": [true, "x"]})));
        assert_eq!(json("null").await, Ok(json!({})));
        assert_eq!(json("").await, Ok(json!({})));
        for broken in ["{", "[1]", "\"x\"", "1", "{\"a\":}", "{\"a\":\"\u{1}\"}"] {
            assert_eq!(json(broken).await, Err((400, String::new())), "{broken}");
        }
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(json(&deep).await, Err((400, String::new())));
        let heavy = format!("{{\"a\":[{}0]}}", "0,".repeat(MAX_JSON_VALUES));
        let heavy = parse(post("application/json", heavy), 32 << 20).await;
        assert_eq!(heavy.map(|body| body.values.len()), Err((400, String::new())));
        let long = format!("{{\"a\":\"{}\"}}", "0,".repeat(MAX_JSON_VALUES));
        assert!(parse(post("application/json", long), 32 << 20).await.is_ok());
        let latin = values(post("application/json", &b"{\"a\":\"\xff\"}"[..])).await;
        assert_eq!(latin, Err((400, String::new())));
    }

    #[actix_web::test]
    async fn other_content_types_are_refused_unless_the_body_is_empty() {
        for name in ["", "text/plain", "Application/JSON", "text/xml"] {
            assert_eq!(values(post(name, "{}")).await, Err((400, "Unsupported Content-Type.".into())), "{name}");
            assert_eq!(values(post(name, "")).await, Ok(json!({})), "{name}");
        }
    }

    #[actix_web::test]
    async fn urlencoded_values_are_inferred_and_merged_with_the_query() {
        let form = "n=5&m=-1.5&z=0005&e=1e3&b=true&t=a+b%26&l=1&l=x&empty=&@jsonPayload=%7B%22n%22%3A%22five%22%7D";
        let request = post("application/x-www-form-urlencoded", form).uri("/x?q=1&l=y");
        let expected = json!({
            "n": "five", "m": -1.5, "z": "0005", "e": "1e3", "b": true, "t": "a b&", "l": [1, "x", "y"], "empty": "", "q": 1
        });
        assert_eq!(values(request).await, Ok(expected));
        let bad = values(post("application/x-www-form-urlencoded", "a=%ff")).await;
        assert_eq!(bad, Err((400, String::new())));
        let many = values(post("application/x-www-form-urlencoded", "a&".repeat(MAX_FORM_ENTRIES + 1))).await;
        assert!(many.is_err());
        let payload = format!("@jsonPayload={{\"a\":[{}0]}}&", "0,".repeat(MAX_JSON_VALUES / 2));
        let one = parse(post("application/x-www-form-urlencoded", payload.clone()), 32 << 20).await;
        assert!(one.is_ok());
        let two = parse(post("application/x-www-form-urlencoded", payload.repeat(2)), 32 << 20).await;
        assert_eq!(two.map(|body| body.values.len()), Err((400, String::new())));
    }

    #[actix_web::test]
    async fn multipart_values_and_files() {
        let form = "--B\r\nContent-Disposition: form-data; name=\"title\"\r\n\r\n12\r\n\
                    --B\r\nContent-Disposition: form-data; name=\"docs+\"; filename=\"dir/a b.txt\"\r\n\
                    Content-Type: text/plain\r\n\r\nhello\r\n--B--\r\n";
        let body = parse(post("multipart/form-data; boundary=B", form).uri("/?x=true"), 1000).await.unwrap();
        assert_eq!(Json::Object(body.values), json!({"title": 12, "x": true}));
        let [file] = &body.files[..] else { panic!("one file") };
        assert_eq!((file.key.as_str(), file.name.as_str(), &file.content[..]), ("docs+", "a b.txt", &b"hello"[..]));

        let cut = parse(post("multipart/form-data; boundary=B", &form[..60]), 1000).await;
        assert_eq!(cut.unwrap_err().0, 400);
        let none = parse(post("multipart/form-data", form), 1000).await;
        assert_eq!(none.unwrap_err().0, 400);
    }

    #[actix_web::test]
    async fn too_long_is_413_by_the_header_and_while_reading() {
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(2000));
        let announced = post("application/json", long.clone()).insert_header(("content-length", "2010"));
        assert_eq!(parse(announced, 1000).await.unwrap_err().0, 413);
        assert_eq!(parse(post("application/json", long), 1000).await.unwrap_err().0, 413);
        let part =
            format!("--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n{}\r\n--B--\r\n", "x".repeat(2000));
        assert_eq!(parse(post("multipart/form-data; boundary=B", part), 1000).await.unwrap_err().0, 413);
    }

    #[actix_web::test]
    async fn typed_values() {
        let json = parse(post("application/json", r#"{"t":"x","n":5,"f":1.5,"z":null}"#), 100).await.unwrap();
        assert_eq!(json.text("t").unwrap(), "x");
        assert_eq!(json.text("none").unwrap(), "");
        assert!(json.text("n").is_err());
        assert_eq!(json.integer("n").unwrap(), 5);
        assert!(json.integer("f").is_err() && json.integer("t").is_err());
        let form = parse(post("application/x-www-form-urlencoded", "p=12345678&q=true&n=5"), 100).await.unwrap();
        assert_eq!(form.text("p").unwrap(), "12345678");
        assert_eq!(form.text("q").unwrap(), "true");
        assert_eq!(form.integer("n").unwrap(), 5);
    }
}
