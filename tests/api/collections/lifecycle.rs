//! Creating, changing and deleting collections.

use rusqlite::Connection;
use serde_json::{Value as Json, json};

use crate::harness::{Server, query};

fn text(name: &str) -> Json {
    json!({ "name": name, "type": "text" })
}

fn names(collection: &Json) -> Vec<String> {
    collection["fields"].as_array().unwrap().iter().map(|field| field["name"].as_str().unwrap().to_owned()).collect()
}

/// The fields of a collection, to be changed and sent back.
fn fields(server: &Server, collection: &str) -> Vec<Json> {
    let collection = server.superuser().get(&format!("/api/collections/{collection}")).ok();
    collection["fields"].as_array().unwrap().clone()
}

#[test]
fn ids_follow_from_names() {
    let server = Server::start();
    let made = server.collection(json!({ "name": "x1", "fields": [text("title")] }));
    assert_eq!(made["id"], "pbc_3506611314");
    let ids: Vec<_> = made["fields"].as_array().unwrap().iter().map(|field| field["id"].clone()).collect();
    assert_eq!(ids, ["text3208210256", "text724990059"]);
    // Taken: the next gets a suffix.
    server.superuser().patch("/api/collections/x1", json!({ "name": "x2" })).ok();
    assert_eq!(server.collection(json!({ "name": "x1" }))["id"], "pbc_35066113142");
    assert_eq!(server.collection(json!({ "name": "x3", "id": "my_own" }))["id"], "my_own");
    for found in ["my_own", "x3", "X3"] {
        assert_eq!(server.superuser().get(&format!("/api/collections/{found}")).ok()["name"], "x3");
    }
    server.superuser().get("/api/collections/MY_OWN").refused(404);
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
fn another_auth_rule_ends_all_sessions() {
    let server = Server::start();
    let body = json!({ "email": "u@example.com", "password": "12345678", "passwordConfirm": "12345678" });
    server.guest().post("/api/collections/users/records", body).ok();
    let user = server.login("users", "u@example.com", "12345678");
    user.post("/api/collections/users/auth-refresh", json!({})).ok();
    server.superuser().patch("/api/collections/users", json!({ "authRule": "verified = false" })).ok();
    user.post("/api/collections/users/auth-refresh", json!({})).refused(401);
    server.login("users", "u@example.com", "12345678").post("/api/collections/users/auth-refresh", json!({})).ok();
}

#[test]
fn fields_are_added_renamed_swapped_and_dropped() {
    let server = Server::start();
    let superuser = server.superuser();
    let guest = server.guest();
    let records = "/api/collections/things/records";
    server.collection(json!({ "name": "things", "fields": [text("a"), text("b"), text("c")] }));
    guest.post(records, json!({ "a": "1", "b": "2", "c": "3" })).ok();
    let save = |fields: Vec<Json>| names(&superuser.patch("/api/collections/things", json!({ "fields": fields })).ok());
    let stored = || {
        let mut item = guest.get(records).ok()["items"][0].clone();
        for key in ["id", "collectionId", "collectionName"] {
            item.as_object_mut().unwrap().remove(key);
        }
        item
    };

    let mut changed = fields(&server, "things");
    changed.push(json!({ "name": "n", "type": "number" }));
    assert_eq!(save(changed), ["id", "a", "b", "c", "n"]);
    assert_eq!(stored(), json!({ "a": "1", "b": "2", "c": "3", "n": 0 }));

    let mut changed = fields(&server, "things");
    (changed[1]["name"], changed[2]["name"]) = (json!("b"), json!("a"));
    changed[3]["name"] = json!("renamed");
    assert_eq!(save(changed), ["id", "b", "a", "renamed", "n"]);
    assert_eq!(stored(), json!({ "a": "2", "b": "1", "renamed": "3", "n": 0 }));

    let mut changed = fields(&server, "things");
    changed.remove(1);
    assert_eq!(save(changed), ["id", "a", "renamed", "n"]);
    assert_eq!(stored(), json!({ "a": "2", "renamed": "3", "n": 0 }));

    // Without an id the id follows from type and name: these two began under other names, so both are new fields.
    let changed = vec![text("a"), json!({ "name": "renamed", "type": "number" })];
    assert_eq!(save(changed), ["id", "a", "renamed"]);
    assert_eq!(stored(), json!({ "a": "", "renamed": 0 }));

    // And this one began under its name.
    guest
        .patch(
            &format!("{records}/{}", guest.get(records).ok()["items"][0]["id"].as_str().unwrap()),
            json!({ "a": "kept" }),
        )
        .ok();
    save(vec![json!({ "name": "a", "type": "text", "max": 9 })]);
    assert_eq!(stored(), json!({ "a": "kept" }));
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

#[test]
fn deleting_and_truncating() {
    let server = Server::start();
    let superuser = server.superuser();
    let tags = server.collection(json!({ "name": "tags", "fields": [] }));
    let relation =
        json!({ "name": "tag", "type": "relation", "collectionId": tags["id"], "maxSelect": 1, "required": true });
    server.collection(json!({ "name": "posts", "fields": [relation] }));
    let tag = server.guest().post("/api/collections/tags/records", json!({})).ok();
    server.guest().post("/api/collections/posts/records", json!({ "tag": tag["id"] })).ok();

    let error = superuser.delete("/api/collections/tags").refused(400);
    assert_eq!(error["message"], "Failed to delete collection probably due to existing reference in posts.");
    superuser.delete("/api/collections/tags/truncate").refused(400);
    assert_eq!(server.guest().get("/api/collections/tags/records").ok()["totalItems"], 1);

    let answer = superuser.delete("/api/collections/posts/truncate");
    assert_eq!((answer.status, answer.text().as_str()), (204, ""));
    assert_eq!(server.guest().get("/api/collections/posts/records").ok()["totalItems"], 0);
    superuser.delete("/api/collections/posts").ok();
    superuser.delete("/api/collections/tags").ok();
    superuser.get("/api/collections/tags").refused(404);
    superuser.delete("/api/collections/tags").refused(404);
    superuser.delete("/api/collections/_superusers").refused(400);

    let (directory, _) = server.stop();
    let conn = Connection::open(directory.database()).unwrap();
    let tables: i64 = conn
        .query_row("SELECT count(*) FROM sqlite_master WHERE name IN ('tags', 'posts')", [], |row| row.get(0))
        .unwrap();
    assert_eq!(tables, 0);
}

#[test]
fn collections_are_listed() {
    let server = Server::start();
    let superuser = server.superuser();
    for name in ["b1", "a1", "c1"] {
        server.collection(json!({ "name": name }));
    }
    let found = |pairs: &[(&str, &str)]| -> Vec<String> {
        let list = superuser.get(&format!("/api/collections?{}", query(pairs))).ok();
        list["items"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(found(&[("sort", "name"), ("filter", "system = false")]), ["a1", "b1", "c1", "users"]);
    assert_eq!(found(&[("sort", "-name"), ("filter", "name ~ '1'"), ("perPage", "2")]), ["c1", "b1"]);
    assert_eq!(found(&[("filter", "type = 'auth'"), ("sort", "name"), ("fields", "name")]), ["_superusers", "users"]);
    for (name, value) in [("filter", "listRule = ''"), ("sort", "fields"), ("filter", "nope = 1")] {
        superuser.get(&format!("/api/collections?{}", query(&[(name, value)]))).refused(400);
    }
}

#[test]
fn all_of_it_is_for_superusers() {
    let server = Server::start();
    let body = json!({ "email": "u@example.com", "password": "12345678", "passwordConfirm": "12345678" });
    server.guest().post("/api/collections/users/records", body).ok();
    let user = server.login("users", "u@example.com", "12345678");
    for (method, path) in [
        ("GET", "/api/collections"),
        ("GET", "/api/collections/users"),
        ("POST", "/api/collections"),
        ("PATCH", "/api/collections/users"),
        ("DELETE", "/api/collections/users"),
        ("DELETE", "/api/collections/users/truncate"),
        ("PUT", "/api/collections/import"),
        ("GET", "/api/collections/meta/scaffolds"),
        ("GET", "/api/settings"),
        ("PATCH", "/api/settings"),
    ] {
        let error = server.guest().request(method, path).json(&json!({})).send().refused(401);
        assert_eq!(error["message"], "The request requires valid record authorization token.", "{method} {path}");
        let error = user.request(method, path).json(&json!({})).send().refused(403);
        assert_eq!(error["message"], "The authorized record is not allowed to perform this action.", "{method} {path}");
    }
}

#[test]
fn scaffolds_are_blank_collections() {
    let server = Server::start();
    let scaffolds = server.superuser().get("/api/collections/meta/scaffolds").ok();
    for kind in ["auth", "base", "view"] {
        let scaffold = &scaffolds[kind];
        assert_eq!((&scaffold["type"], &scaffold["id"], &scaffold["name"]), (&json!(kind), &json!(""), &json!("")));
    }
    assert_eq!(names(&scaffolds["base"]), ["id"]);
}
