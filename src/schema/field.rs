//! A field of a collection: what all types have in common, and the [`FieldType`] that tells them apart.
//!
//! Each type lives in a file of its own below `fields/`. To add one: write its options and its [`FieldType`], then name
//! it in [`FieldKind`]; everything else asks through the trait.

use headwater_actors::Value;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json};

use super::fields::*;
use crate::errors::{Errors, Invalid};
use crate::{checks, json};

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

    /// Writes what [`FieldType::to_json`] gives, without a tree in between where the type can.
    fn write_json(&self, stored: &Value, out: &mut Vec<u8>) {
        json::write(&self.to_json(stored), out);
    }

    /// True where `required` refuses the value.
    fn is_blank(&self, stored: &Value) -> bool {
        *stored == self.zero() || *stored == Value::Null
    }

    /// Checks a stored value against the options, but for `required`, which [`Field::validate`] checks for all types.
    fn validate(&self, field: &Field, stored: &Value) -> Result<(), Invalid>;

    /// Checks the options themselves when the collection is saved, into `errors` under the option's name.
    /// What needs other collections is checked by `schema::validate`.
    fn check_options(&self, field: &Field, errors: &mut Errors);

    /// The options as they stand in the field's JSON beside the common keys (all of them, also unset ones).
    fn options_to_json(&self) -> serde_json::Map<String, Json>;
}

impl FieldKind {
    /// The type of this name with the options that stand in the field's JSON; missing ones are unset.
    fn from_json(type_name: &str, options: Map<String, Json>) -> Result<FieldKind, String> {
        fn read<T: DeserializeOwned>(options: Map<String, Json>) -> Result<T, String> {
            serde_json::from_value(Json::Object(options)).map_err(|error| error.to_string())
        }
        Ok(match type_name {
            "text" => FieldKind::Text(read(options)?),
            "editor" => FieldKind::Editor(read(options)?),
            "number" => FieldKind::Number(read(options)?),
            "bool" => FieldKind::Bool(read(options)?),
            "email" => FieldKind::Email(read(options)?),
            "url" => FieldKind::Url(read(options)?),
            "date" => FieldKind::Date(read::<Date>(options)?.normalised()),
            "autodate" => FieldKind::Autodate(read(options)?),
            "select" => FieldKind::Select(read(options)?),
            "file" => FieldKind::File(read(options)?),
            "relation" => FieldKind::Relation(read(options)?),
            "json" => FieldKind::Json(read(options)?),
            "password" => FieldKind::Password(read(options)?),
            "geoPoint" => FieldKind::GeoPoint(read(options)?),
            unknown => return Err(format!("unknown field type {unknown:?}")),
        })
    }

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

    /// A field from its flat JSON, as it is stored and as requests send it. Missing and `null` keys are unset, an id too:
    /// whoever takes a field from a request gives it one. Fails on an unknown type and on values of a wrong JSON type.
    pub fn from_json(json: &Json) -> Result<Field, String> {
        let Json::Object(json) = json else { return Err("a field must be an object".to_owned()) };
        let given = |key: &str| json.get(key).filter(|value| !value.is_null());
        let text = |key: &str| match given(key) {
            None => Ok(String::new()),
            Some(Json::String(text)) => Ok(text.clone()),
            Some(_) => Err(format!("{key:?} must be a text")),
        };
        let flag = |key: &str| match given(key) {
            None => Ok(false),
            Some(Json::Bool(flag)) => Ok(*flag),
            Some(_) => Err(format!("{key:?} must be true or false")),
        };
        let options = json.iter().filter(|(_, value)| !value.is_null());
        let kind = FieldKind::from_json(&text("type")?, options.map(|(k, v)| (k.clone(), v.clone())).collect())?;
        let autodate = matches!(kind, FieldKind::Autodate(_));
        Ok(Field {
            id: text("id")?,
            name: text("name")?,
            system: flag("system")?,
            hidden: flag("hidden")?,
            presentable: flag("presentable")?,
            help: if autodate { String::new() } else { text("help")? },
            required: !autodate && flag("required")?,
            kind,
        })
    }

    /// The flat JSON: all keys of the type, in alphabetical order.
    pub fn to_json(&self) -> Json {
        let mut json = self.of().options_to_json();
        let mut set = |key: &str, value: Json| json.insert(key.to_owned(), value);
        set("id", self.id.as_str().into());
        set("name", self.name.as_str().into());
        set("type", self.of().type_name().into());
        set("system", self.system.into());
        set("hidden", self.hidden.into());
        set("presentable", self.presentable.into());
        if !matches!(self.kind, FieldKind::Autodate(_)) {
            set("help", self.help.as_str().into());
            set("required", self.required.into());
        }
        Json::Object(json)
    }

    /// Checks a stored value: `required`, then what the type asks for. Passwords are checked before they are hashed, by
    /// [`Password::validate_plain`].
    pub fn validate(&self, stored: &Value) -> Result<(), Invalid> {
        if self.required && self.of().is_blank(stored) {
            return Err(Invalid::required());
        }
        self.of().validate(self, stored)
    }

    /// Checks the definition by itself when its collection is saved. Whether names and ids are unique, what may not
    /// change, and what needs other collections is checked by whoever has them.
    pub fn check(&self, errors: &mut Errors) {
        errors.check("id", checks::required(&self.id).and_then(|()| checks::length(&self.id, 1, 100)));
        errors.check("name", check_name(&self.name));
        errors.check("help", checks::length(&self.help, 1, 300));
        self.of().check_options(self, errors);
    }

    pub fn of(&self) -> &dyn FieldType {
        self.kind.as_type()
    }

    pub fn is_multiple(&self) -> bool {
        self.of().is_multiple()
    }
}

/// Words that mean something else in filters, or in a record's JSON.
const RESERVED_NAMES: [&str; 7] = ["null", "true", "false", "_rowid_", "collectionId", "collectionName", "expand"];

fn check_name(name: &str) -> Result<(), Invalid> {
    checks::required(name)?;
    checks::length(name, 1, 100)?;
    checks::word(name)?;
    if RESERVED_NAMES.contains(&name) {
        return Err(Invalid::new("validation_not_in_invalid", "must not be in list"));
    }
    if name.to_ascii_lowercase().contains("_via_") {
        return Err(Invalid::new("validation_found_via", r#"The value cannot contain "_via_"."#));
    }
    Ok(())
}
