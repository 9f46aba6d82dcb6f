//! Who may do what: the rules of a collection, and the marks of auth records.

use serde_json::{Value as Json, json};

use super::id;
use crate::harness::{Answer, Client, Server};

const RECORDS: &str = "/api/collections/posts/records";

fn user(server: &Server, name: &str) -> (Client, String) {
    let body = json!({ "email": format!("{name}@example.com"), "password": "12345678", "passwordConfirm": "12345678", "name": name });
    let made = server.superuser().post("/api/collections/users/records", body).ok();
    (server.login("users", &format!("{name}@example.com"), "12345678"), id(&made).to_owned())
}

/// One request of each action, on a record that is there or on one that is not.
fn all_actions(client: &Client, record: &str) -> [Answer; 5] {
    let path = format!("{RECORDS}/{record}");
    [
        client.get(RECORDS),
        client.get(&path),
        client.post(RECORDS, json!({ "title": "b" })),
        client.patch(&path, json!({ "title": "a" })),
        client.delete(&path),
    ]
}

#[test]
fn each_action_has_its_answer_to_each_kind_of_rule() {
    let server = Server::start();
    server.collection(json!({ "name": "posts", "fields": [{ "name": "title", "type": "text" }] }));
    let superuser = server.superuser();
    let set = |rule: Json| {
        let rules =
            json!({ "listRule": rule, "viewRule": rule, "createRule": rule, "updateRule": rule, "deleteRule": rule });
        superuser.patch("/api/collections/posts", rules).ok();
    };
    let statuses = |client: &Client, record: &str| {
        all_actions(client, record)
            .map(|answer| if answer.status >= 400 { answer.error()["status"].clone() } else { json!(answer.status) })
    };
    let make = || id(&superuser.post(RECORDS, json!({ "title": "a" })).ok()).to_owned();
    let guest = server.guest();
    for (rule, there, missing) in [
        (json!(null), [403, 403, 403, 403, 403], [403, 403, 403, 403, 403]),
        (json!(""), [200, 200, 200, 200, 204], [200, 404, 200, 404, 404]),
        (json!("title = 'a' && @request.method != 'POST'"), [200, 200, 400, 200, 204], [200, 404, 400, 404, 404]),
        (json!("title = 'nobody'"), [200, 404, 400, 404, 404], [200, 404, 400, 404, 404]),
        (json!("@request.auth.id != ''"), [200, 404, 400, 404, 404], [200, 404, 400, 404, 404]),
    ] {
        set(rule.clone());
        assert_eq!(statuses(&guest, &make()), there, "{rule}");
        assert_eq!(statuses(&guest, "nobody000000000"), missing, "{rule}");
        assert_eq!(statuses(&superuser, &make()), [200, 200, 200, 200, 204], "{rule}");
    }
}

#[test]
fn lists_hold_what_the_rule_lets_through() {
    let server = Server::start();
    let users = server.superuser().get("/api/collections/users").ok();
    server.collection(json!({
        "name": "posts",
        "listRule": "owner = @request.auth.id",
        "fields": [{ "name": "owner", "type": "relation", "collectionId": users["id"], "maxSelect": 1 }],
    }));
    let ((ann, ann_id), (bob, bob_id)) = (user(&server, "ann"), user(&server, "bob"));
    for owner in [&ann_id, &bob_id, &ann_id] {
        server.guest().post(RECORDS, json!({ "owner": owner })).ok();
    }
    assert_eq!(ann.get(RECORDS).ok()["totalItems"], 2);
    assert_eq!(bob.get(RECORDS).ok()["totalItems"], 1);
    assert_eq!(server.guest().get(RECORDS).ok()["totalItems"], 0);
    assert_eq!(server.superuser().get(RECORDS).ok()["totalItems"], 3);
}

#[test]
fn an_email_is_shown_to_those_who_may_see_it() {
    let server = Server::start();
    server
        .superuser()
        .patch(
            "/api/collections/users",
            json!({ "listRule": "", "viewRule": "", "manageRule": "@request.auth.name = 'boss'" }),
        )
        .ok();
    let ((ann, ann_id), (boss, _)) = (user(&server, "ann"), user(&server, "boss"));
    let path = format!("/api/collections/users/records/{ann_id}");
    let sees = |client: &Client| client.get(&path).ok().get("email").is_some();
    assert_eq!([sees(&server.guest()), sees(&ann), sees(&boss), sees(&server.superuser())], [false, true, true, true]);
    let record = server.superuser().get(&path).ok();
    assert!(record.get("password").is_none() && record.get("tokenKey").is_none(), "{record}");
    assert_eq!((&record["emailVisibility"], &record["verified"]), (&json!(false), &json!(false)));
    ann.patch(&path, json!({ "emailVisibility": true })).ok();
    assert_eq!(server.guest().get(&path).ok()["email"], "ann@example.com");
}

#[test]
fn what_users_may_change_of_themselves() {
    let server = Server::start();
    let (ann, ann_id) = user(&server, "ann");
    let path = format!("/api/collections/users/records/{ann_id}");
    for (body, field, code) in [
        (json!({ "email": "other@example.com" }), "email", "validation_values_mismatch"),
        (json!({ "verified": true }), "verified", "validation_values_mismatch"),
        (
            json!({ "password": "new password", "passwordConfirm": "new password" }),
            "oldPassword",
            "validation_required",
        ),
        (
            json!({ "password": "new password", "passwordConfirm": "new password", "oldPassword": "wrong" }),
            "oldPassword",
            "validation_invalid_old_password",
        ),
        (json!({ "password": "new password", "oldPassword": "12345678" }), "passwordConfirm", "validation_required"),
        (
            json!({ "password": "new password", "passwordConfirm": "other", "oldPassword": "12345678" }),
            "passwordConfirm",
            "validation_values_mismatch",
        ),
    ] {
        let error = ann.patch(&path, body.clone()).refused(400);
        assert_eq!(error["data"][field]["code"], code, "{body}: {error}");
    }
    ann.patch(&path, json!({ "email": "ann@example.com", "verified": false, "name": "Ann" })).ok();

    // A new password ends all sessions.
    ann.patch(
        &path,
        json!({ "password": "new password", "passwordConfirm": "new password", "oldPassword": "12345678" }),
    )
    .ok();
    ann.patch(&path, json!({ "name": "again" })).refused(404);
    let ann = server.login("users", "ann@example.com", "new password");
    assert_eq!(ann.patch(&path, json!({ "name": "again" })).ok()["name"], "again");
}

#[test]
fn signing_up() {
    let server = Server::start();
    let records = "/api/collections/users/records";
    let good = json!({ "email": "new@example.com", "password": "12345678", "passwordConfirm": "12345678" });
    let with = |changes: Json| {
        let mut body = good.clone();
        body.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        body
    };
    for (body, field, code) in [
        (json!({}), "password", "validation_required"),
        (json!({ "password": "12345678" }), "passwordConfirm", "validation_required"),
        (with(json!({ "passwordConfirm": "x" })), "passwordConfirm", "validation_values_mismatch"),
        (with(json!({ "verified": true })), "verified", "validation_values_mismatch"),
        (with(json!({ "email": "" })), "email", "validation_required"),
        (with(json!({ "email": "x" })), "email", "validation_is_email"),
        (
            with(json!({ "password": "short", "passwordConfirm": "short" })),
            "password",
            "validation_min_text_constraint",
        ),
    ] {
        let error = server.guest().post(records, body.clone()).refused(400);
        assert_eq!(error["data"][field]["code"], code, "{body}: {error}");
    }
    let made = server.guest().post(records, good.clone()).ok();
    assert!(made.get("email").is_none() && made["verified"] == false, "{made}");
    let error = server.guest().post(records, good).refused(400);
    assert_eq!(error["data"]["email"]["code"], "validation_not_unique");
}

#[test]
fn managers_change_what_owners_may_not() {
    let server = Server::start();
    server
        .superuser()
        .patch(
            "/api/collections/users",
            json!({ "viewRule": "", "updateRule": "", "manageRule": "@request.auth.name = 'boss'" }),
        )
        .ok();
    let ((_, ann_id), (boss, _)) = (user(&server, "ann"), user(&server, "boss"));
    let path = format!("/api/collections/users/records/{ann_id}");
    let body = json!({ "email": "moved@example.com", "verified": true, "password": "by the boss", "passwordConfirm": "by the boss" });
    let changed = boss.patch(&path, body).ok();
    assert_eq!((&changed["email"], &changed["verified"]), (&json!("moved@example.com"), &json!(true)));
    server.login("users", "moved@example.com", "by the boss");
}

#[test]
fn the_last_superuser_stays() {
    let server = Server::start();
    let superuser = server.superuser();
    let records = "/api/collections/_superusers/records";
    let only = superuser.get(records).ok()["items"][0].clone();
    let error = superuser.delete(&format!("{records}/{}", id(&only))).refused(400);
    assert_eq!(error["message"], "You can't delete the only existing superuser.");
    let body = json!({ "email": "b@example.com", "password": "1234567890", "passwordConfirm": "1234567890" });
    superuser.post(records, body).ok();
    superuser.delete(&format!("{records}/{}", id(&only))).ok();
    superuser.get(records).refused(403);
}

#[test]
fn an_id_belongs_to_one_record_of_all_auth_collections() {
    let server = Server::start();
    for name in ["members", "staff"] {
        server.collection(json!({ "name": name, "type": "auth" }));
    }
    for name in ["notes", "posts"] {
        server.collection(json!({ "name": name, "fields": [] }));
    }
    let superuser = server.superuser();
    let mut addresses = 0..;
    let mut create = |client: &Client, collection: &str, id: &str| {
        let mut body = json!({ "id": id });
        if !["notes", "posts"].contains(&collection) {
            let email = format!("a{}@example.com", addresses.next().unwrap());
            body = json!({ "id": id, "email": email, "password": "1234567890", "passwordConfirm": "1234567890" });
        }
        client.post(&format!("/api/collections/{collection}/records"), body)
    };
    create(&server.guest(), "members", "one000000000001").ok();
    create(&superuser, "_superusers", "two000000000001").ok();
    for (client, collection, id) in [
        (&server.guest(), "staff", "one000000000001"),
        (&superuser, "staff", "one000000000001"),
        (&superuser, "_superusers", "one000000000001"),
        (&superuser, "members", "two000000000001"),
    ] {
        let error = create(client, collection, id).refused(400);
        assert_eq!(error["message"], "Failed to create record.", "{collection} {id}");
        let invalid =
            json!({ "code": "validation_invalid_auth_id", "message": "Invalid or duplicated auth record id." });
        assert_eq!(error["data"], json!({ "id": invalid }), "{collection} {id}");
    }
    assert_eq!(superuser.get("/api/collections/staff/records").ok()["totalItems"], 0);

    // Other records have their ids for themselves; within one collection the table says so.
    for collection in ["notes", "posts"] {
        create(&server.guest(), collection, "one000000000001").ok();
    }
    let error = create(&superuser, "members", "one000000000001").refused(400);
    assert_eq!(error["data"]["id"]["code"], "validation_not_unique");

    // An id that is free again may be taken again.
    superuser.delete("/api/collections/members/records/one000000000001").ok();
    create(&server.guest(), "staff", "one000000000001").ok();
}
