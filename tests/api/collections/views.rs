//! View collections.

use serde_json::{Value as Json, json};

use super::{COLLECTIONS, code, field, path, posts, sql, values, with_field};

fn view(name: &str, query: &str) -> Json {
    json!({ "name": name, "type": "view", "viewQuery": query, "listRule": "", "viewRule": "" })
}

#[test]
fn fields_come_from_the_query() {
    let (server, superuser) = posts();
    server.collection(json!({ "name": "notes", "fields": [
        { "name": "post", "type": "relation", "collectionId": superuser.get(&path("posts")).ok()["id"] },
        { "name": "text", "type": "text", "max": 7, "hidden": true },
    ] }));
    let query = "select n.id, n.TEXT as words, p.id as post_id, p.title, count(p.id) c, total(p.n) t, sum(p.n) s,
                        cast(p.n as int) i, cast(p.n as real) r, cast(p.n as text) x, cast(p.n as bool) b, (select 1) q
                 from notes n left join posts p on p.id = n.post group by n.id";
    let made = superuser.post(COLLECTIONS, view("all", query)).ok();
    for (name, kind) in [
        ("id", "text"),
        ("words", "text"),
        ("post_id", "relation"),
        ("title", "text"),
        ("c", "number"),
        ("t", "number"),
        ("s", "json"),
        ("i", "number"),
        ("r", "number"),
        ("x", "text"),
        ("b", "bool"),
        ("q", "json"),
    ] {
        assert_eq!(field(&made, name)["type"], kind, "{name}");
    }
    assert_eq!((&field(&made, "words")["max"], &field(&made, "words")["hidden"]), (&json!(7), &json!(true)));
    assert_eq!((&field(&made, "c")["onlyInt"], &field(&made, "t")["onlyInt"]), (&json!(true), &json!(false)));
    assert_eq!(field(&made, "post_id")["collectionId"], superuser.get(&path("posts")).ok()["id"]);
    assert!(field(&made, "words")["id"].as_str().unwrap().starts_with("_clone_"));
}

#[test]
fn a_query_that_is_no_view_is_refused_with_the_reason() {
    let (_server, superuser) = posts();
    for (query, reason) in [
        (
            "select title from posts",
            "missing required id column (you can use `(ROW_NUMBER() OVER()) as id` if you don't have one).",
        ),
        (
            "select * from posts",
            "wildcard columns (*) are not supported - manually type the collection field names you want the view query to have.",
        ),
        ("select id from posts; drop table posts", "multiple statements are not supported."),
        (
            "select id from posts) union select (1",
            "unbalanced parenthesis or quoted expression: \"select id from posts) union select (1\".",
        ),
        ("select id, nope from posts", "SQL logic error: no such column: nope (1)."),
        ("select 'x' as id from posts", "the query could return records with non-unique ids."),
        ("select '' as id from posts", "the query could return records with empty or invalid ids."),
        (
            "select id, case when n then 1 end as z from posts",
            "invalid identifier parts [case when n then 1 end as z].",
        ),
        ("select id, count(*) from posts", "invalid field \"count(*)\" (1): name: must be in a valid format."),
    ] {
        let error = superuser.post(&path("meta/dry-run-view"), json!({ "query": query })).refused(400);
        assert_eq!(error["message"], format!("Invalid view query. Raw error: \n{reason}"), "{query}");
        let error = superuser.post(COLLECTIONS, view("v", query)).refused(400);
        assert_eq!(error["data"]["viewQuery"]["message"], format!("Invalid query - {reason}"), "{query}");
    }
    let rule = json!({ "name": "v", "type": "view", "viewQuery": "select id from posts", "createRule": "" });
    assert_eq!(code(&superuser.post(COLLECTIONS, rule).refused(400), "createRule"), "validation_nil");
    let index = json!({ "name": "v", "type": "view", "viewQuery": "select id from posts", "indexes": ["create index a on b (c)"] });
    assert_eq!(code(&superuser.post(COLLECTIONS, index).refused(400), "indexes"), "validation_indexes_not_supported");
}

#[test]
fn a_dry_run_shows_fields_and_a_sample_and_leaves_nothing() {
    let (_server, superuser) = posts();
    let query = json!({ "query": "select (row_number() over()) as id, title from posts order by n" });
    let found = superuser.post(&path("meta/dry-run-view"), query).ok();
    assert_eq!(found["fields"].as_array().unwrap().len(), 2);
    assert_eq!((&found["sample"][2]["id"], &found["sample"][2]["title"]), (&json!("3"), &json!("t3")));
    assert!(sql(&superuser, "select name from sqlite_master where type = 'view'").is_empty());
}

#[test]
fn a_view_is_only_read() {
    let (_server, superuser) = posts();
    superuser.post(COLLECTIONS, view("numbered", "select (row_number() over()) as id, title from posts")).ok();
    assert_eq!(values(&superuser, "numbered", "id"), ["1", "2", "3"]);
    assert_eq!(superuser.get(&path("numbered/records?perPage=1")).ok()["totalItems"], 3);
    superuser.get(&path("numbered/records?sort=@rowid")).refused(400);
    superuser.post(&path("numbered/records"), json!({})).refused(400);
    superuser.delete(&path("numbered/records/1")).refused(400);
    superuser.delete(&path("numbered/truncate")).refused(400);
}

#[test]
fn views_follow_what_they_read() {
    let (_server, superuser) = posts();
    superuser.post(COLLECTIONS, view("titles", "select id, title from posts")).ok();
    superuser.post(COLLECTIONS, view("again", "select t.id, t.title as x from titles t")).ok();
    let posts = superuser.get(&path("posts")).ok();
    superuser.patch(&path("posts"), with_field(&posts, "title", "max", json!(9))).ok();
    assert_eq!(field(&superuser.get(&path("titles")).ok(), "title")["max"], 9);
    assert_eq!(field(&superuser.get(&path("again")).ok(), "x")["max"], 9);

    let error = superuser.delete(&path("titles")).refused(400);
    assert_eq!(error["message"], "Failed to delete collection.");
    superuser.delete(&path("posts")).refused(400);
    assert_eq!(superuser.delete(&path("again")).status, 204);
    assert_eq!(superuser.delete(&path("titles")).status, 204);
    assert_eq!(superuser.delete(&path("posts")).status, 204);
}

/// DEF-19: PocketBase leaves the query on the old name, and then no collection can be deleted any more.
#[test]
fn a_renamed_collection_keeps_the_views_that_read_it() {
    let (_server, superuser) = posts();
    superuser.post(COLLECTIONS, view("titles", "select posts.id, title from Posts where posts.n > 1")).ok();
    superuser.patch(&path("posts"), json!({ "name": "articles" })).ok();
    let titles = superuser.get(&path("titles")).ok();
    assert_eq!(titles["viewQuery"], "select `articles`.id, title from `articles` where `articles`.n > 1");
    assert_eq!(values(&superuser, "titles", "title"), ["t2", "t3"]);

    // Here `articles` is a column too.
    superuser.post(COLLECTIONS, view("unclear", "select id, title as articles from articles")).ok();
    let error = superuser.patch(&path("articles"), json!({ "name": "posts" })).refused(400);
    assert_eq!(code(&error, "name"), "validation_collection_name_used_in_view");
    assert!(error["data"]["name"]["message"].as_str().unwrap().contains("unclear"), "{error}");
    assert_eq!(values(&superuser, "articles", "title"), ["t1", "t2", "t3"]);
}
