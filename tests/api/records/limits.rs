//! Rate limits, and where a write stands in the stream.

use serde_json::{Value as Json, json};

use crate::harness::Server;

const RECORDS: &str = "/api/collections/tags/records";

fn tags(rules: Json) -> Server {
    let server = Server::start();
    server.collection(json!({ "name": "tags", "fields": [{ "name": "name", "type": "text", "max": 5 }] }));
    let settings = json!({
        "rateLimits": { "enabled": true, "rules": rules },
        "batch": { "enabled": true, "maxRequests": 5, "timeout": 3 },
    });
    server.superuser().patch("/api/settings", settings).ok();
    server
}

fn rule(label: &str, audience: &str, max: u32) -> Json {
    json!({ "label": label, "audience": audience, "duration": 60, "maxRequests": max })
}

#[test]
fn who_asks_too_often_is_told_so() {
    let server = tags(json!([rule("tags:create", "", 2), rule("*:list", "@guest", 1), rule("/api/", "", 3)]));
    let guest = server.guest();
    guest.post(RECORDS, json!({ "name": "a" })).ok();
    // What is refused counts as well.
    guest.post(RECORDS, json!({ "name": "too long" })).refused(400);
    let error = guest.post(RECORDS, json!({ "name": "b" })).refused(429);
    assert_eq!(error, json!({ "data": {}, "message": "Too Many Requests.", "status": 429 }));
    guest.get(RECORDS).ok();
    guest.get(RECORDS).refused(429);
    // Every route has a window of its own.
    for _ in 0..3 {
        guest.get(&format!("{RECORDS}/nothing")).refused(404);
    }
    guest.get(&format!("{RECORDS}/nothing")).refused(429);
    guest.patch(&format!("{RECORDS}/nothing"), json!({})).refused(404);
    let superuser = server.superuser();
    for _ in 0..5 {
        superuser.get(RECORDS).ok();
    }
    // Logins are such a route: passwords cannot be guessed without an end.
    let guess = json!({ "identity": "a@example.com", "password": "a guess of it" });
    for _ in 0..2 {
        guest.post("/api/collections/_superusers/auth-with-password", guess.clone()).refused(400);
    }
    guest.post("/api/collections/_superusers/auth-with-password", guess).refused(429);
}

#[test]
fn a_window_without_an_end_limits_too() {
    let mut endless = rule("tags:list", "", 2);
    endless["duration"] = json!(i64::MAX);
    let server = tags(json!([endless]));
    let guest = server.guest();
    for status in [200, 200, 429, 429] {
        assert_eq!(guest.get(RECORDS).status, status);
    }
}

#[test]
fn another_spelling_of_a_path_is_the_same_place() {
    let server = tags(json!([rule("*:auth", "", 2), rule("tags:list", "", 1), rule("/api/health", "", 1)]));
    let guest = server.guest();
    let guess = json!({ "identity": "a@example.com", "password": "a guess of it" });
    for path in ["auth-with-password", "auth-with-passwor%64"] {
        guest.post(&format!("/api/collections/_superusers/{path}"), guess.clone()).refused(400);
    }
    for path in
        ["/api/collections/_superusers/%61uth-with-password", "/%61pi/collections/_superusers/auth-with-password"]
    {
        guest.post(path, guess.clone()).refused(429);
    }
    guest.get(RECORDS).ok();
    guest.get("/api/collections/t%61gs/record%73").refused(429);
    guest.get("/api/health").ok();
    guest.get("/api/h%65alth").refused(429);
}

#[test]
fn routes_of_no_collection_count_together_under_the_rule_that_covers_them() {
    let server =
        tags(json!([rule("/api/batch", "", 1), rule("POST /api/realtime", "", 1), rule("/api/", "@guest", 9)]));
    let guest = server.guest();
    let batch = json!({ "requests": [{ "method": "POST", "url": RECORDS, "body": {} }] });
    guest.post("/api/batch", batch.clone()).ok();
    guest.post("/api/batch", batch).refused(429);
    guest.post("/api/realtime", json!({})).refused(400);
    guest.post("/api/realtime", json!({})).refused(429);
    let asked: [(&str, u16); 9] = [
        ("/api/health", 200),
        ("/api/settings", 401),
        ("/api/collections", 401),
        ("/api/collections/tags", 401),
        ("/api/collections/meta/scaffolds", 401),
        ("/api/collections/meta/oauth2-providers", 401),
        ("/api/oauth2-redirect", 307),
        ("/api/nothing", 404),
        ("/api/health?again", 200),
    ];
    for (path, status) in asked {
        assert_eq!(guest.get(path).status, status, "{path}");
    }
    for (path, _) in asked {
        assert_eq!(guest.get(path).status, 429, "{path}");
    }
    assert_eq!(guest.get("/api/realtime").status, 429);
    guest.post("/api/sql", json!({ "query": "SELECT 1" })).refused(429);
    assert_eq!(guest.request("HEAD", "/api/health").head_only(), 429);
    // Routes of collections and what is no API are counted apart.
    guest.get(RECORDS).ok();
    assert_eq!(guest.get("/_/").status, 200);
    server.superuser().get("/api/health").ok();
}

#[test]
fn auth_routes_have_tags_and_windows_of_their_own() {
    let server = tags(json!([
        rule("*:auth", "@guest", 3),
        rule("users:authWithPassword", "", 1),
        rule("*:authRefresh", "@auth", 1)
    ]));
    let user = json!({ "email": "ann@example.com", "password": "1234567890", "passwordConfirm": "1234567890" });
    server.superuser().post("/api/collections/users/records", user).ok();
    let ann = server.login("users", "ann@example.com", "1234567890");
    let guest = server.guest();
    let login = json!({ "identity": "ann@example.com", "password": "1234567890" });
    // The first of its labels that has a rule counts, and each collection for itself.
    guest.post("/api/collections/users/auth-with-password", login.clone()).refused(429);
    guest.post("/api/collections/_superusers/auth-with-password", login.clone()).refused(400);
    let refresh = "/api/collections/users/auth-refresh";
    for _ in 0..3 {
        guest.post(refresh, json!({})).refused(401);
    }
    ann.post(refresh, json!({})).ok();
    ann.post(refresh, json!({})).refused(429);
    // Who is nobody's collection is told so, however often.
    for _ in 0..5 {
        guest.post("/api/collections/nobody/auth-with-password", login.clone()).refused(404);
    }
}

#[test]
fn items_of_a_batch_count_one_by_one() {
    let server = tags(json!([rule("tags:create", "", 2)]));
    let create = json!({ "method": "POST", "url": RECORDS, "body": { "name": "a" } });
    let error = server.guest().post("/api/batch", json!({ "requests": [create, create, create] })).refused(400);
    assert_eq!(error["data"]["requests"]["2"]["response"]["status"], 429, "{error}");
    assert_eq!(server.guest().get(RECORDS).ok()["totalItems"], 0);
}

#[test]
fn saved_settings_begin_anew() {
    let server = tags(json!([rule("tags:create", "", 1)]));
    server.guest().post(RECORDS, json!({})).ok();
    server.guest().post(RECORDS, json!({})).refused(429);
    server.superuser().patch("/api/settings", json!({ "meta": { "appName": "other" } })).ok();
    server.guest().post(RECORDS, json!({})).ok();
}

#[test]
fn a_write_says_where_it_stands_in_the_stream() {
    let server = tags(json!([rule("/none", "", 1)]));
    let guest = server.guest();
    let position = |answer: &crate::harness::Answer| {
        let (epoch, seq) = answer.header("headwater-seq").expect("a position").split_once(':').unwrap();
        (epoch.to_owned(), seq.parse::<u64>().unwrap())
    };
    let created = guest.post(RECORDS, json!({ "name": "a" }));
    let (epoch, first) = position(&created);
    let path = format!("{RECORDS}/{}", super::id(&created.ok()));
    assert_eq!(position(&guest.patch(&path, json!({ "name": "b" }))), (epoch.clone(), first + 1));
    let item = json!({ "method": "POST", "url": RECORDS, "body": {} });
    assert_eq!(position(&guest.post("/api/batch", json!({ "requests": [item, item] }))), (epoch.clone(), first + 3));
    assert_eq!(position(&guest.delete(&path)), (epoch, first + 4));
    assert_eq!(guest.patch(&path, json!({})).header("headwater-seq"), None);
}
