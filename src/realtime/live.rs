//! Live queries: the pages that they begin with, and what has become of a window.
//!
//! `?options={"live":true,"query":{…}}` with the parameters of a list. With `sort` and `perPage` it is a window. See
//! [`Liveness`] for what becomes of either; the changes of queries are told by [`super::viewing`].

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use headwater_actors::hub::{Liveness, Page, Snapshot};
use headwater_actors::topic::topic_of;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::options::Options;
use super::payload::{leave, on_one_line};
use super::topic;
use crate::app::App;
use crate::records::RecordError;
use crate::records::read::{self, List, Scope};
use crate::request::{Caller, RequestInfo};

/// Records of a window: it is read anew after each commit, and kept for whoever looks at it.
pub(super) const MAX_WINDOW: i64 = 200;

/// What a subscription's text asks for.
pub(super) fn liveness(text: &str) -> Liveness {
    // Most topics have no options, and most options are not of live queries.
    if !text.contains("live") {
        return Liveness::Events;
    }
    match Options::of(text) {
        Some(options) if options.is_window() => Liveness::Window,
        Some(options) if options.live => Liveness::Changes,
        _ => Liveness::Events,
    }
}

/// Whether a text asks for a window of more records than one may have.
pub(super) fn is_too_large(text: &str) -> bool {
    liveness(text) == Liveness::Window && Options::of(text).is_some_and(|options| options.per_page() > Some(MAX_WINDOW))
}

/// The page that a live query begins with, or a window as it is now. Without `whole` only the records of a window.
pub(super) async fn snapshot(app: App, text: String, caller: Caller, whole: bool) -> Snapshot {
    let options = Options::of(&text);
    match page(&app, topic_of(&text), options.as_ref(), caller, whole).await {
        Ok(list) if list.json.is_empty() => Snapshot::Refused(refusal("the fields make no sense")),
        Ok(list) => {
            let is_window = options.is_some_and(|options| options.is_window());
            let items = if is_window { items(&list) } else { Vec::new() };
            let mut payload = Vec::new();
            if whole {
                // A page is an object, and has members.
                payload.extend_from_slice(br#"{"action":"snapshot","#);
                payload.extend_from_slice(list.json.get(1..).unwrap_or_default());
            }
            Snapshot::Page(Page { at: list.at, payload: on_one_line(payload), items })
        }
        Err(error @ (RecordError::Overloaded | RecordError::Outdated | RecordError::Storage(_))) => {
            log::warn!("realtime: a live query was not read this time: {error}");
            Snapshot::Failed
        }
        Err(error @ RecordError::Interrupted) => Snapshot::TookTooLong(refusal(&error.to_string())),
        Err(error) => Snapshot::Refused(refusal(&error.to_string())),
    }
}

/// What clients are told of a query that cannot be read.
fn refusal(why: &str) -> Bytes {
    log::debug!("realtime: a live query was not read: {why}");
    let message = "The query cannot be read, or takes too long: see what the list API answers to it.";
    json!({ "action": "error", "message": message }).to_string().into()
}

async fn page(
    app: &App,
    topic: &str,
    options: Option<&Options>,
    caller: Caller,
    whole: bool,
) -> Result<List, RecordError> {
    let (name, record) = topic.split_once('/').unwrap_or((topic, "*"));
    let schema = app.schema.current();
    let Some(collection) = schema.find(name) else { return Err(RecordError::Parameters) };
    let request = RequestInfo { caller, ..topic::request(options) };
    // One record is a page of one, for whoever may view it.
    let (rule, only) = match record {
        "*" => (&collection.rules.list, None),
        record => (&collection.rules.view, Some(record)),
    };
    read::list_at(app, collection, Scope { rule, only, skip_total: !whole }, request).await
}

/// The records of a page as they were written, each with its id.
fn items(list: &List) -> Vec<(Arc<str>, Bytes)> {
    #[derive(Deserialize)]
    struct Listed<'a> {
        #[serde(borrow)]
        items: Vec<&'a RawValue>,
    }
    let Ok(Listed { items }) = serde_json::from_slice(&list.json) else { return Vec::new() };
    let items = items.into_iter().map(|item| on_one_line(item.get().as_bytes().to_vec()));
    list.ids.iter().map(|id| Arc::from(id.as_str())).zip(items).collect()
}

/// What tells the one state of a window from the other: first who left it, then who is in it, each with its place.
pub(super) fn differences(before: &[(Arc<str>, Bytes)], after: &[(Arc<str>, Bytes)]) -> Vec<Bytes> {
    let (old, new): (HashMap<&str, &Bytes>, HashMap<&str, &Bytes>) = (
        before.iter().map(|(id, item)| (&**id, item)).collect(),
        after.iter().map(|(id, item)| (&**id, item)).collect(),
    );
    let gone = before.iter().filter(|(id, _)| !new.contains_key(&**id)).map(|(id, _)| leave(id));
    let there = after.iter().enumerate().filter_map(|(index, (id, item))| {
        let action = match old.get(&**id) {
            None => "enter",
            Some(known) if *known != item => "change",
            Some(_) => return None,
        };
        let mut out = br#"{"record":"#.to_vec();
        out.extend_from_slice(item);
        out.extend_from_slice(format!(r#","action":"{action}","index":{index}}}"#).as_bytes());
        Some(Bytes::from(out))
    });
    gone.chain(there).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_text_asks_for() {
        let of = |options: &str| liveness(&format!("posts/*?options={options}"));
        assert_eq!(liveness("live/*"), Liveness::Events);
        assert_eq!(of(r#"{"live":true}"#), Liveness::Changes);
        assert_eq!(of(r#"{"live":true,"query":{"sort":"n"}}"#), Liveness::Changes);
        assert_eq!(of(r#"{"live":true,"query":{"sort":"n","perPage":5}}"#), Liveness::Window);
        assert_eq!(of(r#"{"live":false,"query":{"sort":"n","perPage":5}}"#), Liveness::Events);
        assert_eq!(of(r#"{"live":1}"#), Liveness::Events);
    }

    #[test]
    fn windows_have_a_bound() {
        let is_too_large =
            |query: &str| is_too_large(&format!(r#"posts/*?options={{"live":true,"query":{{{query}}}}}"#));
        assert!(is_too_large(r#""sort":"n","perPage":201"#));
        assert!(is_too_large(r#""sort":"n","perPage":"1000""#));
        assert!(!is_too_large(r#""sort":"n","perPage":200"#));
        assert!(!is_too_large(r#""sort":"n","perPage":"many""#));
        assert!(!is_too_large(r#""perPage":1000"#));
    }

    #[test]
    fn a_window_changes_by_who_leaves_and_who_is_in_it() {
        let window = |items: &[(&str, &str)]| -> Vec<(Arc<str>, Bytes)> {
            items.iter().map(|(id, item)| (Arc::from(*id), Bytes::from(item.to_string()))).collect()
        };
        let changes =
            differences(&window(&[("a", "1"), ("b", "2"), ("c", "3")]), &window(&[("d", "4"), ("a", "1"), ("b", "5")]));
        let expected = [
            r#"{"action":"leave","id":"c"}"#,
            r#"{"record":4,"action":"enter","index":0}"#,
            r#"{"record":5,"action":"change","index":2}"#,
        ];
        assert_eq!(changes, expected);
    }
}
