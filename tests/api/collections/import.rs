//! Importing collections.

use serde_json::{Value as Json, json};

use crate::harness::{Client, Server};

const IMPORT: &str = "/api/collections/import";

fn names(superuser: &Client) -> Vec<Json> {
    let list = superuser.get("/api/collections?sort=name&filter=system%3Dfalse").ok();
    list["items"].as_array().unwrap().iter().map(|item| item["name"].clone()).collect()
}

fn things() -> Json {
    json!({ "name": "things", "type": "base", "fields": [{ "name": "a", "type": "text" }] })
}

#[test]
fn collections_are_made_changed_and_kept() {
    let server = Server::start();
    let superuser = server.superuser();
    let kept = server.collection(
        json!({ "name": "kept", "fields": [{ "name": "x", "type": "text" }, { "name": "y", "type": "text" }] }),
    );
    server.guest().post("/api/collections/kept/records", json!({ "x": "1", "y": "2" })).ok();
    let changed = json!({ "id": kept["id"], "name": "renamed", "fields": [{ "name": "z", "type": "number" }] });
    let view = json!({ "name": "seen", "type": "view", "viewQuery": "SELECT id, a FROM things" });
    let answer = superuser.put(IMPORT, json!({ "collections": [view, things(), changed] }));
    assert_eq!((answer.status, answer.text().as_str()), (204, ""));
    assert_eq!(names(&superuser), ["renamed", "seen", "things", "users"]);
    let item = &server.superuser().get("/api/collections/renamed/records").ok()["items"][0];
    assert_eq!((&item["x"], &item["y"], &item["z"]), (&json!("1"), &json!("2"), &json!(0)));
}

#[test]
fn what_is_missing_goes_only_when_asked() {
    let server = Server::start();
    let superuser = server.superuser();
    server.collection(json!({ "name": "gone" }));
    let users = superuser.get("/api/collections/users").ok();
    let keep = json!([{ "id": users["id"], "name": "users", "fields": [] }, things()]);
    superuser.put(IMPORT, json!({ "collections": keep })).ok();
    assert_eq!(names(&superuser), ["gone", "things", "users"]);
    superuser.put(IMPORT, json!({ "collections": keep, "deleteMissing": true })).ok();
    assert_eq!(names(&superuser), ["things", "users"]);
    let fields = superuser.get("/api/collections/users?fields=fields.name").ok();
    assert!(!fields.to_string().contains("avatar"), "{fields}");
    superuser.get("/api/collections/_superusers").ok();
}

#[test]
fn one_that_is_wrong_undoes_all() {
    let server = Server::start();
    let superuser = server.superuser();
    let wrong = json!({ "name": "wrong", "type": "base", "listRule": "nope = 1", "fields": [] });
    let error = superuser.put(IMPORT, json!({ "collections": [things(), wrong] })).refused(400);
    assert_eq!(error["message"], "Failed to import collections.");
    assert_eq!(error["data"]["collections"]["code"], "validation_collections_import_failure", "{error}");
    assert_eq!(names(&superuser), ["users"]);
    let error = superuser.put(IMPORT, json!({ "collections": [] })).refused(400);
    assert_eq!(error["data"]["collections"]["code"], "validation_required");
}
