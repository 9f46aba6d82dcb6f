//! What a [`Select`] is narrowed to, the SQL that it becomes, and its limits.

use std::sync::Arc;

use serde_json::json;

use super::fixture::*;
use crate::query::{Base, QueryError, Select, check_rule};
use crate::records::Record;
use crate::request::RequestInfo;
use crate::schema::{CollectionKind, Rule, Schema};

fn ids(found: &[&str]) -> Vec<String> {
    found.iter().map(|id| (*id).to_owned()).collect()
}

#[test]
fn narrowed_to_some_records() {
    let world = conformance_set();
    let guest = RequestInfo::default();
    let find = |collection: &str, narrow: &dyn Fn(&mut Select<'_>)| {
        let narrow = |select: &mut Select<'_>| {
            narrow(select);
            Ok(())
        };
        world.find(&guest, collection, narrow).unwrap()
    };
    assert_eq!(find("posts", &|s| _ = s.only("B")), "B");
    assert_eq!(find("posts", &|s| _ = s.only("nope")), "");
    assert_eq!(find("posts", &|s| _ = s.only_any(&ids(&["E", "A", "nope"]))), "A E");
    assert_eq!(find("posts", &|s| _ = s.only_any(&[])), "");
    assert_eq!(find("comments", &|s| _ = s.referring("post", &ids(&["A"]))), "c0 c1");
    assert_eq!(find("comments", &|s| _ = s.referring("posts2", &ids(&["B", "C"]))), "c0 c1 c3");
    assert_eq!(find("posts", &|s| _ = s.only("A").referring("author", &ids(&["ann"]))), "A");
}

#[test]
fn pages() {
    let world = conformance_set();
    let guest = RequestInfo::default();
    let posts = world.collection("posts");
    let mut select = Select::new(&world.schema, posts, &guest, Base::Stored);
    select.filter("tags.name ?!= 'x'").unwrap().sort("-n").unwrap();
    let page = |limit, offset| {
        let records = select.rows(Some((limit, offset))).records(&world.conn, posts).unwrap();
        records.iter().map(Record::id).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(page(2, 0), "C B");
    assert_eq!(page(2, 2), "A D");
    assert_eq!(page(2, 4), "E");
    assert_eq!(page(2, 6), "");
    assert_eq!(page(u64::MAX, 0), "C B A D E");
    assert_eq!(select.count().run(&world.conn).unwrap(), 5);
}

#[test]
fn a_count_lasts_where_nothing_but_a_write_can_change_it() {
    let tables = || vec![collection("tags", vec![text("name")]), collection("posts", vec![relation("tag", "tags", 1)])];
    let mut shown = collection("shown", Vec::new());
    shown.kind = CollectionKind::View { query: String::new() };
    let (plain, with_view) = (World::new(tables()), World::new(tables().into_iter().chain([shown]).collect()));
    let cases = [
        (&plain, "posts", "id != ''", true),
        (&plain, "posts", "tag.name = 'x'", true),
        (&plain, "posts", "id != @now", false),
        (&plain, "posts", "tag.name = strftime('%Y', 'now')", false),
        // Nobody knows what the query of a view asks: the clock, say.
        (&with_view, "shown", "id != ''", false),
        (&with_view, "posts", "@collection.shown.id ?= id", false),
        (&with_view, "posts", "id != ''", true),
    ];
    let guest = RequestInfo::default();
    for (world, name, rule, lasts) in cases {
        let mut select = Select::new(&world.schema, world.collection(name), &guest, Base::Stored);
        assert_eq!(select.rule(rule).unwrap().reads().lasts, lasts, "{name}: {rule}");
    }
}

#[test]
fn records_are_read_as_they_are_stored() {
    let world = conformance_set();
    let record = world.read("posts", "A");
    assert_eq!(record.text("title"), "Hello");
    assert_eq!(record.list("tags"), ["red", "green"]);
    assert_eq!(record.get("n"), Some(&headwater_actors::Value::Integer(1)));
    assert_eq!(record.text("meta"), r#"{"a":{"b":[1,2,"x"]},"s":"str"}"#);
}

#[test]
fn a_snapshot_gives_its_own_row() {
    let world = conformance_set();
    let record = world.read("posts", "A");
    let guest = RequestInfo::default();
    let mut select = Select::new(&world.schema, &record.collection, &guest, Base::Snapshot(&record));
    select.rule("tags.name ?= 'red' && n = '1'").unwrap();
    let rows = select.rows(Some((1, 0))).records(&world.conn, &record.collection).unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].values, record.values);
    assert_eq!(select.count().run(&world.conn).unwrap(), 1);
    select.rule("n = 2").unwrap();
    assert!(!select.exists().any(&world.conn).unwrap());
}

#[test]
fn simple_filters_are_simple_sql() {
    let world = conformance_set();
    let bob = world.caller("people", "bob");
    let tags = world.collection("tags");
    let sql = |text: &str| {
        let mut select = Select::new(&world.schema, tags, &bob, Base::Stored);
        select.rule(text).unwrap();
        select.count().statement.sql
    };
    let cases = [
        ("name = 'x'", r#"SELECT count(*) FROM "tags" AS t WHERE t."name" = ?1"#),
        (
            "name != '' && w > 1",
            r#"SELECT count(*) FROM "tags" AS t WHERE ((t."name" IS NOT '' AND t."name" IS NOT NULL) AND t."w" > ?1)"#,
        ),
        ("@request.auth.id != ''", r#"SELECT count(*) FROM "tags" AS t WHERE ?1 IS NOT ''"#),
        (
            "name = @request.auth.name",
            r#"SELECT count(*) FROM "tags" AS t WHERE COALESCE(t."name", '') = COALESCE(CAST(?1 AS TEXT), '')"#,
        ),
        ("id = @request.auth.id", r#"SELECT count(*) FROM "tags" AS t WHERE t."id" = ?1"#),
    ];
    for (text, expected) in cases {
        assert_eq!(sql(text), expected);
    }
    // The same form with other values is the same statement.
    assert_eq!(sql("name = 'x' || w = 2"), sql("name = 'y' || w = 3.5"));
    let posts = world.collection("posts");
    let mut select = Select::new(&world.schema, posts, &bob, Base::Stored);
    select.rule("author.id = 'ann'").unwrap().rule("author.name = 'ann'").unwrap().only("A");
    let expected = r#"SELECT count(*) FROM "posts" AS t LEFT JOIN "people" AS j1 ON j1."id" = t."author" WHERE t."author" = ?1 AND j1."name" = ?2 AND t."id" = ?3"#;
    assert_eq!(select.count().statement.sql, expected);
    assert!(!select.rows(None).sql.contains("DISTINCT"));
}

#[test]
fn the_limits_of_filters() {
    let world = conformance_set();
    let guest = RequestInfo::default();
    let filter = |text: &str| world.find(&guest, "posts", |select| select.filter(text).map(drop));
    let rule = |text: &str| world.find(&guest, "posts", |select| select.rule(text).map(drop));
    let long = format!("title = '{}'", "x".repeat(3490));
    assert_eq!(long.len(), 3500);
    assert_eq!(filter(&long).as_deref(), Ok(""));
    assert!(filter(&format!("{long} ")).is_err());
    assert_eq!(rule(&format!("{long} ")).as_deref(), Ok(""));
    assert_eq!(filter("").as_deref(), Ok("A B C D E"));

    let hops = |count: usize| format!("{}name ?= 'x'", "tags.posts_via_tags.".repeat(count));
    assert!(filter(&hops(3).replace("name", "title")).is_ok());
    assert!(filter(&hops(3).replace("name", "tags.name")).is_err());
    assert!(filter(&hops(3).replace("name", "meta.a.b.c.d.e.f.g.h")).is_ok());

    // As deep and as wide as it may be, SQLite takes it.
    let mut deep = "n = 1".to_owned();
    for level in 0..100 {
        deep = format!("(title = '{level}' {} {deep})", if level % 2 == 0 { "&&" } else { "||" });
    }
    assert!(rule(&deep).is_ok());
    assert!(rule(&format!("({deep})")).is_err());
    let wide = |count| vec!["tags.name = 'x'"; count].join(" || ");
    assert!(rule(&wide(200)).is_ok());
    assert!(rule(&wide(201)).is_err());
    let joins =
        |count| (0..count).map(|n| format!("@collection.tags:a{n}.name ?= 'x'")).collect::<Vec<_>>().join(" && ");
    assert!(rule(&joins(60)).is_ok());
    assert!(matches!(rule(&joins(61)), Err(QueryError::Invalid(_))));
}

#[test]
fn an_address_that_is_not_shown_is_not_told_by_what_it_would_fail() {
    let world = conformance_set();
    let guest = RequestInfo::default();
    let find = |filter: &str| world.find(&guest, "tags", |select| select.filter(filter).map(drop)).unwrap();
    // Green has posts by ann, who shows her address, and by bob, who does not.
    let without = |text: &str| find(&format!("posts_via_tags.author.email !~ '{text}'"));
    assert!(without("nobody").split(' ').any(|tag| tag == "green"));
    assert_eq!(without("bob"), without("nobody"));
    assert_ne!(without("ann"), without("nobody"));
    assert_eq!(find("posts_via_tags.author.email:lower != 'bob@example.com'"), without("nobody"));
}

#[test]
fn superusers_may_name_everything() {
    let world = conformance_set();
    let kind = CollectionKind::Auth(Box::new(crate::schema::AuthOptions::fresh(true)));
    let own = crate::schema::Collection::new("su", crate::schema::SUPERUSERS, kind);
    let record = Record::blank(Arc::new(own.with_fields(auth_collection("x", Vec::new()).fields)));
    let request = RequestInfo { caller: crate::request::Caller::of(Arc::new(record)), ..RequestInfo::default() };
    let cases = [
        ("hid = 'h1'", "A"),
        ("author.secret = 'x'", "A D"),
        ("priv_via_post.id ?= 'p0'", "A"),
        ("author.email = 'bob@example.com'", "B"),
        ("@collection.comments.text ?= title", ""),
        ("@request.auth.id = ''", "A B C D E"),
        ("title = '@request.'", ""),
    ];
    for (filter, expected) in cases {
        let found = world.find(&request, "posts", |select| select.filter(filter).map(drop));
        assert_eq!(found.as_deref(), Ok(expected), "{filter}");
    }
}

#[test]
fn the_body_as_rules_see_it() {
    let world = conformance_set();
    let bob = world.caller("people", "bob");
    let cases = [
        ("@request.body.meta = 'plain'", json!({"meta": "plain"}), false),
        (r#"@request.body.meta = '"plain"'"#, json!({"meta": "plain"}), true),
        ("@request.body.meta = '5'", json!({"meta": 5}), true),
        ("@request.body.meta = 'null'", json!({"meta": null}), true),
        ("@request.body.meta = null", json!({}), true),
        ("@request.body.meta.a.0 = 5", json!({"meta": {"a": [5]}}), true),
        (r#"@request.body.zzz = '{"a":[1,2],"b":1}'"#, json!({"zzz": {"b": 1, "a": [1, 2]}}), true),
        (r#"@request.body.loc = '{"lon":1,"lat":2}'"#, json!({"loc": {"lat": 2, "lon": 1}}), true),
        ("@request.body.n = 5", json!({"n": "5"}), true),
        ("@request.body.n > 10", json!({"n": "0_5"}), false),
        ("@request.body.zzz.n = 5", json!({"zzz": {"n": "5"}}), true),
        ("@request.body.zzz = 5", json!({"zzz": "5"}), false),
        ("@request.body.author:length = 1", json!({"author": ""}), true),
        ("@request.body.author:length = 0", json!({}), true),
        ("@request.body.cat:length = 2", json!({"cat": ["x", "y"]}), true),
        ("@request.body.cat:each != 'x'", json!({"cat": []}), true),
        ("@request.body.cat:each = ''", json!({"cat": []}), false),
        ("@request.body.cat:lower = ''", json!({"cat": ["x"]}), true),
        ("@request.body.pub:lower = 'true'", json!({"pub": true}), true),
        ("@request.body.n:lower = '5'", json!({"n": 5}), true),
        (r#"@request.body.meta:lower = '"plain"'"#, json!({"meta": "PLAIN"}), true),
        ("title ~ @request.body.pub", json!({"pub": true}), false),
        ("@request.body.title.x = null", json!({"title": "abc"}), true),
        ("@request.body.author.nope = null", json!({"author": "ann"}), true),
        ("@request.body.author.id = 'ann'", json!({"author": "ann"}), true),
        ("@request.body.tags.0 = 'red'", json!({"tags": ["red"]}), false),
        ("@request.body.cat.0 = 'x'", json!({"cat": ["x"]}), true),
        ("@request.body.meta.a:isset = true && @request.body.meta.b:isset = false", json!({"meta": {"a": null}}), true),
        ("@request.auth.id:isset = 'bob'", json!({}), true),
        ("title ~ strftime('%Y', '2024-01-02')", json!({}), true),
    ];
    let candidate = world.record("posts", json!({"id": "new", "title": "2024"}));
    for (rule, body, expected) in cases {
        let request = sends(&bob, body);
        let found = world.holds(&request, Base::Candidate(&candidate), rule);
        assert_eq!(found, Ok(expected), "{rule}");
    }
    // Nothing refers to what is not there yet.
    let found = world.holds(&bob, Base::Candidate(&candidate), "comments_via_post.text = ''");
    assert!(matches!(found, Err(QueryError::Invalid(_))), "{found:?}");
}

#[test]
fn rules_are_checked_when_they_are_saved() {
    let world = conformance_set();
    let posts = world.collection("posts");
    let good = [
        "@request.auth.id != '' && author = @request.auth.id",
        "hid = '' || author.secret = ''",
        "@request.auth.anything.at.all = 1",
        "@request.body.unknown = 1",
        "@request.body.author.nope = 1",
        "@request.body.title:changed = false",
        "priv_via_post.id != ''",
    ];
    for rule in good {
        assert_eq!(check_rule(&world.schema, posts, rule), Ok(()), "{rule}");
    }
    let bad = [
        ("foo = 1", r#"invalid left operand "foo" - unknown field "foo""#),
        ("title = foo", r#"invalid right operand "foo" - unknown field "foo""#),
        ("author.nope = 1", r#"invalid left operand "author.nope" - unknown field "nope""#),
        ("a.b.c = 1", r#"invalid left operand "a.b.c" - failed to resolve field "a""#),
        ("@nope = 1", r#"invalid left operand "@nope" - failed to resolve field "@nope""#),
        ("title:foo = 1", r#"invalid left operand "title:foo" - unknown modifier in "title:foo""#),
        ("title == 1", r#"invalid sign operator "==""#),
        (
            "@request.body.unknown:length = 1",
            r#"invalid left operand "@request.body.unknown:length" - modifier "length" cannot be used here"#,
        ),
    ];
    for (rule, message) in bad {
        assert_eq!(check_rule(&world.schema, posts, rule), Err(QueryError::Invalid(message.to_owned())), "{rule}");
    }
    // A collection that is being saved is checked as it will be, not as the schema has it.
    let changed = (**posts).clone().with_fields(vec![text("id"), text("fresh"), relation("next", "posts", 1)]);
    let changed = Arc::new(changed);
    assert_eq!(check_rule(&world.schema, &changed, "next.fresh = '' && @collection.posts.fresh = ''"), Ok(()));
    assert!(check_rule(&Schema::default(), &changed, "title = ''").is_err());
}

#[test]
fn a_unique_relation_leads_back_to_one_record() {
    let mut profiles = collection("profiles", vec![relation("owner", "people", 1), text("name")]);
    profiles.indexes = vec!["CREATE UNIQUE INDEX `one` ON `profiles` (`owner`)".to_owned()];
    let world = World::new(vec![auth_collection("people", vec![text("name")]), profiles]);
    world.insert("people", json!({"id": "ann"}));
    world.insert("people", json!({"id": "bob"}));
    world.insert("profiles", json!({"id": "p", "owner": "ann", "name": "x"}));
    let guest = RequestInfo::default();
    let mut select = Select::new(&world.schema, world.collection("people"), &guest, Base::Stored);
    select.filter("profiles_via_owner.name = 'x'").unwrap();
    assert!(!select.count().statement.sql.contains("NOT EXISTS"));
    assert_eq!(select.count().run(&world.conn).unwrap(), 1);
}

#[test]
fn list_rules_of_joined_collections() {
    let mut world = conformance_set();
    let collections = world.schema.collections().iter().map(|collection| {
        let mut collection = (**collection).clone();
        if collection.name == "people" {
            collection.rules.list = Rule::from(Some("id = @request.auth.id".to_owned()));
        }
        Arc::new(collection)
    });
    world.schema = Schema::new(2, collections.collect());
    let bob = world.caller("people", "bob");
    let guest = RequestInfo::default();
    let find = |request: &RequestInfo, filter: &str| {
        world.find(request, "posts", |select| select.filter(filter).map(drop)).unwrap()
    };
    // Also rows that match by another condition are lost where their author cannot be listed.
    assert_eq!(find(&bob, "author.name = 'bob' || title != ''"), "B C E");
    assert_eq!(find(&guest, "author.name = 'bob' || title != ''"), "C E");
    // No join, no rule.
    assert_eq!(find(&guest, "author.id = 'bob' || author = 'ann'"), "A B D");
    // Owners' rules are not narrowed.
    let found = world.find(&guest, "posts", |select| select.rule("author.name = 'bob'").map(drop));
    assert_eq!(found.as_deref(), Ok("B"));
    // A sort joins too.
    let found = world.find(&bob, "posts", |select| select.sort("author.name,n").map(drop));
    assert_eq!(found.as_deref(), Ok("E C B"));
}
