//! The filter language as callers meet it: what each filter finds, which texts are refused, and what rules see.

use serde_json::{Value as Json, json};

use crate::harness::{Client, Server, query};

/// Five posts, `A` to `E`, with what they refer to and what refers to them. Ids tell what they are.
fn scene() -> Server {
    let server = Server::start();
    let collection = |name: &str, fields: Json| {
        server.collection(json!({ "name": name, "fields": fields }))["id"].as_str().unwrap().to_owned()
    };
    let text = |name: &str| json!({ "name": name, "type": "text" });
    let number = |name: &str| json!({ "name": name, "type": "number" });
    let relation = |name: &str, to: &str, max: u32| json!({ "name": name, "type": "relation", "collectionId": to, "maxSelect": max });
    let tags = collection("tags", json!([text("name"), number("w")]));
    let people = server.collection(json!({
        "name": "people",
        "type": "auth",
        "fields": [
            text("name"),
            { "name": "role", "type": "select", "values": ["admin", "staff", "user"], "maxSelect": 3 },
            { "name": "secret", "type": "text", "hidden": true },
        ],
    }))["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let posts = collection(
        "posts",
        json!([
            text("title"),
            { "name": "body", "type": "editor" },
            number("n"),
            { "name": "pub", "type": "bool" },
            relation("tags", &tags, 99),
            relation("author", &people, 1),
            { "name": "meta", "type": "json" },
            { "name": "cat", "type": "select", "values": ["x", "y", "z"], "maxSelect": 3 },
            { "name": "at", "type": "date" },
            { "name": "loc", "type": "geoPoint" },
            { "name": "hid", "type": "text", "hidden": true },
        ]),
    );
    collection("comments", json!([text("text"), relation("post", &posts, 1), relation("posts2", &posts, 5)]));
    server.collection(json!({ "name": "priv", "listRule": null, "fields": [relation("post", &posts, 1)] }));

    let superuser = server.superuser();
    let record = |collection: &str, mut record: Json| {
        record["id"] = json!(id(record["id"].as_str().unwrap()));
        superuser.post(&format!("/api/collections/{collection}/records"), record).ok();
    };
    for (name, w) in [("red", 1), ("green", 2), ("blue", 3), ("", 0)] {
        record("tags", json!({ "id": name, "name": name, "w": w }));
    }
    for (name, role, visible) in [("ann", json!(["admin", "staff"]), true), ("bob", json!(["user"]), false)] {
        record(
            "people",
            json!({
                "id": name, "name": name, "role": role, "secret": "x", "email": format!("{name}@example.com"),
                "emailVisibility": visible, "password": "12345678", "passwordConfirm": "12345678",
            }),
        );
    }
    for post in [
        json!({ "id": "a", "title": "Hello", "n": 1, "pub": true, "tags": [id("red"), id("green")], "author": id("ann"),
            "meta": { "a": { "b": [1, 2, "x"] }, "s": "str" }, "cat": ["x", "y"], "at": "2024-01-02 03:04:05.678Z",
            "loc": { "lon": 1, "lat": 2 }, "hid": "h1" }),
        json!({ "id": "b", "title": "hello world", "n": 2, "tags": [id("green"), id("blue")], "author": id("bob"),
            "meta": [1, 2, 3], "cat": ["y"] }),
        json!({ "id": "c", "title": "100% sure_x", "n": 2.5, "meta": "plain" }),
        json!({ "id": "d", "tags": [id("")], "author": id("ann"), "meta": null, "cat": ["x", "y", "z"] }),
        json!({ "id": "e", "title": "Émile", "n": -3, "tags": [id("red")], "meta": 5 }),
    ] {
        record("posts", post);
    }
    for (name, post, posts) in [("c0", "a", "ab"), ("c1", "a", "b"), ("c2", "b", ""), ("c3", "", "c")] {
        let posts: Vec<_> = posts.chars().map(|post| id(&post.to_string())).collect();
        let post = if post.is_empty() { String::new() } else { id(post) };
        record("comments", json!({ "id": name, "text": name, "post": post, "posts2": posts }));
    }
    record("priv", json!({ "id": "p", "post": id("a") }));
    server
}

/// The id of a record, by its short name.
fn id(name: &str) -> String {
    format!("{name:0>15}")
}

/// The posts that a filter finds, as capital letters; the status where it is refused.
fn found(client: &Client, filter: &str) -> Result<String, u16> {
    let filter = filter.replace("<red>", &id("red"));
    let answer =
        client.get(&format!("/api/collections/posts/records?{}", query(&[("filter", &filter), ("sort", "id")])));
    if answer.status != 200 {
        answer.error();
        return Err(answer.status);
    }
    let list = answer.json();
    let items = list["items"].as_array().unwrap();
    assert_eq!(list["totalItems"], items.len(), "{filter}");
    Ok(items.iter().map(|item| item["id"].as_str().unwrap()[14..].to_uppercase()).collect())
}

/// What a guest finds.
const FOUND: &[(&str, &str)] = &[
    ("title='hello'", ""),
    ("title~'hello'", "AB"),
    ("title!~'hello'", "CDE"),
    ("title~'H%'", "AB"),
    ("title~'sureyx'", ""),
    ("title~'émile'", ""),
    ("title=null", "D"),
    ("title!=''", "ABCE"),
    ("n='2'", "B"),
    ("n~2", "BC"),
    ("n=true", "A"),
    ("pub='true'", ""),
    ("pub!=true", "BCDE"),
    ("at<@now", "ABCDE"),
    ("at=''", "BCDE"),
    ("at~'2024-01-02'", "A"),
    ("author=null", "CE"),
    ("author.name='ann'", "AD"),
    ("tags='<red>'", ""),
    ("tags~'<red>'", "AE"),
    ("tags.name='red'", "E"),
    ("tags.name?='red'", "AE"),
    ("tags.name!='red'", "BCD"),
    ("tags.name?!='red'", "ABCD"),
    ("tags.name=tags.w", "C"),
    ("tags.name?='red'&&tags.name?='green'", ""),
    ("tags:length=2", "AB"),
    ("tags:length=0", "C"),
    ("tags:each?='<red>'", "AE"),
    ("tags:each!='<red>'", "BCD"),
    ("cat='x'", ""),
    ("cat?='x'", ""),
    ("cat:each?='y'", "ABD"),
    ("cat:each='y'", "B"),
    ("cat:each!='y'", "CE"),
    ("cat:each~'x'", ""),
    ("cat~'x'", "AD"),
    ("cat=''", ""),
    ("cat='[]'", "CE"),
    ("meta='plain'", "C"),
    ("meta=5", "E"),
    ("meta='5'", ""),
    ("meta>4", "ABCE"),
    ("meta=null", "D"),
    ("meta=''", ""),
    ("meta.a.b.2='x'", "A"),
    ("meta.a.b='[1,2,\"x\"]'", "A"),
    ("meta.0=1", "B"),
    ("meta.zzz=null", "ABCDE"),
    ("meta.zzz=''", ""),
    ("loc.lon=0", "BCDE"),
    ("geoDistance(loc.lon,loc.lat,1,2)<1", "A"),
    ("strftime('%Y',at)=''", "BCDE"),
    ("comments_via_post.text='c0'", ""),
    ("comments_via_post.text?='c0'", "A"),
    ("comments_via_post.text~'c'", "AB"),
    ("comments_via_post.text=''", "CDE"),
    ("comments_via_posts2.text?='c0'", "AB"),
    ("comments_via_posts2.text='c3'", "C"),
    ("author.email='ann@example.com'", "AD"),
    ("author.email='bob@example.com'", ""),
    ("title='Hello' || title='Émile' && n=-3", "AE"),
    ("(title='Hello' || title='Émile') && n=-3", "E"),
    ("1=1", "ABCDE"),
    ("null=null", "ABCDE"),
    ("'a'='a'", "ABCDE"),
    ("title=title", "ABCDE"),
    ("1=''", ""),
    ("title:lower='hello'", "A"),
    ("title:lower='émile'", ""),
    ("n=2.50", "C"),
    ("title>'F'", "ABE"),
];

/// Refused with 400.
const WRONG: &[&str] = &[
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

/// Refused with 403: these are for superusers.
const FORBIDDEN: &[&str] = &["@collection.comments.text='c0'", "@request.auth.id=''", "title=\"@request.\""];

#[test]
fn filters_find_what_they_say() {
    let server = scene();
    let guest = server.guest();
    let differing: Vec<_> = FOUND
        .iter()
        .map(|(filter, rows)| (filter, Ok((*rows).to_owned()), found(&guest, filter)))
        .filter(|(_, expected, found)| expected != found)
        .collect();
    assert!(differing.is_empty(), "(filter, expected, found): {differing:#?}");
}

#[test]
fn wrong_filters_are_refused_without_telling_why() {
    let server = scene();
    let guest = server.guest();
    let cases = WRONG.iter().map(|filter| (filter, 400)).chain(FORBIDDEN.iter().map(|filter| (filter, 403)));
    let differing: Vec<_> = cases
        .map(|(filter, status)| (filter, status, found(&guest, filter)))
        .filter(|(_, status, found)| found != &Err(*status))
        .collect();
    assert!(differing.is_empty(), "(filter, expected, found): {differing:#?}");
}

#[test]
fn a_superuser_may_ask_for_more() {
    let server = scene();
    let superuser = server.superuser();
    for (filter, rows) in [
        ("hid = 'h1'", "A"),
        ("author.secret = 'x'", "ABD"),
        ("author.email = 'bob@example.com'", "B"),
        ("priv_via_post.id != ''", "A"),
        ("@collection.comments.text ?= 'c0'", "ABCDE"),
        ("@collection.comments.post ?= id", "AB"),
        ("@request.auth.id != ''", "ABCDE"),
        ("@request.query.sort = 'id'", "ABCDE"),
    ] {
        assert_eq!(found(&superuser, filter), Ok(rows.to_owned()), "{filter}");
    }
}

#[test]
fn sorts_order_by_fields_relations_and_rows() {
    let server = scene();
    for (sort, rows) in [
        ("n", "EDABC"),
        ("-n", "CBADE"),
        ("pub,-title", "EBCDA"),
        ("author.name,-n", "CEADB"),
        ("@rowid", "ABCDE"),
        ("-@rowid", "EDCBA"),
        (" -n , id ", "CBADE"),
    ] {
        let answer = server.guest().get(&format!("/api/collections/posts/records?{}", query(&[("sort", sort)]))).ok();
        let items = answer["items"].as_array().unwrap();
        let order: String = items.iter().map(|item| item["id"].as_str().unwrap()[14..].to_uppercase()).collect();
        assert_eq!(order, rows, "{sort}");
    }
    for sort in ["nope", "hid", "author.secret", "priv_via_post.id", "@request.auth.id"] {
        let answer = server.guest().get(&format!("/api/collections/posts/records?{}", query(&[("sort", sort)])));
        assert!(matches!(answer.status, 400 | 403), "{sort}: {}", answer.status);
        answer.error();
    }
}

/// A rule, a body, and the status that bob gets for creating with it.
const CREATE_RULES: &[(&str, &str, u16)] = &[
    ("t = 'a'", r#"{"t":"a"}"#, 200),
    ("t = 'a'", r#"{"t":"b"}"#, 400),
    ("@request.body.t:isset = false", r#"{"t":"x"}"#, 400),
    ("@request.body.t:isset = false", "{}", 200),
    ("n = 5", r#"{"n+":5}"#, 200),
    ("owner.name = 'ann'", r#"{"owner":"<ann>"}"#, 200),
    ("owner.name = 'ann'", r#"{"owner":"<bob>"}"#, 400),
    ("@request.body.owner.name = 'ann'", r#"{"owner":"<ann>"}"#, 200),
    ("@collection.people.name ?= 'ann'", "{}", 200),
    ("@collection.people.name = 'ann'", "{}", 400),
    ("@request.body.tags.name ?= 'red'", r#"{"tags":["<red>","<green>"]}"#, 200),
    ("@request.body.tags.name = 'red'", r#"{"tags":["<red>","<green>"]}"#, 400),
    ("@request.body.t:lower = 'abc'", r#"{"t":"ABC"}"#, 200),
    ("@request.body.zzz.a = '1'", r#"{"zzz":{"a":"1"}}"#, 200),
    ("@request.auth.role:each ?= 'user'", "{}", 200),
    ("@request.auth.posts_via_author.title ?= 'hello world'", "{}", 200),
    ("@request.auth.nope = null", "{}", 200),
    ("@request.auth.email = 'bob@example.com'", "{}", 200),
    ("@request.method = 'POST' && @request.context = 'default'", "{}", 200),
    ("@request.query.a = '1' && @request.headers.x_b = '2'", "{}", 200),
    ("owner = @request.auth.id", r#"{"owner":"<bob>"}"#, 200),
    ("owner = @request.auth.id", "{}", 400),
];

/// A rule, a body, and the status that bob gets for changing `{"t":"s","n":1}` with it.
const UPDATE_RULES: &[(&str, &str, u16)] = &[
    ("t = 'x'", r#"{"t":"x"}"#, 404),
    ("t = 's'", r#"{"t":"x"}"#, 200),
    ("@request.body.n > n", r#"{"n+":1}"#, 200),
    ("@request.body.n > n", r#"{"n-":1}"#, 404),
    ("@request.body.t:changed = false", r#"{"t":"s"}"#, 200),
    ("@request.body.t:changed = false", r#"{"t":"other"}"#, 404),
];

fn filled(body: &str) -> Json {
    let names = ["ann", "bob", "red", "green"];
    let body = names.iter().fold(body.to_owned(), |body, name| body.replace(&format!("<{name}>"), &id(name)));
    serde_json::from_str(&body).unwrap()
}

#[test]
fn rules_see_the_request_and_the_record_as_they_are_then() {
    let server = scene();
    let superuser = server.superuser();
    let bob = server.login("people", "bob@example.com", "12345678");
    let people = superuser.get("/api/collections/people").ok()["id"].clone();
    let tags = superuser.get("/api/collections/tags").ok()["id"].clone();
    server.collection(json!({ "name": "rules", "fields": [
        { "name": "t", "type": "text" },
        { "name": "owner", "type": "relation", "collectionId": people, "maxSelect": 1 },
        { "name": "n", "type": "number" },
        { "name": "tags", "type": "relation", "collectionId": tags, "maxSelect": 5 },
    ] }));
    for (rule, body, status) in CREATE_RULES {
        superuser.patch("/api/collections/rules", json!({ "createRule": rule })).ok();
        let request = bob.request("POST", "/api/collections/rules/records?a=1").header("X-B", "2").json(&filled(body));
        let answer = request.send();
        assert_eq!(answer.status, *status, "create {rule} with {body}: {}", answer.text());
    }
    for (rule, body, status) in UPDATE_RULES {
        superuser.patch("/api/collections/rules", json!({ "createRule": "", "updateRule": rule })).ok();
        let made = bob.post("/api/collections/rules/records", json!({ "t": "s", "n": 1 })).ok();
        let path = format!("/api/collections/rules/records/{}", made["id"].as_str().unwrap());
        let answer = bob.patch(&path, filled(body));
        assert_eq!(answer.status, *status, "update {rule} with {body}: {}", answer.text());
    }
}

#[test]
fn aliases_join_a_collection_twice() {
    let server = scene();
    for (rule, rows) in [
        ("@collection.people:a.name ?= 'ann' && @collection.people:b.name ?= 'bob'", "ABCDE"),
        ("@collection.people.name ?= 'ann' && @collection.people.name ?= 'bob'", ""),
    ] {
        server.superuser().patch("/api/collections/posts", json!({ "listRule": rule })).ok();
        assert_eq!(found(&server.guest(), ""), Ok(rows.to_owned()), "{rule}");
    }
}

#[test]
fn a_rule_that_cannot_be_read_is_refused_with_its_reason() {
    let server = scene();
    for (rule, code) in [
        ("nope = 1", "validation_invalid_rule"),
        ("title =", "validation_invalid_rule"),
        ("@nope = 1", "validation_invalid_rule"),
    ] {
        let answer = server.superuser().patch("/api/collections/posts", json!({ "listRule": rule })).refused(400);
        assert_eq!(answer["data"]["listRule"]["code"], code, "{answer}");
    }
}

/// Names that SQLite's table functions have for columns of their own, and words of SQL.
#[test]
fn fields_may_have_any_name() {
    let server = Server::start();
    let names = [
        "key", "value", "type", "atom", "parent", "fullkey", "path", "json", "root", "rowid", "order", "group",
        "select", "table", "i",
    ];
    let target = server.collection(json!({ "name": "select", "fields": [{ "name": "value", "type": "text" }] }));
    let fields: Vec<_> = names
        .iter()
        .map(|name| json!({ "name": name, "type": "select", "values": ["a", "b"], "maxSelect": 2 }))
        .chain(
            ["from", "where"]
                .map(|name| json!({ "name": name, "type": "relation", "collectionId": target["id"], "maxSelect": 2 })),
        )
        .collect();
    server.collection(json!({ "name": "order", "fields": fields }));
    let records = "/api/collections/order/records";
    let guest = server.guest();
    let other = guest.post("/api/collections/select/records", json!({ "value": "v" })).ok();
    let mut record: Json =
        names.iter().map(|name| ((*name).to_owned(), json!(["a", "b"]))).collect::<serde_json::Map<_, _>>().into();
    record["from"] = json!([other["id"]]);
    guest.post(records, record).ok();
    guest.post(records, json!({})).ok();
    for name in names {
        for (filter, count) in [
            (format!("{name}:each ?= 'a'"), 1),
            (format!("{name}:length = 2"), 1),
            (format!("{name} ~ 'b'"), 1),
            (format!("{name}:each = 'a'"), 0),
            (format!("from.value = 'v' && {name}:length > 0"), 1),
            (format!("from.order_via_from.{name} ~ 'a'"), 1),
        ] {
            let answer = guest.get(&format!("{records}?{}", query(&[("filter", &filter), ("sort", name)]))).ok();
            assert_eq!(answer["totalItems"], count, "{filter}");
        }
    }
    guest.delete(&format!("/api/collections/select/records/{}", other["id"].as_str().unwrap())).ok();
    assert_eq!(guest.get(&format!("{records}?filter=from:length%3D0")).ok()["totalItems"], 2);
}
