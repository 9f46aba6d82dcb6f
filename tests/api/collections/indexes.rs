//! Indexes of collections.

use serde_json::json;

use super::{code, path, posts, sql};

#[test]
fn index_texts_are_refused_with_their_code() {
    let (_server, superuser) = posts();
    for (indexes, at, expected) in [
        (json!(["xx"]), "indexes.0", "validation_invalid_index_expression"),
        (
            json!(["create index a on posts (n)", "create index A on posts (sel)"]),
            "indexes.1",
            "validation_duplicated_index_name",
        ),
        (
            json!(["create index a on x (n)", "create index b on y (`n`)"]),
            "indexes.1",
            "validation_duplicated_index_definition",
        ),
        (json!(["create index idx_email__pb_users_auth_ on posts (n)"]), "indexes.0", "validation_existing_index_name"),
        (
            json!(["create index a on posts (n)", "create index b on posts (nope)"]),
            "indexes.1",
            "validation_invalid_index_expression",
        ),
    ] {
        let error = superuser.patch(&path("posts"), json!({ "indexes": indexes })).refused(400);
        assert_eq!(code(&error, at), expected, "{indexes}");
    }
    let error =
        superuser.patch(&path("posts"), json!({ "indexes": ["create index idx_email__pb_users_auth_ on x (n)"] }));
    assert_eq!(error.refused(400)["data"]["indexes"]["0"]["params"], json!({ "usedTableName": "users" }));
    superuser.post(&path("posts/records"), json!({ "title": "t1" })).ok();
    let error =
        superuser.patch(&path("posts"), json!({ "indexes": ["create unique index u on posts (title)"] })).refused(400);
    assert_eq!(
        error["data"]["indexes"]["0"]["message"],
        "Failed to create index u - constraint failed: UNIQUE constraint failed: posts.title (2067)."
    );
}

#[test]
fn an_index_is_always_on_the_collections_table() {
    let (_server, superuser) = posts();
    let indexes = json!([
        "create index kept on posts (n) where n != 1",
        "create unique index if not exists main.[two] on wrong (\"n\" desc, lower(title), sel collate nocase)",
    ]);
    let saved = superuser.patch(&path("posts"), json!({ "indexes": indexes })).ok();
    let two = "CREATE UNIQUE INDEX IF NOT EXISTS `main`.`two` ON `posts` (\n  `n` DESC,\n  lower(title),\n  `sel` COLLATE nocase\n)";
    assert_eq!(saved["indexes"], json!(["create index kept on posts (n) where n != 1", two]));
    let stored = "select name, sql from sqlite_master where type = 'index' and tbl_name = 'posts' and sql is not null order by name";
    assert_eq!(
        sql(&superuser, stored),
        [
            ["kept", "CREATE INDEX `kept` ON `posts` (`n`) WHERE n != 1"],
            ["two", "CREATE UNIQUE INDEX `two` ON `posts` (\n  `n` DESC,\n  lower(title),\n  `sel` COLLATE nocase\n)"],
        ]
        .map(|row| row.map(|text| Some(text.to_owned())).to_vec())
    );
    superuser.patch(&path("posts"), json!({ "indexes": [] })).ok();
    assert!(sql(&superuser, stored).is_empty());
}

#[test]
fn auth_collections_keep_what_makes_logins_unique() {
    let (server, superuser) = posts();
    let error = superuser.patch(
        &path("users"),
        json!({ "fields": [], "indexes": ["create unique index both on users (email, tokenKey)"] }),
    );
    assert_eq!(error.ok()["indexes"].as_array().unwrap().len(), 3);
    let nocase = json!([
        "create unique index by_email on users (email collate nocase)",
        "create unique index by_key on users (tokenKey)",
    ]);
    superuser.patch(&path("users"), json!({ "indexes": nocase })).refused(400);
    superuser.post("/api/collections", json!({ "name": "people", "type": "auth", "indexes": nocase })).ok();
    superuser
        .post(
            &path("people/records"),
            json!({ "email": "a@example.com", "password": "12345678", "passwordConfirm": "12345678" }),
        )
        .ok();
    server.login("people", "A@EXAMPLE.com", "12345678");
}
