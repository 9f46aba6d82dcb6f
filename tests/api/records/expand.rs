//! Expanded relations.

use serde_json::{Value as Json, json};

use crate::harness::{Client, Server, query};

/// `authors` <- `posts` (author, tags) <- `comments` (post); `profiles` have one author each.
fn library() -> Server {
    let server = Server::start();
    let text = |name: &str| json!({ "name": name, "type": "text" });
    let relation = |name: &str, to: &Json, max: u32| json!({ "name": name, "type": "relation", "collectionId": to["id"], "maxSelect": max });
    let authors = server.collection(
        json!({ "name": "authors", "fields": [text("name"), { "name": "hid", "type": "text", "hidden": true }] }),
    );
    let tags = server.collection(json!({ "name": "tags", "fields": [text("name")] }));
    let posts = server.collection(json!({ "name": "posts", "fields": [text("title"), relation("author", &authors, 1), relation("tags", &tags, 9)] }));
    server.collection(json!({ "name": "comments", "fields": [text("text"), relation("post", &posts, 1)] }));
    server.collection(json!({
        "name": "profiles",
        "fields": [text("bio"), relation("author", &authors, 1)],
        "indexes": ["CREATE UNIQUE INDEX idx_profile ON profiles (author)"],
    }));
    for (collection, record) in [
        ("authors", json!({ "id": "author000000001", "name": "Ada" })),
        ("tags", json!({ "id": "tag000000000001", "name": "one" })),
        ("tags", json!({ "id": "tag000000000002", "name": "two" })),
        (
            "posts",
            json!({ "id": "post00000000001", "title": "t", "author": "author000000001", "tags": ["tag000000000002", "tag000000000001"] }),
        ),
        ("posts", json!({ "id": "post00000000002", "title": "alone" })),
        ("comments", json!({ "id": "comment00000001", "text": "c1", "post": "post00000000001" })),
        ("comments", json!({ "id": "comment00000002", "text": "c2", "post": "post00000000001" })),
        ("profiles", json!({ "id": "profile00000001", "bio": "b", "author": "author000000001" })),
    ] {
        server.guest().post(&format!("/api/collections/{collection}/records"), record).ok();
    }
    server
}

/// What is expanded in a record, reduced to names, titles, texts and further expansions.
fn expanded(client: &Client, record: &str, paths: &str) -> Json {
    fn reduce(value: &Json) -> Json {
        match value {
            Json::Array(items) => items.iter().map(reduce).collect(),
            Json::Object(record) => {
                let name = ["name", "title", "text", "bio"].iter().find_map(|key| record.get(*key)).expect("a name");
                match record.get("expand") {
                    None => name.clone(),
                    Some(Json::Object(expand)) => {
                        json!({ "name": name, "expand": expand.iter().map(|(key, value)| (key.clone(), reduce(value))).collect::<serde_json::Map<_, _>>() })
                    }
                    Some(other) => panic!("{other}"),
                }
            }
            other => panic!("{other}"),
        }
    }
    let record = client.get(&format!("/api/collections/{record}?{}", query(&[("expand", paths)]))).ok();
    match record.get("expand") {
        None => Json::Null,
        Some(Json::Object(expand)) => {
            expand.iter().map(|(key, value)| (key.clone(), reduce(value))).collect::<serde_json::Map<_, _>>().into()
        }
        Some(other) => panic!("{other}"),
    }
}

#[test]
fn paths_lead_to_what_they_name() {
    let server = library();
    let guest = server.guest();
    let post = "posts/records/post00000000001";
    for (record, paths, expected) in [
        (post, "", json!(null)),
        (post, "author", json!({ "author": "Ada" })),
        (post, "author,tags", json!({ "author": "Ada", "tags": ["two", "one"] })),
        (post, " author , tags ", json!({ "author": "Ada", "tags": ["two", "one"] })),
        (post, "nothing,title", json!(null)),
        (post, "comments_via_post", json!({ "comments_via_post": ["c1", "c2"] })),
        ("posts/records/post00000000002", "author,tags,comments_via_post", json!({})),
        (
            "comments/records/comment00000001",
            "post.author",
            json!({ "post": { "name": "t", "expand": { "author": "Ada" } } }),
        ),
        (
            "comments/records/comment00000001",
            "post,post.author",
            json!({ "post": { "name": "t", "expand": { "author": "Ada" } } }),
        ),
        ("authors/records/author000000001", "profiles_via_author", json!({ "profiles_via_author": "b" })),
        (
            "authors/records/author000000001",
            "posts_via_author.comments_via_post,posts_via_author.tags",
            json!({ "posts_via_author": [{ "name": "t", "expand": { "comments_via_post": ["c1", "c2"], "tags": ["two", "one"] } }] }),
        ),
    ] {
        assert_eq!(expanded(&guest, record, paths), expected, "{record} {paths}");
    }
}

#[test]
fn six_levels_and_no_more() {
    let server = Server::start();
    let nodes = server.collection(json!({ "name": "nodes", "fields": [{ "name": "name", "type": "text" }] }));
    let next = json!({ "name": "next", "type": "relation", "collectionId": nodes["id"], "maxSelect": 1 });
    let mut fields = nodes["fields"].clone();
    fields.as_array_mut().unwrap().push(next);
    server.superuser().patch("/api/collections/nodes", json!({ "fields": fields })).ok();
    let record = json!({ "id": "node00000000001", "name": "n" });
    server.guest().post("/api/collections/nodes/records", record).ok();
    let path = "/api/collections/nodes/records/node00000000001";
    server.guest().patch(path, json!({ "next": "node00000000001" })).ok();
    let mut record = server.guest().get(&format!("{path}?expand={}", ["next"; 9].join("."))).ok();
    let mut levels = 0;
    while let Some(next) = record.pointer_mut("/expand/next") {
        record = next.take();
        levels += 1;
    }
    assert_eq!(levels, 6);
}

#[test]
fn what_may_not_be_viewed_is_left_out() {
    let server = library();
    let guest = server.guest();
    let superuser = server.superuser();
    let set = |collection: &str, rule: Json| {
        superuser.patch(&format!("/api/collections/{collection}"), json!({ "viewRule": rule })).ok()
    };
    set("authors", json!(null));
    assert_eq!(expanded(&guest, "posts/records/post00000000001", "author"), json!(null));
    assert_eq!(expanded(&guest, "posts/records/post00000000001", "author,tags"), json!({ "tags": ["two", "one"] }));
    assert_eq!(expanded(&superuser, "posts/records/post00000000001", "author"), json!({ "author": "Ada" }));
    set("tags", json!("name = 'one'"));
    assert_eq!(expanded(&guest, "posts/records/post00000000001", "tags"), json!({ "tags": ["one"] }));
    set("tags", json!("@request.context = 'expand'"));
    assert_eq!(expanded(&guest, "posts/records/post00000000001", "tags"), json!({ "tags": ["two", "one"] }));
    guest.get("/api/collections/tags/records/tag000000000001").refused(404);
}

#[test]
fn hidden_fields_stay_hidden_and_writes_expand_too() {
    let server = library();
    let hid = |client: &Client| {
        let record = client.get("/api/collections/posts/records/post00000000001?expand=author").ok();
        record["expand"]["author"].get("hid").is_some()
    };
    assert_eq!([hid(&server.guest()), hid(&server.superuser())], [false, true]);
    let body = json!({ "title": "new", "author": "author000000001" });
    let path = "/api/collections/posts/records?expand=author&fields=title,expand.author.name";
    let expected = json!({ "title": "new", "expand": { "author": { "name": "Ada" } } });
    assert_eq!(server.guest().post(path, body).ok(), expected);
    let path = "/api/collections/posts/records/post00000000001?expand=author&fields=*,expand.author.name";
    let changed = server.guest().patch(path, json!({ "title": "changed" })).ok();
    assert_eq!((&changed["title"], &changed["expand"]), (&json!("changed"), &json!({ "author": { "name": "Ada" } })));
}
