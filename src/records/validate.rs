//! Checks a record before it is written: its values, what they refer to, and what must be unique (records.md §5.3).
//!
//! All fields are checked and all errors answered together. [`values`] is pure and runs before the job where it can;
//! the others ask the database inside it.

use headwater_actors::Value;
use rusqlite::Connection;

use super::Record;
use crate::errors::{Errors, Invalid};
use crate::schema::row_sql::quoted;
use crate::schema::{Collection, Field, FieldKind, Schema};

/// The pattern of ids that cannot differ in case alone.
const DEFAULT_ID_PATTERN: &str = "^[a-z0-9]+$";

/// Checks every field by its type. `before` is the stored record of an update. `plain` holds the passwords that were
/// given, by position: of the others only the hash is there.
pub(crate) fn values(record: &Record, before: Option<&Record>, plain: &[(usize, String)]) -> Errors {
    let mut errors = Errors::new();
    for (position, field) in record.collection.fields.iter().enumerate() {
        let value = &record.values[position];
        let result = match &field.kind {
            FieldKind::Autodate(_) => Ok(()),
            FieldKind::Text(text) if text.primary_key => match before {
                Some(before) if before.values[position] == *value => Ok(()),
                Some(_) => Err(Invalid::new("validation_pk_change", "The record primary key cannot be changed.")),
                None => require(field, value, true).and_then(|()| field.of().validate(field, value)),
            },
            FieldKind::Password(options) => match plain.iter().find(|(at, _)| *at == position) {
                Some((_, plain)) if field.required && plain.is_empty() => Err(Invalid::required()),
                Some((_, plain)) => options.validate_plain(plain),
                None => require(field, value, field.required),
            },
            FieldKind::File(_) => require(field, value, field.required)
                .and_then(|()| known_files(record, before, field))
                .and_then(|()| field.of().validate(field, value)),
            _ => require(field, value, field.required).and_then(|()| field.of().validate(field, value)),
        };
        errors.check(field.name.as_str(), result);
    }
    errors
}

fn require(field: &Field, value: &Value, required: bool) -> Result<(), Invalid> {
    if required && field.of().is_blank(value) { Err(Invalid::required()) } else { Ok(()) }
}

/// Names of files cannot be made up: they come with an upload.
fn known_files(record: &Record, before: Option<&Record>, field: &Field) -> Result<(), Invalid> {
    let known = before.map(|record| record.list(&field.name)).unwrap_or_default();
    let mut unknown = record.list(&field.name);
    unknown.retain(|name| !known.contains(name));
    if unknown.is_empty() {
        return Ok(());
    }
    unknown.iter_mut().for_each(|name| *name = name.chars().take(250).collect());
    let message = format!("Invalid new files: [{}].", unknown.join(" "));
    Err(Invalid::new("validation_invalid_file", message).with("invalidFiles", unknown))
}

/// Checks that related records exist, and that a chosen id is not taken in another case. Fields that already have an
/// error are left alone.
pub(crate) fn references(
    conn: &Connection,
    schema: &Schema,
    record: &Record,
    is_new: bool,
    errors: &mut Errors,
) -> rusqlite::Result<()> {
    for (position, field) in record.collection.fields.iter().enumerate() {
        let value = &record.values[position];
        match &field.kind {
            FieldKind::Relation(options) if !errors.contains(&field.name) && !field.of().is_blank(value) => {
                let Some(related) = schema.by_id(&options.collection_id) else {
                    let message = "Relation connection is missing or cannot be accessed";
                    errors.add(field.name.as_str(), Invalid::new("validation_missing_rel_collection", message));
                    continue;
                };
                if !exist(conn, related, record, field)? {
                    let message = "Failed to find all relation records with the provided ids";
                    errors.add(field.name.as_str(), Invalid::new("validation_missing_rel_records", message));
                }
            }
            FieldKind::Text(options) if options.primary_key && is_new && options.pattern != DEFAULT_ID_PATTERN => {
                let table = quoted(&record.collection.name);
                let sql = format!("SELECT 1 FROM {table} WHERE \"id\"=?1 COLLATE NOCASE LIMIT 1");
                if conn.prepare_cached(&sql)?.exists([record.id()])? {
                    // This check comes before the others of the id.
                    let message = "The record primary key is invalid or already exists.";
                    let taken = Invalid::new("validation_pk_invalid", message);
                    let others = std::mem::replace(errors, Errors::one(field.name.as_str(), taken));
                    errors.merge(others);
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn exist(conn: &Connection, related: &Collection, record: &Record, field: &Field) -> rusqlite::Result<bool> {
    let table = quoted(&related.name);
    if !field.is_multiple() {
        let sql = format!("SELECT 1 FROM {table} WHERE \"id\"=?1");
        return conn.prepare_cached(&sql)?.exists([record.text(&field.name)]);
    }
    let ids = record.list(&field.name);
    let sql = format!("SELECT count(*) FROM {table} WHERE \"id\" IN (SELECT value FROM json_each(?1))");
    let found: i64 = conn.prepare_cached(&sql)?.query_row([serde_json::json!(ids).to_string()], |row| row.get(0))?;
    Ok(found as usize == ids.len())
}

/// An id belongs to one record of all auth collections, so that a token can never be taken for another's.
pub(crate) fn auth_id(conn: &Connection, schema: &Schema, record: &Record) -> rusqlite::Result<Result<(), Errors>> {
    let others = schema.collections().iter().filter(|other| other.is_auth() && other.id != record.collection.id);
    for other in others {
        let sql = format!("SELECT 1 FROM {} WHERE \"id\"=?1", quoted(&other.name));
        if conn.prepare_cached(&sql)?.exists([record.id()])? {
            let invalid = Invalid::new("validation_invalid_auth_id", "Invalid or duplicated auth record id.");
            return Ok(Err(Errors::one("id", invalid)));
        }
    }
    Ok(Ok(()))
}

/// If the database refused a row because a unique index has its values already: the error on each of the columns that
/// the index covers. An index on an expression names none.
pub(crate) fn uniqueness(error: &rusqlite::Error, collection: &Collection) -> Option<Errors> {
    let rusqlite::Error::SqliteFailure(code, Some(message)) = error else { return None };
    if code.code != rusqlite::ErrorCode::ConstraintViolation {
        return None;
    }
    let mut errors = Errors::new();
    if let Some(columns) = message.strip_prefix("UNIQUE constraint failed: ") {
        for column in columns.split(", ") {
            let Some(name) = column.strip_prefix(collection.name.as_str()).and_then(|rest| rest.strip_prefix('.'))
            else {
                continue;
            };
            if let Some(field) = collection.fields.iter().find(|field| field.name.eq_ignore_ascii_case(name)) {
                errors.add(field.name.as_str(), Invalid::new("validation_not_unique", "Value must be unique"));
            }
        }
    }
    Some(errors)
}
