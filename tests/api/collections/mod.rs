//! The collections API, and what it does to the tables.

mod auth_options;
mod changes;
mod columns;
mod importing;
mod indexes;
mod lifecycle;
mod saving;
mod sql;
mod views;

use serde_json::{Value as Json, json};

use crate::harness::{Client, Server};

const COLLECTIONS: &str = "/api/collections";

fn path(name: &str) -> String {
    format!("{COLLECTIONS}/{name}")
}

/// The code at a path of the error data, as in `fields.1.name`.
fn code(error: &Json, at: &str) -> String {
    let place = at.split('.').fold(&error["data"], |json, key| &json[key]);
    place["code"].as_str().unwrap_or_else(|| panic!("nothing at {at}: {error}")).to_owned()
}

/// The names of a collection's fields, in their order.
fn names(collection: &Json) -> Vec<&str> {
    collection["fields"].as_array().unwrap().iter().map(|field| field["name"].as_str().unwrap()).collect()
}

/// The field of a collection's JSON with this name.
fn field<'a>(collection: &'a Json, name: &str) -> &'a Json {
    let found = collection["fields"].as_array().unwrap().iter().find(|field| field["name"] == name);
    found.unwrap_or_else(|| panic!("no field {name}: {collection}"))
}

/// The collection's fields with one changed.
fn with_field(collection: &Json, name: &str, key: &str, value: Json) -> Json {
    let mut fields = collection["fields"].clone();
    for field in fields.as_array_mut().unwrap().iter_mut().filter(|field| field["name"] == name) {
        field[key] = value.clone();
    }
    json!({ "fields": fields })
}

/// What a query of the SQL console yields, without the rest of its answer.
fn sql(superuser: &Client, query: &str) -> Vec<Vec<Option<String>>> {
    serde_json::from_value(superuser.post("/api/sql", json!({ "query": query })).ok()["rows"].clone()).unwrap()
}

/// A collection with three records: titles t1, t2, t3; n 1, 2, 3; sel a, none, c.
fn posts() -> (Server, Client) {
    let server = Server::start();
    server.collection(json!({
        "name": "posts",
        "fields": [
            { "name": "title", "type": "text" },
            { "name": "body", "type": "text" },
            { "name": "n", "type": "number" },
            { "name": "sel", "type": "select", "values": ["a", "b", "c"], "maxSelect": 1 },
        ],
    }));
    let superuser = server.superuser();
    for (n, sel) in [(1, "a"), (2, ""), (3, "c")] {
        let record = json!({ "title": format!("t{n}"), "body": format!("b{n}"), "n": n, "sel": sel });
        superuser.post("/api/collections/posts/records", record).ok();
    }
    (server, superuser)
}

/// One field of all records, in the order of `n` where there is one.
fn values(client: &Client, collection: &str, field: &str) -> Vec<Json> {
    let list = client.get(&format!("{COLLECTIONS}/{collection}/records")).ok();
    list["items"].as_array().unwrap().iter().map(|record| record[field].clone()).collect()
}
