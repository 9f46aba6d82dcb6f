//! Creating, reading, changing and deleting records; the forms of requests and answers.

use serde_json::{Value as Json, json};

use super::id;
use crate::harness::{Multipart, Server, query};

const RECORDS: &str = "/api/collections/posts/records";

fn posts() -> Server {
    let server = Server::start();
    server.collection(json!({
        "name": "posts",
        "fields": [
            { "name": "title", "type": "text", "max": 50 },
            { "name": "rank", "type": "number" },
            { "name": "public", "type": "bool" },
            { "name": "tags", "type": "select", "values": ["a", "b"], "maxSelect": 2 },
            { "name": "extra", "type": "json" },
            { "name": "day", "type": "date" },
            { "name": "place", "type": "geoPoint" },
            { "name": "body", "type": "editor" },
            { "name": "hid", "type": "text", "hidden": true },
            { "name": "created", "type": "autodate", "onCreate": true },
            { "name": "updated", "type": "autodate", "onCreate": true, "onUpdate": true },
        ],
    }));
    server
}

fn is_date(value: &Json) -> bool {
    let text = value.as_str().unwrap();
    text.len() == 24 && text.ends_with('Z') && text.as_bytes()[10] == b' '
}

#[test]
fn a_record_has_all_its_fields_in_order_of_their_names() {
    let server = posts();
    let answer = server.guest().request("POST", RECORDS).send();
    let made = answer.ok();
    assert!(is_date(&made["created"]) && made["created"] == made["updated"], "{made}");
    let mut rest = made.clone();
    for key in ["id", "created", "updated", "collectionId"] {
        rest.as_object_mut().unwrap().remove(key);
    }
    assert_eq!(
        rest,
        json!({ "body": "", "collectionName": "posts", "day": "", "extra": null, "place": { "lon": 0, "lat": 0 },
            "public": false, "rank": 0, "tags": [], "title": "" })
    );
    let keys =
        |text: &str| text.find("\"body\"") < text.find("\"created\"") && text.find("\"tags\"") < text.find("\"title\"");
    assert!(keys(&answer.text()), "{}", answer.text());
    assert!(answer.text().ends_with("}\n"));
    for (name, value) in [
        ("content-type", "application/json"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "SAMEORIGIN"),
        ("x-xss-protection", "1; mode=block"),
        ("vary", "Origin"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{name}");
    }
}

#[test]
fn the_life_of_a_record() {
    let server = posts();
    let guest = server.guest();
    let made = guest
        .post(RECORDS, json!({ "title": "one", "created": "2000-01-01", "nothing": 1, "collectionName": "x" }))
        .ok();
    assert_eq!((&made["title"], &made["collectionName"]), (&json!("one"), &json!("posts")));
    assert!(made["created"].as_str().unwrap() > "2020" && made.get("nothing").is_none());
    let path = format!("{RECORDS}/{}", id(&made));
    assert_eq!(guest.get(&path).ok(), made);

    let changed = guest.patch(&path, json!({ "rank": 3 })).ok();
    assert_eq!(
        (&changed["title"], &changed["rank"], &changed["created"]),
        (&json!("one"), &json!(3), &made["created"])
    );
    assert_eq!(guest.get(&path).ok(), changed);

    let deleted = guest.delete(&path);
    assert_eq!((deleted.status, deleted.text().as_str()), (204, ""));
    for answer in [guest.get(&path), guest.patch(&path, json!({})), guest.delete(&path)] {
        let error = answer.refused(404);
        assert_eq!(error, json!({ "data": {}, "message": "The requested resource wasn't found.", "status": 404 }));
    }
}

#[test]
fn collections_are_found_by_id_and_by_name_in_any_case() {
    let server = posts();
    let collection = server.superuser().get("/api/collections/posts").ok();
    for name in [id(&collection), "posts", "POSTS", "Posts"] {
        server.guest().post(&format!("/api/collections/{name}/records"), json!({ "title": name })).ok();
    }
    let error = server.guest().get("/api/collections/nothing/records").refused(404);
    assert_eq!(error["message"], "Missing collection context.");
}

#[test]
fn there_are_no_other_methods_and_routes() {
    let server = posts();
    let guest = server.guest();
    for (method, path) in [
        ("PUT", RECORDS.to_owned()),
        ("PATCH", RECORDS.to_owned()),
        ("DELETE", RECORDS.to_owned()),
        ("POST", format!("{RECORDS}/x")),
        ("GET", "/api/nothing".to_owned()),
        ("GET", format!("{RECORDS}/x/y")),
        ("POST", "/api/".to_owned()),
    ] {
        guest.request(method, &path).json(&json!({})).send().refused(404);
    }
}

#[test]
fn an_invalid_token_is_nobodys_and_a_good_one_needs_no_word_before_it() {
    let server = posts();
    let superuser = server.superuser();
    superuser.patch("/api/collections/posts", json!({ "listRule": null })).ok();
    let token = superuser.token().unwrap();
    for good in [token.to_owned(), format!("Bearer {token}"), format!("bearer {token}")] {
        server.guest().with_token(&good).get(RECORDS).ok();
    }
    for bad in ["nonsense", "Bearer", "Basic YTpi", &token[1..]] {
        let error = server.guest().with_token(bad).get(RECORDS).refused(403);
        assert_eq!(error["message"], "Only superusers can perform this action.");
    }
}

#[test]
fn bodies_come_in_three_forms() {
    let server = posts();
    let guest = server.guest();
    let expected = |record: &Json| {
        let values = ["title", "rank", "public", "tags", "extra"].map(|name| record[name].clone());
        assert_eq!(values, [json!("5 a"), json!(2.5), json!(true), json!(["a", "b"]), json!({ "x": 1 })], "{record}");
    };
    let body = json!({ "title": "5 a", "rank": 2.5, "public": true, "tags": ["a", "b"], "extra": { "x": 1 } });
    expected(&guest.post(RECORDS, body).ok());
    let fields =
        [("title", "5 a"), ("rank", "2.5"), ("public", "true"), ("tags", "a"), ("tags", "b"), ("extra", r#"{"x":1}"#)];
    expected(&guest.request("POST", RECORDS).form(&fields).send().ok());
    let parts = fields.iter().fold(Multipart::new(), |parts, (name, value)| parts.text(name, value));
    expected(&guest.request("POST", RECORDS).multipart(parts).send().ok());
    let payload = r#"{"title":"5 a","rank":2.5,"public":true,"tags":["a","b"],"extra":{"x":1}}"#;
    let parts = Multipart::new().text("title", "laid over").text("@jsonPayload", payload);
    expected(&guest.request("POST", RECORDS).multipart(parts).send().ok());
    let form = [
        ("@jsonPayload", r#"{"title":"5 a","rank":2.5,"tags":["a","b"]}"#),
        ("@jsonPayload", r#"{"public":true,"extra":{"x":1}}"#),
    ];
    expected(&guest.request("POST", RECORDS).form(&form).send().ok());
}

#[test]
fn forms_are_read_for_numbers_and_truth_values() {
    let server = posts();
    for (text, value) in [
        ("5", json!(5)),
        ("-1.5", json!(-1.5)),
        ("0005", json!("0005")),
        ("true", json!(true)),
        ("True", json!("True")),
        ("", json!("")),
        ("a b+c", json!("a b+c")),
    ] {
        let made = server.guest().request("POST", RECORDS).form(&[("extra", text)]).send().ok();
        assert_eq!(made["extra"], value, "{text}");
    }
    // What a form sends beside the body counts as well; beside JSON it does not.
    let path = format!("{RECORDS}?title=beside");
    assert_eq!(server.guest().request("POST", &path).form(&[("rank", "1")]).send().ok()["title"], "beside");
    assert_eq!(server.guest().post(&path, json!({ "rank": 1 })).ok()["title"], "");
}

#[test]
fn bodies_that_are_only_nearly_right() {
    let server = posts();
    let guest = server.guest();
    let send = |content_type: &str, body: &str| guest.request("POST", RECORDS).body(content_type, body).send();
    for (content_type, body, title) in [
        ("application/json", "null", ""),
        ("application/json", "{\"title\":\"a\"} and more", "a"),
        ("application/json", "{\"title\":\"a\",\"title\":\"b\"}", "b"),
        ("application/json; charset=utf-8", "{\"title\":\"a\"}", "a"),
    ] {
        assert_eq!(send(content_type, body).ok()["title"], title, "{body}");
    }
    for (content_type, body) in
        [("text/plain", "{}"), ("Application/JSON", "{}"), ("application/json", "[]"), ("application/xml", "<a/>")]
    {
        send(content_type, body).refused(400);
    }
}

#[test]
fn an_update_without_changes_is_an_update() {
    let server = posts();
    let made = server.guest().post(RECORDS, json!({ "title": "a" })).ok();
    let changed = server.guest().patch(&format!("{RECORDS}/{}", id(&made)), json!({})).ok();
    assert_eq!(changed["created"], made["created"]);
    assert!(changed["updated"].as_str() >= made["updated"].as_str());
}

#[test]
fn lists_are_paged() {
    let server = posts();
    let guest = server.guest();
    for rank in 1..=5 {
        guest.post(RECORDS, json!({ "rank": rank })).ok();
    }
    for (pairs, ranks, rest) in [
        (vec![], vec![1, 2, 3, 4, 5], json!([1, 30, 5, 1])),
        (vec![("perPage", "2")], vec![1, 2], json!([1, 2, 5, 3])),
        (vec![("perPage", "2"), ("page", "3")], vec![5], json!([3, 2, 5, 3])),
        (vec![("perPage", "2"), ("page", "9")], vec![], json!([9, 2, 5, 3])),
        (vec![("perPage", "0"), ("page", "-1")], vec![1, 2, 3, 4, 5], json!([1, 30, 5, 1])),
        (vec![("perPage", "5000")], vec![1, 2, 3, 4, 5], json!([1, 1000, 5, 1])),
        (vec![("skipTotal", "1"), ("perPage", "2")], vec![1, 2], json!([1, 2, -1, -1])),
        (vec![("skipTotal", "T"), ("filter", "rank > 3")], vec![4, 5], json!([1, 30, -1, -1])),
        (vec![("filter", "rank > 3"), ("sort", "-rank")], vec![5, 4], json!([1, 30, 2, 1])),
        (vec![("page", "2"), ("page", "1"), ("perPage", "3")], vec![4, 5], json!([2, 3, 5, 2])),
    ] {
        let list = guest.get(&format!("{RECORDS}?{}", query(&pairs))).ok();
        let found: Vec<_> = list["items"].as_array().unwrap().iter().map(|item| item["rank"].clone()).collect();
        assert_eq!(found, ranks, "{pairs:?}");
        let told: Json =
            ["page", "perPage", "totalItems", "totalPages"].iter().map(|name| list[name].clone()).collect();
        assert_eq!(told, rest, "{pairs:?}");
    }
    let empty = guest.get(&format!("{RECORDS}?filter=rank%3D9")).ok();
    assert_eq!(empty, json!({ "items": [], "page": 1, "perPage": 30, "totalItems": 0, "totalPages": 0 }));
}

#[test]
fn fields_are_picked() {
    let server = posts();
    let guest = server.guest();
    let record = json!({ "title": "t", "rank": 1, "extra": { "a": { "b": 1, "c": 2 }, "l": [{ "x": 1, "y": 2 }, { "x": 3 }] },
        "body": "<p>Hi <b>there</b></p> you" });
    let made = guest.post(RECORDS, record).ok();
    let path = format!("{RECORDS}/{}", id(&made));
    for (fields, picked) in [
        ("title", json!({ "title": "t" })),
        (" title , rank ", json!({ "title": "t", "rank": 1 })),
        ("extra.a.b", json!({ "extra": { "a": { "b": 1 } } })),
        ("extra.l.x", json!({ "extra": { "l": [{ "x": 1 }, { "x": 3 }] } })),
        ("extra.*,extra.a.b", json!({ "extra": { "a": { "b": 1 }, "l": [{ "x": 1, "y": 2 }, { "x": 3 }] } })),
        ("nothing", json!({})),
        ("body:excerpt(5,true)", json!({ "body": "Hi th..." })),
        ("body:excerpt(5)", json!({ "body": "Hi th" })),
        ("body:excerpt(50,true),rank:excerpt(1)", json!({ "body": "Hi there you", "rank": 1 })),
    ] {
        let answer = guest.get(&format!("{path}?{}", query(&[("fields", fields)]))).ok();
        assert_eq!(answer, picked, "{fields}");
    }
    let list = guest.get(&format!("{RECORDS}?fields=title")).ok();
    assert_eq!(
        list,
        json!({ "items": [{ "title": "t" }], "page": 1, "perPage": 30, "totalItems": 1, "totalPages": 1 })
    );
    assert_eq!(guest.get(&format!("{RECORDS}?fields=items.title")).ok()["items"], json!([{}]));
    assert_eq!(guest.post(&format!("{RECORDS}?fields=rank"), json!({ "rank": 2 })).ok(), json!({ "rank": 2 }));
    assert_eq!(guest.patch(&format!("{path}?fields=rank"), json!({ "rank": 3 })).ok(), json!({ "rank": 3 }));
    let wrong = guest.get(&format!("{path}?fields=body:nothing(1)"));
    assert_eq!((wrong.status, wrong.text().as_str()), (200, ""));
}

#[test]
fn hidden_fields_are_for_superusers() {
    let server = posts();
    let superuser = server.superuser();
    let made = server.guest().post(RECORDS, json!({ "title": "a", "hid": "guest" })).ok();
    assert!(made.get("hid").is_none());
    let path = format!("{RECORDS}/{}", id(&made));
    assert_eq!(superuser.get(&path).ok()["hid"], "");
    superuser.patch(&path, json!({ "hid": "super" })).ok();
    server.guest().patch(&path, json!({ "hid": "guest" })).ok();
    assert_eq!(superuser.get(&path).ok()["hid"], "super");
    assert!(server.guest().get(&format!("{path}?fields=hid,title")).ok().get("hid").is_none());
}

#[test]
fn a_view_is_read_but_not_written() {
    let server = posts();
    server.guest().post(RECORDS, json!({ "title": "a", "rank": 1 })).ok();
    server.guest().post(RECORDS, json!({ "title": "b", "rank": 2 })).ok();
    server.collection(json!({ "name": "high", "type": "view", "viewQuery": "SELECT id, title, (rank * 10) AS tens FROM posts WHERE rank > 1" }));
    let list = server.guest().get("/api/collections/high/records").ok();
    assert_eq!(list["totalItems"], 1);
    let item = &list["items"][0];
    assert_eq!((&item["title"], &item["tens"], &item["collectionName"]), (&json!("b"), &json!(20), &json!("high")));
    let path = format!("/api/collections/high/records/{}", id(item));
    assert_eq!(server.guest().get(&path).ok(), *item);
    for client in [server.guest(), server.superuser()] {
        for answer in [
            client.post("/api/collections/high/records", json!({})),
            client.patch(&path, json!({})),
            client.delete(&path),
        ] {
            assert_eq!(answer.refused(400)["message"], "Unsupported collection type.");
        }
    }
}

#[test]
fn deleting_follows_the_references() {
    let server = Server::start();
    let parents = server.collection(json!({ "name": "parents", "fields": [] }));
    let child = |name: &str, options: Json| {
        let mut field = json!({ "name": "parent", "type": "relation", "collectionId": parents["id"], "maxSelect": 1 });
        field.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
        server.collection(json!({ "name": name, "fields": [field] }));
    };
    child("cascading", json!({ "cascadeDelete": true }));
    child("optional", json!({}));
    child("several", json!({ "maxSelect": 3, "cascadeDelete": true }));
    child("required", json!({ "required": true }));
    let guest = server.guest();
    let make = |collection: &str, body: Json| {
        let made = guest.post(&format!("/api/collections/{collection}/records"), body).ok();
        id(&made).to_owned()
    };
    let get = |collection: &str, id: &str| guest.get(&format!("/api/collections/{collection}/records/{id}"));
    let (one, two) = (make("parents", json!({})), make("parents", json!({})));
    let cascading = make("cascading", json!({ "parent": one }));
    let optional = make("optional", json!({ "parent": one }));
    let several = make("several", json!({ "parent": [one, two] }));
    let required = make("required", json!({ "parent": one }));

    let error = guest.delete(&format!("/api/collections/parents/records/{one}")).refused(400);
    assert_eq!(
        error["message"],
        "Failed to delete record. Make sure that the record is not part of a required relation reference."
    );
    get("cascading", &cascading).ok();
    assert_eq!(get("optional", &optional).ok()["parent"], one);

    guest.delete(&format!("/api/collections/required/records/{required}")).ok();
    guest.delete(&format!("/api/collections/parents/records/{one}")).ok();
    get("cascading", &cascading).refused(404);
    assert_eq!(get("optional", &optional).ok()["parent"], "");
    assert_eq!(get("several", &several).ok()["parent"], json!([two]));
    guest.delete(&format!("/api/collections/parents/records/{two}")).ok();
    get("several", &several).refused(404);
}
