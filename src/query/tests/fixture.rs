//! The collections and records that the tests query, in memory.

use std::sync::Arc;

use headwater_actors::Value;
use rusqlite::{Connection, params_from_iter};
use serde_json::{Map, Value as Json};

use crate::query::{self, Base, QueryError, Select};
use crate::records::Record;
use crate::request::{Caller, RequestInfo};
use crate::schema::fields::*;
use crate::schema::{AuthOptions, Collection, CollectionKind, Field, FieldKind, Rule, Schema};

/// A database with its schema.
pub struct World {
    pub conn: Connection,
    pub schema: Schema,
}

pub fn text(name: &str) -> Field {
    Field::new(name, FieldKind::Text(Text::default()))
}

pub fn number(name: &str) -> Field {
    Field::new(name, FieldKind::Number(Number::default()))
}

pub fn boolean(name: &str) -> Field {
    Field::new(name, FieldKind::Bool(Bool::default()))
}

pub fn json(name: &str) -> Field {
    Field::new(name, FieldKind::Json(JsonField::default()))
}

pub fn select(name: &str, max_select: i64) -> Field {
    Field::new(name, FieldKind::Select(query_select(max_select)))
}

fn query_select(max_select: i64) -> crate::schema::fields::Select {
    crate::schema::fields::Select { max_select, ..Default::default() }
}

pub fn relation(name: &str, to: &str, max_select: i64) -> Field {
    let collection_id = format!("{to}_id");
    Field::new(name, FieldKind::Relation(Relation { collection_id, max_select, ..Default::default() }))
}

pub fn hidden(field: Field) -> Field {
    Field { hidden: true, ..field }
}

/// A collection with an id field of its own and open rules.
pub fn collection(name: &str, fields: Vec<Field>) -> Collection {
    let id = Field::new("id", FieldKind::Text(Text { primary_key: true, ..Text::default() }));
    let fields = std::iter::once(id).chain(fields).collect();
    let mut collection = Collection::new(format!("{name}_id"), name, CollectionKind::Base).with_fields(fields);
    collection.rules.list = Rule::Open;
    collection.rules.view = Rule::Open;
    collection
}

pub fn auth_collection(name: &str, fields: Vec<Field>) -> Collection {
    let own = vec![
        hidden(Field::new("password", FieldKind::Password(Password::default()))),
        hidden(text("tokenKey")),
        Field::new("email", FieldKind::Email(Email::default())),
        boolean("emailVisibility"),
        boolean("verified"),
    ];
    let mut collection = collection(name, own.into_iter().chain(fields).collect());
    collection.kind = CollectionKind::Auth(Box::new(AuthOptions::fresh(false)));
    collection
}

/// The stored form of a value given as JSON: lists and objects as their text.
pub fn stored(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Integer((*value).into()),
        Json::Number(number) => Value::Real(number.as_f64().unwrap()),
        Json::String(text) => Value::Text(text.clone()),
        other => Value::Text(other.to_string()),
    }
}

impl World {
    pub fn new(collections: Vec<Collection>) -> World {
        let conn = Connection::open_in_memory().unwrap();
        query::register_functions(&conn).unwrap();
        for collection in &collections {
            let column = |field: &Field| format!("\"{}\" {}", field.name, field.of().column());
            let columns: Vec<String> = collection.fields.iter().map(column).collect();
            conn.execute_batch(&format!("CREATE TABLE \"{}\" ({})", collection.name, columns.join(", "))).unwrap();
        }
        World { conn, schema: Schema::new(1, collections.into_iter().map(Arc::new).collect()) }
    }

    pub fn collection(&self, name: &str) -> &Arc<Collection> {
        self.schema.find(name).unwrap()
    }

    /// A record of these values; what is not given is zero.
    pub fn record(&self, collection: &str, values: Json) -> Record {
        let mut record = Record::blank(self.collection(collection).clone());
        for (name, value) in values.as_object().unwrap() {
            assert!(record.collection.field(name).is_some(), "no field {name}");
            let is_json = matches!(record.collection.field(name).unwrap().1.kind, FieldKind::Json(_));
            let value = if is_json && !value.is_null() { Value::Text(value.to_string()) } else { stored(value) };
            record.set(name, value);
        }
        record
    }

    pub fn insert(&self, collection: &str, values: Json) {
        let record = self.record(collection, values);
        let marks = vec!["?"; record.values.len()].join(", ");
        let sql = format!("INSERT INTO \"{collection}\" VALUES ({marks})");
        self.conn.execute(&sql, params_from_iter(&record.values)).unwrap();
    }

    /// The record as it is stored.
    pub fn read(&self, collection: &str, id: &str) -> Record {
        let request = RequestInfo::default();
        let mut select = Select::new(&self.schema, self.collection(collection), &request, Base::Stored);
        let found = select.only(id).rows(None).records(&self.conn, self.collection(collection)).unwrap();
        found.into_iter().next().unwrap_or_else(|| panic!("no {collection} {id}"))
    }

    pub fn caller(&self, collection: &str, id: &str) -> RequestInfo {
        RequestInfo { caller: Caller::of(Arc::new(self.read(collection, id))), ..RequestInfo::default() }
    }

    /// The ids that a caller finds, separated by blanks, once it is checked that the count agrees.
    pub fn find(
        &self,
        request: &RequestInfo,
        collection: &str,
        narrow: impl Fn(&mut Select<'_>) -> Result<(), QueryError>,
    ) -> Result<String, QueryError> {
        let collection = self.collection(collection);
        let mut select = Select::new(&self.schema, collection, request, Base::Stored);
        narrow(&mut select)?;
        let statement = select.rows(None);
        let records = statement.records(&self.conn, collection).unwrap_or_else(|e| panic!("{e}: {}", statement.sql));
        let ids: Vec<&str> = records.iter().map(Record::id).collect();
        assert_eq!(select.count().run(&self.conn).unwrap(), ids.len() as u64, "{:?}", select.count());
        assert_eq!(select.exists().any(&self.conn).unwrap(), !ids.is_empty());
        Ok(ids.join(" "))
    }

    /// Whether a rule holds for a record.
    pub fn holds(&self, request: &RequestInfo, base: Base<'_>, rule: &str) -> Result<bool, QueryError> {
        let (Base::Candidate(record) | Base::Snapshot(record)) = base else { panic!("a record is needed") };
        let mut select = Select::new(&self.schema, self.collection(&record.collection.id), request, base);
        select.rule(rule)?;
        let statement = select.exists();
        Ok(statement.any(&self.conn).unwrap_or_else(|e| panic!("{e}: {}", statement.sql)))
    }
}

/// A request with this body.
pub fn sends(request: &RequestInfo, body: Json) -> RequestInfo {
    let body: Map<String, Json> = body.as_object().unwrap().clone();
    RequestInfo { body, ..request.clone() }
}

/// The collections of the conformance set, with their records.
pub fn conformance_set() -> World {
    use serde_json::json;
    let mut private = collection("priv", vec![relation("post", "posts", 1)]);
    private.rules.list = Rule::Sealed;
    let world = World::new(vec![
        collection("tags", vec![text("name"), number("w")]),
        auth_collection("people", vec![text("name"), select("role", 3), hidden(text("secret"))]),
        collection(
            "posts",
            vec![
                text("title"),
                Field::new("body", FieldKind::Editor(Editor::default())),
                number("n"),
                boolean("pub"),
                relation("tags", "tags", 99),
                relation("author", "people", 1),
                super::fixture::json("meta"),
                select("cat", 3),
                Field::new("at", FieldKind::Date(Date::default())),
                Field::new("loc", FieldKind::GeoPoint(GeoPoint::default())),
                hidden(text("hid")),
            ],
        ),
        collection("comments", vec![text("text"), relation("post", "posts", 1), relation("posts2", "posts", 5)]),
        private,
        collection(
            "rules",
            vec![
                text("t"),
                relation("owner", "people", 1),
                number("n"),
                relation("tags", "tags", 5),
                super::fixture::json("meta"),
                boolean("b"),
                select("cat", 3),
                select("kind", 1),
                Field::new("at", FieldKind::Date(Date::default())),
            ],
        ),
    ]);
    for (id, name, w) in [("red", "red", 1), ("green", "green", 2), ("blue", "blue", 3), ("nameless", "", 0)] {
        world.insert("tags", json!({"id": id, "name": name, "w": w}));
    }
    world.insert(
        "people",
        json!({"id": "ann", "name": "ann", "email": "ann@example.com", "emailVisibility": true, "role": ["admin", "staff"], "secret": "x"}),
    );
    world.insert("people", json!({"id": "bob", "name": "bob", "email": "bob@example.com", "role": ["user"]}));
    let posts = [
        json!({"id": "A", "title": "Hello", "n": 1, "pub": true, "tags": ["red", "green"], "author": "ann", "cat": ["x", "y"],
            "meta": {"a": {"b": [1, 2, "x"]}, "s": "str"}, "at": "2024-01-02 03:04:05.678Z", "loc": {"lon": 1, "lat": 2}, "hid": "h1"}),
        json!({"id": "B", "title": "hello world", "n": 2, "tags": ["green", "blue"], "author": "bob", "meta": [1, 2, 3], "cat": ["y"]}),
        json!({"id": "C", "title": "100% sure_x", "n": 2.5, "meta": "plain"}),
        json!({"id": "D", "tags": ["nameless"], "author": "ann", "cat": ["x", "y", "z"]}),
        json!({"id": "E", "title": "Émile", "n": -3, "tags": ["red"], "meta": 5}),
    ];
    for post in posts {
        world.insert("posts", post);
    }
    for (id, post, posts2) in
        [("c0", "A", json!(["A", "B"])), ("c1", "A", json!(["B"])), ("c2", "B", json!([])), ("c3", "", json!(["C"]))]
    {
        world.insert("comments", json!({"id": id, "text": id, "post": post, "posts2": posts2}));
    }
    world.insert("priv", json!({"id": "p0", "post": "A"}));
    world
}
