//! Changes of fields, and what becomes of the values.

use serde_json::json;

use super::{code, path, posts, sql, values, with_field};

#[test]
fn columns_stand_in_alphabetical_order_and_later_ones_at_the_end() {
    let (_server, superuser) = posts();
    let columns = || {
        let rows = sql(&superuser, "select name, type, dflt_value from pragma_table_info('posts')");
        rows.into_iter().map(|row| row.into_iter().flatten().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>()
    };
    let id = "id TEXT 'r'||lower(hex(randomblob(7)))";
    assert_eq!(columns(), ["body TEXT ''", id, "n NUMERIC 0", "sel TEXT ''", "title TEXT ''"]);
    let mut fields = superuser.get(&path("posts")).ok()["fields"].clone();
    fields.as_array_mut().unwrap().insert(0, json!({ "name": "added", "type": "bool" }));
    superuser.patch(&path("posts"), json!({ "fields": fields })).ok();
    assert_eq!(columns().last().unwrap(), "added BOOLEAN FALSE");
}

#[test]
fn two_fields_may_swap_their_names() {
    let (_server, superuser) = posts();
    let mut fields = superuser.get(&path("posts")).ok()["fields"].clone();
    for field in fields.as_array_mut().unwrap() {
        match field["name"].as_str() {
            Some("title") => field["name"] = json!("body"),
            Some("body") => field["name"] = json!("title"),
            _ => {}
        }
    }
    superuser.patch(&path("posts"), json!({ "fields": fields })).ok();
    assert_eq!(values(&superuser, "posts", "title"), ["b1", "b2", "b3"]);
    assert_eq!(values(&superuser, "posts", "body"), ["t1", "t2", "t3"]);
}

#[test]
fn a_field_without_an_id_keeps_its_column_if_its_type_is_the_same() {
    let (_server, superuser) = posts();
    let fields = json!([{ "name": "title", "type": "text", "max": 5 }, { "name": "body", "type": "number" }]);
    let saved = superuser.patch(&path("posts"), json!({ "fields": fields })).ok();
    assert_eq!(super::names(&saved), ["id", "title", "body"]);
    assert_eq!(values(&superuser, "posts", "title"), ["t1", "t2", "t3"]);
    assert_eq!(values(&superuser, "posts", "body"), [0, 0, 0]);
}

#[test]
fn one_value_becomes_a_list_and_a_list_its_last_value() {
    let (server, superuser) = posts();
    server.collection(json!({ "name": "chosen", "type": "view", "viewQuery": "select id, sel from posts" }));
    let collection = superuser.get(&path("posts")).ok();
    superuser.patch(&path("posts"), with_field(&collection, "sel", "maxSelect", json!(3))).ok();
    assert_eq!(values(&superuser, "posts", "sel"), [json!(["a"]), json!([]), json!(["c"])]);
    assert_eq!(values(&superuser, "chosen", "sel"), [json!(["a"]), json!([]), json!(["c"])]);
    let first = superuser.get(&path("posts/records")).ok()["items"][0]["id"].as_str().unwrap().to_owned();
    superuser.patch(&path(&format!("posts/records/{first}")), json!({ "sel": ["b", "c"] })).ok();
    superuser.patch(&path("posts"), with_field(&collection, "sel", "maxSelect", json!(1))).ok();
    assert_eq!(values(&superuser, "posts", "sel"), ["c", "", "c"]);
}

#[test]
fn a_renamed_field_stays_in_no_rule_index_or_view() {
    let (server, superuser) = posts();
    let index = "create index by_title on posts (title)";
    superuser.patch(&path("posts"), json!({ "viewRule": "title != ''", "indexes": [index] })).ok();
    let renamed = with_field(&superuser.get(&path("posts")).ok(), "title", "name", json!("headline"));

    let error = superuser.patch(&path("posts"), renamed.clone()).refused(400);
    assert_eq!(code(&error, "viewRule"), "validation_invalid_rule");
    superuser.patch(&path("posts"), json!({ "viewRule": null })).ok();
    let error = superuser.patch(&path("posts"), renamed.clone()).refused(400);
    assert_eq!(
        error["data"]["indexes"]["0"]["message"],
        "Failed to create index by_title - SQL logic error: no such column: title (1)."
    );
    superuser.patch(&path("posts"), json!({ "indexes": [] })).ok();
    server.collection(json!({ "name": "titles", "type": "view", "viewQuery": "select id, title from posts" }));
    let error = superuser.patch(&path("posts"), renamed.clone()).refused(400);
    assert!(error["message"].as_str().unwrap().starts_with("Failed to update collection. Raw error:"), "{error}");
    assert_eq!(error["data"], json!({}));
    // None of it happened.
    assert_eq!(values(&superuser, "posts", "title"), ["t1", "t2", "t3"]);

    superuser.delete(&path("titles")).ok();
    superuser.patch(&path("posts"), renamed).ok();
    assert_eq!(values(&superuser, "posts", "headline"), ["t1", "t2", "t3"]);
}

#[test]
fn a_change_of_case_alone_leaves_the_table_its_name() {
    let (_server, superuser) = posts();
    superuser.patch(&path("posts"), json!({ "name": "Posts" })).ok();
    assert_eq!(values(&superuser, "Posts", "title").len(), 3);
    let tables = "select name from sqlite_master where type = 'table' and lower(name) in ('posts', 'articles')";
    assert_eq!(sql(&superuser, tables), [[Some("posts".to_owned())]]);
    superuser.patch(&path("posts"), json!({ "name": "articles" })).ok();
    assert_eq!(sql(&superuser, tables), [[Some("articles".to_owned())]]);
    assert_eq!(values(&superuser, "articles", "title").len(), 3);
}
