//! View collections.

use serde_json::{Value as Json, json};

use crate::harness::Server;

fn scene() -> Server {
    let server = Server::start();
    let users = server.superuser().get("/api/collections/users").ok();
    server.collection(json!({
        "name": "posts",
        "fields": [
            { "name": "title", "type": "text", "max": 30 },
            { "name": "rank", "type": "number" },
            { "name": "hid", "type": "text", "hidden": true },
            { "name": "owner", "type": "relation", "collectionId": users["id"], "maxSelect": 1 },
            { "name": "tags", "type": "select", "values": ["a", "b"], "maxSelect": 2 },
        ],
    }));
    for (title, rank) in [("a", 1), ("b", 2)] {
        server
            .guest()
            .post("/api/collections/posts/records", json!({ "title": title, "rank": rank, "tags": ["b"] }))
            .ok();
    }
    server
}

#[test]
fn columns_have_types_by_what_they_are() {
    let server = scene();
    let select =
        "SELECT p.id, p.title AS heading, p.rank, p.hid, p.owner, p.tags, count(p.id) AS many, (p.rank + 1) AS next,
        cast(p.rank AS int) AS whole, cast(p.rank AS text) AS written, total(p.rank) AS sum FROM posts p GROUP BY p.id";
    let view = server.collection(json!({ "name": "seen", "type": "view", "viewQuery": select }));
    let types: Vec<_> =
        view["fields"].as_array().unwrap().iter().map(|field| (field["name"].clone(), field["type"].clone())).collect();
    let expected: Vec<(Json, Json)> = [
        ("id", "text"),
        ("heading", "text"),
        ("rank", "number"),
        ("hid", "text"),
        ("owner", "relation"),
        ("tags", "select"),
        ("many", "number"),
        ("next", "json"),
        ("whole", "number"),
        ("written", "text"),
        ("sum", "number"),
    ]
    .map(|(name, kind)| (json!(name), json!(kind)))
    .to_vec();
    assert_eq!(types, expected);
    let mut item = server.guest().get("/api/collections/seen/records?sort=-rank&perPage=1").ok()["items"][0].clone();
    for key in ["id", "collectionId"] {
        item.as_object_mut().unwrap().remove(key);
    }
    let expected = json!({ "collectionName": "seen", "heading": "b", "rank": 2, "owner": "", "tags": ["b"], "many": 1,
        "next": 3, "whole": 2, "written": "2", "sum": 2 });
    assert_eq!(item, expected);
}

#[test]
fn queries_that_make_no_view_are_refused() {
    let server = scene();
    for query in [
        "",
        "nonsense",
        "SELECT title FROM posts",
        "SELECT * FROM posts",
        "SELECT id FROM nothing",
        "SELECT id FROM posts; DELETE FROM posts",
        "DELETE FROM posts",
        "SELECT (1) AS id, title FROM posts",
    ] {
        let definition = json!({ "name": "seen", "type": "view", "viewQuery": query });
        let error = server.superuser().post("/api/collections", definition).refused(400);
        assert!(error["data"]["viewQuery"]["code"].is_string(), "{query}: {error}");
    }
    assert_eq!(server.guest().get("/api/collections/posts/records").ok()["totalItems"], 2);
    let definition = json!({ "name": "seen", "type": "view", "viewQuery": "SELECT id FROM posts", "createRule": "" });
    let error = server.superuser().post("/api/collections", definition).refused(400);
    assert_eq!(error["data"]["createRule"]["code"], "validation_nil");
}

#[test]
fn a_view_follows_its_collection() {
    let server = scene();
    let superuser = server.superuser();
    server.collection(json!({ "name": "seen", "type": "view", "viewQuery": "SELECT id, title FROM posts" }));
    let mut fields = superuser.get("/api/collections/posts").ok()["fields"].clone();
    fields[1]["max"] = json!(99);
    superuser.patch("/api/collections/posts", json!({ "fields": fields })).ok();
    assert_eq!(superuser.get("/api/collections/seen").ok()["fields"][1]["max"], 99);
    // What it reads may not go.
    superuser.delete("/api/collections/posts").refused(400);
    superuser.delete("/api/collections/seen").ok();
    superuser.delete("/api/collections/posts").ok();
}

#[test]
fn a_dry_run_shows_fields_and_rows() {
    let server = scene();
    let path = "/api/collections/meta/dry-run-view";
    let answer = server.superuser().post(path, json!({ "query": "SELECT id, title FROM posts ORDER BY title" })).ok();
    assert_eq!(answer["fields"].as_array().unwrap().len(), 2);
    assert_eq!(answer["sample"][0]["title"], "a");
    let error = server.superuser().post(path, json!({ "query": "SELECT nope FROM posts" })).refused(400);
    assert!(error["message"].as_str().unwrap().starts_with("Invalid view query. Raw error:"), "{error}");
    server.guest().post(path, json!({ "query": "SELECT id FROM posts" })).refused(401);
}
