//! SQL for superusers.

use serde_json::json;

use super::{posts, values};

#[test]
fn every_value_is_a_text_or_null() {
    let (_server, superuser) = posts();
    let query = "select n, title, null as x, n * 1.5 y, 1e21 as z from posts order by n limit 1";
    let mut answer = superuser.post("/api/sql", json!({ "query": query })).ok();
    assert!(answer["execTime"].is_u64());
    answer["execTime"] = json!(0);
    let column = |name: &str, kind: &str| json!({ "name": name, "type": kind, "nullable": true });
    let columns =
        [("n", "NUMERIC"), ("title", "TEXT"), ("x", ""), ("y", ""), ("z", "")].map(|(name, kind)| column(name, kind));
    assert_eq!(
        answer,
        json!({ "execTime": 0, "affectedRows": 0, "columns": columns, "rows": [["1", "t1", null, "1.5", "1e+21"]] })
    );
    let many = "with recursive c(x) as (select 1 union all select x + 1 from c where x < 1500) select x from c";
    let answer = superuser.post("/api/sql", json!({ "query": many })).ok();
    assert_eq!(answer["rows"].as_array().unwrap().len(), 1000);
}

#[test]
fn writes_happen_in_one_transaction_and_are_seen_at_once() {
    let (_server, superuser) = posts();
    let run = |query: &str| superuser.post("/api/sql", json!({ "query": query }));
    assert_eq!(run("update posts set title = 'x' where n > 1").ok()["affectedRows"], 2);
    assert_eq!(run("with one as (select 1) update posts set title = 'y' where n = 1").status, 200);
    assert_eq!(values(&superuser, "posts", "title"), ["y", "x", "x"]);
    let error = run("delete from posts; insert into nope values (1)").refused(400);
    assert_eq!(error["message"], "Failed to execute query. Raw error:\nSQL logic error: no such table: nope (1).");
    assert_eq!(values(&superuser, "posts", "title").len(), 3);
    run("update _collections set listRule = null where name = 'posts'").ok();
    assert_eq!(superuser.get("/api/collections/posts").ok()["listRule"], json!(null));
}

#[test]
fn a_transaction_left_open_hurts_nobody() {
    let (_server, superuser) = posts();
    for query in ["begin; select 1", "delete from posts; commit", "delete from posts; rollback"] {
        superuser.post("/api/sql", json!({ "query": query }));
    }
    superuser.post("/api/collections/posts/records", json!({ "title": "new" })).ok();
    assert!(values(&superuser, "posts", "title").contains(&json!("new")));
}
