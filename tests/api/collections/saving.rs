//! Creating, reading, changing and deleting collections.

use serde_json::json;

use super::{COLLECTIONS, code, field, names, path, posts};
use crate::harness::{Server, query};

#[test]
fn only_superusers_are_let_in() {
    let server = Server::start();
    server
        .superuser()
        .post(
            &path("users/records"),
            json!({ "email": "a@example.com", "password": "12345678", "passwordConfirm": "12345678" }),
        )
        .ok();
    let user = server.login("users", "a@example.com", "12345678");
    for (method, path) in [
        ("GET", "/api/collections"),
        ("POST", "/api/collections"),
        ("GET", "/api/collections/users"),
        ("PATCH", "/api/collections/users"),
        ("DELETE", "/api/collections/users"),
        ("DELETE", "/api/collections/users/truncate"),
        ("PUT", "/api/collections/import"),
        ("GET", "/api/collections/meta/scaffolds"),
        ("GET", "/api/collections/meta/oauth2-providers"),
        ("POST", "/api/collections/meta/dry-run-view"),
        ("POST", "/api/sql"),
    ] {
        let guest = server.guest().request(method, path).json(&json!({})).send().refused(401);
        assert_eq!(guest["message"], "The request requires valid record authorization token.", "{method} {path}");
        let other = user.request(method, path).json(&json!({})).send().refused(403);
        assert_eq!(other["message"], "The authorized record is not allowed to perform this action.", "{method} {path}");
    }
}

#[test]
fn a_new_collection_has_derived_ids_and_an_id_field() {
    let server = Server::start();
    let superuser = server.superuser();
    let fields = json!([{ "name": "title", "type": "text" }]);
    let made = superuser.post(COLLECTIONS, json!({ "name": "x1", "fields": fields })).ok();
    assert_eq!(made["id"], "pbc_3506611314", "{made}");
    assert_eq!(names(&made), ["id", "title"]);
    assert_eq!(field(&made, "id")["id"], "text3208210256");
    assert_eq!(field(&made, "title")["id"], "text724990059");
    assert_eq!(field(&made, "id")["autogeneratePattern"], "[a-z0-9]{15}");

    superuser.patch(&path("x1"), json!({ "name": "x2" })).ok();
    assert_eq!(superuser.post(COLLECTIONS, json!({ "name": "x1" })).ok()["id"], "pbc_35066113142");
    assert_eq!(superuser.post(COLLECTIONS, json!({ "name": "own", "id": "my_id" })).ok()["id"], "my_id");
    for name in ["my_id", "OWN", "own"] {
        assert_eq!(superuser.get(&path(name)).ok()["name"], "own", "{name}");
    }
    superuser.get(&path("MY_ID")).refused(404);
    superuser.get(&path("nothing")).refused(404);
}

#[test]
fn what_may_not_name_a_collection_is_refused_with_its_code() {
    let server = Server::start();
    let superuser = server.superuser();
    superuser.post(COLLECTIONS, json!({ "name": "taken", "id": "taken_id" })).ok();
    for (body, at, expected) in [
        (json!({}), "name", "validation_required"),
        (json!({ "name": "a b" }), "name", "validation_match_invalid"),
        (json!({ "name": "x".repeat(256) }), "name", "validation_length_out_of_range"),
        (json!({ "name": "a_VIA_b" }), "name", "validation_found_via"),
        (json!({ "name": "TAKEN" }), "name", "validation_collection_name_exists"),
        (json!({ "name": "taken_id" }), "name", "validation_collection_name_id_duplicate"),
        (json!({ "name": "_params" }), "name", "validation_collection_name_invalid"),
        (json!({ "name": "n", "id": "taken_id" }), "id", "validation_invalid_or_existing_id"),
        (json!({ "name": "n", "id": "a b" }), "id", "validation_match_invalid"),
        (json!({ "name": "n", "type": "other" }), "type", "validation_in_invalid"),
        (json!({ "name": "n", "listRule": "nope = 1" }), "listRule", "validation_invalid_rule"),
        (json!({ "name": "n", "type": "view", "viewQuery": "" }), "viewQuery", "validation_required"),
    ] {
        let error = superuser.post(COLLECTIONS, body.clone()).refused(400);
        assert_eq!(error["message"], "Failed to create collection.", "{body}");
        assert_eq!(code(&error, at), expected, "{body}");
    }
}

#[test]
fn a_body_of_the_wrong_shape_is_refused_as_a_whole() {
    let server = Server::start();
    let superuser = server.superuser();
    for (body, message) in [
        (json!({ "name": 5 }), "Failed to load the collection type data due to invalid formatting."),
        (json!({ "name": "n", "fields": 5 }), "Failed to load the submitted data due to invalid formatting."),
        (
            json!({ "name": "n", "fields": [{ "name": "x" }] }),
            "Failed to load the submitted data due to invalid formatting.",
        ),
        (json!({ "name": "n", "listRule": 5 }), "Failed to load the submitted data due to invalid formatting."),
    ] {
        let error = superuser.post(COLLECTIONS, body.clone()).refused(400);
        assert_eq!((&error["message"], &error["data"]), (&json!(message), &json!({})), "{body}");
    }
}

#[test]
fn all_that_is_wrong_is_told_in_one_answer() {
    let server = Server::start();
    let fields = json!([{ "name": "A", "type": "text" }, { "name": "a", "type": "number" }]);
    let body = json!({ "name": "a b", "fields": fields, "listRule": "x =", "indexes": ["nothing"] });
    let error = server.superuser().post(COLLECTIONS, body).refused(400);
    assert_eq!(
        error["data"]["fields"]["2"]["name"],
        json!({
            "code": "validation_duplicated_field_name",
            "message": "Duplicated or invalid field name a.",
            "params": { "fieldName": "a" },
        })
    );
    assert_eq!(code(&error, "name"), "validation_match_invalid");
    assert_eq!(code(&error, "listRule"), "validation_invalid_rule");
    assert_eq!(code(&error, "indexes.0"), "validation_invalid_index_expression");
}

#[test]
fn field_settings_are_refused_with_their_code() {
    let server = Server::start();
    let superuser = server.superuser();
    let view = json!({ "name": "v", "id": "view_id", "type": "view", "viewQuery": "select id from users" });
    superuser.post(COLLECTIONS, view).ok();
    for (settings, at, expected) in [
        (json!({ "name": "null" }), "name", "validation_not_in_invalid"),
        (json!({ "name": "a_via_b" }), "name", "validation_found_via"),
        (json!({ "name": "a-b" }), "name", "validation_match_invalid"),
        (json!({ "help": "h".repeat(301) }), "help", "validation_length_out_of_range"),
        (json!({ "id": "i".repeat(101) }), "id", "validation_length_out_of_range"),
        (json!({ "min": 5, "max": 2 }), "max", "validation_min_greater_equal_than_required"),
        (json!({ "pattern": "(" }), "pattern", "validation_invalid_regex"),
        (
            json!({ "autogeneratePattern": "[a-z]{3}", "min": 5 }),
            "autogeneratePattern",
            "validation_invalid_autogenerate_pattern_value",
        ),
        (json!({ "primaryKey": true, "required": true, "pattern": "a" }), "name", "validation_in_invalid"),
        (json!({ "type": "number", "min": 1.5, "onlyInt": true }), "min", "validation_only_int_constraint"),
        (json!({ "type": "autodate" }), "onCreate", "validation_required"),
        (json!({ "type": "select" }), "values", "validation_required"),
        (
            json!({ "type": "select", "values": ["a"], "maxSelect": 2 }),
            "maxSelect",
            "validation_max_less_equal_than_required",
        ),
        (
            json!({ "type": "email", "onlyDomains": ["a.com"], "exceptDomains": ["b.com"] }),
            "onlyDomains",
            "validation_empty",
        ),
        (json!({ "type": "relation" }), "collectionId", "validation_required"),
        (
            json!({ "type": "relation", "collectionId": "users" }),
            "collectionId",
            "validation_field_relation_missing_collection",
        ),
        (
            json!({ "type": "relation", "collectionId": "view_id" }),
            "collectionId",
            "validation_relation_field_non_view_base_collection",
        ),
        (
            json!({ "type": "relation", "collectionId": "_pb_users_auth_", "minSelect": 2 }),
            "maxSelect",
            "validation_required",
        ),
        (json!({ "type": "password", "cost": 40 }), "cost", "validation_max_less_equal_than_required"),
    ] {
        let mut field = json!({ "name": "f", "type": "text" });
        field.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        let error = superuser.post(COLLECTIONS, json!({ "name": "n", "fields": [field] })).refused(400);
        assert_eq!(code(&error, &format!("fields.1.{at}")), expected, "{settings}");
    }
}

#[test]
fn what_never_changes_is_refused() {
    let (server, superuser) = posts();
    server.collection(json!({ "name": "other", "fields": [
        { "name": "owner", "type": "relation", "collectionId": "_pb_users_auth_" },
    ] }));
    let other = superuser.get(&path("other")).ok();
    let retargeted = super::with_field(&other, "owner", "collectionId", json!("pbc_3142635823"));
    let retyped = super::with_field(&other, "owner", "type", json!("text"));
    let renamed = super::with_field(&other, "id", "name", json!("key"));
    for (body, at, expected) in [
        (json!({ "id": "new" }), "id", "validation_values_mismatch"),
        (json!({ "type": "auth" }), "type", "validation_collection_type_change"),
        (json!({ "system": true }), "system", "validation_collection_system_flag_change"),
        (retargeted, "fields.1.collectionId", "validation_field_relation_change"),
        (retyped, "fields.1", "validation_field_type_change"),
        (renamed, "fields", "validation_missing_primary_key"),
    ] {
        let error = superuser.patch(&path("other"), body.clone()).refused(400);
        assert_eq!(error["message"], "Failed to update collection.");
        assert_eq!(code(&error, at), expected, "{body}");
    }
}

#[test]
fn system_collections_keep_their_names_rules_and_selves() {
    let server = Server::start();
    let superuser = server.superuser();
    for (body, at, expected) in [
        (json!({ "name": "x" }), "name", "validation_collection_system_name_change"),
        (json!({ "listRule": "" }), "listRule", "validation_collection_system_rule_change"),
        (json!({ "system": false }), "system", "validation_collection_system_flag_change"),
        (json!({ "fields": [] }), "fields", "validation_system_field_change"),
        (json!({ "indexes": [] }), "indexes", "validation_invalid_unique_system_field_index"),
    ] {
        let error = superuser.patch(&path("_authOrigins"), body.clone()).refused(400);
        assert_eq!(code(&error, at), expected, "{body}");
    }
    let error = superuser.delete(&path("_authOrigins")).refused(400);
    assert_eq!(error["message"], "Failed to delete collection.");
    let token = superuser.patch(&path("_superusers"), json!({ "authToken": { "duration": 100 } })).ok();
    assert_eq!(token["authToken"], json!({ "duration": 100 }));
}

#[test]
fn a_collection_goes_with_its_table_and_its_files_unless_others_refer_to_it() {
    let (server, superuser) = posts();
    let id = superuser.get(&path("posts")).ok()["id"].as_str().unwrap().to_owned();
    server.collection(json!({ "name": "comments", "fields": [
        { "name": "post", "type": "relation", "collectionId": id },
    ] }));
    let error = superuser.delete(&path("posts")).refused(400);
    assert_eq!(error["message"], "Failed to delete collection probably due to existing reference in comments.");
    let folder = server.directory().data().join("storage").join(&id);
    std::fs::create_dir_all(folder.join("record")).unwrap();

    assert_eq!(superuser.delete(&path("comments")).status, 204);
    assert_eq!(superuser.delete(&path("posts")).status, 204);
    superuser.get(&path("posts")).refused(404);
    superuser.get(&path("posts/records")).refused(404);
    assert!(super::sql(&superuser, "select 1 from sqlite_master where name = 'posts'").is_empty());
    let gone = (0..200).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(10));
        !folder.exists()
    });
    assert!(gone, "the files are still there");
}

#[test]
fn all_records_go_at_once_or_none() {
    let (server, superuser) = posts();
    let id = superuser.get(&path("posts")).ok()["id"].clone();
    server.collection(json!({ "name": "comments", "fields": [
        { "name": "post", "type": "relation", "collectionId": id, "required": true },
    ] }));
    let post = superuser.get(&path("posts/records")).ok()["items"][1]["id"].clone();
    superuser.post(&path("comments/records"), json!({ "post": post })).ok();
    let error = superuser.delete(&path("posts/truncate")).refused(400);
    assert_eq!(
        error["message"],
        "Failed to truncate collection (most likely due to required cascade delete record references)."
    );
    assert_eq!(superuser.get(&path("posts/records")).ok()["totalItems"], 3);
    assert_eq!(superuser.delete(&path("comments/truncate")).status, 204);
    assert_eq!(superuser.delete(&path("posts/truncate")).status, 204);
    assert_eq!(superuser.get(&path("posts/records")).ok()["totalItems"], 0);
}

#[test]
fn the_list_has_pages_and_may_be_filtered_by_six_keys() {
    let server = Server::start();
    let superuser = server.superuser();
    let list = |pairs: &[(&str, &str)]| superuser.get(&format!("{COLLECTIONS}?{}", query(pairs)));
    let page = list(&[("sort", "-name"), ("perPage", "2"), ("page", "2"), ("fields", "name")]).ok();
    assert_eq!(
        page,
        json!({ "items": [{ "name": "_otps" }, { "name": "_mfas" }], "page": 2, "perPage": 2, "totalItems": 6, "totalPages": 3 })
    );
    let found = list(&[("filter", "type = 'auth' && system = false"), ("skipTotal", "1")]).ok();
    assert_eq!((&found["items"][0]["name"], &found["totalItems"]), (&json!("users"), &json!(-1)));
    for pairs in [
        [("filter", "options = 1")],
        [("filter", "name:lower = 'users'")],
        [("filter", "@request.method = 'GET'")],
        [("sort", "fields")],
        [("page", "x")],
    ] {
        list(&pairs).refused(400);
    }
}

#[test]
fn blank_collections_and_login_providers_are_offered() {
    let server = Server::start();
    let superuser = server.superuser();
    let blank = superuser.get(&path("meta/scaffolds")).ok();
    for (kind, fields) in [("base", 1), ("auth", 6), ("view", 0)] {
        assert_eq!((&blank[kind]["id"], &blank[kind]["name"]), (&json!(""), &json!("")), "{kind}");
        assert_eq!(blank[kind]["fields"].as_array().unwrap().len(), fields, "{kind}");
    }
    assert!(blank["auth"]["indexes"][1].as_str().unwrap().contains(" ON `` (`email`) WHERE `email` != ''"));
    let providers = superuser.get(&path("meta/oauth2-providers")).ok();
    assert!(providers.as_array().unwrap().iter().any(|provider| provider["name"] == "github"), "{providers}");
}

#[test]
fn a_rename_takes_the_rate_limits_along() {
    let (_server, superuser) = posts();
    let rule = |label: &str| json!({ "label": label, "audience": "", "duration": 5, "maxRequests": 5 });
    let rules = json!([rule("posts:create"), rule("postscript:create")]);
    superuser.patch("/api/settings", json!({ "rateLimits": { "rules": rules } })).ok();
    superuser.patch(&path("posts"), json!({ "name": "articles" })).ok();
    let settings = superuser.get("/api/settings").ok();
    assert_eq!(settings["rateLimits"]["rules"], json!([rule("articles:create"), rule("postscript:create")]));
}
