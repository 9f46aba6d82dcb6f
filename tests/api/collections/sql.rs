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
fn nothing_that_is_typed_stays_with_the_connection() {
    let (_server, superuser) = posts();
    let run = |query: &str| superuser.post("/api/sql", json!({ "query": query }));
    run("create temp table posts as select * from posts").refused(400);
    run("create temp view posts as select 1 as id").refused(400);
    run("attach ':memory:' as other; update posts set title = 'x'").refused(400);
    run("update posts set title = 'x' where n = 1").ok();
    assert_eq!(values(&superuser, "posts", "title")[0], "x");
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

#[test]
fn the_tables_of_headwater_itself_are_only_read() {
    let (server, superuser) = posts();
    let run = |query: &str| superuser.post("/api/sql", json!({ "query": query }));
    for query in [
        "DROP TABLE _hw_changes",
        "drop table \"_hw_state\"",
        "DELETE FROM _hw_changes",
        "WITH one AS (SELECT 1) DELETE FROM _hw_changes",
        "UPDATE posts SET title = 'x'; UPDATE _hw_state SET value = '' WHERE key = 'epoch'",
        "UPDATE posts SET title = 'x'; PRAGMA query_only = ON",
    ] {
        let error = run(query).refused(400);
        let message = error["message"].as_str().unwrap();
        assert!(message.starts_with("Failed to execute query. Raw error:\n"), "{query}: {message}");
        assert!(message.contains("not authorized"), "{query}: {message}");
    }
    assert_eq!(values(&superuser, "posts", "title"), ["t1", "t2", "t3"]);
    run("SELECT count(*) FROM _hw_changes").ok();
    server.guest().post("/api/collections/posts/records", json!({ "title": "new" })).ok();
}

#[test]
fn settings_count_as_soon_as_they_are_written() {
    let (_server, superuser) = posts();
    let run = |query: &str| superuser.post("/api/sql", json!({ "query": query }));
    superuser.patch("/api/settings", json!({ "meta": { "appName": "Ours" } })).ok();
    run("UPDATE _params SET value = json_set(value, '$.meta.appName', 'Typed') WHERE id = 'settings'").ok();
    let name = || superuser.get("/api/settings").ok()["meta"]["appName"].clone();
    assert_eq!(name(), "Typed");
    // What could not be read again is not written.
    run("UPDATE _params SET value = 'no settings' WHERE id = 'settings'").refused(400);
    assert_eq!(name(), "Typed");
    superuser.patch("/api/settings", json!({ "meta": { "accentColor": "#000000" } })).ok();
    assert_eq!(name(), "Typed");
}
