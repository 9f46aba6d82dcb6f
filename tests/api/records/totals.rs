//! The total of a list is that of the moment, however often it was asked before.

use serde_json::json;

use crate::epochs;
use crate::harness::{Client, Server, eventually, query};

const POSTS: &str = "/api/collections/posts/records";

/// `authors` <- `posts`; `shown` is a view of posts.
fn library() -> Server {
    let server = Server::start();
    let text = |name: &str| json!({ "name": name, "type": "text" });
    let authors = server.collection(json!({ "name": "authors", "fields": [text("name")] }));
    let author = json!({
        "name": "author", "type": "relation", "collectionId": authors["id"], "maxSelect": 1, "cascadeDelete": true,
    });
    let posts = [text("title"), json!({ "name": "rank", "type": "number" }), author];
    server.collection(json!({ "name": "posts", "fields": posts }));
    server.collection(json!({ "name": "others", "fields": [text("title")] }));
    let view = "SELECT p.id, p.title, a.name FROM posts p LEFT JOIN authors a ON a.id = p.author";
    server.collection(json!({ "name": "shown", "type": "view", "viewQuery": view }));
    server.guest().post("/api/collections/authors/records", json!({ "id": "author000000001", "name": "Ada" })).ok();
    for rank in 0..4 {
        let post =
            json!({ "id": format!("post0000000000{rank}"), "title": "t", "rank": rank, "author": "author000000001" });
        server.guest().post(POSTS, post).ok();
    }
    server
}

/// Pages of one, so that a page does not tell the total.
fn total(client: &Client, collection: &str, filter: &str) -> u64 {
    let query = query(&[("perPage", "1"), ("filter", filter)]);
    let page = client.get(&format!("/api/collections/{collection}/records?{query}")).ok();
    page["totalItems"].as_u64().unwrap()
}

#[test]
fn totals_follow_every_write() {
    let server = library();
    let (guest, superuser) = (server.guest(), server.superuser());
    // Everything is asked before and after each step, so that each answer could be an old one.
    let totals = || {
        let of_posts =
            ["", "rank > 1", "author.name = 'Ada'", "title ~ 't'"].map(|filter| total(&guest, "posts", filter));
        let others = [
            total(&guest, "shown", "name = 'Ada'"),
            total(&guest, "authors", "posts_via_author.rank ?> 1"),
            total(&superuser, "others", "@collection.posts.rank ?> 7"),
        ];
        (of_posts, others)
    };
    assert_eq!(totals(), ([4, 2, 4, 4], [4, 1, 0]));
    guest.post("/api/collections/others/records", json!({ "title": "o" })).ok();
    assert_eq!(totals(), ([4, 2, 4, 4], [4, 1, 0]));
    let post = guest.post(POSTS, json!({ "title": "t", "rank": 8 })).ok();
    assert_eq!(totals(), ([5, 3, 4, 5], [4, 1, 1]));
    guest.patch(&format!("{POSTS}/{}", post["id"].as_str().unwrap()), json!({ "rank": 0, "title": "u" })).ok();
    assert_eq!(totals(), ([5, 2, 4, 4], [4, 1, 0]));
    guest.patch("/api/collections/authors/records/author000000001", json!({ "name": "Bob" })).ok();
    assert_eq!(totals(), ([5, 2, 0, 4], [0, 1, 0]));
    let settings = json!({ "batch": { "enabled": true, "maxRequests": 10, "timeout": 3 } });
    superuser.patch("/api/settings", settings).ok();
    let requests = [
        json!({ "method": "POST", "url": POSTS, "body": { "title": "b" } }),
        json!({ "method": "DELETE", "url": format!("{POSTS}/post00000000003") }),
        json!({ "method": "PATCH", "url": format!("{POSTS}/post00000000000"), "body": { "rank": 5 } }),
    ];
    guest.post("/api/batch", json!({ "requests": requests })).ok();
    assert_eq!(totals(), ([5, 2, 0, 3], [0, 1, 0]));
    assert_eq!(guest.delete("/api/collections/authors/records/author000000001").status, 204);
    assert_eq!(totals(), ([2, 0, 0, 0], [0, 0, 0]));
    superuser.post("/api/sql", json!({ "query": "UPDATE posts SET rank = 9" })).ok();
    assert_eq!(totals(), ([2, 2, 0, 0], [0, 0, 1]));
    let sql = "UPDATE posts SET rank = 0, title = 't'";
    epochs::run(&server.directory().database(), sql);
    eventually("the foreign write counts", || totals() == ([2, 0, 0, 2], [0, 0, 0]));
    assert_eq!(superuser.delete("/api/collections/posts/truncate").status, 204);
    assert_eq!(totals(), ([0, 0, 0, 0], [0, 0, 0]));
}

#[test]
fn a_total_is_that_of_the_schema() {
    let server = library();
    let (guest, superuser) = (server.guest(), server.superuser());
    assert_eq!(total(&guest, "posts", "rank = 'x'"), 0);
    let mut posts = superuser.get("/api/collections/posts").ok();
    let fields = posts["fields"].as_array_mut().unwrap();
    fields.retain(|field| field["name"] != "rank");
    fields.push(json!({ "name": "rank", "type": "text" }));
    superuser.patch("/api/collections/posts", posts.clone()).ok();
    assert_eq!(total(&guest, "posts", "rank = ''"), 4);
    assert_eq!(total(&guest, "posts", "rank = 'x'"), 0);
    // Who may see less has another total.
    superuser.patch("/api/collections/posts", json!({ "listRule": "id = 'post00000000001'" })).ok();
    assert_eq!((total(&guest, "posts", ""), total(&superuser, "posts", "")), (1, 4));
    let before = "title != @now && strftime('%Y', 'now') != ''";
    assert_eq!((total(&guest, "posts", before), total(&guest, "posts", before)), (1, 1));
}

#[test]
fn what_a_trigger_writes_counts_too() {
    let server = library();
    let (guest, superuser) = (server.guest(), server.superuser());
    let trigger =
        "CREATE TRIGGER audit AFTER INSERT ON posts BEGIN INSERT INTO others (id, title) VALUES (new.id, 'x'); END";
    superuser.post("/api/sql", json!({ "query": trigger })).ok();
    assert_eq!(total(&guest, "others", "title != ''"), 0);
    guest.post(POSTS, json!({ "title": "t" })).ok();
    assert_eq!(total(&guest, "others", "title != ''"), 1);
    // As many rows as changes: one that changes nothing, and one with a trigger.
    superuser.patch("/api/settings", json!({ "batch": { "enabled": true, "maxRequests": 10, "timeout": 3 } })).ok();
    let requests = [
        json!({ "method": "PATCH", "url": format!("{POSTS}/post00000000000"), "body": { "title": "t" } }),
        json!({ "method": "POST", "url": POSTS, "body": { "title": "t" } }),
    ];
    guest.post("/api/batch", json!({ "requests": requests })).ok();
    assert_eq!(total(&guest, "others", "title != ''"), 2);
    // No row where a change is told of.
    assert_eq!(total(&guest, "posts", "rank = 7"), 0);
    let ignored = "CREATE TRIGGER ignored BEFORE INSERT ON posts WHEN new.rank = 7 BEGIN SELECT RAISE(IGNORE); END";
    superuser.post("/api/sql", json!({ "query": ignored })).ok();
    assert_eq!(total(&guest, "posts", "rank = 7"), 0);
    guest.post(POSTS, json!({ "title": "t", "rank": 7 })).ok();
    assert_eq!(total(&guest, "posts", "rank = 7"), 0);
}

#[test]
fn a_view_whose_rows_come_and_go_by_themselves_is_counted_each_time() {
    let server = library();
    let guest = server.guest();
    // One is always there: a page of none tells the total without a count.
    let view = "SELECT id FROM posts WHERE rank = 0 OR random() % 2";
    server.collection(json!({ "name": "drawn", "type": "view", "viewQuery": view }));
    let first = total(&guest, "drawn", "");
    eventually("another total", || total(&guest, "drawn", "") != first);
    // The same where a filter leads there.
    let superuser = server.superuser();
    let drawn = || total(&superuser, "posts", "rank = 0 || @collection.drawn.id ?= id");
    let first = drawn();
    eventually("another total of what was joined", || drawn() != first);
}
