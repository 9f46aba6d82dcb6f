//! A file per field type.

mod autodate;
mod bool;
mod date;
mod editor;
mod email;
mod file;
mod geo_point;
mod json;
mod number;
mod password;
mod relation;
mod select;
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
pub use select::Select;
pub use text::Text;
pub use url::Url;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

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
