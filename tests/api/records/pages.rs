//! A page that is kept is what would be read now, for whoever asks.

use std::cell::Cell;

use serde_json::{Value as Json, json};

use super::id;
use crate::epochs;
use crate::harness::{Client, Server, eventually, query};

const NOTES: &str = "/api/collections/notes/records";

/// `tags` <- `notes`, whose `secret` is hidden.
fn notebook() -> Server {
    let server = Server::start();
    let text = |name: &str| json!({ "name": name, "type": "text" });
    let tags = server.collection(json!({ "name": "tags", "fields": [text("name")] }));
    let tag = json!({ "name": "tag", "type": "relation", "collectionId": tags["id"], "maxSelect": 1 });
    let secret = json!({ "name": "secret", "type": "text", "hidden": true });
    let rank = json!({ "name": "rank", "type": "number" });
    server.collection(json!({ "name": "notes", "fields": [text("title"), rank, tag, secret, text("owner")] }));
    server.guest().post("/api/collections/tags/records", json!({ "id": "tag000000000001", "name": "a" })).ok();
    for rank in 0..4 {
        let tag = if rank < 2 { "tag000000000001" } else { "" };
        let note = json!({ "id": format!("note0000000000{rank}"), "title": "t", "rank": rank, "tag": tag });
        server.guest().post(NOTES, note).ok();
    }
    server
}

fn page(client: &Client, parameters: &[(&str, &str)]) -> Json {
    client.get(&format!("{NOTES}?{}", query(parameters))).ok()
}

/// How many reads there were so far.
fn reads(server: &Server) -> u64 {
    let metrics = server.superuser().get("/api/metrics").text();
    let reads = metrics.lines().find_map(|line| line.strip_prefix("headwater_reads_total "));
    reads.expect("a figure").parse().unwrap()
}

#[test]
fn a_page_is_read_once_until_something_is_written() {
    let server = notebook();
    let (guest, superuser) = (server.guest(), server.superuser());
    // What asking for it takes, beside what it takes to look.
    let cost = |parameters: &[(&str, &str)]| {
        let (first, before) = (reads(&server), reads(&server));
        page(&guest, parameters);
        (reads(&server) - before) - (before - first)
    };
    let list = [("filter", "rank > 0"), ("sort", "-rank")];
    assert_eq!((cost(&list), cost(&list)), (1, 0));
    // Of another collection.
    superuser.post("/api/collections/tags/records", json!({ "name": "b" })).ok();
    assert_eq!(cost(&list), 0);
    guest.post(NOTES, json!({ "rank": 9 })).ok();
    assert_eq!((cost(&list), cost(&list)), (1, 0));
    let joined = [("filter", "tag.name = 'a'")];
    assert_eq!((cost(&joined), cost(&joined)), (1, 0));
    superuser.post("/api/collections/tags/records", json!({ "name": "c" })).ok();
    assert_eq!((cost(&joined), cost(&joined)), (1, 0));
    for never in [
        [("sort", "@random"), ("page", "1")],
        [("filter", "title != @now"), ("page", "1")],
        [("expand", "tag"), ("page", "1")],
    ] {
        assert_eq!((cost(&never) > 0, cost(&never) > 0), (true, true), "{never:?}");
    }
}

#[test]
fn pages_follow_every_write() {
    let server = notebook();
    let (guest, superuser) = (server.guest(), server.superuser());
    let round = Cell::new(0);
    let lists: [&[(&str, &str)]; 6] = [
        &[],
        &[("sort", "-rank"), ("perPage", "2"), ("page", "2")],
        &[("filter", "rank > 1"), ("skipTotal", "1")],
        &[("filter", "tag.name = 'a'"), ("fields", "id,title")],
        &[("filter", "title = 'u'"), ("sort", "tag.name,rank")],
        &[("expand", "tag")],
    ];
    // Everything is asked before and after each step, so that each answer could be an old one. What nobody asked before
    // is read.
    let check = |step: &str| {
        round.set(round.get() + 1);
        for client in [&guest, &superuser] {
            for list in lists {
                let mut new = list.to_vec();
                let filter = new.iter().find(|(name, _)| *name == "filter").map_or("id != ''", |(_, text)| text);
                let filter = format!("{filter} && 'x' != '{}'", round.get());
                new.retain(|(name, _)| *name != "filter");
                new.push(("filter", &filter));
                assert_eq!(page(client, list), page(client, &new), "{step}: {list:?}");
            }
        }
    };
    check("begin");
    let note = guest.post(NOTES, json!({ "title": "u", "rank": 8, "secret": "s" })).ok();
    check("create");
    guest.patch(&format!("{NOTES}/{}", id(&note)), json!({ "rank": 1, "tag": "tag000000000001" })).ok();
    check("update");
    guest.patch("/api/collections/tags/records/tag000000000001", json!({ "name": "z" })).ok();
    check("update of what it is joined to");
    superuser.patch("/api/settings", json!({ "batch": { "enabled": true, "maxRequests": 9, "timeout": 3 } })).ok();
    let requests = [
        json!({ "method": "POST", "url": NOTES, "body": { "title": "b" } }),
        json!({ "method": "DELETE", "url": format!("{NOTES}/note00000000003") }),
        json!({ "method": "PATCH", "url": format!("{NOTES}/note00000000000"), "body": { "rank": 5 } }),
    ];
    guest.post("/api/batch", json!({ "requests": requests })).ok();
    check("batch");
    assert_eq!(guest.delete("/api/collections/tags/records/tag000000000001").status, 204);
    check("delete of what it refers to");
    superuser.post("/api/sql", json!({ "query": "UPDATE notes SET rank = 3, title = 'u'" })).ok();
    check("sql");
    superuser.patch("/api/collections/notes", json!({ "listRule": "rank = 3 && title = 'u'" })).ok();
    check("another rule");
    let mut fields = superuser.get("/api/collections/notes").ok()["fields"].clone();
    for field in fields.as_array_mut().unwrap() {
        if field["name"] == "secret" {
            field["hidden"] = json!(false);
        }
    }
    superuser.patch("/api/collections/notes", json!({ "fields": fields })).ok();
    check("no field is hidden");
    assert!(page(&guest, &[])["items"][0]["secret"].is_string());
    assert_eq!(superuser.delete("/api/collections/notes/truncate").status, 204);
    check("truncate");
    guest.post(NOTES, json!({ "title": "u", "rank": 3 })).ok();
    assert_eq!(page(&guest, &[])["items"][0]["title"], "u");
    epochs::run(&server.directory().database(), "UPDATE notes SET owner = 'another program'");
    eventually("the foreign write shows", || page(&guest, &[])["items"][0]["owner"] == "another program");
}

#[test]
fn a_page_is_nobody_elses() {
    let server = notebook();
    let (guest, superuser) = (server.guest(), server.superuser());
    // Superusers see what is hidden.
    assert!(page(&superuser, &[])["items"][0]["secret"].is_string());
    assert!(page(&guest, &[])["items"][0].get("secret").is_none());
    assert!(page(&superuser, &[])["items"][0]["secret"].is_string());
    // Each sees what is his own, and of himself his address.
    let user = |name: &str| {
        let email = format!("{name}@example.com");
        let user = json!({ "email": email, "password": "1234567890", "passwordConfirm": "1234567890" });
        let user = superuser.post("/api/collections/users/records", user).ok();
        (user["id"].as_str().unwrap().to_owned(), server.login("users", &email, "1234567890"))
    };
    let users = [user("ann"), user("bob")];
    superuser.patch("/api/collections/notes", json!({ "listRule": "owner = @request.auth.id" })).ok();
    superuser.patch("/api/collections/users", json!({ "listRule": "" })).ok();
    for (own, _) in &users {
        superuser.post(NOTES, json!({ "owner": own })).ok();
    }
    for _ in 0..2 {
        for (own, client) in &users {
            let page = page(client, &[]);
            assert_eq!((&page["totalItems"], &page["items"][0]["owner"]), (&json!(1), &json!(own)));
            let all = client.get("/api/collections/users/records").ok();
            let shown: Vec<&Json> =
                all["items"].as_array().unwrap().iter().filter(|user| user.get("email").is_some()).collect();
            assert_eq!(shown.len(), 1);
            assert_eq!(id(shown[0]), own);
        }
        // The same records, otherwise shown.
        for field in ["id", "title"] {
            let page = page(&superuser, &[("fields", field)]);
            let keys: Vec<&String> = page["items"][0].as_object().unwrap().keys().collect();
            assert_eq!(keys, [field]);
        }
        assert_eq!(page(&superuser, &[("skipTotal", "1")])["totalItems"], -1);
        assert_eq!(page(&superuser, &[])["totalItems"], 6);
        assert_eq!(page(&superuser, &[("page", "7")])["page"], 7);
    }
}
