//! Rules in memory against SQLite, which is the judge: generated rules, records and callers, odd values included.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use headwater_actors::Value;
use proptest::prelude::*;
use proptest::sample::select as one_of;

use super::fixture::*;
use crate::query::{Base, Predicate, QueryError, Select, Solution};
use crate::records::Record;
use crate::request::{Caller, Context, RequestInfo};
use crate::schema::Field;
use crate::schema::FieldKind;
use crate::schema::fields::*;

const PATHS: &[&str] = &[
    "id",
    "title",
    "title:lower",
    "title:length",
    "n",
    "n:lower",
    "ok",
    "ok:lower",
    "owner",
    "owner.id",
    "owner:length",
    "editor",
    "tags",
    "tags:length",
    "tags:lower",
    "cat",
    "cat:length",
    "kind",
    "kind:length",
    "at",
    "loc",
    "hid",
    "True",
    "@request.auth.id",
    "@request.auth.id",
    "@request.auth.id:lower",
    "@request.auth.name",
    "@request.auth.name:lower",
    "@request.auth.level",
    "@request.auth.level:lower",
    "@request.auth.verified",
    "@request.auth.active",
    "@request.auth.email",
    "@request.auth.emailVisibility",
    "@request.auth.collectionId",
    "@request.auth.collectionName",
    "@request.auth.team",
    "@request.auth.team.id",
    "@request.auth.role",
    "@request.auth.role:length",
    "@request.auth.nothing",
    "@request.query.q",
    "@request.query.n",
    "@request.query.q:isset",
    "@request.query.none",
    "@request.query.q:lower",
    "@request.headers.x_token",
    "@request.headers.x_token:lower",
    "@request.method",
    "@request.context",
    // What is not answered in memory, in the middle of what is.
    "owner.name",
    "tags.name",
    "tags:each",
    "meta",
    "meta.a",
    "loc.lon",
    "@request.auth.team.name",
    "@request.auth.meta",
    "@collection.teams.name",
    "@request.body.title",
    "geoDistance(loc.lon, loc.lat, n, 2)",
    "strftime('%Y', at)",
    "nope",
];

const LITERALS: &[&str] = &[
    "''",
    "null",
    "true",
    "FALSE",
    "0",
    "1",
    "-0.0",
    "2.5",
    "-3",
    "9007199254740993",
    "0.1",
    "'0'",
    "'1'",
    "'1.0'",
    "' 1 '",
    "'1e2'",
    "'abc'",
    "'ABC'",
    "'é'",
    "'É'",
    "'a%'",
    "'%'",
    "'_'",
    "'a_c'",
    "'a\\\\%c'",
    "'\\\\'",
    "'[]'",
    "'[\"x\",\"y\"]'",
    "'u1'",
    "'u2'",
    "'people'",
    "'true'",
    "'2024-01-02 03:04:05.678Z'",
    "@now",
    "@todayStart",
    "@second",
    "@year",
    "@weekday",
];

const SIGNS: &[&str] = &["=", "=", "=", "!=", ">", ">=", "<", "<=", "~", "!~", "?=", "?!=", "?~"];

pub(crate) fn rule() -> impl Strategy<Value = String> {
    let operand = prop_oneof![6 => one_of(PATHS), 4 => one_of(LITERALS)];
    let comparison = (operand.clone(), one_of(SIGNS), operand).prop_map(|(l, sign, r)| format!("{l} {sign} {r}"));
    let usual = one_of(&["owner = @request.auth.id", "@request.auth.id = editor", "@request.auth.id != ''"][..]);
    let leaf = prop_oneof![5 => comparison, 1 => usual.prop_map(str::to_owned)];
    leaf.prop_recursive(3, 8, 3, |inner| {
        (prop::collection::vec(inner, 2..4), any::<bool>())
            .prop_map(|(parts, all)| format!("({})", parts.join(if all { " && " } else { " || " })))
    })
}

/// Rules as owners write them who share records by way of others.
fn joined_rule() -> impl Strategy<Value = String> {
    let paths: &[&str] = &[
        "tags.id",
        "tags.name",
        "tags:each",
        "owner.id",
        "owner.name",
        "owner.team",
        "owner.team.owner",
        "owner.level",
        "meta.a",
        "loc.lon",
        "owner.role:each",
        "@collection.teams.owner",
        "@collection.teams.name",
        "@collection.people:x.id",
        "owner.teams_via_owner.name",
        "owner.teams_via_owner.id",
        "tags.name:lower",
        "owner.meta",
        "owner.role",
    ];
    let callers: &[&str] = &[
        "@request.auth.id",
        "@request.auth.id",
        "@request.auth.name",
        "@request.auth.level",
        "@request.auth.team",
        "@request.auth.name:lower",
        "@request.auth.role",
    ];
    let link = (one_of(paths), one_of(&["=", "?=", "?=", "!="][..]), one_of(callers), any::<bool>()).prop_map(
        |(path, sign, caller, turned)| match turned {
            true => format!("{caller} {sign} {path}"),
            false => format!("{path} {sign} {caller}"),
        },
    );
    let free = (one_of(paths), one_of(SIGNS), one_of(LITERALS)).prop_map(|(l, sign, r)| format!("{l} {sign} {r}"));
    let leaf = prop_oneof![4 => link, 2 => free, 2 => rule()];
    leaf.prop_recursive(2, 6, 3, |inner| {
        (prop::collection::vec(inner, 2..4), any::<bool>())
            .prop_map(|(parts, all)| format!("({})", parts.join(if all { " && " } else { " || " })))
    })
}

fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => one_of(
            &[
                "", "0", "1", "1.0", "-0.0", " 1", "1e2", "007", "abc", "ABC", "Abc", "é", "É", "a%c", "a_c", "a\\c", "%", "_",
                "\\", "[]", "[\"x\"]", "[\"x\",\"y\"]", "[1,", " [] ", "u1", "u2", "U1", "people", "true", "null", "{\"lon\":1,\"lat\":2}",
                "2024-01-02 03:04:05.678Z", "9007199254740993", "9223372036854775808", "0.1", "\u{ffff}", "a\nb", "x\0y", "2.50",
            ][..]
        ).prop_map(str::to_owned),
        2 => "[ a-cA-CéÉß%_\\\\0-9.\\[\\]\"-]{0,8}",
    ]
}

fn values() -> impl Strategy<Value = Value> {
    let integers = [0, 1, -1, 2, -3, 100, 1 << 53, (1 << 53) + 1, i64::MAX, i64::MIN];
    let reals =
        [0.0, -0.0, 1.0, 2.5, -3.0, 0.1, 1e14, 1e15, 1e300, 9007199254740993.0, 9.3e18, f64::NAN, f64::INFINITY];
    prop_oneof![
        1 => Just(Value::Null),
        8 => texts().prop_map(Value::Text),
        2 => one_of(integers.to_vec()).prop_map(Value::Integer),
        2 => one_of(reals.to_vec()).prop_map(Value::Real),
        1 => any::<i32>().prop_map(|n| Value::Real(f64::from(n) / 8.0)),
        1 => any::<f64>().prop_map(Value::Real),
        1 => any::<i64>().prop_map(Value::Integer),
        1 => prop::collection::vec(any::<u8>(), 0..3).prop_map(Value::Blob),
    ]
}

/// What a field of this kind really holds, mostly.
fn stored_in(field: &Field) -> BoxedStrategy<Value> {
    let texts = texts().prop_map(Value::Text);
    match &field.kind {
        FieldKind::Number(_) => {
            let numbers = prop_oneof![
                any::<i16>().prop_map(f64::from),
                any::<i16>().prop_map(|n| f64::from(n) / 4.0),
                one_of(&[0.0, 1.0, 2.5, -3.0, 0.1, 1e20][..]),
                any::<f64>().prop_filter("finite", |n| n.is_finite()),
            ];
            numbers.prop_map(Value::Real).boxed()
        }
        FieldKind::Bool(_) => any::<bool>().prop_map(|b| Value::Integer(b.into())).boxed(),
        FieldKind::Json(_) => one_of(&["null", "5", "\"a\"", "[1,2]", "{\"a\":1}", "true"][..])
            .prop_map(|json| Value::Text(json.to_owned()))
            .boxed(),
        FieldKind::GeoPoint(_) => Just(Value::Text("{\"lon\":1,\"lat\":2}".to_owned())).boxed(),
        _ if field.is_multiple() => {
            one_of(&["[]", "[\"u1\"]", "[\"x\",\"y\"]"][..]).prop_map(|json| Value::Text(json.to_owned())).boxed()
        }
        _ => texts.boxed(),
    }
}

pub(crate) fn world() -> World {
    let world = World::new(vec![
        collection("teams", vec![text("name"), relation("owner", "people", 1)]),
        auth_collection(
            "people",
            vec![
                text("name"),
                number("level"),
                boolean("active"),
                relation("team", "teams", 1),
                select("role", 3),
                json("meta"),
            ],
        ),
        // The same names with other meanings, or none.
        auth_collection("staff", vec![number("name"), text("level"), json("active"), text("meta")]),
        collection("tags", vec![text("name")]),
        collection(
            "items",
            vec![
                text("title"),
                number("n"),
                boolean("ok"),
                relation("owner", "people", 1),
                relation("editor", "people", 1),
                relation("tags", "tags", 9),
                json("meta"),
                select("cat", 3),
                select("kind", 1),
                Field::new("at", FieldKind::Date(Date::default())),
                Field::new("loc", FieldKind::GeoPoint(GeoPoint::default())),
                hidden(text("hid")),
                text("True"),
            ],
        ),
    ]);
    world.insert("teams", serde_json::json!({"id": "t1", "name": "abc", "owner": "u1"}));
    world.insert("people", serde_json::json!({"id": "u1", "name": "abc", "team": "t1"}));
    world.insert("people", serde_json::json!({"id": "u2", "name": "é"}));
    world.insert("teams", serde_json::json!({"id": "t2", "name": "1", "owner": "u2"}));
    world.insert("people", serde_json::json!({"id": "1", "name": "u1", "level": 1, "role": ["x", "u1"]}));
    world.insert("tags", serde_json::json!({"id": "x", "name": "1"}));
    world.insert("tags", serde_json::json!({"id": "u1", "name": "abc"}));
    world
}

thread_local!(static WORLD: World = world());

/// The values of a record, in order.
pub(crate) type Values = Vec<Value>;

pub(crate) fn record(collection: &str, odd: bool) -> BoxedStrategy<Values> {
    let collection = WORLD.with(|world| world.collection(collection).clone());
    let columns: Vec<BoxedStrategy<Value>> = collection
        .fields
        .iter()
        .map(|field| match (odd, &*field.name) {
            // Found again by it.
            (_, "id") => one_of(&["u1", "u2", "u3", "1", "é"][..]).prop_map(|id| Value::Text(id.to_owned())).boxed(),
            (_, "owner" | "editor") => {
                one_of(&["u1", "u2", "u3", "", "1"][..]).prop_map(|id| Value::Text(id.to_owned())).boxed()
            }
            (true, _) => prop_oneof![values(), stored_in(field)].boxed(),
            (false, _) => stored_in(field),
        })
        .collect();
    columns.boxed()
}

/// A collection and the values of a record; none is a guest.
pub(crate) type Who = Option<(&'static str, Values)>;

pub(crate) fn caller() -> impl Strategy<Value = Who> {
    prop_oneof![
        1 => Just(None),
        4 => record("people", true).prop_map(|values| Some(("people", values))),
        2 => record("people", false).prop_map(|values| Some(("people", values))),
        2 => record("staff", true).prop_map(|values| Some(("staff", values))),
    ]
}

fn made(world: &World, collection: &str, values: Values) -> Record {
    Record::from_values(world.collection(collection).clone(), values)
}

pub(crate) fn request(world: &World, who: Who, q: Option<String>, n: String) -> RequestInfo {
    let caller = match who {
        None => Caller::GUEST,
        Some((collection, values)) => Caller::of(Arc::new(made(world, collection, values))),
    };
    let mut request =
        RequestInfo { context: Context::Realtime, method: "GET".into(), caller, ..RequestInfo::default() };
    request.query.insert("n".to_owned(), n.clone());
    request.query.extend(q.map(|q| ("q".to_owned(), q)));
    request.headers = [("x_token", n)].into_iter().collect();
    request
}

/// What SQLite says; none where the rule is refused or fails.
pub(super) fn judge(
    world: &World,
    request: &RequestInfo,
    base: Base<'_>,
    record: &Record,
    now: DateTime<Utc>,
    add: impl Fn(&mut Select<'_>) -> Result<(), QueryError>,
) -> Option<bool> {
    let mut select = Select::new(&world.schema, &record.collection, request, base);
    select.at(now);
    if matches!(base, Base::Stored) {
        select.only(record.id());
    }
    add(&mut select).ok()?;
    select.exists().any(&world.conn).ok()
}

/// Whoever may see a record is among those who are asked about it.
fn assert_reached(
    predicate: &Predicate,
    rule: &str,
    record: &Record,
    request: &RequestInfo,
    now: DateTime<Utc>,
    solution: Option<&Solution>,
) {
    let caller = request.caller.record().map(|caller| &caller.values);
    let standing = predicate.standing(&request.caller);
    let reach = predicate.reach(record, request, now, solution, usize::MAX);
    let is_among = |value: &str| reach.as_ref().is_none_or(|values| values.contains(&value));
    let reached = standing.find.as_deref().is_none_or(is_among);
    assert!(reached, "{rule}\n{standing:?} {reach:?} {solution:?}\n{:?}\n{caller:?}", record.values);
    assert!(!predicate.refuses_everybody(record, request, now), "{rule}\n{:?}\n{caller:?}", record.values);
}

fn store(world: &World, record: &Record) -> Record {
    world.conn.execute("DELETE FROM items", []).unwrap();
    let marks = vec!["?"; record.values.len()].join(", ");
    let sql = format!("INSERT INTO items VALUES ({marks})");
    world.conn.execute(&sql, rusqlite::params_from_iter(&record.values)).unwrap();
    world.read("items", record.id())
}

/// As many cases as `PROPTEST_CASES` says, or few.
pub(crate) fn config() -> ProptestConfig {
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    match std::env::var_os("PROPTEST_CASES") {
        Some(_) => config,
        None => ProptestConfig { cases: 300, ..config },
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn rules_answer_in_memory_as_in_sqlite(
        rule in rule(),
        record in record("items", true),
        callers in prop::collection::vec(caller(), 1..4),
        q in prop::option::of(texts()),
        n in texts(),
    ) {
        WORLD.with(|world| {
            let now = Utc::now();
            let record = made(world, "items", record);
            let predicate = Predicate::rule(&world.schema, &record.collection, &rule);
            for caller in callers {
                let request = request(world, caller, q.clone(), n.clone());
                let judge = judge(world, &request, Base::Snapshot(&record), &record, now, |s| s.rule(&rule).map(drop));
                let found = predicate.holds(&record, &request, now);
                if let Some(found) = found {
                    assert_eq!(found, judge == Some(true), "{rule}\n{:?}\n{:?}", record.values, request.caller.record().map(|r| &r.values));
                }
                assert!(found.is_some() || !predicate.elsewhere().is_empty() || is_odd(&record, &request), "{rule}");
                if judge == Some(true) {
                    assert_reached(&predicate, &rule, &record, &request, now, None);
                }
            }
        });
    }

    #[test]
    fn stored_records_answer_in_memory_as_in_their_table(
        rule in rule(),
        record in record("items", false),
        caller in caller(),
    ) {
        WORLD.with(|world| {
            let now = Utc::now();
            let record = store(world, &made(world, "items", record));
            let request = request(world, caller, None, "1".to_owned());
            let predicate = Predicate::rule(&world.schema, &record.collection, &rule);
            if let Some(found) = predicate.holds(&record, &request, now) {
                let judge = judge(world, &request, Base::Stored, &record, now, |s| s.rule(&rule).map(drop));
                assert_eq!(found, judge == Some(true), "{rule}\n{:?}\n{:?}", record.values, request.caller.record().map(|r| &r.values));
            }
        });
    }

    #[test]
    fn filters_answer_in_memory_as_in_sqlite(filter in rule(), record in record("items", true), caller in caller()) {
        WORLD.with(|world| {
            let now = Utc::now();
            let record = made(world, "items", record);
            let request = request(world, caller, None, "1".to_owned());
            let predicate = Predicate::filter(&world.schema, &record.collection, &filter);
            if let Some(found) = predicate.holds(&record, &request, now) {
                let judge = judge(world, &request, Base::Snapshot(&record), &record, now, |s| s.filter(&filter).map(drop));
                assert_eq!(found, judge == Some(true), "{filter}\n{:?}", record.values);
            }
        });
    }

    #[test]
    fn one_query_for_all_callers_answers_as_one_for_each(
        rule in joined_rule(),
        record in record("items", false),
        callers in prop::collection::vec(caller(), 1..5),
    ) {
        WORLD.with(|world| {
            let now = Utc::now();
            let record = made(world, "items", record);
            let predicate = Predicate::rule(&world.schema, &record.collection, &rule);
            let guest = request(world, None, None, "1".to_owned());
            let Ok(Some(solution)) = predicate.solve(&world.conn, &world.schema, &record, &guest) else { return };
            for caller in callers {
                let request = request(world, caller, None, "1".to_owned());
                let judge = judge(world, &request, Base::Snapshot(&record), &record, now, |s| s.rule(&rule).map(drop));
                if judge == Some(true) {
                    assert_reached(&predicate, &rule, &record, &request, now, Some(&solution));
                }
                if let Some(found) = predicate.lets(&solution, &record, &request, now) {
                    assert_eq!(found, judge == Some(true), "{rule}\n{:?}\n{:?}", record.values, request.caller.record().map(|r| &r.values));
                }
            }
        });
    }

    #[test]
    fn callers_of_equal_standing_get_equal_answers(
        rule in rule(),
        record in record("items", true),
        callers in prop::collection::vec(caller(), 2..8),
    ) {
        WORLD.with(|world| {
            let now = Utc::now();
            let record = made(world, "items", record);
            let predicate = Predicate::rule(&world.schema, &record.collection, &rule);
            let mut answers = std::collections::BTreeMap::new();
            for caller in callers {
                let request = request(world, caller, None, "1".to_owned());
                let standing = predicate.standing(&request.caller);
                let answer = predicate.holds(&record, &request, now);
                let known = answers.entry(standing).or_insert(answer);
                assert_eq!(*known, answer, "{rule}");
            }
        });
    }
}

/// Values of which it is not certain what SQLite makes of them.
fn is_odd(record: &Record, request: &RequestInfo) -> bool {
    let odd = |value: &Value| match value {
        Value::Blob(_) | Value::Real(_) => true,
        Value::Text(text) => {
            let digits = text.bytes().filter(u8::is_ascii_digit).count();
            text.contains('\0') || text.contains(['e', 'E', '[']) || digits > 13
        }
        _ => false,
    };
    let caller = request.caller.record().is_some_and(|caller| caller.values.iter().any(odd));
    caller || record.values.iter().any(odd) || request.query.values().any(|q| odd(&Value::Text(q.clone())))
}
