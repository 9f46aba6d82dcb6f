//! Tokens: which are believed, what ends them, and what they are told.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::{URL_SAFE as PADDED, URL_SAFE_NO_PAD as BASE64};
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use serde_json::{Value as Json, json};

use super::{LOGIN, PASSWORD, RECORDS, Scene};

const TOKEN_KEY: &str = "this-key-of-ann-is-known-to-the-test";
const SECRET: &str = "this-secret-of-the-collection-is-known-too";
const FILE_SECRET: &str = "this-secret-is-for-the-tokens-of-files-only";
const REFRESH: &str = "/api/collections/members/auth-refresh";

fn key() -> String {
    format!("{TOKEN_KEY}{SECRET}")
}

/// A scene in which the test can sign tokens itself.
fn known_keys() -> Scene {
    let scene = Scene::new();
    scene.configure(json!({ "authToken": { "secret": SECRET }, "fileToken": { "secret": FILE_SECRET } }));
    scene.change("member000000001", json!({ "tokenKey": TOKEN_KEY }));
    scene
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64
}

fn sign(header: Json, claims: &Json, key: &str, algorithm: Algorithm) -> String {
    let message = format!("{}.{}", BASE64.encode(header.to_string()), BASE64.encode(claims.to_string()));
    let signature = crypto::sign(message.as_bytes(), &EncodingKey::from_secret(key.as_bytes()), algorithm).unwrap();
    format!("{message}.{signature}")
}

fn token(claims: &Json) -> String {
    sign(json!({ "alg": "HS256", "typ": "JWT" }), claims, &key(), Algorithm::HS256)
}

fn claims(scene: &Scene) -> Json {
    let collection = scene.superuser.get("/api/collections/members").ok()["id"].clone();
    json!({ "id": "member000000001", "collectionId": collection, "type": "auth", "refreshable": true, "exp": now() + 60 })
}

fn with(claims: &Json, key: &str, value: Json) -> Json {
    let mut claims = claims.clone();
    match value {
        Json::Null => drop(claims.as_object_mut().unwrap().remove(key)),
        value => claims[key] = value,
    }
    claims
}

#[test]
fn claims_that_are_believed_and_claims_that_are_not() {
    let scene = known_keys();
    let good = claims(&scene);
    let probes = [
        ("as it is", good.clone(), true),
        ("without an end", with(&good, "exp", Json::Null), true),
        ("with a fraction of a second", with(&good, "exp", json!(now() as f64 + 60.5)), true),
        ("with more than we know", with(&good, "other", json!({ "a": [1] })), true),
        ("with the collection's name", with(&good, "collectionId", json!("members")), true),
        ("without refreshable", with(&good, "refreshable", Json::Null), true),
        ("begun already", with(&with(&good, "nbf", json!(now() - 5)), "iat", json!(now() - 5)), true),
        ("ended just now", with(&good, "exp", json!(now())), false),
        ("ended long ago", with(&good, "exp", json!(1)), false),
        ("with an end as text", with(&good, "exp", json!((now() + 60).to_string())), false),
        ("not begun", with(&good, "nbf", json!(now() + 60)), false),
        ("issued in the future", with(&good, "iat", json!(now() + 60)), false),
        ("without an id", with(&good, "id", Json::Null), false),
        ("with a number as id", with(&good, "id", json!(1)), false),
        ("of nobody", with(&good, "id", json!("member000000009")), false),
        ("of somebody else", with(&good, "id", json!("member000000002")), false),
        ("without a type", with(&good, "type", Json::Null), false),
        ("for files", with(&good, "type", json!("file")), false),
        ("for something unknown", with(&good, "type", json!("admin")), false),
        ("without a collection", with(&good, "collectionId", Json::Null), false),
        ("of another collection", with(&good, "collectionId", json!("users")), false),
        ("of superusers", with(&good, "collectionId", json!("_superusers")), false),
        ("of a collection without members", with(&good, "collectionId", json!("_mfas")), false),
    ];
    for (name, claims, expected) in probes {
        // Twice: the second time it may be known.
        for _ in 0..2 {
            let client = scene.server.guest().with_token(&token(&claims));
            assert_eq!(scene.is_member(&client), expected, "{name}");
        }
    }
}

#[test]
fn signatures_that_are_not_believed() {
    let scene = known_keys();
    let claims = claims(&scene);
    let header = |alg: &str| json!({ "alg": alg, "typ": "JWT" });
    let good = token(&claims);
    let (message, signature) = good.rsplit_once('.').unwrap();
    let padded = PADDED.encode(BASE64.decode(signature).unwrap());
    let probes = [
        ("none", format!("{}.{}.", BASE64.encode(header("none").to_string()), BASE64.encode(claims.to_string()))),
        ("none with our signature", sign(header("none"), &claims, &key(), Algorithm::HS256)),
        ("HS384", sign(header("HS384"), &claims, &key(), Algorithm::HS384)),
        ("HS512", sign(header("HS512"), &claims, &key(), Algorithm::HS512)),
        ("HS256 that says RS256", sign(header("RS256"), &claims, &key(), Algorithm::HS256)),
        (
            "the key of file tokens",
            sign(header("HS256"), &claims, &format!("{TOKEN_KEY}{FILE_SECRET}"), Algorithm::HS256),
        ),
        ("half a key", sign(header("HS256"), &claims, SECRET, Algorithm::HS256)),
        ("the other half", sign(header("HS256"), &claims, TOKEN_KEY, Algorithm::HS256)),
        ("no key", sign(header("HS256"), &claims, "", Algorithm::HS256)),
        ("padding", format!("{message}.{padded}")),
        ("no signature", format!("{message}.")),
        ("half a signature", format!("{message}.{}", &signature[..20])),
        ("no message", format!("..{signature}")),
        ("more parts", format!("{good}.{signature}")),
        ("no token", "x".into()),
    ];
    assert!(scene.is_member(&scene.server.guest().with_token(&good)));
    for (name, token) in probes {
        assert!(!scene.is_member(&scene.server.guest().with_token(&token)), "{name}");
    }
    // `typ` says nothing that we need.
    let untyped = sign(json!({ "alg": "HS256" }), &claims, &key(), Algorithm::HS256);
    assert!(scene.is_member(&scene.server.guest().with_token(&untyped)));
}

#[test]
fn forms_of_the_header() {
    let scene = known_keys();
    let token = token(&claims(&scene));
    let status = |value: &str| {
        let request = scene.server.guest();
        request.request("POST", REFRESH).header("Authorization", value).send().status
    };
    for prefix in ["", "Bearer ", "bearer ", "BEARER "] {
        assert_eq!(status(&format!("{prefix}{token}")), 200, "{prefix}");
    }
    for prefix in ["Bearer  ", "Bearer", "Basic ", "Token ", "User ", "Admin "] {
        assert_eq!(status(&format!("{prefix}{token}")), 401, "{prefix}");
    }
    assert_eq!(scene.server.guest().post(&format!("{REFRESH}?token={token}"), json!({})).status, 401);
    let cookie =
        scene.server.guest().request("POST", REFRESH).header("Cookie", &format!("Authorization={token}")).send();
    assert_eq!(cookie.status, 401);
    // What is refused is a guest, not an error.
    assert_eq!(scene.server.guest().with_token("nonsense").get(RECORDS).status, 200);
}

#[test]
fn changes_that_end_tokens_and_changes_that_do_not() {
    type Change = fn(&Scene);
    let changes: [(&str, Change, bool); 9] = [
        ("another field", |scene| scene.change("member000000001", json!({ "username": "x", "verified": true })), true),
        ("the same address", |scene| scene.change("member000000001", json!({ "email": "ann@example.com" })), true),
        ("another address", |scene| scene.change("member000000001", json!({ "email": "a@example.com" })), false),
        (
            "the same password, set again",
            |scene| scene.change("member000000001", json!({ "password": PASSWORD, "passwordConfirm": PASSWORD })),
            false,
        ),
        ("the key", |scene| scene.change("member000000001", json!({ "tokenKey": "x".repeat(50) })), false),
        (
            "the collection's secret",
            |scene| scene.configure(json!({ "authToken": { "secret": "y".repeat(50) } })),
            false,
        ),
        (
            "the secret of other tokens",
            |scene| scene.configure(json!({ "fileToken": { "secret": "y".repeat(50) } })),
            true,
        ),
        ("the rule of logins", |scene| scene.configure(json!({ "authRule": "id != 'x'" })), false),
        ("deletion", |scene| drop(scene.superuser.delete(&format!("{RECORDS}/member000000001")).ok()), false),
    ];
    for (name, change, survives) in changes {
        let scene = Scene::new();
        let ann = scene.ann();
        assert!(scene.is_member(&ann));
        change(&scene);
        assert_eq!(scene.is_member(&ann), survives, "{name}");
    }
}

#[test]
fn a_refresh_renews_what_may_be_renewed() {
    let scene = known_keys();
    let claims = claims(&scene);
    let refresh = |token: &str| scene.server.guest().with_token(token).post(REFRESH, json!({})).ok();
    let short = token(&claims);
    let renewed = refresh(&short);
    assert_eq!(renewed["record"]["email"], "ann@example.com");
    let new = renewed["token"].as_str().unwrap();
    assert_ne!(new, short);
    let payload: Json = serde_json::from_slice(&BASE64.decode(new.split('.').nth(1).unwrap()).unwrap()).unwrap();
    let duration = scene.superuser.get("/api/collections/members").ok()["authToken"]["duration"].as_i64().unwrap();
    let lifetime = payload["exp"].as_i64().unwrap() - now();
    assert!((duration - 60..=duration).contains(&lifetime), "{payload}");
    assert_eq!((&payload["type"], &payload["refreshable"]), (&json!("auth"), &json!(true)));
    // Both are good: nothing is stored that would end the old one.
    assert!(scene.is_member(&scene.server.guest().with_token(&short)));
    assert!(scene.is_member(&scene.server.guest().with_token(new)));

    for fixed in [with(&claims, "refreshable", json!(false)), with(&claims, "refreshable", Json::Null)] {
        let fixed = token(&fixed);
        assert_eq!(refresh(&fixed)["token"], json!(fixed));
    }
}

#[test]
fn who_may_not_refresh() {
    let scene = Scene::new();
    let guest = scene.server.guest().post(REFRESH, json!({})).refused(401);
    assert_eq!(guest["message"], "The request requires valid record authorization token.");
    let other = scene.superuser.post(REFRESH, json!({})).refused(403);
    assert_eq!(other["message"], "The request requires auth record from _superusers collection.");
    let none = scene.superuser.post("/api/collections/nothing/auth-refresh", json!({})).refused(404);
    assert_eq!(none["message"], "Missing or invalid collection context.");
    // The rule is asked again; its change ended the tokens of before.
    scene.configure(json!({ "authRule": "username = 'Ann'" }));
    let ann = scene.ann();
    scene.change("member000000001", json!({ "username": "Eve" }));
    ann.post(REFRESH, json!({})).refused(403);
}

#[test]
fn superusers_impersonate() {
    let scene = Scene::new();
    let path = "/api/collections/members/impersonate/member000000001";
    assert_eq!(scene.server.guest().post(path, json!({})).status, 401);
    assert_eq!(scene.ann().post(path, json!({})).status, 403);
    scene.configure(json!({ "authRule": null }));
    let answer = scene.superuser.post(path, json!({ "duration": 100 })).ok();
    assert_eq!(answer["record"]["email"], "ann@example.com");
    let token = answer["token"].as_str().unwrap();
    let payload: Json = serde_json::from_slice(&BASE64.decode(token.split('.').nth(1).unwrap()).unwrap()).unwrap();
    assert_eq!(payload["refreshable"], false);
    assert!((40..=100).contains(&(payload["exp"].as_i64().unwrap() - now())), "{payload}");
    let seen = scene.server.guest().with_token(token).get(&format!("{RECORDS}/member000000001")).ok();
    assert_eq!(seen["email"], "ann@example.com");

    scene.superuser.post(path, json!({ "duration": 100_000_000 })).ok();
    scene.superuser.post(path, json!({})).ok();
    let negative = scene.superuser.post(path, json!({ "duration": -1 })).refused(400);
    assert_eq!(negative["data"]["duration"]["code"], "validation_min_greater_equal_than_required");
    scene.superuser.post(path, json!({ "duration": "100" })).refused(400);
    scene.superuser.post("/api/collections/members/impersonate/member000000009", json!({})).refused(404);
    let superuser = scene.superuser.get("/api/collections/_superusers/records").ok()["items"][0]["id"].clone();
    let path = format!("/api/collections/_superusers/impersonate/{}", superuser.as_str().unwrap());
    scene.superuser.post(&path, json!({})).ok();
}

#[test]
fn a_changed_record_is_seen_by_the_very_next_request() {
    let scene = Scene::new();
    scene.server.collection(json!({ "name": "club", "listRule": "@request.auth.username = 'in'" }));
    scene.superuser.post("/api/collections/club/records", json!({})).ok();
    let ann = scene.ann();
    for round in 0..20 {
        let (name, expected) = if round % 2 == 0 { ("in", 1) } else { ("out", 0) };
        scene.change("member000000001", json!({ "username": name }));
        assert_eq!(ann.get("/api/collections/club/records").ok()["totalItems"], expected, "{round}");
    }
    // A new password lets in at once, the old one no more.
    scene.change("member000000001", json!({ "password": "another-one", "passwordConfirm": "another-one" }));
    let login = |password: &str| json!({ "identity": "ann@example.com", "password": password });
    scene.server.guest().post(LOGIN, login(PASSWORD)).refused(400);
    scene.server.guest().post(LOGIN, login("another-one")).ok();
}
