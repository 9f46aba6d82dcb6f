//! Importing a list of collections, as exported from another directory: all of it or nothing.
//!
//! The collections may refer to each other in any order, so all of them are saved first and checked afterwards.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use headwater_actors::WriteError;
use rusqlite::Connection;
use serde_json::{Map, Value as Json};

use super::draft::{self, Draft};
use super::save::{self, SaveError};
use super::validate::{self, Candidate};
use super::{Collection, Schema, views};
use crate::app::App;
use crate::errors::{Errors, Invalid};

/// Creates and changes the given collections. With `delete_missing`, whatever is not given and no part of the system
/// goes: collections, and fields of given collections.
pub async fn import(
    app: &App,
    items: Vec<Map<String, Json>>,
    delete_missing: bool,
) -> Result<(), WriteError<SaveError>> {
    save::in_one_job(app, move |tx, schema| {
        let before: Vec<String> = schema.collections().iter().map(|collection| collection.id.clone()).collect();
        let schema = run(tx.conn(), schema, &items, delete_missing)?;
        Ok((schema, (), before))
    })
    .await
}

/// A collection of the list, and the one in whose place it comes.
struct Item {
    present: Option<Arc<Collection>>,
    draft: Draft,
}

fn run(
    conn: &Connection,
    mut schema: Schema,
    items: &[Map<String, Json>],
    delete_missing: bool,
) -> Result<Schema, SaveError> {
    let mut items = read(&schema, items, delete_missing)?;
    if delete_missing {
        for present in schema.collections().to_vec() {
            let is_given = items.iter().any(|item| item.draft.collection.id == present.id);
            if !is_given && !present.system {
                save::drop(conn, &present)?;
                schema = schema.without(&present.id);
            }
        }
    }
    items.sort_by(|a, b| order(&a.draft.collection, &b.draft.collection));

    let mut saved = Vec::with_capacity(items.len());
    for Item { present, draft } in items {
        let type_name = draft.type_name.clone();
        let mut wanted = save::complete(&schema, present.as_deref(), draft);
        let shape = match save::view_shape(conn, &schema, &mut wanted) {
            Some(Err(problem)) => return Err(failure(save_failure(&wanted, &problem))),
            Some(Ok(shape)) => Some(shape),
            None => None,
        };
        save::apply(conn, present.as_deref(), &wanted, shape.as_ref()).map_err(|error| match error {
            SaveError::Database(error) => failure(save_failure(&wanted, &super::sync::sqlite_text(&error))),
            error => error,
        })?;
        let wanted = Arc::new(wanted);
        schema = schema.with(wanted.clone());
        saved.push((present, wanted, type_name));
    }

    for (present, wanted, type_name) in &saved {
        let problem = match &wanted.kind {
            super::CollectionKind::View { query } => views::dry_run(conn, &schema, query).err().map(|error| error.0),
            _ => None,
        };
        let errors = validate::collection(&Candidate {
            conn,
            schema: &schema,
            present: Some(present.as_deref().unwrap_or(wanted)),
            wanted,
            is_saved: true,
            type_name,
            view_problem: problem.as_deref(),
        })?;
        if !errors.is_empty() {
            let texts = serde_json::to_string_pretty(&errors.to_texts()).unwrap_or_default();
            let reason = format!("Data validations failed for collection {:?} ({}):\n{texts}", wanted.name, wanted.id);
            return Err(failure(reason));
        }
    }
    let schema = views::refresh(conn, schema, "")?;
    save::optimize(conn);
    Ok(schema)
}

fn read(schema: &Schema, items: &[Map<String, Json>], delete_missing: bool) -> Result<Vec<Item>, SaveError> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut read: Vec<Item> = Vec::with_capacity(items.len());
    for body in items {
        let text = |key: &str| body.get(key).and_then(Json::as_str).filter(|text| !text.is_empty());
        let present = text("id").or(text("name")).and_then(|name| schema.find(name)).cloned();
        let item = match present {
            Some(present) => {
                let mut body = body.clone();
                if delete_missing && body.get("fields").is_none_or(Json::is_null) {
                    body.insert("fields".into(), Json::Array(Vec::new()));
                }
                let mut draft = draft::update(&present, &body).map_err(|error| raw_failure(&error.to_string()))?;
                keep_fields(&present, &mut draft.collection, delete_missing);
                Item { present: Some(present), draft }
            }
            None => {
                let draft = draft::create(body).map_err(|error| raw_failure(&error.to_string()))?;
                Item { present: None, draft }
            }
        };
        // The same collection twice: the later one is meant.
        match seen.get(&item.draft.collection.id) {
            Some(position) => read[*position] = item,
            None => {
                seen.insert(item.draft.collection.id.clone(), read.len());
                read.push(item);
            }
        }
    }
    Ok(read)
}

/// Fields that the list does not name stay, system fields always. A field of the same name and type under another id
/// is the one that is there already.
fn keep_fields(present: &Collection, wanted: &mut Collection, delete_missing: bool) {
    for field in &present.fields {
        if delete_missing && !field.system || wanted.fields.iter().any(|other| other.id == field.id) {
            continue;
        }
        let type_name = field.of().type_name();
        let same = |other: &&mut super::Field| other.name == field.name && other.of().type_name() == type_name;
        if let Some(other) = wanted.fields.iter_mut().find(same) {
            other.id.clone_from(&field.id);
        }
        draft::put(&mut wanted.fields, field.clone());
    }
    wanted.index();
}

/// Views last, because they read the others; else by age.
fn order(a: &Collection, b: &Collection) -> Ordering {
    let key = |collection: &Collection| (collection.is_view(), collection.created.clone(), collection.updated.clone());
    key(a).cmp(&key(b))
}

fn save_failure(collection: &Collection, problem: &str) -> String {
    format!(
        "Failed to import the collections configuration. Raw error:\nfailed to save collection {:?}: {problem}",
        collection.name
    )
}

fn raw_failure(problem: &str) -> SaveError {
    failure(format!("Failed to import the collections configuration. Raw error:\n{problem}"))
}

fn failure(message: String) -> SaveError {
    SaveError::Invalid(Errors::one("collections", Invalid::new("validation_collections_import_failure", message)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::schema::{install, store};

    #[test]
    fn an_imported_id_cannot_lead_out_of_the_folder_of_files() {
        let conn = Connection::open_in_memory().unwrap();
        install::create(&conn).unwrap();
        let import = |id: &str| {
            let Json::Object(item) = json!({ "id": id, "name": "posts", "type": "base" }) else { panic!("an object") };
            run(&conn, store::load(&conn).unwrap(), &[item], false).map(drop)
        };
        conn.execute_batch("SAVEPOINT before").unwrap();
        for id in ["..", "/etc", "a/b", "a b"] {
            assert!(matches!(import(id), Err(SaveError::Invalid(_))), "{id}");
            conn.execute_batch("ROLLBACK TO before").unwrap();
        }
        assert!(import("posts_1").is_ok());
    }
}
