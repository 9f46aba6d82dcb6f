//! What a collection is, and what of it outlives a change.

use serde_json::{Value as Json, json};

use super::names;
use crate::harness::Server;

fn text(name: &str) -> Json {
    json!({ "name": name, "type": "text" })
}

#[test]
fn a_collection_is_told_in_the_form_of_its_type() {
    let server = Server::start();
    let keys = |made: &Json| {
        let mut keys: Vec<_> = made.as_object().unwrap().keys().cloned().collect();
        keys.sort_unstable();
        keys.join(" ")
    };
    let common =
        "created createRule deleteRule fields id indexes listRule name system type updateRule updated viewRule";
    let sorted = |text: &str| {
        let mut words: Vec<_> = text.split(' ').collect();
        words.sort_unstable();
        words.join(" ")
    };
    let base = server.collection(json!({ "name": "base", "fields": [text("a")] }));
    assert_eq!(keys(&base), sorted(common));
    let auth = server.collection(json!({ "name": "auth", "type": "auth" }));
    let options = "authAlert authRule authToken confirmEmailChangeTemplate emailChangeToken fileToken manageRule mfa oauth2 otp passwordAuth passwordResetToken resetPasswordTemplate verificationTemplate verificationToken";
    assert_eq!(keys(&auth), sorted(&format!("{common} {options}")));
    assert_eq!(names(&auth), ["id", "password", "tokenKey", "email", "emailVisibility", "verified"]);
    assert_eq!(auth["authToken"], json!({ "duration": 432000 }));
    assert_eq!(auth["passwordAuth"], json!({ "enabled": true, "identityFields": ["email"] }));
    assert_eq!(auth["oauth2"]["providers"], json!([]));
    assert_eq!(auth["otp"]["duration"], 180);
    let view = server.collection(json!({ "name": "view", "type": "view", "viewQuery": "SELECT id, a FROM base" }));
    assert_eq!(keys(&view), sorted(&format!("{common} viewQuery")));
}

#[test]
fn a_patch_changes_what_it_names() {
    let server = Server::start();
    let superuser = server.superuser();
    let made = server.collection(json!({ "name": "accounts", "type": "auth" }));
    let changes = json!({ "otp": { "enabled": true }, "authToken": { "duration": 1000 }, "listRule": null });
    let changed = superuser.patch("/api/collections/accounts", changes).ok();
    assert_eq!((&changed["otp"]["enabled"], &changed["otp"]["length"]), (&json!(true), &made["otp"]["length"]));
    assert_eq!((&changed["authToken"], &changed["listRule"]), (&json!({ "duration": 1000 }), &json!(null)));
    assert_eq!((&changed["viewRule"], &changed["fields"]), (&made["viewRule"], &made["fields"]));
    assert_eq!(superuser.get("/api/collections/accounts").ok(), changed);
}

#[test]
fn single_values_become_lists_and_back() {
    let server = Server::start();
    let superuser = server.superuser();
    let records = "/api/collections/things/records";
    let select = |max: u32| json!({ "name": "s", "type": "select", "values": ["a", "b"], "maxSelect": max });
    server.collection(json!({ "name": "things", "fields": [select(1), text("t")] }));
    server.collection(json!({ "name": "seen", "type": "view", "viewQuery": "SELECT id, s FROM things" }));
    for value in ["a", "", "b"] {
        server.guest().post(records, json!({ "s": value })).ok();
    }
    let stored = |collection: &str| -> Vec<Json> {
        let list = server.guest().get(&format!("/api/collections/{collection}/records")).ok();
        list["items"].as_array().unwrap().iter().map(|item| item["s"].clone()).collect()
    };
    superuser.patch("/api/collections/things", json!({ "fields": [select(2), text("t")] })).ok();
    assert_eq!(stored("things"), [json!(["a"]), json!([]), json!(["b"])]);
    assert_eq!(stored("seen"), [json!(["a"]), json!([]), json!(["b"])]);
    let first = server.guest().get(records).ok()["items"][0]["id"].as_str().unwrap().to_owned();
    server.guest().patch(&format!("{records}/{first}"), json!({ "s": ["a", "b"] })).ok();
    superuser.patch("/api/collections/things", json!({ "fields": [select(1), text("t")] })).ok();
    assert_eq!(stored("things"), [json!("b"), json!(""), json!("b")]);
}

#[test]
fn another_name_keeps_the_records() {
    let server = Server::start();
    server.collection(
        json!({ "name": "things", "fields": [text("a")], "indexes": ["CREATE INDEX idx_a ON things (a)"] }),
    );
    let made = server.guest().post("/api/collections/things/records", json!({ "a": "1" })).ok();
    for name in ["Things", "others"] {
        let changed = server.superuser().patch("/api/collections/things", json!({ "name": name })).ok();
        assert_eq!((&changed["name"], &changed["id"]), (&json!(name), &made["collectionId"]));
        let item = &server.guest().get(&format!("/api/collections/{name}/records?filter=a%3D'1'")).ok()["items"][0];
        assert_eq!((&item["id"], &item["collectionName"]), (&made["id"], &json!(name)));
    }
    server.guest().get("/api/collections/things/records").refused(404);
    let index = server.superuser().get("/api/collections/others").ok()["indexes"][0].as_str().unwrap().to_owned();
    assert!(index.contains("`others`"), "{index}");
}
