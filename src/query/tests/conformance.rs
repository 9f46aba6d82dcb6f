//! The conformance set: 97 filters with what a guest finds by them, and rules with whom they let through.
//! The answers are those of the reference, which was asked each of them.

use serde_json::json;

use super::fixture::*;
use crate::query::{Base, QueryError};
use crate::request::RequestInfo;

const ALL: &str = "A B C D E";
const NONE: &str = "";

const FOUND: &[(&str, &str)] = &[
    ("title='hello'", NONE),
    ("title~'hello'", "A B"),
    ("title!~'hello'", "C D E"),
    ("title~'H%'", "A B"),
    ("title~'sureyx'", NONE),
    ("title~'émile'", NONE),
    ("title=null", "D"),
    ("title!=''", "A B C E"),
    ("n='2'", "B"),
    ("n~2", "B C"),
    ("n=true", "A"),
    ("pub='true'", NONE),
    ("pub!=true", "B C D E"),
    ("at<@now", ALL),
    ("at=''", "B C D E"),
    ("at~'2024-01-02'", "A"),
    ("author=null", "C E"),
    ("author.name='ann'", "A D"),
    ("tags='red'", NONE),
    ("tags~'red'", "A E"),
    ("tags.name='red'", "E"),
    ("tags.name?='red'", "A E"),
    ("tags.name!='red'", "B C D"),
    ("tags.name?!='red'", "A B C D"),
    ("tags.name=tags.w", "C"),
    ("tags.name?='red'&&tags.name?='green'", NONE),
    ("tags:length=2", "A B"),
    ("tags:length=0", "C"),
    ("tags:each?='red'", "A E"),
    ("tags:each!='red'", "B C D"),
    ("cat='x'", NONE),
    ("cat?='x'", NONE),
    ("cat:each?='y'", "A B D"),
    ("cat:each='y'", "B"),
    ("cat:each!='y'", "C E"),
    ("cat:each~'x'", NONE),
    ("cat~'x'", "A D"),
    ("cat=''", NONE),
    ("cat='[]'", "C E"),
    ("meta='plain'", "C"),
    ("meta=5", "E"),
    ("meta='5'", NONE),
    ("meta>4", "A B C E"),
    ("meta=null", "D"),
    ("meta=''", NONE),
    ("meta.a.b.2='x'", "A"),
    ("meta.a.b='[1,2,\"x\"]'", "A"),
    ("meta.0=1", "B"),
    ("meta.zzz=null", ALL),
    ("meta.zzz=''", NONE),
    ("loc.lon=0", "B C D E"),
    ("geoDistance(loc.lon,loc.lat,1,2)<1", "A"),
    ("strftime('%Y',at)=''", "B C D E"),
    ("comments_via_post.text='c0'", NONE),
    ("comments_via_post.text?='c0'", "A"),
    ("comments_via_post.text~'c'", "A B"),
    ("comments_via_post.text=''", "C D E"),
    ("comments_via_posts2.text?='c0'", "A B"),
    ("comments_via_posts2.text='c3'", "C"),
    ("author.email='ann@example.com'", "A D"),
    ("author.email='bob@example.com'", NONE),
    ("title='Hello' || title='Émile' && n=-3", "A E"),
    ("(title='Hello' || title='Émile') && n=-3", "E"),
    ("1=1", ALL),
    ("null=null", ALL),
    ("'a'='a'", ALL),
    ("title=title", ALL),
    ("1=''", NONE),
    ("title:lower='hello'", "A"),
    ("title:lower='émile'", NONE),
    ("n=2.50", "C"),
    ("title>'F'", "A B E"),
];

const REFUSED: &[&str] = &[
    "hid='h1'",
    "author.secret='x'",
    "author.password!=''",
    "priv_via_post.text='x'",
    "nope=1",
    "title.foo=1",
    "title",
    "()",
    "title=Hello",
    "n=.5",
    "n=1.",
    "n=1e1",
    "foo(1)=1",
    "geoDistance(1,2,3)=1",
    "strftime(at,'%Y')=1",
    "collectionName='posts'",
    "expand=''",
    "title:foo=1",
    "@nope=1",
    "tags.0='x'",
    "comments_via_post='x'",
    "title=='Hello'",
];

const FORBIDDEN: &[&str] = &["@collection.comments.text='c0'", "@request.auth.id=''", "title=\"@request.\""];

#[test]
fn guests_find() {
    assert_eq!(FOUND.len() + REFUSED.len() + FORBIDDEN.len(), 97);
    let world = conformance_set();
    let guest = RequestInfo::default();
    for (filter, expected) in FOUND {
        let found = world.find(&guest, "posts", |select| select.filter(filter).map(drop));
        assert_eq!(found.as_deref(), Ok(*expected), "{filter}");
    }
}

#[test]
fn guests_are_refused() {
    let world = conformance_set();
    let guest = RequestInfo::default();
    for filter in REFUSED {
        let found = world.find(&guest, "posts", |select| select.filter(filter).map(drop));
        assert!(matches!(found, Err(QueryError::Invalid(_))), "{filter}: {found:?}");
    }
    for filter in FORBIDDEN {
        let found = world.find(&guest, "posts", |select| select.filter(filter).map(drop));
        assert!(matches!(found, Err(QueryError::Forbidden(_))), "{filter}: {found:?}");
    }
}

#[test]
fn create_rules_see_the_candidate_without_affinities() {
    let world = conformance_set();
    let bob = world.caller("people", "bob");
    let cases = [
        (r#"t = "a""#, json!({"t": "a"}), true),
        (r#"t = "a""#, json!({"t": "b"}), false),
        ("@request.body.t:isset = false", json!({"t": "a"}), false),
        ("@request.body.t:isset = false", json!({}), true),
        ("n = 5", json!({"n": 5}), true),
        (r#"owner.name = "ann""#, json!({"owner": "ann"}), true),
        (r#"owner.name = "ann""#, json!({"owner": "bob"}), false),
        (r#"@request.body.owner.name = "ann""#, json!({"owner": "ann"}), true),
        (r#"@collection.people.name ?= "ann""#, json!({}), true),
        (r#"@collection.people.name = "ann""#, json!({}), false),
        (r#"@request.body.tags.name ?= "red""#, json!({"tags": ["red", "green"]}), true),
        (r#"@request.body.tags.name = "red""#, json!({"tags": ["red", "green"]}), false),
        (r#"@request.body.t:lower = "abc""#, json!({"t": "ABC"}), true),
        (r#"@request.auth.role:each ?= "user""#, json!({}), true),
        (r#"@request.auth.posts_via_author.title ?= "hello world""#, json!({}), true),
        ("@request.auth.nope = null", json!({}), true),
        (r#"n = "5""#, json!({"n": 5}), false),
        (r#"n > "4""#, json!({"n": 5}), false),
        (r#"n < "4""#, json!({"n": 5}), true),
        (r#"@collection.rules.t ?= "a""#, json!({"t": "a"}), false),
        (r#"tags.name ?= "red""#, json!({"tags": ["red", "green"]}), true),
        (r#"tags.name = "red""#, json!({"tags": ["red", "green"]}), false),
    ];
    for (rule, body, expected) in cases {
        let mut values = body.clone();
        values["id"] = json!("candidate");
        let candidate = world.record("rules", values);
        let request = sends(&bob, body);
        assert_eq!(world.holds(&request, Base::Candidate(&candidate), rule), Ok(expected), "{rule}");
    }
    let request = sends(&bob, json!({"zzz": {"a": "1"}}));
    let candidate = world.record("rules", json!({"id": "candidate"}));
    assert_eq!(world.holds(&request, Base::Candidate(&candidate), r#"@request.body.zzz.a = "1""#), Ok(true));
}

#[test]
fn update_rules_see_the_stored_record_and_the_new_values() {
    let world = conformance_set();
    world.insert("rules", json!({"id": "r", "t": "stored", "n": 5}));
    let bob = world.caller("people", "bob");
    let cases = [
        (r#"t = "x""#, json!({"t": "x"}), false),
        ("@request.body.n > n", json!({"n": 6}), true),
        ("@request.body.n > n", json!({"n": 5}), false),
        ("@request.body.t:changed = false", json!({"t": "stored"}), true),
        ("@request.body.t:changed = false", json!({"t": "other"}), false),
        ("@request.body.t:changed = false", json!({}), true),
        ("@request.body.t:changed = true", json!({"t": "other"}), true),
        (r#"n = "5" && n > "4""#, json!({}), true),
    ];
    for (rule, body, expected) in cases {
        let request = sends(&bob, body);
        let found = world.find(&request, "rules", |select| select.only("r").rule(rule).map(drop));
        assert_eq!(found.as_deref(), Ok(if expected { "r" } else { "" }), "{rule}");
        // An event sees the same record the same way.
        let record = world.read("rules", "r");
        assert_eq!(world.holds(&request, Base::Snapshot(&record), rule), Ok(expected), "{rule}");
    }
}

#[test]
fn an_alias_is_a_join_of_its_own() {
    let world = conformance_set();
    let guest = RequestInfo::default();
    let find = |rule: &str| world.find(&guest, "tags", |select| select.rule(rule).map(drop)).unwrap();
    let both = r#"@collection.people:a.name ?= "ann" && @collection.people:b.name ?= "bob""#;
    assert_eq!(find(both), "red green blue nameless");
    assert_eq!(find(r#"@collection.people.name ?= "ann" && @collection.people.name ?= "bob""#), "");
}
