//! Generated rules: whatever resolves also runs, and a snapshot of a record answers as its stored row does.

use proptest::prelude::*;
use proptest::sample::select;

use super::fixture::*;
use crate::query::{Base, QueryError};
use crate::request::RequestInfo;

const PATHS: &[&str] = &[
    "id",
    "title",
    "n",
    "pub",
    "tags",
    "author",
    "meta",
    "cat",
    "at",
    "loc",
    "hid",
    "title:lower",
    "n:lower",
    "tags:length",
    "tags:each",
    "cat:each",
    "author:each",
    "author:length",
    "tags.name",
    "tags.w",
    "tags.id",
    "author.name",
    "author.id",
    "author.email",
    "author.role:each",
    "meta.a.b.2",
    "meta.0",
    "meta.s",
    "loc.lon",
    "comments_via_post.text",
    "comments_via_post.posts2:each",
    "comments_via_posts2.text",
    "comments_via_posts2.post.title",
    "author.posts_via_author.tags.name",
    "tags.posts_via_tags.n",
    "priv_via_post.id",
    "@collection.tags.name",
    "@collection.posts:x.author.name",
    "@request.auth.name",
    "@request.auth.role:each",
    "@request.auth.id",
    "@request.auth.posts_via_author.n",
    "@request.body.title",
    "@request.body.title:changed",
    "@request.body.tags.name",
    "@request.body.cat:each",
    "@request.body.n:isset",
    "@request.body.n",
    "@request.query.q",
    "@request.method",
    "nope",
];

const LITERALS: &[&str] = &[
    "''",
    "'hello'",
    "'Hello'",
    "'red'",
    "'x'",
    "'1'",
    "'2.0'",
    "'%'",
    "'[]'",
    "'A'",
    "'ann'",
    "0",
    "1",
    "2",
    "2.5",
    "-3",
    "null",
    "true",
    "false",
    "@now",
    "@year",
    "'{\"lon\":0,\"lat\":0}'",
];

const CALLS: &[&str] = &[
    "geoDistance(loc.lon, loc.lat, n, 2)",
    "strftime('%Y', at)",
    "strftime('%m', comments_via_post.text, '+1 day')",
    "strftime('%Y', n)",
];

fn rule() -> impl Strategy<Value = String> {
    let operand = prop_oneof![6 => select(PATHS), 4 => select(LITERALS), 1 => select(CALLS)];
    let sign = (prop_oneof![Just(""), Just("?")], select(vec!["=", "!=", ">", ">=", "<", "<=", "~", "!~"]));
    let compare =
        (operand.clone(), sign, operand).prop_map(|(left, (any, op), right)| format!("{left} {any}{op} {right}"));
    compare.prop_recursive(3, 8, 3, |inner| {
        (prop::collection::vec(inner, 2..4), any::<bool>())
            .prop_map(|(parts, all)| format!("({})", parts.join(if all { " && " } else { " || " })))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn snapshots_answer_as_stored_rows_do(rule in rule()) {
        thread_local!(static WORLD: World = conformance_set());
        WORLD.with(|world| {
            let bob = world.caller("people", "bob");
            let body = serde_json::json!({"title": "Hello", "tags": ["red", "blue"], "cat": ["x"], "n": 2});
            let request = sends(&bob, body);
            let found = match world.find(&request, "posts", |select| select.rule(&rule).map(drop)) {
                Ok(found) => found,
                Err(QueryError::Invalid(_)) => return,
                Err(error) => panic!("{error}"),
            };
            for id in ["A", "B", "C", "D", "E"] {
                let record = world.read("posts", id);
                let holds = world.holds(&request, Base::Snapshot(&record), &rule);
                assert_eq!(holds, Ok(found.split(' ').any(|found| found == id)), "{id}: {rule}");
            }
        });
    }

    #[test]
    fn what_resolves_runs(filter in rule()) {
        thread_local!(static WORLD: World = conformance_set());
        WORLD.with(|world| {
            let guest = RequestInfo::default();
            let narrow = |select: &mut crate::query::Select<'_>| {
                select.filter(&filter)?.sort("tags.name,-meta.0")?;
                Ok(())
            };
            let _ = world.find(&guest, "posts", narrow);
            let candidate = world.record("posts", serde_json::json!({"id": "new", "title": "x", "tags": ["red"]}));
            let _ = world.holds(&guest, Base::Candidate(&candidate), &filter);
        });
    }
}
