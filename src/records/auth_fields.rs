//! What is special about writing auth records: passwords, addresses, and the key of their tokens (records.md §10).

use headwater_actors::Value;
use serde_json::{Map, Value as Json};

use super::work::Work;
use super::{Record, RecordError, cascade, save};
use crate::auth::installer::INSTALLER_EMAIL;
use crate::errors::{Errors, Invalid};
use crate::patterns;
use crate::schema::{Collection, FieldKind};

/// The fields of an auth record whose change has consequences beyond its row.
const SENSITIVE: [&str; 4] = ["password", "email", "verified", "tokenKey"];

/// What a request says about a password, beside the field itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Credentials {
    password: String,
    confirm: String,
    pub old: String,
}

/// Whether the old password of the request is right.
#[derive(Clone, Debug)]
pub(crate) struct OldPassword {
    /// The hash against which it was verified.
    pub hash: String,
    pub is_right: bool,
}

/// True if the old password must be verified anew: the stored one has changed since.
pub(crate) struct PasswordChanged;

impl Credentials {
    pub fn read(values: &Map<String, Json>) -> Credentials {
        let text = |key: &str| match values.get(key) {
            Some(Json::String(text)) => text.clone(),
            Some(value @ (Json::Number(_) | Json::Bool(_))) => value.to_string(),
            _ => String::new(),
        };
        Credentials { password: text("password"), confirm: text("passwordConfirm"), old: text("oldPassword") }
    }

    /// True if the old password will be asked for and was given.
    pub fn proves_old_password(&self) -> bool {
        !self.old.is_empty() && (!self.password.is_empty() || !self.confirm.is_empty())
    }

    /// What is wrong with a new record. Managers may say that an address is verified.
    pub fn check_create(&self, record: &Record, is_manager: bool) -> Errors {
        let mut errors = Errors::new();
        if record.flag("verified") && !is_manager {
            errors.add("verified", mismatch());
        }
        if self.password.is_empty() {
            errors.add("password", Invalid::required());
        }
        if self.confirm.is_empty() {
            errors.add("passwordConfirm", Invalid::required());
        }
        if self.confirm != self.password {
            errors.add("passwordConfirm", mismatch());
        }
        errors
    }

    /// What is wrong with an update. Managers may change the address and need not know the old password.
    pub fn check_update(
        &self,
        before: &Record,
        after: &Record,
        is_manager: bool,
        old: Option<&OldPassword>,
    ) -> Result<Errors, PasswordChanged> {
        let mut errors = Errors::new();
        if !is_manager {
            if after.text("email") != before.text("email") {
                errors.add("email", mismatch());
            }
            if after.flag("verified") != before.flag("verified") {
                errors.add("verified", mismatch());
            }
            if !(self.password.is_empty() && self.confirm.is_empty()) {
                match old {
                    None => errors.add("oldPassword", Invalid::required()),
                    Some(old) if old.hash != before.text("password") => return Err(PasswordChanged),
                    Some(old) if old.is_right => {}
                    Some(_) => {
                        let message = "Missing or invalid old password.";
                        errors.add("oldPassword", Invalid::new("validation_invalid_old_password", message));
                    }
                }
            }
        }
        if self.password.is_empty() && !(self.confirm.is_empty() && self.old.is_empty()) {
            errors.add("password", Invalid::required());
        }
        if self.confirm.is_empty() && !(self.password.is_empty() && self.old.is_empty()) {
            errors.add("passwordConfirm", Invalid::required());
        }
        if self.confirm != self.password {
            errors.add("passwordConfirm", mismatch());
        }
        Ok(errors)
    }
}

fn mismatch() -> Invalid {
    Invalid::new("validation_values_mismatch", "Values don't match.")
}

/// True if a write to these fields is more than one statement.
pub(crate) fn is_sensitive(collection: &Collection, gives: impl Fn(&str) -> bool) -> bool {
    collection.is_auth() && SENSITIVE.iter().any(|name| gives(name))
}

/// What is always true of stored superusers.
pub(crate) fn settle(record: &mut Record) {
    if record.collection.is_superusers() {
        record.set("verified", Value::Integer(1));
    }
}

/// Gives the record a new token key where the change of another field ends all its tokens.
pub(crate) fn rotate_token_key(
    work: &mut Work<'_, '_>,
    before: &Record,
    after: &mut Record,
) -> Result<(), RecordError> {
    if before.text("tokenKey") != after.text("tokenKey") {
        return Ok(());
    }
    let differs = |name: &str| before.text(name) != after.text(name);
    let becomes_verified = !before.flag("verified") && after.flag("verified");
    if differs("password") || differs("email") {
        renew_token_key(after);
    }
    // Whoever linked an account before the address was proven may be somebody else.
    if becomes_verified && cascade::remove_side_rows(work, "_externalAuths", after)? {
        renew_token_key(after);
    }
    Ok(())
}

fn renew_token_key(record: &mut Record) {
    let pattern = match record.collection.field("tokenKey").map(|(_, field)| &field.kind) {
        Some(FieldKind::Text(options)) => options.autogenerate_pattern.as_str(),
        _ => "",
    };
    let key = match patterns::generate(pattern) {
        Ok(key) if !key.is_empty() => key,
        _ => patterns::random_text(50, patterns::ALPHANUMERIC),
    };
    record.set("tokenKey", Value::Text(key));
}

/// Removes what an update made worthless: codes, and the devices known under the old password.
pub(crate) fn clean_up(work: &mut Work<'_, '_>, before: &Record, after: &Record) -> Result<(), RecordError> {
    if before.text("tokenKey") != after.text("tokenKey") {
        cascade::remove_side_rows(work, "_otps", after)?;
    }
    if before.text("password") != after.text("password") {
        cascade::remove_side_rows(work, "_mfas", after)?;
        cascade::remove_side_rows(work, "_authOrigins", after)?;
    }
    Ok(())
}

/// The first real superuser ends the installer's own.
pub(crate) fn dismiss_installer(work: &mut Work<'_, '_>, created: &Record) -> Result<(), RecordError> {
    if !created.collection.is_superusers() || created.text("email") == INSTALLER_EMAIL {
        return Ok(());
    }
    let sql = "SELECT \"id\" FROM \"_superusers\" WHERE \"email\"=?1";
    let id = {
        let mut statement = work.conn().prepare_cached(sql)?;
        let mut rows = statement.query([INSTALLER_EMAIL])?;
        rows.next()?.map(|row| row.get::<_, String>(0)).transpose()?
    };
    if let Some(id) = id
        && let Some(installer) = save::load(work.conn(), &created.collection, &id)?
    {
        cascade::remove(work, installer)?;
    }
    Ok(())
}
