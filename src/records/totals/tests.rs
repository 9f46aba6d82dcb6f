use headwater_actors::{Change, Row, Value};
use proptest::prelude::*;
use rusqlite::params_from_iter;
use serde_json::json;

use super::*;
use crate::query::tests::fixture::*;
use crate::query::tests::predicate_properties as generated;
use crate::query::{Base, Predicate, Select, Statement};
use crate::records::Record;
use crate::request::{Caller, RequestInfo};
use crate::schema::Schema;

fn count(params: Vec<Value>) -> Count {
    let reads = Reads { of: None, lasts: true };
    Count { statement: Statement { sql: "SELECT ?1".into(), params }, reads }
}

#[test]
fn what_differs_by_a_parameter_is_counted_apart() {
    let text = |text: &str| Value::Text(text.into());
    let of = |params: Vec<Value>| key(&count(params)).unwrap();
    let keys = [
        of(vec![]),
        of(vec![text("a"), text("b")]),
        of(vec![text("a\x001:b")]),
        of(vec![text("1")]),
        of(vec![Value::Integer(1)]),
        of(vec![Value::Real(1.0)]),
    ];
    for (index, one) in keys.iter().enumerate() {
        assert!(keys[..index].iter().all(|other| other != one), "{one:?}");
    }
    assert!(key(&Count { reads: Reads { of: None, lasts: false }, ..count(vec![]) }).is_none());
    assert!(key(&count(vec![text(&"x".repeat(MAX_KEY))])).is_none());
}

/// A list, asked again and again.
struct List {
    count: Count,
    membership: Membership,
}

impl List {
    /// None where it is refused.
    fn new(world: &World, collection: &str, rule: &str, filter: &str, mut request: RequestInfo) -> Option<List> {
        let collection = world.collection(collection).clone();
        let schema = Arc::new(Schema::new(1, world.schema.collections().to_vec()));
        request.query.insert("filter".into(), filter.into());
        let mut select = Select::new(&schema, &collection, &request, Base::Stored);
        let rule = (!rule.is_empty() && !request.caller.is_superuser()).then_some(rule);
        if let Some(rule) = rule {
            select.rule(rule).ok()?;
        }
        if !filter.is_empty() {
            select.filter(filter).ok()?;
        }
        let count = select.count();
        let rule = rule.map(|rule| Arc::new(Predicate::rule(&schema, &collection, rule)));
        let membership = Membership { schema, collection, rule, request: Arc::new(request) };
        Some(List { count, membership })
    }

    fn total(&self, totals: &Totals, conn: &Connection) -> rusqlite::Result<u64> {
        totals.of(conn, &self.count, &self.membership, totals.era())
    }
}

fn row(record: &Record) -> Arc<Row> {
    record.to_row()
}

/// A change with the rows around it, numbered and logged.
fn change(conn: &Connection, before: Option<&Record>, after: Option<&Record>) -> Arc<Commit> {
    let record = after.or(before).unwrap();
    let action = match (before, after) {
        (None, _) => Action::Create,
        (_, None) => Action::Delete,
        _ => Action::Update,
    };
    let seq = change_log::last(conn).unwrap().next();
    let change = Change {
        seq,
        subject: record.collection.clone(),
        record: record.id().into(),
        action,
        before: before.map(row),
        after: after.map(row),
        actor: None,
    };
    change_log::append(conn, &change).unwrap();
    Arc::new(Commit { changes: vec![change], last: seq })
}

fn posts() -> World {
    let world = World::new(vec![
        collection("posts", vec![text("title"), number("rank"), relation("author", "people", 1)]),
        collection("people", vec![text("name")]),
        auth_collection("members", vec![]),
        auth_collection("_superusers", vec![]),
    ]);
    change_log::create_tables(&world.conn).unwrap();
    world
}

/// Totals are told of records that are not in the table: what they answer was not counted.
#[test]
fn what_was_written_since_is_added_to_what_was_counted() {
    let world = posts();
    let conn = &world.conn;
    let superuser = Caller::of(Arc::new(Record::blank(world.collection("_superusers").clone())));
    let superuser = RequestInfo { caller: superuser, ..RequestInfo::default() };
    for request in [RequestInfo::default(), superuser] {
        let totals = Totals::default();
        let all = List::new(&world, "posts", "", "", request.clone()).unwrap();
        let ranked = List::new(&world, "posts", "", "rank > 1", request).unwrap();
        let of = || [&all, &ranked].map(|list| list.total(&totals, conn).unwrap());
        assert_eq!(of(), [0, 0]);
        let low = world.record("posts", json!({ "id": "a", "rank": 1 }));
        let high = world.record("posts", json!({ "id": "a", "rank": 2 }));
        totals.committed(&change(conn, None, Some(&low)), false);
        assert_eq!(of(), [1, 0]);
        totals.committed(&change(conn, Some(&low), Some(&high)), false);
        assert_eq!(of(), [1, 1]);
        totals.committed(&change(conn, Some(&high), Some(&low)), false);
        totals.committed(&change(conn, None, Some(&high)), false);
        assert_eq!(of(), [2, 1]);
        // Of another collection.
        let person = world.record("people", json!({ "id": "p" }));
        totals.committed(&change(conn, None, Some(&person)), false);
        assert_eq!(of(), [2, 1]);
        // More than a total is worth, or something that is no record: counted.
        for _ in 0..=CARRIED {
            totals.committed(&change(conn, None, Some(&high)), false);
        }
        assert_eq!(of(), [0, 0]);
        totals.committed(&change(conn, None, Some(&high)), false);
        assert_eq!(of(), [1, 1]);
        totals.committed(&change(conn, None, Some(&high)), true);
        assert_eq!(of(), [0, 0]);
        totals.committed(&change(conn, None, Some(&high)), false);
        assert_eq!(of(), [1, 1]);
        totals.clear();
        assert_eq!(of(), [0, 0]);
    }
}

#[test]
fn what_is_written_elsewhere_counts_where_a_list_looks_there() {
    let world = posts();
    let totals = Totals::default();
    world.insert("posts", json!({ "id": "a", "rank": 2, "author": "p" }));
    world.insert("people", json!({ "id": "p", "name": "y" }));
    let list = List::new(&world, "posts", "", "rank > 1 && author.name = 'x'", RequestInfo::default()).unwrap();
    assert_eq!(list.total(&totals, &world.conn).unwrap(), 0);
    let before = world.read("people", "p");
    world.conn.execute("UPDATE people SET name = 'x'", []).unwrap();
    totals.committed(&change(&world.conn, Some(&before), Some(&world.read("people", "p"))), false);
    assert_eq!(list.total(&totals, &world.conn).unwrap(), 1);
}

/// With what a request says put in its place, one list may read like another; what it asks is its own.
#[test]
fn lists_that_are_counted_alike_are_judged_each_by_its_own_words() {
    let world = posts();
    let conn = &world.conn;
    let record = |collection: &str, values| Caller::of(Arc::new(world.record(collection, values)));
    let superuser = RequestInfo { caller: record("_superusers", json!({ "id": "s" })), ..RequestInfo::default() };
    let member = RequestInfo { caller: record("members", json!({ "id": "m" })), ..RequestInfo::default() };
    let mut asking = RequestInfo::default();
    asking.query.insert("q".into(), "m".into());
    let mut superuser_asking = superuser.clone();
    superuser_asking.query.insert("q".into(), "m".into());
    let lists = [
        List::new(&world, "posts", "title = @request.query.q", "", asking.clone()),
        List::new(&world, "posts", "", "title = 'm'", superuser),
        List::new(&world, "posts", "title = @request.auth.id", "", member),
        List::new(&world, "posts", "", "title = @request.query.q", superuser_asking),
        List::new(&world, "posts", "", "title = 'm'", RequestInfo::default()),
    ]
    .map(Option::unwrap);
    assert!(lists.iter().all(|list| key(&list.count) == key(&lists[0].count)));
    let totals = Totals::default();
    let post = world.record("posts", json!({ "id": "a", "title": "m" }));
    // Each comes after each other once.
    let mut written = 0;
    for (one, other) in (0..lists.len()).flat_map(|one| (0..lists.len()).map(move |other| (one, other))) {
        for list in [one, other] {
            let total = lists[list].total(&totals, conn).unwrap();
            assert_eq!(total, written, "{list} of {one} and {other}");
            totals.committed(&change(conn, None, Some(&post)), false);
            written += 1;
        }
    }
}

/// A count may know of more than was told.
#[test]
fn nothing_is_added_twice() {
    let world = posts();
    let totals = Totals::default();
    let list = List::new(&world, "posts", "", "rank > 1", RequestInfo::default()).unwrap();
    let high = world.record("posts", json!({ "id": "a", "rank": 2 }));
    world.insert("posts", json!({ "id": "a", "rank": 2 }));
    let commit = change(&world.conn, None, Some(&high));
    assert_eq!(list.total(&totals, &world.conn).unwrap(), 1);
    totals.committed(&commit, false);
    assert_eq!(list.total(&totals, &world.conn).unwrap(), 1);
    totals.committed(&change(&world.conn, None, Some(&high)), false);
    assert_eq!(list.total(&totals, &world.conn).unwrap(), 2);
}

#[test]
fn a_request_of_before_has_no_part_in_what_is_known_now() {
    let world = posts();
    let totals = Totals::default();
    let list = List::new(&world, "posts", "", "rank > 1", RequestInfo::default()).unwrap();
    let high = world.record("posts", json!({ "id": "a", "rank": 2 }));
    let before = totals.era();
    totals.clear();
    assert_eq!(list.total(&totals, &world.conn).unwrap(), 0);
    totals.committed(&change(&world.conn, None, Some(&high)), false);
    let late = totals.of(&world.conn, &list.count, &list.membership, before).unwrap();
    assert_eq!((late, list.total(&totals, &world.conn).unwrap()), (0, 0));
}

/// What happens to a record: it gets these values, or goes.
type Step = (String, Option<Vec<Value>>);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let values = prop_oneof![generated::record("items", false), generated::record("items", true)];
    let id = prop::sample::select(vec!["u1", "u2", "u3", "1"]).prop_map(str::to_owned);
    prop::collection::vec((id, prop::option::weighted(0.8, values)), 1..8)
}

/// Does it, and tells of it.
fn take(world: &World, totals: &Totals, (id, values): Step) {
    let collection = world.collection("items");
    let stored = || {
        let request = RequestInfo::default();
        let mut select = Select::new(&world.schema, collection, &request, Base::Stored);
        select.only(&id).rows(None).records(&world.conn, collection).unwrap().pop()
    };
    let before = stored();
    world.conn.execute("DELETE FROM items WHERE id = ?1", [&id]).unwrap();
    if let Some(mut values) = values {
        values[0] = Value::Text(id.clone());
        let marks = vec!["?"; values.len()].join(", ");
        world
            .conn
            .execute(&format!("INSERT OR IGNORE INTO items VALUES ({marks})"), params_from_iter(&values))
            .unwrap();
    }
    let after = stored();
    if before.is_some() || after.is_some() {
        totals.committed(&change(&world.conn, before.as_ref(), after.as_ref()), false);
    }
}

proptest! {
    #![proptest_config(generated::config())]

    #[test]
    fn totals_are_what_a_count_would_say(
        rule in prop_oneof![1 => Just(String::new()), 2 => generated::rule()],
        filters in prop::collection::vec(prop_oneof![1 => Just(String::new()), 2 => generated::rule()], 1..3),
        callers in prop::collection::vec(generated::caller(), 1..3),
        steps in steps(),
    ) {
        let world = generated::world();
        change_log::create_tables(&world.conn).unwrap();
        let totals = Totals::default();
        let mut lists = Vec::new();
        for caller in callers {
            let request = generated::request(&world, caller, None, "1".into());
            lists.extend(filters.iter().filter_map(|filter| List::new(&world, "items", &rule, filter, request.clone())));
        }
        let check = || {
            for list in &lists {
                // What fails to be counted may still be told from memory.
                if let (Ok(total), Ok(count)) = (list.total(&totals, &world.conn), list.count.run(&world.conn)) {
                    assert_eq!(total, count, "{rule} AND {:?}", list.membership.request.query.get("filter"));
                }
            }
        };
        check();
        for step in steps {
            take(&world, &totals, step);
            check();
        }
    }
}
