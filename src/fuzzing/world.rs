//! A schema in which there is a way from everywhere to everywhere, and its tables in memory.

use std::sync::Arc;

use headwater_actors::Value;
use rusqlite::{Connection, params_from_iter};
use serde_json::{Value as Json, json};

use crate::query;
use crate::records::Record;
use crate::request::{Caller, RequestInfo};
use crate::schema::{Collection, Schema, draft, row_sql, sync, system_fields};

pub struct World {
    pub conn: Connection,
    pub schema: Schema,
    /// Of the collection that has a field of each type.
    pub record: Record,
    pub guest: RequestInfo,
    pub user: RequestInfo,
    pub superuser: RequestInfo,
}

/// Runs a check in this thread's world.
pub fn with_world<T>(check: impl FnOnce(&World) -> T) -> T {
    thread_local!(static WORLD: World = World::new());
    WORLD.with(check)
}

fn collections() -> [Json; 6] {
    let text = |name: &str| json!({ "name": name, "type": "text" });
    let relation = |name: &str, to: &str, max: u32| json!({ "name": name, "type": "relation", "collectionId": to, "maxSelect": max });
    let everyone = json!("");
    [
        json!({ "id": "tags", "name": "tags", "listRule": "name != '' || posts_via_tags.author.name ?= @request.auth.name",
            "fields": [text("name"), { "name": "w", "type": "number" }, relation("next", "tags", 1)] }),
        json!({ "id": "people", "name": "people", "type": "auth", "listRule": everyone, "fields": [
            text("name"),
            { "name": "role", "type": "select", "values": ["admin", "user"], "maxSelect": 2 },
            { "name": "secret", "type": "text", "hidden": true },
            relation("team", "tags", 3),
        ] }),
        json!({ "id": "posts", "name": "posts", "listRule": everyone, "fields": [
            { "name": "title", "type": "text", "max": 50, "pattern": "^[^%]*$" },
            { "name": "body", "type": "editor" },
            { "name": "n", "type": "number", "min": -1e300 },
            { "name": "whole", "type": "number", "onlyInt": true },
            { "name": "pub", "type": "bool" },
            { "name": "mail", "type": "email", "exceptDomains": ["example.org"] },
            { "name": "link", "type": "url", "onlyDomains": ["example.com", "localhost"] },
            { "name": "at", "type": "date", "min": "1900-01-01", "max": "2100-01-01" },
            { "name": "tags", "type": "relation", "collectionId": "tags", "maxSelect": 9, "minSelect": 2 },
            relation("author", "people", 1),
            relation("parent", "posts", 1),
            { "name": "cat", "type": "select", "values": ["x", "y", "[]"], "maxSelect": 3 },
            { "name": "kind", "type": "select", "values": ["x", "y"], "maxSelect": 1 },
            { "name": "picture", "type": "file", "maxSelect": 1 },
            { "name": "files", "type": "file", "maxSelect": 5 },
            { "name": "meta", "type": "json" },
            { "name": "note", "type": "json", "maxSize": 20 },
            { "name": "loc", "type": "geoPoint" },
            { "name": "pin", "type": "password", "min": 3, "pattern": "^[0-9]+$" },
            { "name": "hid", "type": "text", "hidden": true },
            { "name": "code", "type": "text", "autogeneratePattern": "[a-z]{3}" },
            { "name": "updated", "type": "autodate", "onUpdate": true },
        ] }),
        json!({ "id": "comments", "name": "comments", "listRule": "post.author = @request.auth.id || post.n > 0",
            "fields": [text("text"), relation("post", "posts", 1), relation("posts2", "posts", 5)] }),
        json!({ "id": "priv", "name": "priv", "listRule": null, "fields": [relation("post", "posts", 1)] }),
        json!({ "id": "supers", "name": "_superusers", "type": "auth", "fields": [] }),
    ]
}

impl World {
    fn new() -> World {
        let conn = Connection::open_in_memory().expect("memory");
        query::register_functions(&conn).expect("functions");
        let mut made = Vec::new();
        for definition in collections() {
            let Json::Object(definition) = definition else { continue };
            let mut collection = draft::create(&definition).expect("a collection").collection;
            system_fields::enforce(&mut collection);
            sync::create_table(&conn, &collection).expect("a table");
            made.push(Arc::new(collection));
        }
        let schema = Schema::of(made);
        let record = made_of(
            &schema.find("posts").expect("posts").clone(),
            json!({
                "id": "post", "title": "Hello", "n": 2.5, "tags": ["red", "green"], "author": "ann", "cat": ["x"],
                "kind": "y", "files": ["a.txt", "b.txt"], "meta": { "a": [1, "x"] }, "at": "2024-01-02 03:04:05.678Z",
                "loc": { "lon": 1, "lat": 2 }, "pub": true,
            }),
        );
        let ann = made_of(
            &schema.find("people").expect("people").clone(),
            json!({ "id": "ann", "name": "ann", "role": ["user"], "email": "ann@example.com", "team": ["red"] }),
        );
        let root = made_of(&schema.find("_superusers").expect("superusers").clone(), json!({ "id": "root" }));
        let Json::Object(body) =
            json!({ "title": "x", "tags": ["red", "blue"], "cat": ["x"], "n": "2", "meta": { "a": 1 } })
        else {
            unreachable!("an object was written above");
        };
        let asks = |caller: Caller| RequestInfo {
            method: "POST".to_owned(),
            query: [("q".to_owned(), "1".to_owned())].into(),
            headers: [("x-token", "t")].into_iter().collect(),
            body: body.clone(),
            caller,
            ..RequestInfo::default()
        };
        let [guest, user, superuser] = [Caller::GUEST, Caller::of(Arc::new(ann)), Caller::of(Arc::new(root))].map(asks);
        World { conn, schema, record, guest, user, superuser }
    }

    /// The values that a record has after it was in its table.
    pub fn stored(&self, record: &Record) -> Vec<Value> {
        let (table, sql) = (row_sql::quoted(&record.collection.name), record.collection.row_sql());
        self.conn.execute_batch(&format!("DELETE FROM {table}")).expect("an empty table");
        let mut insert = self.conn.prepare_cached(&sql.insert).expect("an insert");
        insert.execute(params_from_iter(&record.values)).unwrap_or_else(|error| panic!("{error}: {:?}", record.values));
        let mut select = self.conn.prepare_cached(&sql.select).expect("a select");
        let read = select.query_row([record.id()], |row| (0..record.values.len()).map(|at| row.get(at)).collect());
        read.expect("the row")
    }
}

fn made_of(collection: &Arc<Collection>, values: Json) -> Record {
    let mut record = Record::blank(collection.clone());
    for (position, field) in collection.fields.iter().enumerate() {
        if let Some(value) = values.get(&field.name) {
            record.values[position] = field.of().cast(value);
        }
    }
    record
}
