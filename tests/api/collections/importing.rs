//! Importing collections.

use serde_json::json;

use super::{code, field, names, path, posts, values};

const IMPORT: &str = "/api/collections/import";

#[test]
fn what_is_given_is_laid_over_what_is_there() {
    let (_server, superuser) = posts();
    let list = json!([
        { "name": "summary", "type": "view", "viewQuery": "select id, title, extra from posts" },
        { "name": "posts", "fields": [{ "name": "extra", "type": "bool" }] },
        { "name": "a", "id": "a_id", "fields": [{ "name": "b", "type": "relation", "collectionId": "b_id" }] },
        { "name": "b", "id": "b_id", "fields": [{ "name": "a", "type": "relation", "collectionId": "a_id" }] },
        { "name": "people", "type": "auth" },
    ]);
    assert_eq!(superuser.put(IMPORT, json!({ "collections": list })).status, 204);
    assert_eq!(names(&superuser.get(&path("posts")).ok()), ["extra", "id", "title", "body", "n", "sel"]);
    assert_eq!(values(&superuser, "summary", "title"), ["t1", "t2", "t3"]);
    assert_eq!(field(&superuser.get(&path("a")).ok(), "b")["collectionId"], "b_id");
    assert_eq!(superuser.get(&path("people")).ok()["indexes"].as_array().unwrap().len(), 2);
}

#[test]
fn what_is_missing_may_be_deleted() {
    let (server, superuser) = posts();
    server.collection(json!({ "name": "other" }));
    let list = json!([{ "name": "posts", "fields": [{ "name": "title", "type": "text" }] }]);
    superuser.put(IMPORT, json!({ "collections": list, "deleteMissing": true })).ok();
    let found = superuser.get("/api/collections?sort=name&fields=name").ok();
    let left: Vec<_> = found["items"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap()).collect();
    assert_eq!(left, ["_authOrigins", "_externalAuths", "_mfas", "_otps", "_superusers", "posts"]);
    assert_eq!(names(&superuser.get(&path("posts")).ok()), ["title", "id"]);
    assert_eq!(values(&superuser, "posts", "title"), ["t1", "t2", "t3"]);
}

#[test]
fn one_mistake_undoes_all_of_it() {
    let (_server, superuser) = posts();
    let error = superuser.put(IMPORT, json!({ "collections": [] })).refused(400);
    assert_eq!(code(&error, "collections"), "validation_required");
    let list = json!([
        { "name": "good" },
        { "name": "bad", "fields": [{ "name": "a@", "type": "text" }] },
    ]);
    let error = superuser.put(IMPORT, json!({ "collections": list, "deleteMissing": true })).refused(400);
    assert_eq!(error["message"], "Failed to import collections.");
    assert_eq!(code(&error, "collections"), "validation_collections_import_failure");
    assert_eq!(
        error["data"]["collections"]["message"],
        "Data validations failed for collection \"bad\" (pbc_2366448522):\n{\n  \"fields\": {\n    \"1\": {\n      \
         \"name\": \"must be in a valid format\"\n    }\n  }\n}."
    );
    superuser.get(&path("good")).refused(404);
    assert_eq!(values(&superuser, "posts", "title").len(), 3);
}
