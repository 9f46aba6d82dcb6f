//! The options of a subscription: what stands in its text as `?options=…`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value as Json};

use crate::records::pick::Fields;
use crate::request::Headers;

/// What a client asked for with one subscription, beside its topic.
#[derive(Debug, Default)]
pub(super) struct Options {
    /// What rules see as `@request.query`, the parts below included.
    pub query: BTreeMap<String, String>,
    pub headers: Headers,
    /// Which parts of the record to show; all if empty.
    pub fields: Fields,
    /// A live query: a page of what there is, and then what becomes of it.
    pub live: bool,
}

#[derive(Deserialize)]
struct Raw {
    #[serde(default)]
    query: Json,
    #[serde(default)]
    headers: Json,
    #[serde(default)]
    live: Json,
}

impl Options {
    /// Reads the options of a subscription's text; none where there are none, or none that can be understood.
    pub(super) fn of(text: &str) -> Option<Options> {
        let (_, parameters) = text.split_once('?')?;
        let (_, json) = form_urlencoded::parse(parameters.as_bytes()).find(|(name, _)| name == "options")?;
        let raw: Raw = serde_json::from_str(&json).ok()?;
        let query: BTreeMap<String, String> =
            object(raw.query).into_iter().map(|(name, value)| (name, as_text(value))).collect();
        let headers = object(raw.headers).into_iter().map(|(name, value)| (snake_case(&name), as_text(value)));
        // A list of fields that cannot be understood picks nothing out.
        let fields = query.get("fields").and_then(|fields| Fields::parse(fields).ok()).unwrap_or_default();
        Some(Options { headers: headers.collect(), fields, query, live: raw.live == Json::Bool(true) })
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str).filter(|text| !text.is_empty())
    }

    /// A condition that the record must meet too.
    pub(super) fn filter(&self) -> Option<&str> {
        self.text("filter")
    }

    /// The text of [`Options::fields`], if it picks anything out.
    pub(super) fn picked(&self) -> Option<&str> {
        if self.fields.is_empty() { None } else { self.text("fields") }
    }

    /// A live query of the first so many in some order.
    pub(super) fn is_window(&self) -> bool {
        self.live && self.text("sort").is_some() && self.text("perPage").is_some()
    }

    /// Records of a page, if that is a number.
    pub(super) fn per_page(&self) -> Option<i64> {
        self.text("perPage")?.parse().ok()
    }

    /// Relations to show with the record.
    pub(super) fn expand(&self) -> Option<&str> {
        self.text("expand")
    }
}

fn object(json: Json) -> Map<String, Json> {
    match json {
        Json::Object(object) => object,
        _ => Map::new(),
    }
}

/// Scalars as texts; lists and objects have none.
fn as_text(value: Json) -> String {
    match value {
        Json::String(text) => text,
        Json::Bool(_) | Json::Number(_) => value.to_string(),
        Json::Null | Json::Array(_) | Json::Object(_) => String::new(),
    }
}

/// `X-Token` and `xToken` as `x_token`: words begin at capitals and after whatever is neither letter nor digit.
fn snake_case(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 4);
    let mut new_word = false;
    let mut after_capital = true;
    for c in name.chars() {
        if !c.is_alphanumeric() {
            new_word = true;
            continue;
        }
        if !out.is_empty() && (new_word || (c.is_uppercase() && !after_capital)) {
            out.push('_');
        }
        new_word = false;
        after_capital = c.is_uppercase();
        out.extend(c.to_lowercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_in_every_form_that_clients_send() {
        let texts = [
            r#"demo2/*?options=%7B%22query%22%3A%7B%22filter%22%3A%22title%20~%20%5C%22k%5C%22%22%2C%22n%22%3A1%2C%22b%22%3Atrue%2C%22o%22%3A%7B%7D%7D%2C%22headers%22%3A%7B%22X-Tok%22%3A%221%22%7D%7D"#,
            r#"demo2/*?options=%7B%22query%22%3A%7B%22filter%22%3A%22title+~+%5C%22k%5C%22%22%2C%22n%22%3A1%2C%22b%22%3Atrue%2C%22o%22%3Anull%7D%2C%22headers%22%3A%7B%22xTok%22%3A1%7D%7D&x=1"#,
            r#"demo2/*?x=1&options={"query":{"filter":"title ~ \"k\"","n":"1","b":"true","o":[1]},"headers":{"x_tok":"1"}}"#,
        ];
        for text in texts {
            let options = Options::of(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(options.filter(), Some(r#"title ~ "k""#), "{text}");
            assert_eq!(options.text("n"), Some("1"), "{text}");
            assert_eq!(options.text("b"), Some("true"), "{text}");
            assert_eq!(options.query.get("o").map(String::as_str), Some(""), "{text}");
            assert_eq!(options.headers.get("x_tok"), Some("1"), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_understood_is_no_option() {
        for text in
            ["posts/*", "posts/*?", "posts/*?options=", "posts/*?options={", "posts/*?options=1", "posts?Options={}"]
        {
            assert!(Options::of(text).is_none(), "{text}");
        }
        let options = Options::of(r#"posts/*?options={"query":1,"headers":{"A-B":"x"}}"#).unwrap();
        assert_eq!((options.query.len(), options.headers.get("a_b")), (0, Some("x")));
        assert!(Options::of(r#"posts?options={"query":{"fields":"a:b"}}"#).unwrap().fields.is_empty());
    }

    #[test]
    fn names_of_headers_are_snake_cased() {
        let cases = [
            ("X-Token", "x_token"),
            ("HelloWorld1HelloWorld2", "hello_world1_hello_world2"),
            ("TEST", "test"),
            ("testABR", "test_abr"),
            (".a!b@c123. ", "a_b_c123"),
            ("_", ""),
        ];
        for (name, expected) in cases {
            assert_eq!(snake_case(name), expected, "{name}");
        }
    }
}
