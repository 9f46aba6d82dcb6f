//! Generated filters and rules with the answers that the reference gave: a case per line of `replayed.tsv`.
//!
//! - `guest|bob|super  filter|rule  TEXT  IDS`: what the caller finds among the posts; `400` where it is refused
//! - `create|update  RULE  BODY  200|no`: whether the rule lets bob write this to `rules`
//! - `set  rules  JSON`: the list rules of collections from here on

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::fixture::*;
use crate::query::Base;
use crate::records::Record;
use crate::request::{Caller, RequestInfo};
use crate::schema::{AuthOptions, Collection, CollectionKind, Rule, Schema};

const CASES: &str = include_str!("replayed.tsv");

#[test]
fn generated_filters_find_what_the_reference_finds() {
    let mut world = world();
    let bob = world.caller("people", "bob");
    for line in CASES.lines() {
        let [who, kind, text, expected] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
        if who == "set" {
            with_list_rules(&mut world, text);
            continue;
        }
        let request = match who {
            "guest" => RequestInfo::default(),
            "bob" => bob.clone(),
            "super" => RequestInfo { caller: superuser(), ..RequestInfo::default() },
            _ => continue,
        };
        let request = RequestInfo { method: "GET".into(), ..with_extras(request) };
        let found = world.find(&request, "posts", |select| match kind {
            "filter" => select.filter(text).map(drop),
            _ => select.rule(text).map(drop),
        });
        let found = match found {
            Ok(ids) => sorted(&ids),
            Err(_) => "400".to_owned(),
        };
        let expected = if expected == "save" { "400" } else { expected };
        assert_eq!(found, sorted(expected), "{who} {kind}: {text}");
    }
}

#[test]
fn generated_rules_let_through_what_the_reference_lets_through() {
    let world = world();
    let bob = world.caller("people", "bob");
    let stored = world.read("rules", "r");
    for line in CASES.lines() {
        let [action, rule, body, expected] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
        if action != "create" && action != "update" {
            continue;
        }
        let mut body: Json = serde_json::from_str(body).unwrap();
        let method = if action == "create" { "POST" } else { "PATCH" };
        let request = RequestInfo { method: method.into(), ..with_extras(sends(&bob, body.clone())) };
        let found = if action == "create" {
            body.as_object_mut().unwrap().remove("zzz");
            body["id"] = json!("cand");
            world.holds(&request, Base::Candidate(&world.record("rules", body.clone())), rule)
        } else {
            let found = world.find(&request, "rules", |select| select.only("r").rule(rule).map(drop));
            let found = found.map(|ids| ids == "r");
            assert_eq!(world.holds(&request, Base::Snapshot(&stored), rule), found, "{rule}");
            found
        };
        assert_eq!(found.unwrap_or(false), expected == "200", "{action}: {rule} {body}");
    }
}

fn world() -> World {
    let world = conformance_set();
    world.insert(
        "rules",
        json!({"id": "r", "t": "a", "n": 5, "owner": "ann", "tags": ["red", "green"], "meta": {"k": 1}, "cat": ["x"],
            "kind": "x", "b": true}),
    );
    world
}

fn superuser() -> Caller {
    let kind = CollectionKind::Auth(Box::new(AuthOptions::fresh(true)));
    let fields = auth_collection("any", Vec::new()).fields;
    let collection = Collection::new("root", crate::schema::SUPERUSERS, kind).with_fields(fields);
    let mut record = Record::blank(Arc::new(collection));
    record.set("id", "root".to_owned());
    record.set("email", "a@example.com".to_owned());
    Caller::of(Arc::new(record))
}

fn with_extras(mut request: RequestInfo) -> RequestInfo {
    request.query.extend([("q".to_owned(), "Red".to_owned()), ("n".to_owned(), "5".to_owned())]);
    request.headers = [("x_token", "Red")].into_iter().collect();
    request
}

fn with_list_rules(world: &mut World, rules: &str) {
    let rules: BTreeMap<String, Option<String>> = serde_json::from_str(rules).unwrap();
    let changed = world.schema.collections().iter().map(|collection| {
        let mut collection = (**collection).clone();
        if let Some(rule) = rules.get(&collection.name) {
            collection.rules.list = Rule::from(rule.clone());
        }
        Arc::new(collection)
    });
    world.schema = Schema::new(2, changed.collect());
}

fn sorted(ids: &str) -> String {
    let mut ids: Vec<&str> = ids.split(' ').collect();
    ids.sort_unstable();
    ids.join(" ")
}
