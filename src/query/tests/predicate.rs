//! Rules in memory against SQLite, case by case: what is answered there, what is not and why, and who is found by what.

use std::sync::Arc;

use chrono::Utc;
use headwater_actors::Value;

use super::fixture::*;
use super::predicate_properties::{judge, request, world};
use crate::query::{Base, Predicate};
use crate::records::Record;
use crate::request::{Caller, RequestInfo};

/// What is answered in memory, what is not and why, and how callers are found.
#[test]
fn what_is_answered_in_memory() {
    let world = world();
    let items = world.collection("items");
    let owner: &[&str] = &["owner = @request.auth.id"];
    let cases: [(&str, &str, &[&str]); 23] = [
        ("owner = @request.auth.id", "", owner),
        ("@request.auth.id != '' && owner = @request.auth.id", "", owner),
        ("@request.auth.id = owner.id", "", &["@request.auth.id = owner.id"]),
        (
            "owner = @request.auth.id || editor = @request.auth.id",
            "",
            &["owner = @request.auth.id", "editor = @request.auth.id"],
        ),
        ("ok = true || owner = @request.auth.id", "", owner),
        ("owner = @request.auth.id || @request.auth.role ~ 'admin'", "", owner),
        ("@request.auth.id != '' && (ok = true || owner = @request.auth.id)", "", owner),
        ("kind = @request.auth.name && owner = @request.auth.id", "", &["kind = @request.auth.name"]),
        ("ok = true", "", &[]),
        ("at <= @now && kind != 'draft'", "", &[]),
        ("tags ~ @request.auth.id", "", &[]),
        ("tags:length > 1 || cat:length = 0", "", &[]),
        ("n = @request.auth.level", "", &[]),
        ("owner ?= @request.auth.id", "", &["owner ?= @request.auth.id"]),
        ("@request.auth.verified = true && @request.query.q:isset = true", "", &[]),
        ("owner.name = 'x' && owner = @request.auth.id", "owner.name = 'x': it follows a relation", owner),
        (
            "owner.team = @request.auth.team",
            "owner.team = @request.auth.team: it follows a relation",
            &["owner.team = @request.auth.team"],
        ),
        (
            "@request.auth.team.name = title",
            "@request.auth.team.name: it follows a relation, for records of people",
            &[],
        ),
        ("meta.a = 1", "meta.a = 1: it looks into a JSON value", &[]),
        (
            "tags:each ?= @request.auth.id",
            "tags:each ?= @request.auth.id: it looks at each item of a list",
            &["tags:each ?= @request.auth.id"],
        ),
        (
            "owner = @request.auth.id || owner.team.owner = @request.auth.id",
            "owner.team.owner = @request.auth.id: it follows a relation",
            &["owner = @request.auth.id", "owner.team.owner = @request.auth.id"],
        ),
        ("@collection.tags.id ?= title", "@collection.tags.id ?= title: it looks at other records", &[]),
        ("nope = 1", r#"nope = 1: it is refused: invalid left operand "nope" - unknown field "nope""#, &[]),
    ];
    for (rule, elsewhere, index) in cases {
        let predicate = Predicate::rule(&world.schema, items, rule);
        let first = predicate.elsewhere().first().map(|part| format!("{}: {}", part.part, part.reason));
        assert_eq!(first.as_deref().unwrap_or(""), elsewhere, "{rule}");
        assert_eq!(predicate.index(), index, "{rule}");
    }
}

#[test]
fn one_query_finds_the_callers_of_a_rule_with_joins() {
    let world = world();
    let items = world.collection("items");
    let item = world.record("items", serde_json::json!({"owner": "u1", "tags": ["x", "u1"], "n": 1}));
    let now = Utc::now();
    let cases = [
        ("tags.id ?= @request.auth.id", Some("x u1")),
        ("tags:each ?= @request.auth.id && @request.auth.id != 'x'", Some("u1")),
        ("owner.team.owner = @request.auth.id", Some("u1")),
        ("@request.auth.id = owner.team.owner || n = 2 || tags.name ?= @request.auth.id", Some("u1 1")),
        ("n = 1 && (@request.auth.id = 'u2' || owner.team.owner = @request.auth.id)", Some("u1 u2")),
        ("owner.team.name = 'abc' && n = 1", Some("u1 u2 x 1")),
        ("owner.team.name = 'abc' && owner.team.owner = @request.auth.id", Some("u1")),
        ("owner.team.name = 'no' && owner.team.owner = @request.auth.id", Some("")),
        ("@collection.teams.name ?= 'abc' && @collection.teams.owner ?= @request.auth.id", Some("u1")),
        ("@collection.teams.owner ?= @request.auth.id", Some("u1 u2")),
        ("tags.id = @request.auth.id", None),
        ("tags.id ?!= @request.auth.id", None),
        ("tags.id ?= @request.auth.id && tags.name ?= @request.auth.name", None),
    ];
    for (rule, expected) in cases {
        let predicate = Predicate::rule(&world.schema, items, rule);
        let guest = RequestInfo::default();
        let solution = predicate.solve(&world.conn, &world.schema, &item, &guest).unwrap();
        let found = solution.map(|solution| {
            let lets = |id: &&str| {
                let mut person = Record::blank(world.collection("people").clone());
                person.set("id", (*id).to_owned());
                let request = RequestInfo { caller: Caller::of(Arc::new(person)), ..RequestInfo::default() };
                predicate.lets(&solution, &item, &request, now).unwrap()
            };
            ["u1", "u2", "x", "1"].into_iter().filter(lets).collect::<Vec<_>>()
        });
        let expected = expected.map(|ids| ids.split(' ').filter(|id| !id.is_empty()).collect::<Vec<_>>());
        let sorted = |ids: Option<Vec<&'static str>>| {
            ids.map(|mut ids| {
                ids.sort_unstable();
                ids
            })
        };
        assert_eq!(sorted(found), sorted(expected), "{rule}");
    }
}

#[test]
fn an_index_finds_the_few_whom_a_record_concerns() {
    let world = world();
    let items = world.collection("items");
    let person = |id: &str, role: &str| {
        let mut record = Record::blank(world.collection("people").clone());
        record.set("id", id.to_owned());
        record.set("role", role.to_owned());
        Caller::of(Arc::new(record))
    };
    let rule = "(ok = true && owner = @request.auth.id) || @request.auth.role ~ 'admin' || (n > 5 && kind = 'open')";
    let predicate = Predicate::rule(&world.schema, items, rule);
    assert_eq!(predicate.standing(&person("u1", "[]")).find.as_deref(), Some("u1"));
    assert_eq!(predicate.standing(&person("u1", "[\"admin\"]")).find, None);
    assert_eq!(predicate.standing(&Caller::GUEST).find, None);
    let request = RequestInfo::default();
    let reach = |values: serde_json::Value| {
        let record = world.record("items", values);
        predicate.reach(&record, &request, Utc::now(), None, 9).map(|values| values.join(" "))
    };
    assert_eq!(reach(serde_json::json!({"owner": "u1"})).as_deref(), Some("u1"));
    assert_eq!(reach(serde_json::json!({"owner": ""})).as_deref(), Some(""));
    assert_eq!(reach(serde_json::json!({"owner": "u1", "n": 6, "kind": "open"})), None);
}

/// Who is found once the database has been asked, and that nobody is before.
#[test]
fn a_solution_finds_the_few_whom_a_record_concerns() {
    let world = world();
    let items = world.collection("items");
    let item = world.record("items", serde_json::json!({"owner": "u2", "tags": ["x", "u1"], "n": 1}));
    let (now, request) = (Utc::now(), RequestInfo::default());
    let cases = [
        ("tags.id ?= @request.auth.id", Some("u1 x")),
        ("@request.auth.verified = true && tags.id ?= @request.auth.id", Some("u1 x")),
        ("owner = @request.auth.id || tags.id ?= @request.auth.id", Some("u1 u2 x")),
        ("tags.name = 'no' || tags.id ?= @request.auth.id", Some("u1 x")),
        ("tags.name ?= 'abc' || tags.id ?= @request.auth.id", None),
        ("n = 1 || tags.id ?= @request.auth.id", None),
        ("n = 2 || tags.id ?= @request.auth.id", Some("u1 x")),
        ("tags.id ?= @request.auth.id || tags.name ?= @request.auth.name", None),
        ("tags.name = 'no'", None),
        // Only what is known of the caller tells.
        ("owner = @request.auth.id || (tags.name ?= 'abc' && @request.auth.role ~ 'admin')", Some("u2")),
    ];
    for (rule, expected) in cases {
        let predicate = Predicate::rule(&world.schema, items, rule);
        let solution = predicate.solve(&world.conn, &world.schema, &item, &request).unwrap();
        let found = predicate.reach(&item, &request, now, solution.as_ref(), 9).map(|values| values.join(" "));
        assert_eq!(found.as_deref(), expected, "{rule}");
        if predicate.elsewhere().len() == 1 && predicate.index().iter().any(|text| text.starts_with("tags")) {
            assert_eq!(predicate.reach(&item, &request, now, None, 9), None, "{rule}");
            assert_eq!(predicate.reach(&item, &request, now, solution.as_ref(), 1), None, "{rule}");
        }
    }
    let refuses = |rule: &str| Predicate::rule(&world.schema, items, rule).refuses_everybody(&item, &request, now);
    assert!(refuses("n = 2 && tags.id ?= @request.auth.id"));
    assert!(!refuses("n = 2 || @request.auth.verified = true"));
    assert!(!refuses("n = 1 && tags.id ?= @request.auth.id"));
    // A guest may be meant by what the caller is.
    assert!(!refuses("@request.auth.id = '' && n = 1"));
}

/// A caller who came before his collection was changed is read by the names of its fields.
#[test]
fn callers_of_an_older_schema_are_read_by_name() {
    let world = world();
    let items = world.collection("items");
    let old = auth_collection("people", vec![text("gone"), text("name")]);
    let mut record = Record::blank(Arc::new(old));
    record.set("id", "u1".to_owned());
    record.set("name", "abc".to_owned());
    let request = RequestInfo { caller: Caller::of(Arc::new(record)), ..RequestInfo::default() };
    let item = world.record("items", serde_json::json!({"title": "abc", "owner": "u1"}));
    for (rule, expected) in [
        ("title = @request.auth.name", true),
        ("owner = @request.auth.id", true),
        ("n = @request.auth.level", true),
        ("@request.auth.gone = 'x'", false),
        ("@request.auth.role = '[]'", true),
    ] {
        assert_eq!(
            Predicate::rule(&world.schema, items, rule).holds(&item, &request, Utc::now()),
            Some(expected),
            "{rule}"
        );
    }
}

/// Every pair of odd values under every operator, in each combination of what is a column and what is known.
#[test]
fn pairs_of_odd_values_compare_in_memory_as_in_sqlite() {
    let text = |text: &str| Value::Text(text.to_owned());
    let texts =
        ["", "0", "1", "1.0", " 1 ", "1e2", "a", "A", "é", "É", "a%", "A_", "\\", "\\%", "[]", "[\"a\"]"].map(text);
    let numbers = [0.0, -0.0, 1.0, 2.5, 1e15].map(Value::Real);
    let odd = [Value::Null, Value::Integer(1), Value::Integer((1 << 53) + 1), Value::Real((1u64 << 53) as f64)];
    let pool: Vec<Value> = texts.into_iter().chain(numbers).chain(odd).collect();
    let forms = [
        ("title", "@request.query.q"),
        ("n", "@request.query.q"),
        ("cat", "@request.query.q"),
        ("@request.query.q", "title"),
        ("title", "n"),
        ("n", "ok"),
        ("title", "hid"),
        ("@request.auth.name", "title"),
        ("@request.auth.level", "title"),
        ("n", "@request.auth.name"),
        ("title:lower", "@request.query.q:lower"),
        ("n:lower", "@request.auth.name:lower"),
        ("cat:length", "@request.query.q"),
    ];
    let world = world();
    let now = Utc::now();
    let (mut certain, mut all) = (0, 0);
    for (left, right) in forms {
        for op in ["=", "!=", ">", ">=", "<", "<=", "~", "!~"] {
            let rule = format!("{left} {op} {right}");
            let predicate = Predicate::rule(&world.schema, world.collection("items"), &rule);
            for a in &pool {
                for b in &pool {
                    let mut record = Record::blank(world.collection("items").clone());
                    let mut person = Record::blank(world.collection("people").clone());
                    let mut query = None;
                    for (path, value) in [(left, a), (right, b)] {
                        let name = path.split(':').next().unwrap();
                        match (name.strip_prefix("@request.auth."), value) {
                            (Some(name), value) => person.set(name, value.clone()),
                            (None, Value::Text(text)) if name == "@request.query.q" => query = Some(text.clone()),
                            (None, value) => record.set(name, value.clone()),
                        }
                    }
                    let who = Some(("people", person.values));
                    let request = request(&world, who, query, String::new());
                    let judge =
                        judge(&world, &request, Base::Snapshot(&record), &record, now, |s| s.rule(&rule).map(drop));
                    let found = predicate.holds(&record, &request, now);
                    all += 1;
                    if found.is_some() {
                        certain += 1;
                        assert_eq!(found, judge, "{rule}: {a:?} {b:?}");
                    }
                }
            }
        }
    }
    assert!(certain * 10 > all * 8, "{certain} of {all}");
}
