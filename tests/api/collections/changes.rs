//! Any sequence of changes to a collection with records in it: the values of fields that were left alone stay, those that
//! went from one value to several (or back) are converted, the file stays sound, and a change that is refused changes
//! nothing.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value as Json, json};

use super::{COLLECTIONS, path};
use crate::harness::{Client, Server};

const SEQUENCES: u64 = 12;
const CHANGES: usize = 16;

/// Few, so that names come back; some are words of SQL.
const NAMES: [&str; 9] = ["alpha", "beta", "Gamma", "delta", "order", "group", "value", "key", "x1"];

const TARGETS: [&str; 3] = ["target000000001", "target000000002", "target000000003"];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Text,
    Number,
    Bool,
    Date,
    Json,
    Select { multiple: bool },
    Relation { multiple: bool },
}

use Kind::*;

const KINDS: [Kind; 9] = [
    Text,
    Number,
    Bool,
    Date,
    Json,
    Select { multiple: false },
    Select { multiple: true },
    Relation { multiple: false },
    Relation { multiple: true },
];

impl Kind {
    fn multiple(&mut self) -> Option<&mut bool> {
        match self {
            Select { multiple } | Relation { multiple } => Some(multiple),
            _ => None,
        }
    }

    fn is_multiple(mut self) -> bool {
        self.multiple().is_some_and(|multiple| *multiple)
    }

    fn zero(self) -> Json {
        match self {
            Number => json!(0),
            Bool => json!(false),
            Kind::Json => Json::Null,
            _ if self.is_multiple() => json!([]),
            _ => json!(""),
        }
    }

    /// A value that is shown as it was given.
    fn any(self, random: &mut StdRng) -> Json {
        let of = |random: &mut StdRng, values: Json| values.as_array().unwrap().choose(random).unwrap().clone();
        match self {
            Text => of(random, json!(["", "a", "É\n", "[\"a\"]", "5", "it's \"so\""])),
            Number => of(random, json!([0, 1, -2.5, 9007199254740991_i64, 0.1])),
            Bool => of(random, json!([true, false])),
            Date => of(random, json!(["", "2024-01-02 03:04:05.678Z"])),
            Kind::Json => of(random, json!([null, 5, "x", [1, "a"], { "a": [null] }, true])),
            Select { multiple: false } => of(random, json!(["", "a", "b"])),
            Select { multiple: true } => of(random, json!([[], ["a"], ["c", "a"], ["a", "b", "c"]])),
            Relation { multiple: false } => of(random, json!(["", TARGETS[0], TARGETS[1]])),
            Relation { multiple: true } => of(random, json!([[], [TARGETS[2]], [TARGETS[1], TARGETS[0]]])),
        }
    }
}

#[derive(Clone, Debug)]
struct Field {
    /// Empty if the server is to give it one.
    id: String,
    name: String,
    kind: Kind,
}

/// The collection as it must be.
#[derive(Clone, Debug)]
struct Model {
    name: String,
    /// But for `id`.
    fields: Vec<Field>,
    /// Names of indexes, and the column of each.
    indexes: Vec<(String, String)>,
    unique: Option<String>,
    /// The field that the view rule names.
    ruled: Option<String>,
    /// The values of each record in the order of the fields.
    rows: Vec<(String, Vec<Json>)>,
    made: usize,
}

impl Model {
    fn definition(&self, targets: &Json, id_field: &Json) -> Json {
        let mut fields = vec![id_field.clone()];
        for Field { id, name, kind } in &self.fields {
            let mut field = match kind {
                Text => json!({ "type": "text" }),
                Number => json!({ "type": "number" }),
                Bool => json!({ "type": "bool" }),
                Date => json!({ "type": "date" }),
                Kind::Json => json!({ "type": "json" }),
                Select { .. } => json!({ "type": "select", "values": ["a", "b", "c"] }),
                Relation { .. } => json!({ "type": "relation", "collectionId": targets }),
            };
            field["name"] = json!(name);
            if kind.is_multiple() {
                field["maxSelect"] = json!(3);
            }
            if !id.is_empty() {
                field["id"] = json!(id);
            }
            fields.push(field);
        }
        let index = |unique: &str, name: &str, column: &str| {
            format!("CREATE{unique} INDEX `{name}` ON `{}` (`{column}`)", self.name)
        };
        let mut indexes: Vec<String> = self.indexes.iter().map(|(name, column)| index("", name, column)).collect();
        indexes.extend(self.unique.iter().map(|column| index(" UNIQUE", &format!("u_{}", self.made), column)));
        let rule = self.ruled.as_ref().map(|field| format!("{field} != ''"));
        json!({ "name": self.name, "fields": fields, "indexes": indexes, "viewRule": rule })
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|field| field.name.eq_ignore_ascii_case(name))
    }

    fn free_name(&self, random: &mut StdRng) -> Option<&'static str> {
        let free: Vec<_> = NAMES.into_iter().filter(|name| self.position(name).is_none()).collect();
        free.choose(random).copied()
    }

    /// True if a change to this may be saved.
    fn is_valid(&self) -> bool {
        let names = self.fields.iter().map(|field| field.name.to_lowercase()).collect::<std::collections::HashSet<_>>();
        let is_ruled = |name: &String| self.fields.iter().any(|field| field.name == *name);
        names.len() == self.fields.len()
            && self.fields.iter().all(|field| !field.name.contains(' '))
            && self.indexes.iter().all(|(_, column)| self.position(column).is_some())
            && self.ruled.iter().all(is_ruled)
            && self.unique.is_none()
    }

    /// What the server made of it: fields with the ids that they got. Values follow their field's id.
    fn saved(mut self, before: &Model, answer: &Json) -> Model {
        for field in &mut self.fields {
            field.id = super::field(answer, &field.name)["id"].as_str().unwrap().to_owned();
        }
        for (row, (_, values)) in self.rows.iter_mut().enumerate() {
            let value = |field: &Field| {
                let Some(position) = before.fields.iter().position(|old| old.id == field.id) else {
                    return field.kind.zero();
                };
                let value = before.rows[row].1[position].clone();
                match (before.fields[position].kind.is_multiple(), field.kind.is_multiple()) {
                    (false, true) if value == "" => json!([]),
                    (false, true) => json!([value]),
                    (true, false) => value.as_array().unwrap().last().cloned().unwrap_or(json!("")),
                    _ => value,
                }
            };
            *values = self.fields.iter().map(value).collect();
        }
        self
    }
}

/// A unique index on values that are not: refused, whatever else the change would be.
fn ask_too_much(model: &mut Model) {
    let repeats = |at: &usize| {
        let values: Vec<&Json> = model.rows.iter().map(|(_, values)| &values[*at]).filter(|v| !v.is_null()).collect();
        values.iter().enumerate().any(|(index, value)| values[..index].contains(value))
    };
    model.unique = (0..model.fields.len()).find(repeats).map(|at| model.fields[at].name.clone());
}

fn edit(model: &mut Model, random: &mut StdRng) {
    let any = |random: &mut StdRng, model: &Model| {
        (!model.fields.is_empty()).then(|| random.random_range(0..model.fields.len()))
    };
    let choice = random.random_range(0..19);
    let Some(at) = any(random, model).filter(|_| choice > 1) else {
        if let Some(name) = model.free_name(random) {
            let kind = *KINDS.choose(random).unwrap();
            model.fields.push(Field { id: String::new(), name: name.to_owned(), kind });
        }
        return;
    };
    match choice {
        2..=4 => {
            if let Some(name) = model.free_name(random) {
                model.fields[at].name = name.to_owned();
            }
        }
        5 => {
            let name = &mut model.fields[at].name;
            *name = if *name == name.to_lowercase() { name.to_uppercase() } else { name.to_lowercase() };
        }
        6 => drop(model.fields.remove(at)),
        7 => {
            // Another type under the same name is another field.
            let Field { name, kind, .. } = model.fields.remove(at);
            let same = |other: &&Kind| std::mem::discriminant(*other) == std::mem::discriminant(&kind);
            let others: Vec<Kind> = KINDS.iter().filter(|other| !same(other)).copied().collect();
            let kind = *others.choose(random).unwrap();
            model.fields.push(Field { id: String::new(), name, kind });
        }
        8..=11 => {
            let flipped = model.fields.iter_mut().filter_map(|field| field.kind.multiple());
            flipped.for_each(|multiple| *multiple = random.random());
        }
        12..=13 => {
            let other = any(random, model).unwrap_or(at);
            let name = model.fields[at].name.clone();
            model.fields[at].name = std::mem::replace(&mut model.fields[other].name, name);
        }
        14 => {
            let column = model.fields[at].name.clone();
            let before = model.indexes.len();
            model.indexes.retain(|(_, indexed)| !indexed.eq_ignore_ascii_case(&column));
            if model.indexes.len() == before {
                model.made += 1;
                model.indexes.push((format!("idx_{}_{}", model.name, model.made), column));
            }
        }
        15 => {
            model.made += 1;
            let same = if model.name == model.name.to_lowercase() { model.name.to_uppercase() } else { String::new() };
            let base = model.name.split('_').next().unwrap_or_default().to_lowercase();
            model.name = if random.random() && !same.is_empty() { same } else { format!("{base}_{}", model.made) };
        }
        16 => model.ruled = model.ruled.is_none().then(|| model.fields[at].name.clone()),
        17 => {
            let name = &model.fields[at].name;
            let same = if *name == name.to_uppercase() { name.to_lowercase() } else { name.to_uppercase() };
            // With an id of its own: one without would take the place of a field of the very same name.
            model.made += 1;
            model.fields.push(Field { id: format!("own{}", model.made), name: same, kind: Text });
        }
        18 => model.fields[at].name = "two words".to_owned(),
        _ => unreachable!("no such choice"),
    }
}

/// All that is stored of a collection, and the whole of the schema.
fn everything(conn: &Connection, table: &str) -> Vec<String> {
    let mut all = Vec::new();
    for sql in [
        "SELECT * FROM sqlite_master WHERE name NOT LIKE 'sqlite_stat%' ORDER BY rowid",
        "SELECT * FROM _collections ORDER BY rowid",
        &format!("SELECT * FROM \"{table}\" ORDER BY rowid"),
    ] {
        let mut statement = conn.prepare(sql).unwrap();
        let columns = statement.column_count();
        let row = |row: &rusqlite::Row<'_>| {
            (0..columns)
                .map(|column| row.get_ref(column).map(|value| format!("{value:?}")))
                .collect::<Result<String, _>>()
        };
        all.extend(statement.query_map([], row).unwrap().map(Result::unwrap));
    }
    all
}

fn check(superuser: &Client, conn: &Connection, model: &Model, view: &str) {
    let collection = superuser.get(&path(&model.name)).ok();
    let expected: Vec<_> = std::iter::once("id").chain(model.fields.iter().map(|field| field.name.as_str())).collect();
    assert_eq!(super::names(&collection), expected);
    let page = superuser.get(&path(&format!("{}/records?sort=@rowid", model.name))).ok();
    let items = page["items"].as_array().unwrap();
    assert_eq!(items.len(), model.rows.len());
    for (item, (id, values)) in items.iter().zip(&model.rows) {
        assert_eq!(item["id"], *id);
        for (field, value) in model.fields.iter().zip(values) {
            assert_eq!(item[&field.name], *value, "{field:?} of {id}");
            if let Select { .. } | Relation { .. } = field.kind {
                // The API would show one form for the other.
                let sql = format!("SELECT \"{}\" FROM \"{}\" WHERE id = ?1", field.name, model.name);
                let stored: String = conn.query_row(&sql, [id], |row| row.get(0)).unwrap();
                assert_eq!(
                    stored,
                    value.as_str().map_or_else(|| value.to_string(), str::to_owned),
                    "{field:?} of {id}"
                );
            }
        }
    }
    assert_eq!(superuser.get(&path(&format!("{view}/records"))).ok()["totalItems"], model.rows.len());
    let indexes =
        "SELECT count(*) FROM sqlite_master WHERE type = 'index' AND sql NOTNULL AND tbl_name = ?1 COLLATE NOCASE";
    let indexes: i64 = conn.query_row(indexes, [&model.name], |row| row.get(0)).unwrap();
    assert_eq!(indexes, model.indexes.len() as i64);
    let sound: String = conn.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(sound, "ok");
}

#[test]
fn changes_keep_what_they_do_not_concern() {
    let server = Server::start();
    let superuser = server.superuser();
    let targets = server.collection(json!({ "name": "targets", "fields": [] }))["id"].clone();
    for id in TARGETS {
        superuser.post(&path("targets/records"), json!({ "id": id })).ok();
    }
    let conn = Connection::open_with_flags(server.directory().database(), OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let (mut saved, mut refused) = (0, 0);
    for seed in 0..SEQUENCES {
        let mut random = StdRng::seed_from_u64(seed);
        let name = format!("c{seed}");
        let made = server.collection(json!({ "name": name, "fields": [] }));
        let id_field = super::field(&made, "id").clone();
        let ids = (0..4).map(|_| superuser.post(&path(&format!("{name}/records")), json!({})).ok()["id"].clone());
        let rows = ids.map(|id| (id.as_str().unwrap().to_owned(), Vec::new())).collect();
        let view = format!("view{seed}");
        server.collection(json!({ "name": view, "type": "view", "viewQuery": format!("select id from {name}") }));
        let mut model =
            Model { name, fields: Vec::new(), indexes: Vec::new(), unique: None, ruled: None, rows, made: 0 };
        for _ in 0..CHANGES {
            let mut wanted = model.clone();
            match random.random_range(0..12) {
                0 => ask_too_much(&mut wanted),
                edits => (0..=edits % 3).for_each(|_| edit(&mut wanted, &mut random)),
            }
            let before = everything(&conn, &model.name);
            let body = wanted.definition(&targets, &id_field);
            let answer = superuser.patch(&path(&model.name), body.clone());
            let at = format!("sequence {seed}: {body}\n{}", answer.text());
            if wanted.is_valid() {
                assert_eq!(answer.status, 200, "{at}");
                model = wanted.saved(&model, &answer.json());
                saved += 1;
            } else {
                assert_eq!(answer.status, 400, "{at}");
                assert_eq!(everything(&conn, &model.name), before, "{at}");
                refused += 1;
            }
            check(&superuser, &conn, &model, &view);
            write(&superuser, &mut model, &mut random);
        }
    }
    assert!(saved > 60 && refused > 20, "{saved} were saved and {refused} refused");
}

/// Gives one record other values.
fn write(superuser: &Client, model: &mut Model, random: &mut StdRng) {
    let row = random.random_range(0..model.rows.len());
    let mut body = json!({});
    for (position, field) in model.fields.iter().enumerate() {
        if random.random() {
            let value = field.kind.any(random);
            body[&field.name] = value.clone();
            model.rows[row].1[position] = value;
        }
    }
    superuser.patch(&format!("{COLLECTIONS}/{}/records/{}", model.name, model.rows[row].0), body).ok();
}
