//! What each field type makes of a value: casts, checks and their codes, modifiers.

use serde_json::{Value as Json, json};

use super::id;
use crate::harness::{Client, Server};

const RECORDS: &str = "/api/collections/all/records";

/// A collection with a field `f` of a kind, and a client that may write.
fn with_field(mut field: Json) -> (Server, Client) {
    let server = Server::start();
    field["name"] = json!("f");
    server.collection(json!({ "name": "all", "fields": [field] }));
    let guest = server.guest();
    (server, guest)
}

/// Creates a record for each value and compares what is answered then and read later.
#[track_caller]
fn assert_casts(field: Json, cases: &[(Json, Json)]) {
    let (_server, guest) = with_field(field.clone());
    for (value, expected) in cases {
        let made = guest.post(RECORDS, json!({ "f": value })).ok();
        assert_eq!(&made["f"], expected, "{field}: {value}");
        assert_eq!(guest.get(&format!("{RECORDS}/{}", id(&made))).ok(), made, "{field}: {value}");
    }
}

/// Creates a record for each value and compares the code of the error; an empty code is no error.
#[track_caller]
fn assert_codes(field: Json, cases: &[(Json, &str)]) {
    let (_server, guest) = with_field(field.clone());
    for (value, code) in cases {
        let answer = guest.post(RECORDS, json!({ "f": value }));
        if code.is_empty() {
            answer.ok();
            continue;
        }
        assert_eq!(answer.status, 400, "{field}: {value:.60}: {}", answer.text());
        let error = answer.refused(400);
        assert_eq!(error["data"]["f"]["code"], *code, "{field}: {value:.60}: {error}");
        assert_eq!(error["message"], "Failed to create record.");
    }
}

#[test]
fn texts() {
    assert_casts(
        json!({ "type": "text" }),
        &[
            (json!(" a b "), json!(" a b ")),
            (json!(5), json!("5")),
            (json!(-1.5), json!("-1.5")),
            (json!(1e21), json!("1000000000000000000000")),
            (json!(true), json!("true")),
            (json!(null), json!("")),
            (json!(["a"]), json!("")),
            (json!({ "a": 1 }), json!("")),
            (json!("Ünï\u{2028}<b>&☂"), json!("Ünï\u{2028}<b>&☂")),
        ],
    );
    assert_codes(
        json!({ "type": "text", "min": 2, "max": 4, "pattern": "^[a-zü]+$" }),
        &[
            (json!("ab"), ""),
            (json!(""), ""),
            (json!("üüüü"), ""),
            (json!("a"), "validation_min_text_constraint"),
            (json!("abcde"), "validation_max_text_constraint"),
            (json!("ABC"), "validation_invalid_format"),
        ],
    );
    assert_codes(
        json!({ "type": "text" }),
        &[(json!("x".repeat(5000)), ""), (json!("x".repeat(5001)), "validation_max_text_constraint")],
    );
    assert_codes(
        json!({ "type": "text", "required": true }),
        &[(json!("  "), ""), (json!(""), "validation_required"), (json!(null), "validation_required")],
    );
}

#[test]
fn editors() {
    assert_codes(
        json!({ "type": "editor", "maxSize": 5 }),
        &[
            (json!("12345"), ""),
            (json!("123456"), "validation_content_size_limit"),
            (json!("üüü"), "validation_content_size_limit"),
        ],
    );
}

#[test]
fn numbers() {
    assert_casts(
        json!({ "type": "number" }),
        &[
            (json!(5), json!(5)),
            (json!(2.50), json!(2.5)),
            (json!("5"), json!(5)),
            (json!("1e3"), json!(1000)),
            (json!("+3"), json!(3)),
            (json!("010"), json!(10)),
            (json!(".5"), json!(0.5)),
            (json!("1_000"), json!(1000)),
            (json!(true), json!(1)),
            (json!(" 5"), json!(0)),
            (json!("abc"), json!(0)),
            (json!(null), json!(0)),
            (json!([1]), json!(0)),
            (json!(9007199254740991_i64), json!(9007199254740991_i64)),
        ],
    );
    assert_codes(
        json!({ "type": "number", "min": 2, "max": 8, "onlyInt": true }),
        &[
            (json!(2), ""),
            (json!(8), ""),
            (json!(0), ""),
            (json!(1), "validation_min_number_constraint"),
            (json!(9), "validation_max_number_constraint"),
            (json!(2.5), "validation_only_int_constraint"),
            (json!("NaN"), "validation_not_a_number"),
            (json!("Inf"), "validation_not_a_number"),
        ],
    );
    assert_codes(json!({ "type": "number", "required": true }), &[(json!(0), "validation_required"), (json!(1), "")]);
}

#[test]
fn bools() {
    let (yes, no) = (json!(true), json!(false));
    let cases: Vec<_> =
        [json!(true), json!(1), json!(-2), json!("1"), json!("t"), json!("T"), json!("TRUE"), json!("True")]
            .into_iter()
            .map(|value| (value, yes.clone()))
            .chain(
                [json!(false), json!(0), json!("yes"), json!("on"), json!("tRUE"), json!(null), json!([true])]
                    .into_iter()
                    .map(|value| (value, no.clone())),
            )
            .collect();
    assert_casts(json!({ "type": "bool" }), &cases);
    assert_codes(
        json!({ "type": "bool", "required": true }),
        &[(json!(false), "validation_required"), (json!(true), "")],
    );
}

#[test]
fn emails_and_urls() {
    assert_codes(
        json!({ "type": "email", "onlyDomains": ["example.com"] }),
        &[
            (json!("a@example.com"), ""),
            (json!(""), ""),
            (json!("a@example.org"), "validation_email_domain_not_allowed"),
            (json!("a@Example.com"), "validation_email_domain_not_allowed"),
            (json!("a@localhost"), "validation_is_email"),
            (json!("a"), "validation_is_email"),
            (json!("a b@example.com"), "validation_is_email"),
        ],
    );
    assert_codes(
        json!({ "type": "email", "exceptDomains": ["example.com"] }),
        &[(json!("a@example.org"), ""), (json!("a@example.com"), "validation_email_domain_not_allowed")],
    );
    assert_codes(
        json!({ "type": "url" }),
        &[
            (json!("https://example.com/a?b=c#d"), ""),
            (json!("example.com"), ""),
            (json!("ftp://example.com"), ""),
            (json!("http://127.0.0.1:8090"), ""),
            (json!("a"), "validation_invalid_url"),
            (json!("http://"), "validation_invalid_url"),
            (json!("not a url"), "validation_invalid_url"),
        ],
    );
    assert_codes(
        json!({ "type": "url", "onlyDomains": ["example.com"] }),
        &[
            (json!("https://example.com/x"), ""),
            (json!("https://www.example.com"), "validation_url_domain_not_allowed"),
        ],
    );
}

#[test]
fn dates() {
    assert_casts(
        json!({ "type": "date" }),
        &[
            (json!("2024-02-29"), json!("2024-02-29 00:00:00.000Z")),
            (json!("2024-02-29 12:13:14"), json!("2024-02-29 12:13:14.000Z")),
            (json!("2024-02-29 12:13:14.5678Z"), json!("2024-02-29 12:13:14.567Z")),
            (json!("2024-02-29T12:13:14+02:00"), json!("2024-02-29 10:13:14.000Z")),
            (json!("2024-02-29T12:13:14"), json!("2024-02-29 12:13:14.000Z")),
            (json!("Mon, 02 Jan 2006 15:04:05 +0000"), json!("2006-01-02 15:04:05.000Z")),
            (json!("02 Jan 2006"), json!("2006-01-02 00:00:00.000Z")),
            (json!("2023-02-29"), json!("")),
            (json!("2024-02-29 12:13"), json!("")),
            (json!("tomorrow"), json!("")),
            (json!(1_700_000_000), json!("")),
            (json!(""), json!("")),
            (json!(null), json!("")),
        ],
    );
    assert_codes(
        json!({ "type": "date", "min": "2020-01-01 00:00:00.000Z", "max": "2021-01-01 00:00:00.000Z" }),
        &[
            (json!("2020-01-01"), ""),
            (json!("2021-01-01"), ""),
            (json!(""), ""),
            (json!("2019-12-31"), "validation_min_greater_equal_than_required"),
            (json!("2021-01-02"), "validation_max_less_equal_than_required"),
        ],
    );
}

#[test]
fn selects() {
    let values = json!(["a", "b", "c", "5"]);
    assert_casts(
        json!({ "type": "select", "values": values, "maxSelect": 3 }),
        &[
            (json!(["b", "a"]), json!(["b", "a"])),
            (json!("a"), json!(["a"])),
            (json!(5), json!(["5"])),
            (json!(["a", "a", null, "", "b"]), json!(["a", "b"])),
            (json!("[\"a\",\"c\"]"), json!(["a", "c"])),
            (json!(null), json!([])),
            (json!({ "a": 1 }), json!([])),
        ],
    );
    assert_casts(
        json!({ "type": "select", "values": values, "maxSelect": 1 }),
        &[(json!("a"), json!("a")), (json!(["a", "b"]), json!("b")), (json!(null), json!(""))],
    );
    assert_codes(
        json!({ "type": "select", "values": values, "maxSelect": 2, "required": true }),
        &[
            (json!(["a", "b"]), ""),
            (json!([]), "validation_required"),
            (json!(["a", "b", "c"]), "validation_too_many_values"),
            (json!(["a", "z"]), "validation_invalid_value"),
        ],
    );
}

#[test]
fn json_values() {
    assert_casts(
        json!({ "type": "json" }),
        &[
            (json!({ "b": 1, "a": [1, 2.5, null, "x"] }), json!({ "a": [1, 2.5, null, "x"], "b": 1 })),
            (json!("text"), json!("text")),
            (json!("true"), json!(true)),
            (json!("12"), json!(12)),
            (json!("[1, 2]"), json!([1, 2])),
            (json!("{broken"), json!("{broken")),
            (json!("\"quoted\""), json!("quoted")),
            (json!("null"), json!(null)),
            (json!(""), json!("")),
            (json!(null), json!(null)),
            (json!(5), json!(5)),
            (json!(true), json!(true)),
            (json!([]), json!([])),
        ],
    );
    assert_codes(
        json!({ "type": "json", "maxSize": 10, "required": true }),
        &[
            (json!("abc"), ""),
            (json!({}), "validation_required"),
            (json!([]), "validation_required"),
            (json!(null), "validation_required"),
            (json!("1234567890"), ""),
            (json!("abcdefghijk"), "validation_json_size_limit"),
        ],
    );
}

#[test]
fn places() {
    assert_casts(
        json!({ "type": "geoPoint" }),
        &[
            (json!({ "lon": 1.5, "lat": -2 }), json!({ "lon": 1.5, "lat": -2 })),
            (json!("{\"lon\":3,\"lat\":4}"), json!({ "lon": 3, "lat": 4 })),
            (json!({ "lon": 3 }), json!({ "lon": 3, "lat": 0 })),
            (json!("x"), json!({ "lon": 0, "lat": 0 })),
            (json!([1, 2]), json!({ "lon": 0, "lat": 0 })),
            (json!(null), json!({ "lon": 0, "lat": 0 })),
        ],
    );
    assert_codes(
        json!({ "type": "geoPoint", "required": true }),
        &[
            (json!({ "lon": 180, "lat": 90 }), ""),
            (json!({ "lon": 0, "lat": 0 }), "validation_required"),
            (json!({ "lon": 181, "lat": 1 }), "validation_invalid_longitude"),
            (json!({ "lon": 1, "lat": -91 }), "validation_invalid_latitude"),
        ],
    );
}

#[test]
fn passwords_are_kept_but_never_told() {
    let (server, guest) = with_field(json!({ "type": "password", "min": 4, "cost": 5 }));
    let made = guest.post(RECORDS, json!({ "f": "12345" })).ok();
    assert_eq!(made["f"], "");
    assert_eq!(server.superuser().get(&format!("{RECORDS}/{}", id(&made))).ok()["f"], "");
    for (value, code) in
        [(json!("123"), "validation_min_text_constraint"), (json!("x".repeat(72)), "validation_max_text_constraint")]
    {
        let error = guest.post(RECORDS, json!({ "f": value })).refused(400);
        assert_eq!(error["data"]["f"]["code"], code, "{value}: {error}");
    }
    // bcrypt reads 72 bytes: more would not count.
    guest.post(RECORDS, json!({ "f": "ü".repeat(36) })).ok();
    guest.post(RECORDS, json!({ "f": "ü".repeat(37) })).refused(400);
}

#[test]
fn relations() {
    let server = Server::start();
    let tags = server.collection(json!({ "name": "tags", "fields": [] }));
    for number in 1..=3 {
        server.guest().post("/api/collections/tags/records", json!({ "id": format!("tag00000000000{number}") })).ok();
    }
    let relation = |name: &str, min: u32, max: u32| json!({ "name": name, "type": "relation", "collectionId": tags["id"], "minSelect": min, "maxSelect": max });
    server.collection(json!({ "name": "all", "fields": [relation("one", 0, 1), relation("many", 2, 3)] }));
    let guest = server.guest();
    let tag = |number: u32| format!("tag00000000000{number}");

    let made = guest.post(RECORDS, json!({ "one": [tag(1), tag(2)], "many": [tag(3), tag(1), tag(3)] })).ok();
    assert_eq!((&made["one"], &made["many"]), (&json!(tag(2)), &json!([tag(3), tag(1)])));
    for (body, field, code) in [
        (json!({ "one": "nobody000000000" }), "one", "validation_missing_rel_records"),
        (json!({ "many": [tag(1)] }), "many", "validation_not_enough_values"),
        (json!({ "many": [tag(1), "nobody000000000"] }), "many", "validation_missing_rel_records"),
        (json!({ "many": [tag(1), tag(2), tag(3), "nobody000000000"] }), "many", "validation_too_many_values"),
    ] {
        let error = guest.post(RECORDS, body.clone()).refused(400);
        assert_eq!(error["data"][field]["code"], code, "{body}");
    }
}

#[test]
fn modifiers_are_applied_to_what_is_stored() {
    let server = Server::start();
    server.collection(json!({ "name": "all", "fields": [
        { "name": "n", "type": "number" },
        { "name": "tags", "type": "select", "values": ["a", "b", "c"], "maxSelect": 3 },
        { "name": "one", "type": "select", "values": ["a", "b", "c"], "maxSelect": 1 },
        { "name": "title", "type": "text" },
        { "name": "slug", "type": "text", "autogeneratePattern": "[a-z]{6}" },
    ] }));
    let guest = server.guest();
    let before = json!({ "n": 5, "tags": ["a", "b"], "one": "a", "title": "t" });
    for (change, field, after) in [
        (json!({ "n+": 3 }), "n", json!(8)),
        (json!({ "n-": 7 }), "n", json!(-2)),
        (json!({ "n": 10, "n+": 1 }), "n", json!(11)),
        (json!({ "n+": 1, "n-": 3, "n": 0 }), "n", json!(-2)),
        (json!({ "+n": 1 }), "n", json!(5)),
        (json!({ "tags+": "c" }), "tags", json!(["a", "b", "c"])),
        (json!({ "+tags": ["c"] }), "tags", json!(["c", "a", "b"])),
        (json!({ "tags-": ["a", "z"] }), "tags", json!(["b"])),
        (json!({ "tags+": "c", "tags-": "c" }), "tags", json!(["a", "b"])),
        (json!({ "tags+": "a" }), "tags", json!(["a", "b"])),
        (json!({ "one+": "b" }), "one", json!("b")),
        (json!({ "one-": "a" }), "one", json!("")),
        (json!({ "title+": "x" }), "title", json!("t")),
        (json!({ "title:autogenerate": "x" }), "title", json!("x")),
    ] {
        let made = guest.post(RECORDS, before.clone()).ok();
        let changed = guest.patch(&format!("{RECORDS}/{}", id(&made)), change.clone()).ok();
        assert_eq!(changed[field], after, "{change}");
    }
    let made = guest.post(RECORDS, json!({ "slug:autogenerate": "pre-" })).ok();
    let slug = made["slug"].as_str().unwrap();
    assert!(slug.starts_with("pre-") && slug.len() == 10, "{slug}");
    let made = guest.post(RECORDS, json!({})).ok();
    assert_eq!(made["slug"].as_str().unwrap().len(), 6, "{made}");
}

#[test]
fn ids() {
    let (_server, guest) = with_field(json!({ "type": "text" }));
    let made = guest.post(RECORDS, json!({ "id": "" })).ok();
    assert!(id(&made).len() == 15 && id(&made).bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()), "{made}");
    assert_eq!(guest.post(RECORDS, json!({ "id": 123456789012345_i64 })).ok()["id"], "123456789012345");
    for (value, code) in [
        ("12345678901234", "validation_min_text_constraint"),
        ("1234567890123456", "validation_max_text_constraint"),
        ("ABCDEFGHIJKLMNO", "validation_invalid_format"),
        ("123456789012345", "validation_not_unique"),
    ] {
        let error = guest.post(RECORDS, json!({ "id": value })).refused(400);
        assert_eq!(error["data"]["id"]["code"], code, "{value}: {error}");
    }
    let path = format!("{RECORDS}/123456789012345");
    assert_eq!(
        guest.patch(&path, json!({ "id": "another00000000" })).refused(400)["data"]["id"]["code"],
        "validation_pk_change"
    );
    guest.patch(&path, json!({ "id": "123456789012345" })).ok();
}

#[test]
fn unique_indexes_name_every_column() {
    let server = Server::start();
    server.collection(json!({
        "name": "all",
        "fields": [{ "name": "a", "type": "text" }, { "name": "b", "type": "text" }, { "name": "c", "type": "text" }],
        "indexes": [
            "CREATE UNIQUE INDEX idx_ab ON `all` (a, b)",
            "CREATE UNIQUE INDEX idx_c ON `all` (c) WHERE c != ''",
        ],
    }));
    let guest = server.guest();
    guest.post(RECORDS, json!({ "a": "1", "b": "2", "c": "3" })).ok();
    let unique = json!({ "code": "validation_not_unique", "message": "Value must be unique." });
    let error = guest.post(RECORDS, json!({ "a": "1", "b": "2" })).refused(400);
    assert_eq!(error["data"], json!({ "a": unique, "b": unique }));
    let error = guest.post(RECORDS, json!({ "c": "3" })).refused(400);
    assert_eq!(error["data"], json!({ "c": unique }));
    guest.post(RECORDS, json!({ "a": "1", "b": "3" })).ok();
}
