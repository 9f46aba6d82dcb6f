//! What those who watch over a server are told: `GET /api/realtime/state` and `GET /api/metrics` (RTX-7, RTX-18).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value as Json, json};

use super::listener::Listener;
use super::scene::{collection, create, id, start, user};
use crate::harness::{Client, Socket, Stream, eventually};

const STATE: &str = "/api/realtime/state";
const METRICS: &str = "/api/metrics";

/// Samples by their name and labels, as they are written.
type Samples = BTreeMap<String, f64>;

/// Reads Prometheus' text format as strictly as it is specified: every family is described once, before its samples,
/// which follow each other; names and labels are of the right characters; a histogram is whole.
fn parse(text: &str) -> Samples {
    let is_name = |name: &str| {
        let mut bytes = name.bytes();
        bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
            && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    let (mut samples, mut seen) = (Samples::new(), BTreeSet::new());
    let (mut family, mut kind) = (String::new(), String::new());
    assert!(text.ends_with('\n'));
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, words) = help.split_once(' ').expect("a help text");
            assert!(is_name(name) && !words.is_empty() && seen.insert(name.to_owned()), "{line}");
            let next = lines.next().and_then(|line| line.strip_prefix("# TYPE ")).expect("a type");
            let (same, its) = next.split_once(' ').unwrap();
            assert!(same == name && ["counter", "gauge", "histogram"].contains(&its), "{next}");
            assert!(lines.peek().is_some_and(|line| line.starts_with(name)), "{name} has no sample");
            (family, kind) = (name.to_owned(), its.to_owned());
            continue;
        }
        let (sample, value) = line.rsplit_once(' ').expect("a value");
        let (name, labels) = match sample.split_once('{') {
            Some((name, labels)) => (name, labels.strip_suffix('}').expect("the end of the labels")),
            None => (sample, ""),
        };
        assert!(is_name(name), "{line}");
        for label in labels.split(',').filter(|label| !label.is_empty()) {
            let (key, value) = label.split_once('=').expect("a label's value");
            let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).expect("quotes");
            assert!(is_name(key) && !value.contains(['"', '\\', '\n']), "{line}");
        }
        let suffix = name.strip_prefix(family.as_str()).unwrap_or_else(|| panic!("{name} is not of {family}"));
        assert!(
            suffix.is_empty() || (kind == "histogram" && ["_bucket", "_sum", "_count"].contains(&suffix)),
            "{line}"
        );
        assert_eq!(kind == "counter", family.ends_with("_total"), "{family}");
        let value: f64 = value.parse().expect("a number");
        assert!(kind == "gauge" || value >= 0.0, "{line}");
        assert_eq!(samples.insert(sample.to_owned(), value), None, "{sample} twice");
    }
    for name in seen.iter().filter(|name| samples.contains_key(&format!("{name}_count"))) {
        let mut buckets: Vec<(f64, f64)> = samples
            .iter()
            .filter_map(|(sample, count)| {
                let bound = sample.strip_prefix(&format!("{name}_bucket{{le=\""))?.strip_suffix("\"}")?;
                Some((bound.parse().expect("a bound"), *count))
            })
            .collect();
        buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
        assert!(buckets.len() > 2 && buckets.is_sorted_by_key(|(_, count)| *count), "{name} {buckets:?}");
        assert_eq!(buckets.last(), Some(&(f64::INFINITY, samples[&format!("{name}_count")])));
    }
    samples
}

fn metrics(client: &Client) -> Samples {
    let answer = client.get(METRICS);
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    parse(&answer.text())
}

fn count(state: &Json, name: &str) -> u64 {
    state[name].as_u64().unwrap_or_else(|| panic!("{name}: {state}"))
}

#[test]
fn connections_and_deliveries_are_counted() {
    let server = start();
    let superuser = server.superuser();
    let mut listeners = Vec::from(Listener::subscribed(&server.guest(), &["marks/*"]));
    listeners.push(Listener::Sse(Stream::subscribed(&server.guest(), &["marks/*", "none"])));
    for _ in 0..3 {
        create(&server.guest(), "marks", json!({}));
    }
    for listener in &mut listeners {
        (0..3).for_each(|_| assert_eq!(listener.next().1, "marks/*"));
    }
    let state = superuser.get(STATE).ok();
    assert_eq!(state["clients"], json!({ "sse": 2, "webSocket": 1 }));
    let expected = [("subscriptions", 4), ("deliveries", 9), ("overflows", 0), ("stalls", 0), ("lagged", 0)];
    for (name, number) in expected.into_iter().chain([("resets", 0), ("replays", 0), ("replaying", 0)]) {
        assert_eq!(count(&state, name), number, "{name}");
    }
    let last = count(&state, "last");
    assert_eq!(state["seq"], format!("{}:{last}", state["epoch"].as_str().unwrap()));
    let oldest = count(&state, "oldest");
    assert!((1..=last).contains(&oldest) && count(&state, "queuedBytes") == 0, "{state}");
    eventually("every hub is done", || count(&superuser.get(STATE).ok(), "delivered") == last);

    let samples = metrics(&superuser);
    let expected = [
        ("headwater_realtime_connections{protocol=\"sse\"}", 2.0),
        ("headwater_realtime_connections{protocol=\"websocket\"}", 1.0),
        ("headwater_realtime_subscriptions", 4.0),
        ("headwater_realtime_deliveries_total", 9.0),
        ("headwater_realtime_cuts_total{reason=\"overflow\"}", 0.0),
        ("headwater_realtime_lag", 0.0),
        ("headwater_seq", last as f64),
        ("headwater_seq_oldest", oldest as f64),
        ("headwater_writer_changes_total", (last - oldest + 1) as f64),
    ];
    for (name, number) in expected {
        assert_eq!(samples.get(name), Some(&number), "{name}");
    }
    assert!(samples["process_resident_memory_bytes"] > 1e6 && samples["headwater_writer_commit_seconds_sum"] > 0.0);

    drop(listeners);
    eventually("all have gone", || {
        let state = superuser.get(STATE).ok();
        state["clients"] == json!({ "sse": 0, "webSocket": 0 }) && count(&state, "subscriptions") == 0
    });
}

#[test]
fn figures_are_for_superusers_and_for_who_shows_the_token() {
    const TOKEN: &str = "the-token-of-the-metrics";
    let server = start();
    let (_, ann) = user(&server, "ann");
    let set =
        |token: &str| server.superuser().patch("/api/settings", json!({ "headwater": { "metricsToken": token } }));
    for path in [STATE, METRICS] {
        server.guest().get(path).refused(401);
        ann.get(path).refused(403);
        assert_eq!(server.superuser().get(path).status, 200);
    }
    let bearer = |token: &str| {
        let authorization = format!("Bearer {token}");
        server.guest().request("GET", METRICS).header("Authorization", &authorization).send()
    };
    bearer("").refused(401);
    for unusable in ["a token with spaces in it", "a-token-with-an-ä-in-it", "a-token-with-a\ttab-in-it"] {
        let refused = set(unusable).refused(400);
        assert_eq!(refused["data"]["headwater"]["metricsToken"]["code"], "validation_match_invalid", "{unusable}");
    }
    set(TOKEN).ok();
    let answer = bearer(TOKEN);
    assert_eq!(answer.status, 200);
    parse(&answer.text());
    for wrong in ["", "the-token-of-the-metric", "The-token-of-the-metrics"] {
        bearer(wrong).refused(401);
    }
    // It opens nothing else.
    server.guest().request("GET", STATE).header("Authorization", &format!("Bearer {TOKEN}")).send().refused(401);
    server.guest().request("GET", "/api/settings").header("Authorization", TOKEN).send().refused(401);
}

/// What is told and what `docs/metrics.md` lists are the same, types included.
#[test]
fn every_figure_is_in_the_documentation() {
    let server = start();
    let text = server.superuser().get(METRICS).text();
    let told: BTreeSet<(&str, &str)> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md")).unwrap();
    let listed = page.lines().filter_map(|line| {
        let (name, rest) = line.strip_prefix("| `")?.split_once("` | ")?;
        let kind = rest.split(" | ").next().filter(|kind| ["counter", "gauge", "histogram"].contains(kind))?;
        Some((name.split('{').next().unwrap_or_default(), kind))
    });
    assert_eq!(told, listed.collect());
}

/// DEF-4: who reads on reads whole messages, and then why it was cut off.
#[test]
fn who_reads_on_after_an_overflow_is_told_of_it() {
    let server = start();
    collection(&server, "posts", json!({ "fields": [{ "name": "body", "type": "text", "max": 100_000 }] }));
    let (guest, superuser) = (server.guest(), server.superuser());
    let record = create(&guest, "posts", json!({}));
    let path = format!("/api/collections/posts/records/{}", id(&record));
    let mut socket = Socket::narrow(&guest);
    socket.ask(json!({ "subscriptions": ["posts/*"] }));
    let (mut session, body) = (guest.session(), "x".repeat(20_000));
    let mut written = 0;
    // As much as all buffers on the way hold, and what may wait beyond.
    eventually("an overflow", || {
        written += 1;
        session.send("PATCH", &path, &json!({ "n": written, "body": body })).expect("an answer").ok();
        count(&superuser.get(STATE).ok(), "overflows") == 1
    });
    let mut received = 0;
    let closed = loop {
        match socket.frame() {
            Ok(text) => {
                received += 1;
                let message: Json = serde_json::from_str(&text).expect("a whole message");
                assert_eq!((&message["type"], &message["record"]["n"]), (&json!("event"), &json!(received)));
            }
            Err(code) => break code,
        }
    };
    assert_eq!(closed, 4008);
    assert!(received < written);
    let samples = metrics(&superuser);
    assert_eq!(samples["headwater_realtime_cuts_total{reason=\"overflow\"}"], 1.0);
    assert_eq!(samples["headwater_realtime_connections{protocol=\"websocket\"}"], 0.0);
}
