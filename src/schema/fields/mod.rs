//! A file per field type.

mod autodate;
mod bool;
mod date;
mod editor;
mod email;
mod file;
mod geo_point;
mod json;
pub(crate) mod list;
mod number;
mod password;
mod relation;
mod scalar;
mod select;
#[cfg(test)]
pub(crate) mod table;
mod text;
mod url;

pub use autodate::Autodate;
pub use bool::Bool;
pub use date::Date;
pub use editor::Editor;
pub use email::Email;
pub use file::File;
pub use geo_point::GeoPoint;
pub use json::JsonField;
pub use number::Number;
pub use password::Password;
pub use relation::Relation;
pub(crate) use scalar::parse_number;
pub use select::Select;
pub use text::{DEFAULT_ID_PATTERN, Text};
pub use url::Url;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use crate::checks;
use crate::errors::{Errors, Invalid};

/// The options of a type as JSON; they are plain structs, so they always are an object.
fn options_to_json(options: &impl Serialize) -> Map<String, Json> {
    match serde_json::to_value(options) {
        Ok(Json::Object(map)) => map,
        _ => Map::new(),
    }
}

/// Reads a list that older files may hold as `null`.
pub(crate) fn null_as_empty<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(Option::<Vec<T>>::deserialize(deserializer)?.unwrap_or_default())
}

/// Whether a domain passes the two lists of an email or url field. Compared exactly, case included.
fn domain_allowed(only: &Option<Vec<String>>, except: &Option<Vec<String>>, domain: &str) -> bool {
    let listed = |list: &[String]| list.iter().any(|name| name == domain);
    let only = only.as_deref().unwrap_or_default();
    (only.is_empty() || listed(only)) && !listed(except.as_deref().unwrap_or_default())
}

/// The options that email and url fields share: one list or the other, of domains.
fn check_domains(only: &Option<Vec<String>>, except: &Option<Vec<String>>, errors: &mut Errors) {
    let lists = [("onlyDomains", only, except), ("exceptDomains", except, only)];
    for (option, list, other) in lists {
        let list = list.as_deref().unwrap_or_default();
        if list.is_empty() {
            continue;
        }
        if other.as_ref().is_some_and(|other| !other.is_empty()) {
            errors.add(option, Invalid::new("validation_empty", "must be blank"));
            continue;
        }
        let mut wrong = Errors::new();
        for (index, domain) in list.iter().enumerate() {
            wrong.check(index.to_string(), checks::domain(domain));
        }
        errors.nest(option, wrong);
    }
}
