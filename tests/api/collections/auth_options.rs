//! What only auth collections have.

use serde_json::{Value as Json, json};

use super::{code, field, names, path};
use crate::harness::Server;

#[test]
fn secrets_never_show_and_stay_where_they_are_not_given() {
    let server = Server::start();
    let superuser = server.superuser();
    let provider = |more: Json| {
        let mut provider = json!({ "name": "google" });
        provider.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        provider
    };
    let first = json!({ "enabled": true, "providers": [
        { "name": "github", "clientId": "h", "clientSecret": "of github" },
        provider(json!({ "clientId": "g", "clientSecret": "of google" })),
    ] });
    let saved = superuser.patch(&path("users"), json!({ "oauth2": first })).ok();
    assert!(!saved.to_string().contains("of google") && !saved.to_string().contains("\"secret\""), "{saved}");

    // In another order: each keeps its own.
    let second = json!({ "providers": [provider(json!({ "clientId": "g2" })), { "name": "github" }] });
    superuser.patch(&path("users"), json!({ "oauth2": second })).ok();
    let stored = super::sql(
        &superuser,
        "select json_extract(options, '$.oauth2.providers') from _collections where name = 'users'",
    );
    let stored: Json = serde_json::from_str(stored[0][0].as_ref().unwrap()).unwrap();
    let secrets: Vec<_> =
        stored.as_array().unwrap().iter().map(|p| (&p["name"], &p["clientId"], &p["clientSecret"])).collect();
    assert_eq!(
        secrets,
        [(&json!("google"), &json!("g2"), &json!("of google")), (&json!("github"), &json!("h"), &json!("of github")),]
    );
}

#[test]
fn options_are_merged_key_by_key_and_checked() {
    let server = Server::start();
    let superuser = server.superuser();
    let saved = superuser.patch(&path("users"), json!({ "otp": { "duration": 200 } })).ok();
    assert_eq!((&saved["otp"]["duration"], &saved["otp"]["length"]), (&json!(200), &json!(8)));
    for (body, at, expected) in [
        (json!({ "authToken": { "secret": "" } }), "authToken.secret", "validation_required"),
        (json!({ "fileToken": { "duration": 5 } }), "fileToken.duration", "validation_min_greater_equal_than_required"),
        (json!({ "mfa": { "enabled": true } }), "mfa.enabled", "validation_mfa_not_enough_auths"),
        (json!({ "manageRule": "" }), "manageRule", "validation_nil_or_not_empty_required"),
        (json!({ "authRule": "nope = 1" }), "authRule", "validation_invalid_rule"),
        (json!({ "passwordAuth": { "identityFields": [] } }), "passwordAuth.identityFields", "validation_required"),
        (
            json!({ "passwordAuth": { "identityFields": ["name"] } }),
            "passwordAuth.identityFields",
            "validation_missing_unique_constraint",
        ),
        (json!({ "verificationTemplate": { "body": "" } }), "verificationTemplate.body", "validation_required"),
    ] {
        let error = superuser.patch(&path("users"), body.clone()).refused(400);
        assert_eq!(code(&error, at), expected, "{body}");
    }
    let saved = superuser.patch(&path("users"), json!({ "oauth2": { "mappedFields": { "name": "missing" } } })).ok();
    assert_eq!(saved["oauth2"]["mappedFields"]["name"], "");
}

#[test]
fn another_auth_rule_logs_everyone_out() {
    let server = Server::start();
    let superuser = server.superuser();
    superuser
        .post(
            &path("users/records"),
            json!({ "email": "a@example.com", "password": "12345678", "passwordConfirm": "12345678" }),
        )
        .ok();
    let user = server.login("users", "a@example.com", "12345678");
    superuser.patch(&path("users"), json!({ "authRule": "" })).ok();
    user.post(&path("users/auth-refresh"), json!({})).ok();
    superuser.patch(&path("users"), json!({ "authRule": "email != ''" })).ok();
    user.post(&path("users/auth-refresh"), json!({})).refused(401);
}

#[test]
fn system_fields_come_back_and_the_others_may_go() {
    let server = Server::start();
    let superuser = server.superuser();
    let saved = superuser.patch(&path("users"), json!({ "fields": [] })).ok();
    assert_eq!(names(&saved), ["id", "password", "tokenKey", "email", "emailVisibility", "verified"]);
    let loose = json!({ "name": "auth2", "type": "auth", "fields": [
        { "name": "password", "type": "password", "hidden": false, "min": 3 },
        { "name": "email", "type": "email", "required": false, "hidden": true },
    ] });
    let made = superuser.post("/api/collections", loose).ok();
    assert_eq!((&field(&made, "password")["hidden"], &field(&made, "password")["min"]), (&json!(true), &json!(3)));
    assert_eq!((&field(&made, "email")["hidden"], &field(&made, "email")["required"]), (&json!(false), &json!(false)));
    let reserved = json!({ "name": "auth3", "type": "auth", "fields": [{ "name": "oldPassword", "type": "text" }] });
    let error = superuser.post("/api/collections", reserved).refused(400);
    assert_eq!(code(&error, "fields.1.name"), "validation_reserved_field_name");
}

/// DEF-12: PocketBase takes it, and nobody can log in with a password any more.
#[test]
fn superusers_cannot_be_locked_out() {
    let server = Server::start();
    let superuser = server.superuser();
    let locked = json!({ "passwordAuth": { "enabled": false, "identityFields": [] } });
    let error = superuser.patch(&path("_superusers"), locked).refused(400);
    assert_eq!(code(&error, "passwordAuth.identityFields"), "validation_required");
    let saved = superuser
        .patch(&path("_superusers"), json!({ "passwordAuth": { "enabled": false }, "otp": { "enabled": true } }))
        .ok();
    assert_eq!((&saved["passwordAuth"]["enabled"], &saved["mfa"]["enabled"]), (&json!(true), &json!(true)));
}
