//! A field of a collection: what all types have in common, and the [`FieldType`] that tells them apart.
//!
//! Each type lives in a file of its own below `fields/`. To add one: write its options and its [`FieldType`], then name
//! it in [`FieldKind`]; everything else asks through the trait.

use headwater_actors::Value;
use serde_json::Value as Json;

use super::fields::*;
use crate::errors::{Errors, Invalid};

/// A field as the owner defined it.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    pub id: String,
    pub name: String,
    /// Put there by the type of the collection; cannot be removed or renamed.
    pub system: bool,
    /// Neither shown to, nor filterable or writable by anyone but superusers.
    pub hidden: bool,
    /// A hint for the dashboard: shown where a record stands for itself.
    pub presentable: bool,
    /// A hint for the dashboard: what to enter.
    pub help: String,
    /// Must not be the zero value. Autodates cannot be required.
    pub required: bool,
    pub kind: FieldKind,
}

/// The 14 types, each with its options.
#[derive(Clone, Debug, PartialEq)]
pub enum FieldKind {
    Text(Text),
    Editor(Editor),
    Number(Number),
    Bool(Bool),
    Email(Email),
    Url(Url),
    Date(Date),
    Autodate(Autodate),
    Select(Select),
    File(File),
    Relation(Relation),
    Json(JsonField),
    Password(Password),
    GeoPoint(GeoPoint),
}

/// What a type of field does. All of it is pure: what needs the database (unique values, existing relations) belongs to
/// the write pipeline.
pub trait FieldType {
    /// The `type` that stands in the field's JSON.
    fn type_name(&self) -> &'static str;

    /// The column's declaration after its name.
    fn column(&self) -> &'static str;

    /// The value of a record that was given none, as stored.
    fn zero(&self) -> Value;

    /// True if the stored value is a JSON array of several.
    fn is_multiple(&self) -> bool {
        false
    }

    /// A value from a request, as it is stored (records.md §5.2). Never fails: what cannot be understood becomes
    /// what the type makes of it, and [`FieldType::validate`] has the last word.
    fn cast(&self, input: &Json) -> Value;

    /// A stored value as JSON. Older files hold NULL and other declarations: read by type, NULL is the zero value.
    fn to_json(&self, stored: &Value) -> Json;

    /// True where `required` refuses the value.
    fn is_blank(&self, stored: &Value) -> bool {
        *stored == self.zero() || *stored == Value::Null
    }

    /// Checks a stored value against the options, but for `required`, which is checked for all types in one place.
    fn validate(&self, field: &Field, stored: &Value) -> Result<(), Invalid>;

    /// Checks the options themselves when the collection is saved, into `errors` under the option's name.
    /// What needs other collections is checked by `schema::validate`.
    fn check_options(&self, field: &Field, errors: &mut Errors);

    /// The options as they stand in the field's JSON beside the common keys (all of them, also unset ones).
    fn options_to_json(&self) -> serde_json::Map<String, Json>;
}

impl FieldKind {
    pub fn as_type(&self) -> &dyn FieldType {
        match self {
            FieldKind::Text(options) => options,
            FieldKind::Editor(options) => options,
            FieldKind::Number(options) => options,
            FieldKind::Bool(options) => options,
            FieldKind::Email(options) => options,
            FieldKind::Url(options) => options,
            FieldKind::Date(options) => options,
            FieldKind::Autodate(options) => options,
            FieldKind::Select(options) => options,
            FieldKind::File(options) => options,
            FieldKind::Relation(options) => options,
            FieldKind::Json(options) => options,
            FieldKind::Password(options) => options,
            FieldKind::GeoPoint(options) => options,
        }
    }
}

impl Field {
    /// A field of this name with the id that its type and name give, and everything else unset.
    pub fn new(name: &str, kind: FieldKind) -> Field {
        let id = format!("{}{}", kind.as_type().type_name(), crc32fast::hash(name.as_bytes()));
        Field {
            id,
            name: name.to_owned(),
            system: false,
            hidden: false,
            presentable: false,
            help: String::new(),
            required: false,
            kind,
        }
    }

    pub fn of(&self) -> &dyn FieldType {
        self.kind.as_type()
    }

    pub fn is_multiple(&self) -> bool {
        self.of().is_multiple()
    }
}
