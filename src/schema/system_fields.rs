//! The fields and indexes that every save puts in, whatever the owner sent: the `id` of all tables, and what one needs
//! to log in on auth collections.

use super::fields::{Autodate, Bool, Email, Password, Text};
use super::indexes::{self, Index};
use super::{Collection, Field, FieldKind};

/// What a record id looks like unless the owner of the collection decides otherwise.
const ID_PATTERN: &str = "^[a-z0-9]+$";

/// The `id` field of a new collection.
pub fn id() -> Field {
    let kind = Text {
        min: 15,
        max: 15,
        pattern: ID_PATTERN.into(),
        autogenerate_pattern: "[a-z0-9]{15}".into(),
        primary_key: true,
    };
    Field { system: true, required: true, ..Field::new("id", FieldKind::Text(kind)) }
}

/// `created` or `updated`.
pub fn autodate(name: &str, on_update: bool) -> Field {
    Field::new(name, FieldKind::Autodate(Autodate { on_create: true, on_update }))
}

fn password() -> Field {
    let kind = FieldKind::Password(Password { min: 8, ..Password::default() });
    Field { system: true, hidden: true, required: true, ..Field::new("password", kind) }
}

fn token_key() -> Field {
    let kind = Text { min: 30, max: 60, autogenerate_pattern: "[a-zA-Z0-9]{50}".into(), ..Text::default() };
    Field { system: true, hidden: true, required: true, ..Field::new("tokenKey", FieldKind::Text(kind)) }
}

fn email() -> Field {
    Field { system: true, required: true, ..Field::new("email", FieldKind::Email(Email::default())) }
}

fn flag(name: &str) -> Field {
    Field { system: true, ..Field::new(name, FieldKind::Bool(Bool::default())) }
}

/// Adds what is missing and corrects what may not be otherwise.
pub fn enforce(collection: &mut Collection) {
    if collection.is_view() {
        return;
    }
    enforce_id(&mut collection.fields);
    if collection.is_auth() {
        enforce_auth(&mut collection.fields);
        enforce_auth_indexes(collection);
    }
    collection.index();
}

fn enforce_id(fields: &mut Vec<Field>) {
    let found = fields.iter_mut().find_map(|field| match &mut field.kind {
        FieldKind::Text(_) if field.name == "id" => Some(field),
        _ => None,
    });
    let Some(field) = found else {
        // A field that has its id already was the id before it was renamed; the validation says what is missing then.
        let id = id();
        if fields.iter().all(|field| field.id != id.id) {
            fields.insert(0, id);
        }
        return;
    };
    field.system = true;
    field.required = true;
    field.hidden = false;
    if let FieldKind::Text(text) = &mut field.kind {
        text.primary_key = true;
        if text.pattern.is_empty() {
            text.pattern = ID_PATTERN.into();
        }
    }
}

fn enforce_auth(fields: &mut Vec<Field>) {
    let defaults = [password(), token_key(), email(), flag("emailVisibility"), flag("verified")];
    for default in defaults {
        let Some(field) = fields.iter_mut().find(|field| field.name == default.name) else {
            fields.push(default);
            continue;
        };
        if field.of().type_name() != default.of().type_name() {
            *field = Field { id: std::mem::take(&mut field.id), ..default };
            continue;
        }
        field.system = true;
        match default.name.as_str() {
            "password" | "tokenKey" => {
                field.hidden = true;
                field.required = true;
            }
            // Who may see it is decided for each record, by its emailVisibility.
            "email" => field.hidden = false,
            _ => {}
        }
    }
}

/// Logging in looks records up by these two.
fn enforce_auth_indexes(collection: &mut Collection) {
    for (column, condition) in [("tokenKey", ""), ("email", "`email` != ''")] {
        if indexes::single_unique(&collection.indexes, column).is_none() {
            let name = default_index_name(collection, column);
            let index = Index::unique(&name, &collection.name, column, condition);
            collection.indexes.push(index.to_sql());
        }
    }
}

/// SQLite itself has no limit; the reference cuts at 64.
fn default_index_name(collection: &Collection, column: &str) -> String {
    let owner = if collection.id.is_empty() { &collection.name } else { &collection.id };
    format!("idx_{column}_{owner}").chars().take(64).collect()
}
