//! Passwords: who gets in, and what the others are told.

use serde_json::{Value as Json, json};

use super::{LOGIN, PASSWORD, RECORDS, Scene};
use crate::harness::Multipart;

#[test]
fn the_answer_holds_the_record_with_its_address_and_a_token() {
    let scene = Scene::new();
    let guest = scene.server.guest();
    let answer = guest.post(LOGIN, json!({ "identity": "ann@example.com", "password": PASSWORD })).ok();
    let keys: Vec<_> = answer.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["record", "token"]);
    assert_eq!(answer["record"]["email"], "ann@example.com");
    assert_eq!(answer["record"]["collectionName"], "members");
    assert!(answer["record"].get("password").is_none() && answer["record"].get("tokenKey").is_none());

    let picked = guest
        .post(&format!("{LOGIN}?fields=record.email"), json!({ "identity": "ann@example.com", "password": PASSWORD }));
    assert_eq!(picked.ok(), json!({ "record": { "email": "ann@example.com" } }));
}

#[test]
fn forms_are_accepted_and_a_password_of_digits_stays_a_text() {
    let scene = Scene::new();
    let guest = scene.server.guest();
    let fields = [("identity", "ann@example.com"), ("password", PASSWORD)];
    guest.request("POST", LOGIN).form(&fields).send().ok();
    let parts = fields.iter().fold(Multipart::new(), |parts, (name, value)| parts.text(name, value));
    guest.request("POST", LOGIN).multipart(parts).send().ok();
}

#[test]
fn an_identity_is_looked_for_in_the_address_first() {
    let scene = Scene::new();
    let guest = scene.server.guest();
    let login = |values: Json| guest.post(LOGIN, values);
    let cases = [
        // Ben's username is Ann's address: the address wins.
        ("ann@example.com", Json::Null, Some("member000000001")),
        ("ann@example.com", json!("username"), Some("member000000002")),
        ("ann@example.com", json!("email"), Some("member000000001")),
        // The index on username does not tell cases apart, the one on email does.
        ("aNN", Json::Null, Some("member000000001")),
        ("ANN@EXAMPLE.COM", json!("username"), Some("member000000002")),
        ("Ann@example.com", json!("email"), None),
        ("nobody", Json::Null, None),
        ("nobody@example.com", Json::Null, None),
        ("member000000001", Json::Null, None),
    ];
    for (identity, field, expected) in cases {
        let answer = login(json!({ "identity": identity, "password": PASSWORD, "identityField": field }));
        match expected {
            Some(id) => assert_eq!(answer.ok()["record"]["id"], id, "{identity} {field}"),
            None => assert_eq!(answer.refused(400)["message"], "Failed to authenticate.", "{identity} {field}"),
        }
    }
}

#[test]
fn what_is_refused_and_how() {
    let scene = Scene::new();
    let guest = scene.server.guest();
    let loading = "An error occurred while loading the submitted data.";
    let validating = "An error occurred while validating the submitted data.";
    let required = json!({ "code": "validation_required", "message": "Cannot be blank." });
    let length = json!({
        "code": "validation_length_out_of_range", "message": "The length must be between 1 and 255.",
        "params": { "max": 255, "min": 1 }
    });
    let one_of = json!({ "code": "validation_in_invalid", "message": "Must be a valid value." });
    let long = "x".repeat(256);
    let cases = [
        (json!({}), validating, json!({ "identity": required, "password": required })),
        (json!({ "identity": long, "password": long }), validating, json!({ "identity": length, "password": length })),
        (
            json!({ "identity": "a", "password": "b", "identityField": "name" }),
            validating,
            json!({ "identityField": one_of }),
        ),
        (json!({ "identity": "a", "password": 12345678 }), loading, json!({})),
        (json!({ "identity": ["a"], "password": "b" }), loading, json!({})),
        (json!({ "identity": "ann@example.com", "password": "1234567891" }), "Failed to authenticate.", json!({})),
        (json!({ "identity": "ann@example.com", "password": " 1234567890" }), "Failed to authenticate.", json!({})),
    ];
    for (body, message, data) in cases {
        let error = guest.post(LOGIN, body.clone()).refused(400);
        assert_eq!((&error["message"], &error["data"]), (&json!(message), &data), "{body}");
    }
    let xml = guest.request("POST", LOGIN).body("text/plain", "identity=a").send().refused(400);
    assert_eq!(xml["message"], "Unsupported Content-Type.");
}

#[test]
fn the_collection_of_a_path() {
    let scene = Scene::new();
    scene.server.collection(json!({ "name": "posts" }));
    let guest = scene.server.guest();
    let login = json!({ "identity": "ann@example.com", "password": PASSWORD });
    let path = |name: &str| format!("/api/collections/{name}/auth-with-password");
    guest.post(&path("MEMBERS"), login.clone()).ok();
    let missing = guest.post(&path("nothing"), login.clone()).refused(404);
    assert_eq!(missing["message"], "Missing or invalid collection context.");
    let base = guest.post(&path("posts"), login.clone()).refused(404);
    assert_eq!(base["message"], "Missing or invalid auth collection context.");
    let wrong_method = guest.get(LOGIN).refused(404);
    assert_eq!(wrong_method["message"], "The requested resource wasn't found.");

    scene.configure(json!({ "passwordAuth": { "enabled": false } }));
    let disabled = guest.post(LOGIN, login).refused(403);
    assert_eq!(disabled["message"], "The collection is not configured to allow password authentication.");
}

#[test]
fn the_rule_of_the_collection_decides_who_may_log_in() {
    let scene = Scene::new();
    let login = json!({ "identity": "ann@example.com", "password": PASSWORD });
    let guest = scene.server.guest();
    scene.configure(json!({ "authRule": "verified = true && @request.context = 'password'" }));
    let refused = guest.post(LOGIN, login.clone()).refused(403);
    assert_eq!(refused["message"], "The request doesn't satisfy the collection requirements to authenticate.");
    scene.superuser.post(LOGIN, login.clone()).ok();
    scene.change("member000000001", json!({ "verified": true }));
    guest.post(LOGIN, login.clone()).ok();
    scene.configure(json!({ "authRule": null }));
    guest.post(LOGIN, login.clone()).refused(403);
    scene.superuser.post(LOGIN, login).ok();
}

#[test]
fn a_second_factor_is_asked_for_and_not_of_the_same_kind() {
    let scene = Scene::new();
    let guest = scene.server.guest();
    scene.configure(json!({ "otp": { "enabled": true }, "mfa": { "enabled": true } }));
    let login =
        |id: Json| guest.post(LOGIN, json!({ "identity": "ann@example.com", "password": PASSWORD, "mfaId": id }));
    let first = login(Json::Null);
    assert_eq!(first.status, 401);
    let keys: Vec<String> = first.json().as_object().unwrap().keys().cloned().collect();
    assert_eq!(keys, ["mfaId"]);
    let id = first.json()["mfaId"].clone();
    let mfas = scene.superuser.get("/api/collections/_mfas/records").ok();
    assert_eq!(mfas["items"][0]["id"], id);
    assert_eq!(mfas["items"][0]["method"], "password");
    assert_eq!(mfas["items"][0]["recordRef"], "member000000001");

    assert_eq!(login(id.clone()).refused(400)["message"], "A different authentication method is required.");
    assert_eq!(login(json!("unknown")).refused(400)["message"], "Invalid or expired MFA session.");
    let in_query = guest.post(
        &format!("{LOGIN}?mfaId={}", id.as_str().unwrap()),
        json!({ "identity": "ben@example.com", "password": PASSWORD }),
    );
    assert_eq!(in_query.refused(400)["message"], "Invalid MFA session.");

    scene.configure(json!({ "mfa": { "enabled": true, "rule": "verified = true" } }));
    login(Json::Null).ok();
}

#[test]
fn ways_to_log_in() {
    let scene = Scene::new();
    let path = "/api/collections/members/auth-methods";
    let expected = json!({
        "password": { "identityFields": ["username", "email"], "enabled": true },
        "oauth2": { "providers": [], "enabled": false },
        "mfa": { "enabled": false, "duration": 0 },
        "otp": { "enabled": false, "duration": 0 },
        "authProviders": null, "usernamePassword": true, "emailPassword": true,
    });
    assert_eq!(scene.server.guest().get(path).ok(), expected);
    scene.configure(json!({ "passwordAuth": { "enabled": false }, "otp": { "enabled": true, "duration": 60 } }));
    let methods = scene.server.guest().get(path).ok();
    assert_eq!(methods["password"], json!({ "identityFields": [], "enabled": false }));
    assert_eq!(methods["otp"], json!({ "enabled": true, "duration": 60 }));
    assert_eq!(methods["emailPassword"], false);
}

#[test]
fn expand_shows_what_the_new_member_may_see() {
    let scene = Scene::new();
    scene.server.collection(json!({
        "name": "notes",
        "fields": [{ "name": "text", "type": "text" }],
        "viewRule": "@request.auth.username = 'Ann'",
    }));
    scene.superuser.post("/api/collections/notes/records", json!({ "id": "note00000000001", "text": "x" })).ok();
    let notes = scene.superuser.get("/api/collections/notes").ok()["id"].clone();
    let mut fields = scene.superuser.get("/api/collections/members").ok()["fields"].clone();
    let relation = json!({ "name": "note", "type": "relation", "collectionId": notes, "maxSelect": 1 });
    fields.as_array_mut().unwrap().push(relation);
    scene.configure(json!({ "fields": fields }));
    for id in ["member000000001", "member000000002"] {
        scene.change(id, json!({ "note": "note00000000001" }));
    }
    let note = |email: &str| {
        let login = json!({ "identity": email, "password": PASSWORD });
        let answer = scene.server.guest().post(&format!("{LOGIN}?expand=note"), login).ok();
        answer["record"]["expand"]["note"]["text"].clone()
    };
    assert_eq!(note("ann@example.com"), "x");
    assert_eq!(note("ben@example.com"), Json::Null);
}

#[test]
fn members_register_themselves_and_log_in() {
    let scene = Scene::new();
    let guest = scene.server.guest();
    let new = json!({
        "email": "new@example.com", "username": "new", "password": PASSWORD, "passwordConfirm": PASSWORD
    });
    guest.post(RECORDS, new).ok();
    let client = scene.server.login("members", "new@example.com", PASSWORD);
    assert!(scene.is_member(&client));
}
