//! The same random requests to PocketBase and to us: the answers are the same, values and errors alike.
//!
//! `HEADWATER_TWIN_REQUESTS` is how many requests are made, `HEADWATER_TWIN_SEED` repeats a run.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Map, Value as Json, json};

use crate::harness::{Answer, Client, Directory, Program, Server, query};

const RECORDS: &str = "/api/collections/all/records";

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// Our server and the reference, on copies of one directory.
struct Twins {
    clients: [Client; 2],
    /// What was answered differently.
    differences: Vec<String>,
}

impl Twins {
    /// Sends the same to both and compares what comes back, but for the times of the writes.
    fn send(&mut self, method: &str, path: &str, body: Option<&Json>) -> Sent {
        let [ours, theirs] = self.clients.each_ref().map(|client| {
            let request = client.request(method, path);
            plain(&body.map_or_else(|| client.request(method, path), |body| request.json(body)).send())
        });
        if ours != theirs {
            let shown = body.map(Json::to_string).unwrap_or_default();
            self.differences.push(format!("{method} {path} {shown}\n    ours:   {ours}\n    theirs: {theirs}"));
            return Sent::Differed;
        }
        if ours[0] == 200 { Sent::Accepted } else { Sent::Refused }
    }

    /// Takes a record away from both, so that one difference does not lead to more.
    fn forget(&mut self, path: &str) {
        for client in &self.clients {
            client.delete(path);
        }
    }
}

#[derive(PartialEq)]
enum Sent {
    Accepted,
    Refused,
    Differed,
}

/// Status and body of an answer, without the times. How a number is written (`1e3`, `-0`) is left to each.
fn plain(answer: &Answer) -> Json {
    fn simplify(value: &mut Json) {
        match value {
            Json::Object(object) => {
                object.remove("created");
                object.remove("updated");
                object.values_mut().for_each(simplify);
            }
            Json::Array(items) => items.iter_mut().for_each(simplify),
            Json::Number(number) => *value = json!(number.as_f64().unwrap_or_default() + 0.0),
            _ => {}
        }
    }
    let mut body = if answer.body.is_empty() { Json::Null } else { answer.json() };
    simplify(&mut body);
    json!([answer.status, body])
}

/// A collection with a field of most kinds, with and without limits.
fn definition(users: &Json) -> Json {
    json!({
        "name": "all",
        "type": "base",
        "listRule": "", "viewRule": "", "createRule": "", "updateRule": "", "deleteRule": "",
        "fields": [
            { "name": "text", "type": "text" },
            { "name": "short", "type": "text", "min": 2, "max": 5, "pattern": "^[a-z]+$" },
            { "name": "editor", "type": "editor", "maxSize": 20 },
            { "name": "num", "type": "number" },
            { "name": "int", "type": "number", "onlyInt": true, "min": -5, "max": 100 },
            { "name": "flag", "type": "bool" },
            { "name": "mail", "type": "email" },
            { "name": "mails", "type": "email", "exceptDomains": ["example.com"] },
            { "name": "url", "type": "url" },
            { "name": "date", "type": "date" },
            { "name": "late", "type": "date", "min": "2020-01-01 00:00:00.000Z" },
            { "name": "one", "type": "select", "values": ["a", "b", "1"], "maxSelect": 1 },
            { "name": "many", "type": "select", "values": ["a", "b", "c", "1"], "maxSelect": 3 },
            { "name": "json", "type": "json" },
            { "name": "small", "type": "json", "maxSize": 12 },
            { "name": "geo", "type": "geoPoint" },
            { "name": "user", "type": "relation", "collectionId": users, "maxSelect": 1 },
            { "name": "users", "type": "relation", "collectionId": users, "minSelect": 1, "maxSelect": 2 },
        ],
    })
}

const FIELDS: [&str; 18] = [
    "text", "short", "editor", "num", "int", "flag", "mail", "mails", "url", "date", "late", "one", "many", "json",
    "small", "geo", "user", "users",
];

/// Texts that mean something to some field, or that are nearly right.
const TEXTS: &[&str] = &[
    "",
    " ",
    "a",
    "b",
    "abc",
    "abcdef",
    "ABC",
    "ünï",
    "☂",
    "null",
    "true",
    "false",
    "t",
    "T",
    "on",
    "0",
    "1",
    "-1",
    "5",
    "05",
    "1.5",
    "1e3",
    ".5",
    "5.",
    "+5",
    "0x10",
    "1_000",
    "Inf",
    "-inf",
    "NaN",
    "99",
    "101",
    "12345678901234567890",
    "a@example.com",
    "A.b+c@sub.example.org",
    "a@b",
    "a b@example.com",
    "ä@exämple.com",
    "a@example.com ",
    "example.com",
    "http://example.com",
    "https://example.com:8080/a?b=c#d",
    "http://",
    "ftp://x.y",
    "//example.com",
    "mailto:a@b.c",
    "http://localhost",
    "http://127.0.0.1",
    "http://[::1]/",
    "HTTP://EXAMPLE.COM",
    "http://a b.c",
    "2024-02-29",
    "2023-02-29",
    "2024-02-29 12:13:14",
    "2024-02-29 12:13:14.123456Z",
    "2024-02-29T12:13:14Z",
    "2024-02-29T12:13:14+02:00",
    "2024-02-29 12:13",
    "12:13:14",
    "0001-01-01 00:00:00.000Z",
    "9999-12-31 23:59:59.999Z",
    "2019-12-31 23:59:59.999Z",
    "02 Jan 2006",
    "Mon, 02 Jan 2006 15:04:05 MST",
    "2024-13-01",
    "1700000000",
    "[]",
    "[1]",
    "[\"a\"]",
    "[\"a\",\"b\"]",
    "[\"a\",",
    "{}",
    "{\"a\":1}",
    "{\"lon\":1,\"lat\":2}",
    "{\"lon\":200,\"lat\":2}",
    "{\"lat\":\"x\"}",
    "\"quoted\"",
    "\"open",
    "<b>bold & more</b>",
    "a\nb\tc",
    "user00000000001",
    "user00000000002",
    "nobody000000000",
    "\u{2028}",
    "\\",
    "'",
    "%",
    "_",
];

fn value(rng: &mut StdRng, depth: u32) -> Json {
    match rng.random_range(0..if depth == 0 { 16 } else { 11 }) {
        0..=7 => json!(TEXTS[rng.random_range(0..TEXTS.len())]),
        8 => json!(rng.random_range(-200..200)),
        9 => [
            json!(0.5),
            json!(-1e-7),
            json!(1e21),
            json!(9007199254740993_i64),
            json!(-0.0),
            json!(1.0),
            json!(123456.789),
        ][rng.random_range(0..6)]
        .clone(),
        10 => [json!(null), json!(true), json!(false)][rng.random_range(0..3)].clone(),
        11..=13 => (0..rng.random_range(0..4)).map(|_| value(rng, depth + 1)).collect(),
        14 => json!({ "lon": value(rng, 1), "lat": value(rng, 1) }),
        _ => json!({ "b": value(rng, 1), "a": value(rng, 1) }),
    }
}

fn body(rng: &mut StdRng) -> Json {
    let mut body = Map::new();
    for _ in 0..rng.random_range(1..4) {
        let field = FIELDS[rng.random_range(0..FIELDS.len())];
        let key = match rng.random_range(0..10) {
            0 => format!("{field}+"),
            1 => format!("+{field}"),
            2 => format!("{field}-"),
            _ => field.to_owned(),
        };
        body.insert(key, value(rng, 0));
    }
    // Without it every request would be refused for this one alone.
    body.entry("users").or_insert_with(|| json!(["user00000000001"]));
    body.into()
}

/// A filter of one or two comparisons.
fn filter(rng: &mut StdRng) -> String {
    const SIGNS: [&str; 16] =
        ["=", "!=", ">", ">=", "<", "<=", "~", "!~", "?=", "?!=", "?>", "?>=", "?<", "?<=", "?~", "?!~"];
    let operand = |rng: &mut StdRng| match rng.random_range(0..8) {
        0 => format!("{}:length", ["many", "users"][rng.random_range(0..2)]),
        1 => format!("{}:each", ["many", "users", "one"][rng.random_range(0..3)]),
        2 => format!("{}:lower", FIELDS[rng.random_range(0..FIELDS.len())]),
        3 => [
            "json.a",
            "json.b.a",
            "json.0",
            "geo.lon",
            "user.name",
            "users.name",
            "users.id",
            "user.all_via_users.text",
        ][rng.random_range(0..8)]
        .to_owned(),
        4 => {
            let text = TEXTS[rng.random_range(0..TEXTS.len())];
            format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
        }
        5 => ["0", "1", "-1", "2.5", "null", "true", "false", "100"][rng.random_range(0..8)].to_owned(),
        _ => FIELDS[rng.random_range(0..FIELDS.len())].to_owned(),
    };
    let comparison = |rng: &mut StdRng| {
        let sign = SIGNS[rng.random_range(0..SIGNS.len())];
        format!("{} {sign} {}", operand(rng), operand(rng))
    };
    match rng.random_range(0..3) {
        0 => comparison(rng),
        1 => format!("{} && {}", comparison(rng), comparison(rng)),
        _ => format!("{} || {}", comparison(rng), comparison(rng)),
    }
}

#[test]
fn random_requests_have_the_same_answers() {
    let Some(reference) = Program::reference() else {
        eprintln!("skipped: HEADWATER_REFERENCE names no PocketBase");
        return;
    };
    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/pocketbase_v0_39/directory");
    let servers = [Program::headwater(), reference].map(|program| {
        let server = Server::run(&program, Directory::copy_of(data.as_ref()), &[]);
        let superuser = server.superuser();
        superuser.patch("/api/collections/users", json!({ "listRule": "", "viewRule": "" })).ok();
        superuser.post("/api/collections", definition(&superuser.get("/api/collections/users").ok()["id"])).ok();
        server
    });
    let clients = servers.each_ref().map(Server::guest);
    let mut twins = Twins { clients, differences: Vec::new() };
    let seed = number("HEADWATER_TWIN_SEED", 1);
    let mut rng = StdRng::seed_from_u64(seed);
    let mut records: Vec<String> = Vec::new();
    for request in 0..number("HEADWATER_TWIN_REQUESTS", 1500) {
        match rng.random_range(0..10) {
            0..=3 if records.len() < 40 => {
                let mut body = body(&mut rng);
                let id = format!("{request:015}");
                body["id"] = json!(id);
                match twins.send("POST", RECORDS, Some(&body)) {
                    Sent::Accepted => records.push(id),
                    Sent::Refused => {}
                    Sent::Differed => twins.forget(&format!("{RECORDS}/{id}")),
                }
            }
            0..=5 if !records.is_empty() => {
                let at = rng.random_range(0..records.len());
                let path = format!("{RECORDS}/{}", records[at]);
                if twins.send("PATCH", &path, Some(&body(&mut rng))) == Sent::Differed {
                    twins.forget(&path);
                    records.swap_remove(at);
                }
            }
            6 if records.len() > 30 => {
                let path = format!("{RECORDS}/{}", records.swap_remove(rng.random_range(0..records.len())));
                twins.send("DELETE", &path, None);
            }
            _ => {
                let sort = FIELDS[rng.random_range(0..FIELDS.len())];
                let sort = format!("{}{sort},id", ["", "-"][rng.random_range(0..2)]);
                let pairs = [("filter", filter(&mut rng)), ("sort", sort), ("fields", "id".to_owned())];
                let pairs = pairs.each_ref().map(|(name, value)| (*name, value.as_str()));
                twins.send("GET", &format!("{RECORDS}?{}", query(&pairs)), None);
            }
        }
    }
    let Twins { differences, .. } = twins;
    assert!(differences.is_empty(), "with seed {seed}, {} differ:\n{}", differences.len(), differences.join("\n"));
}
