//! What is wrong with a definition is told under its key.

use serde_json::{Value as Json, json};

use crate::harness::{Client, Server};

/// The codes under a pointer such as `/fields/1/name` of `data`, for a definition that is merged into a good one.
#[track_caller]
fn assert_refused(superuser: &Client, changes: Json, pointer: &str, code: &str) {
    let mut definition = json!({ "name": "new", "type": "base", "fields": [{ "name": "a", "type": "text" }] });
    definition.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    let answer = superuser.post("/api/collections", definition);
    assert_eq!(answer.status, 400, "{changes}: {}", answer.text());
    let error = answer.refused(400);
    assert_eq!(error["message"], "Failed to create collection.", "{changes}: {error}");
    let found = error["data"].pointer(&format!("{pointer}/code"));
    assert_eq!(found, Some(&json!(code)), "{changes}: {error}");
}

#[test]
fn names_ids_and_types() {
    let server = Server::start();
    let superuser = server.superuser();
    let taken = server.collection(json!({ "name": "taken", "fields": [] }));
    for (changes, pointer, code) in [
        (json!({ "name": "" }), "/name", "validation_required"),
        (json!({ "name": "a b" }), "/name", "validation_match_invalid"),
        (json!({ "name": "x".repeat(256) }), "/name", "validation_length_out_of_range"),
        (json!({ "name": "TAKEN" }), "/name", "validation_collection_name_exists"),
        (json!({ "name": taken["id"] }), "/name", "validation_collection_name_id_duplicate"),
        (json!({ "name": "_params" }), "/name", "validation_collection_name_invalid"),
        (json!({ "id": taken["id"] }), "/id", "validation_invalid_or_existing_id"),
        (json!({ "id": "a-b" }), "/id", "validation_match_invalid"),
        (json!({ "listRule": "nope = 1" }), "/listRule", "validation_invalid_rule"),
    ] {
        assert_refused(&superuser, changes, pointer, code);
    }
}

#[test]
fn fields() {
    let server = Server::start();
    let superuser = server.superuser();
    let users = superuser.get("/api/collections/users").ok()["id"].clone();
    for (field, key, code) in [
        (json!({ "name": "", "type": "text" }), "/name", "validation_required"),
        (json!({ "name": "a b", "type": "text" }), "/name", "validation_match_invalid"),
        (json!({ "name": "null", "type": "text" }), "/name", "validation_not_in_invalid"),
        (json!({ "name": "collectionName", "type": "text" }), "/name", "validation_not_in_invalid"),
        (json!({ "name": "x_VIA_y", "type": "text" }), "/name", "validation_found_via"),
        (json!({ "name": "ID", "type": "text" }), "/name", "validation_duplicated_field_name"),
        (
            json!({ "name": "f", "type": "text", "min": 5, "max": 4 }),
            "/max",
            "validation_min_greater_equal_than_required",
        ),
        (json!({ "name": "f", "type": "text", "pattern": "(" }), "/pattern", "validation_invalid_regex"),
        (
            json!({ "name": "f", "type": "text", "max": 3, "autogeneratePattern": "[a-z]{9}" }),
            "/autogeneratePattern",
            "validation_invalid_autogenerate_pattern_value",
        ),
        (
            json!({ "name": "f", "type": "number", "onlyInt": true, "min": 1.5 }),
            "/min",
            "validation_only_int_constraint",
        ),
        (json!({ "name": "f", "type": "number", "min": 5, "max": 4 }), "/max", "validation_min_number_constraint"),
        (json!({ "name": "f", "type": "autodate" }), "/onCreate", "validation_required"),
        (json!({ "name": "f", "type": "select" }), "/values", "validation_required"),
        (
            json!({ "name": "f", "type": "select", "values": ["a"], "maxSelect": 2 }),
            "/maxSelect",
            "validation_max_less_equal_than_required",
        ),
        (json!({ "name": "f", "type": "relation" }), "/collectionId", "validation_required"),
        (
            json!({ "name": "f", "type": "relation", "collectionId": "users" }),
            "/collectionId",
            "validation_field_relation_missing_collection",
        ),
        (
            json!({ "name": "f", "type": "relation", "collectionId": users, "minSelect": 3, "maxSelect": 2 }),
            "/maxSelect",
            "validation_min_greater_equal_than_required",
        ),
        (
            json!({ "name": "f", "type": "email", "onlyDomains": ["a.com"], "exceptDomains": ["b.com"] }),
            "/onlyDomains",
            "validation_empty",
        ),
        (
            json!({ "name": "f", "type": "url", "onlyDomains": ["not a domain"] }),
            "/onlyDomains/0",
            "validation_is_domain",
        ),
        (json!({ "name": "f", "type": "password", "cost": 3 }), "/cost", "validation_min_greater_equal_than_required"),
        (json!({ "name": "f", "type": "password", "max": 72 }), "/max", "validation_max_less_equal_than_required"),
        (
            json!({ "name": "f", "type": "json", "maxSize": -1 }),
            "/maxSize",
            "validation_min_greater_equal_than_required",
        ),
    ] {
        let changes = json!({ "fields": [{ "name": "a", "type": "text" }, field] });
        // The id field comes first, as it does in what is told.
        assert_refused(&superuser, changes, &format!("/fields/2{key}"), code);
    }
}

#[test]
fn indexes() {
    let server = Server::start();
    let superuser = server.superuser();
    server.collection(json!({ "name": "taken", "fields": [{ "name": "a", "type": "text" }], "indexes": ["CREATE INDEX idx_taken ON taken (a)"] }));
    for (indexes, at, code) in [
        (json!(["nonsense"]), "0", "validation_invalid_index_expression"),
        (json!(["CREATE INDEX i ON new (a)", "CREATE INDEX I ON new (id)"]), "1", "validation_duplicated_index_name"),
        (
            json!(["CREATE INDEX i ON new (a)", "CREATE INDEX j ON new (a)"]),
            "1",
            "validation_duplicated_index_definition",
        ),
        (json!(["CREATE INDEX idx_taken ON new (a)"]), "0", "validation_existing_index_name"),
        (json!(["CREATE INDEX i ON new (nope)"]), "0", "validation_invalid_index_expression"),
    ] {
        assert_refused(&superuser, json!({ "indexes": indexes }), &format!("/indexes/{at}"), code);
    }
}

#[test]
fn auth_options() {
    let server = Server::start();
    let superuser = server.superuser();
    for (changes, pointer, code) in [
        (json!({ "authToken": { "secret": "short" } }), "/authToken/secret", "validation_length_out_of_range"),
        (
            json!({ "authToken": { "duration": 5 } }),
            "/authToken/duration",
            "validation_min_greater_equal_than_required",
        ),
        (
            json!({ "otp": { "enabled": true, "length": 3 } }),
            "/otp/length",
            "validation_min_greater_equal_than_required",
        ),
        (json!({ "mfa": { "enabled": true } }), "/mfa/enabled", "validation_mfa_not_enough_auths"),
        (json!({ "manageRule": "" }), "/manageRule", "validation_nil_or_not_empty_required"),
        (
            json!({ "passwordAuth": { "enabled": true, "identityFields": [] } }),
            "/passwordAuth/identityFields",
            "validation_required",
        ),
        (
            json!({ "passwordAuth": { "identityFields": ["nope"] } }),
            "/passwordAuth/identityFields",
            "validation_missing_field",
        ),
        (
            json!({ "passwordAuth": { "identityFields": ["a"] } }),
            "/passwordAuth/identityFields",
            "validation_missing_unique_constraint",
        ),
        (json!({ "verificationTemplate": { "subject": "" } }), "/verificationTemplate/subject", "validation_required"),
    ] {
        let mut changes = changes;
        changes["type"] = json!("auth");
        assert_refused(&superuser, changes, pointer, code);
    }
}

#[test]
fn what_may_not_change() {
    let server = Server::start();
    let superuser = server.superuser();
    let made = server.collection(json!({ "name": "things", "fields": [{ "name": "a", "type": "text" }] }));
    let mut other_type = made["fields"].clone();
    other_type[1]["type"] = json!("number");
    for (collection, changes, pointer, code) in [
        ("things", json!({ "type": "auth" }), "/type", "validation_collection_type_change"),
        ("things", json!({ "system": true }), "/system", "validation_collection_system_flag_change"),
        ("things", json!({ "fields": other_type }), "/fields/1", "validation_field_type_change"),
        ("_superusers", json!({ "name": "others" }), "/name", "validation_collection_system_name_change"),
        ("_superusers", json!({ "listRule": "" }), "/listRule", "validation_collection_system_rule_change"),
    ] {
        let error = superuser.patch(&format!("/api/collections/{collection}"), changes.clone()).refused(400);
        let found = error["data"].pointer(&format!("{pointer}/code"));
        assert_eq!(found, Some(&json!(code)), "{changes}: {error}");
    }
    superuser.patch("/api/collections/things", json!({ "id": "other" })).refused(400);
    // Fields that a collection of its type must have come back by themselves.
    let users = superuser.patch("/api/collections/users", json!({ "fields": [] })).ok();
    let names: Vec<_> = users["fields"].as_array().unwrap().iter().map(|field| field["name"].clone()).collect();
    assert_eq!(names, ["id", "password", "tokenKey", "email", "emailVisibility", "verified"]);
    assert_eq!(users["indexes"].as_array().unwrap().len(), 2);
}

#[test]
fn a_field_that_a_rule_or_an_index_names_is_not_renamed() {
    let server = Server::start();
    let superuser = server.superuser();
    let made =
        server.collection(json!({ "name": "ruled", "listRule": "a = 1", "fields": [{ "name": "a", "type": "text" }] }));
    let mut fields = made["fields"].clone();
    fields[1]["name"] = json!("b");
    let error = superuser.patch("/api/collections/ruled", json!({ "fields": fields })).refused(400);
    assert_eq!(error["data"]["listRule"]["code"], "validation_invalid_rule");
    let made = server.collection(json!({
        "name": "indexed",
        "fields": [{ "name": "a", "type": "text" }],
        "indexes": ["CREATE INDEX idx_x ON indexed (a)"],
    }));
    let mut fields = made["fields"].clone();
    fields[1]["name"] = json!("b");
    let error = superuser.patch("/api/collections/indexed", json!({ "fields": fields })).refused(400);
    assert_eq!(error["data"]["indexes"]["0"]["code"], "validation_invalid_index_expression");
    let names = superuser.get("/api/collections/indexed?fields=fields.name").ok();
    assert_eq!(names, json!({ "fields": [{ "name": "id" }, { "name": "a" }] }));
}
