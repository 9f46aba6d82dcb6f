//! Batches: many writes as one.

use serde_json::{Value as Json, json};

use crate::harness::{Server, Stream};

const RECORDS: &str = "/api/collections/tags/records";

fn tags() -> Server {
    let server = Server::start();
    server.collection(json!({
        "name": "tags",
        "fields": [{ "name": "name", "type": "text" }, { "name": "w", "type": "number" }],
        "indexes": ["CREATE UNIQUE INDEX idx_name ON tags (name) WHERE name != ''"],
    }));
    server
        .superuser()
        .patch("/api/settings", json!({ "batch": { "enabled": true, "maxRequests": 5, "timeout": 3 } }))
        .ok();
    server
}

fn create(body: Json) -> Json {
    json!({ "method": "POST", "url": format!("{RECORDS}?fields=id,name,w"), "body": body })
}

#[test]
fn batches_are_off_by_default() {
    let server = Server::start();
    let error = server.superuser().post("/api/batch", json!({ "requests": [] })).refused(403);
    assert_eq!(error["message"], "Batch requests are not allowed.");
}

#[test]
fn the_writes_of_a_batch_see_each_other() {
    let server = tags();
    let id = "batch0000000001";
    let answer = server.guest().post(
        "/api/batch",
        json!({ "requests": [
        create(json!({ "id": id, "name": "b1" })),
        { "method": "PUT", "url": format!("{RECORDS}?fields=id,w"), "body": { "id": id, "w": 5 } },
        { "method": "PATCH", "url": format!("{RECORDS}/{id}?fields=w"), "body": { "w+": 2 } },
        { "method": "PUT", "url": format!("{RECORDS}?fields=name"), "body": { "id": "batch0000000002", "name": "b2" } },
        { "method": "DELETE", "url": format!("{RECORDS}/{id}"), "headers": { "X-A": "1" } },
    ] }),
    );
    let bodies: Vec<_> =
        answer.ok().as_array().unwrap().iter().map(|item| (item["status"].clone(), item["body"].clone())).collect();
    assert_eq!(
        bodies,
        [
            (json!(200), json!({ "id": id, "name": "b1", "w": 0 })),
            (json!(200), json!({ "id": id, "w": 5 })),
            (json!(200), json!({ "w": 7 })),
            (json!(200), json!({ "name": "b2" })),
            (json!(204), json!(null)),
        ]
    );
    let list = server.guest().get(&format!("{RECORDS}?fields=id,name")).ok();
    assert_eq!(list["items"], json!([{ "id": "batch0000000002", "name": "b2" }]));
}

#[test]
fn one_failure_undoes_all() {
    let server = tags();
    let mut stream = Stream::subscribed(&server.guest(), &["tags/*"]);
    let error = server
        .guest()
        .post("/api/batch", json!({ "requests": [create(json!({ "name": "a" })), create(json!({ "id": "short" })), create(json!({}))] }))
        .refused(400);
    assert_eq!(error["message"], "Batch transaction failed.");
    let item = &error["data"]["requests"]["1"];
    assert_eq!((&item["code"], &item["message"]), (&json!("batch_request_failed"), &json!("Batch request failed.")));
    assert_eq!(item["response"]["status"], 400);
    assert_eq!(item["response"]["data"]["id"]["params"], json!({ "min": 15 }));
    assert_eq!(error["data"]["requests"].as_object().unwrap().len(), 1);
    assert_eq!(server.guest().get(RECORDS).ok()["totalItems"], 0);
    // Nothing was told of it: the first event is of the next write.
    server.guest().post(RECORDS, json!({ "name": "later" })).ok();
    assert_eq!(stream.next().record()["name"], "later");
}

#[test]
fn the_events_of_a_batch_come_in_its_order() {
    let server = tags();
    let mut stream = Stream::subscribed(&server.guest(), &["tags/*"]);
    for round in 0..20 {
        let requests: Vec<_> = (0..5).map(|number| create(json!({ "name": format!("{round}-{number}") }))).collect();
        server.guest().post("/api/batch", json!({ "requests": requests })).ok();
        for number in 0..5 {
            assert_eq!(stream.next().record()["name"], format!("{round}-{number}"));
        }
    }
}

#[test]
fn requests_that_make_no_sense_are_refused() {
    let server = tags();
    for (body, field, code) in [
        (json!({}), "requests", "validation_required"),
        (json!({ "requests": [] }), "requests", "validation_required"),
        (json!({ "requests": vec![create(json!({})); 6] }), "requests", "validation_length_too_long"),
    ] {
        let error = server.guest().post("/api/batch", body.clone()).refused(400);
        assert_eq!(error["data"][field]["code"], code, "{body}: {error}");
    }
    let one = |request: Json| server.guest().post("/api/batch", json!({ "requests": [request] })).refused(400);
    let error = one(json!({ "method": "post", "url": RECORDS }));
    assert_eq!(error["data"]["requests"]["0"]["method"]["code"], "validation_in_invalid", "{error}");
    let error = one(json!({ "method": "POST", "url": "" }));
    assert_eq!(error["data"]["requests"]["0"]["url"]["code"], "validation_required", "{error}");
    for url in ["/api/settings", "/api/collections/tags", "/nothing", "http://example.com/api/collections/tags/records"]
    {
        one(json!({ "method": "PATCH", "url": url, "body": {} }));
    }
    one(json!({ "method": "GET", "url": RECORDS }));
    one(json!({ "method": "POST", "url": "/api/collections/users/auth-with-password", "body": {} }));
    one(json!({ "method": "POST", "url": "/api/collections/nothing/records", "body": {} }));
}

#[test]
fn rules_hold_inside_a_batch() {
    let server = tags();
    server
        .superuser()
        .patch(
            "/api/collections/tags",
            json!({ "createRule": "@request.context = 'batch' && @request.headers.x_a = '1'" }),
        )
        .ok();
    server.guest().post(RECORDS, json!({})).refused(400);
    let mut request = create(json!({ "name": "a" }));
    server.guest().post("/api/batch", json!({ "requests": [request] })).refused(400);
    request["headers"] = json!({ "X-A": "1", "Authorization": "ignored" });
    server.guest().post("/api/batch", json!({ "requests": [request] })).ok();
    // Who asks is who sent the batch.
    server.superuser().patch("/api/collections/tags", json!({ "createRule": null })).ok();
    request["headers"] = json!({ "Authorization": server.superuser().token().unwrap() });
    request["body"]["name"] = json!("b");
    server.guest().post("/api/batch", json!({ "requests": [request] })).refused(400);
    server.superuser().post("/api/batch", json!({ "requests": [request] })).ok();
}
