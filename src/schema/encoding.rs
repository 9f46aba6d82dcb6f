//! Collections in their two written forms: the row in `_collections`, and the JSON of the API.
//!
//! Both hold the same, but for the secrets: those of tokens and of OAuth2 clients stay in the row. Older files lack
//! newer keys and have `null` in places; they are read as unset.

use rusqlite::Row;
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::auth_options::AuthOptions;
use super::collection::{Collection, CollectionKind, Rules};
use super::field::Field;

/// The columns of `_collections`, in the order of [`StoredCollection`]'s members.
pub const COLUMNS: [&str; 14] = [
    "id",
    "system",
    "type",
    "name",
    "fields",
    "indexes",
    "listRule",
    "viewRule",
    "createRule",
    "updateRule",
    "deleteRule",
    "options",
    "created",
    "updated",
];

/// A row of `_collections`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StoredCollection {
    pub id: String,
    pub system: bool,
    pub type_name: String,
    pub name: String,
    /// JSON: a list of flat objects.
    pub fields: String,
    /// JSON: a list of `CREATE INDEX` texts.
    pub indexes: String,
    pub list_rule: Option<String>,
    pub view_rule: Option<String>,
    pub create_rule: Option<String>,
    pub update_rule: Option<String>,
    pub delete_rule: Option<String>,
    /// JSON: an object of what only this type of collection has.
    pub options: String,
    pub created: String,
    pub updated: String,
}

/// A row that cannot be understood.
#[derive(Debug, thiserror::Error)]
#[error("the collection {collection:?} cannot be read: {column}: {reason}")]
pub struct Unreadable {
    pub collection: String,
    pub column: &'static str,
    pub reason: String,
}

impl StoredCollection {
    /// The row of a query that selects [`COLUMNS`], found by their names.
    pub fn read(row: &Row<'_>) -> rusqlite::Result<StoredCollection> {
        let text = |column: &str| Ok::<_, rusqlite::Error>(row.get::<_, Option<String>>(column)?.unwrap_or_default());
        Ok(StoredCollection {
            id: text("id")?,
            system: row.get::<_, Option<bool>>("system")?.unwrap_or_default(),
            type_name: text("type")?,
            name: text("name")?,
            fields: text("fields")?,
            indexes: text("indexes")?,
            list_rule: row.get("listRule")?,
            view_rule: row.get("viewRule")?,
            create_rule: row.get("createRule")?,
            update_rule: row.get("updateRule")?,
            delete_rule: row.get("deleteRule")?,
            options: text("options")?,
            created: text("created")?,
            updated: text("updated")?,
        })
    }
}

impl TryFrom<StoredCollection> for Collection {
    type Error = Unreadable;

    fn try_from(stored: StoredCollection) -> Result<Collection, Unreadable> {
        let unreadable = |column, reason: String| Unreadable { collection: stored.name.clone(), column, reason };
        let fields: Vec<Json> = list(&stored.fields).map_err(|reason| unreadable("fields", reason))?;
        let fields: Vec<Field> = fields
            .iter()
            .map(Field::from_json)
            .collect::<Result<_, _>>()
            .map_err(|reason| unreadable("fields", reason))?;
        let indexes = list(&stored.indexes).map_err(|reason| unreadable("indexes", reason))?;
        let options = match stored.options.as_str() {
            "" | "null" => Json::Object(Map::new()),
            text => serde_json::from_str(text).map_err(|error| unreadable("options", error.to_string()))?,
        };
        let kind = kind(&stored.type_name, options).map_err(|reason| unreadable("options", reason))?;
        let mut collection = Collection::new(stored.id, stored.name, kind).with_fields(fields);
        collection.system = stored.system;
        collection.indexes = indexes;
        collection.rules = Rules {
            list: stored.list_rule.into(),
            view: stored.view_rule.into(),
            create: stored.create_rule.into(),
            update: stored.update_rule.into(),
            delete: stored.delete_rule.into(),
        };
        collection.created = stored.created;
        collection.updated = stored.updated;
        Ok(collection)
    }
}

fn list<T: for<'de> Deserialize<'de>>(text: &str) -> Result<Vec<T>, String> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let list: Option<Vec<T>> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    Ok(list.unwrap_or_default())
}

/// The kind of a collection from the word in its `type` and an object with the keys of that type, others ignored.
/// An absent type is a base collection.
pub fn kind(type_name: &str, mut options: Json) -> Result<CollectionKind, String> {
    forget_nulls(&mut options);
    match type_name {
        "" | "base" => Ok(CollectionKind::Base),
        "auth" => {
            let options: AuthOptions = serde_json::from_value(options).map_err(|error| error.to_string())?;
            Ok(CollectionKind::Auth(Box::new(options)))
        }
        "view" => match options.get("viewQuery") {
            None => Ok(CollectionKind::View { query: String::new() }),
            Some(Json::String(query)) => Ok(CollectionKind::View { query: query.clone() }),
            Some(_) => Err("\"viewQuery\" must be a text".to_owned()),
        },
        unknown => Err(format!("unknown collection type {unknown:?}")),
    }
}

/// Drops the keys that are `null`, for that is what being unset means; a provider's own data stays as it is.
fn forget_nulls(json: &mut Json) {
    match json {
        Json::Object(members) => {
            members.retain(|_, value| !value.is_null());
            members.iter_mut().filter(|(key, _)| *key != "extra").for_each(|(_, value)| forget_nulls(value));
        }
        Json::Array(items) => items.iter_mut().for_each(forget_nulls),
        _ => {}
    }
}

/// What only this type of collection has, with secrets: the `options` column. A change sent by a client is laid over it.
pub fn options(kind: &CollectionKind) -> serde_json::Result<String> {
    match kind {
        CollectionKind::Base => Ok("{}".to_owned()),
        CollectionKind::Auth(options) => serde_json::to_string(options),
        CollectionKind::View { query } => serde_json::to_string(&ViewOptions { view_query: query }),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ViewOptions<'a> {
    view_query: &'a str,
}

impl From<&Collection> for StoredCollection {
    fn from(collection: &Collection) -> StoredCollection {
        let fields: Json = collection.fields.iter().map(Field::to_json).collect();
        let indexes: Json = collection.indexes.iter().map(String::as_str).collect();
        let rule = |rule: &super::Rule| rule.as_text().map(str::to_owned);
        let rules = &collection.rules;
        StoredCollection {
            id: collection.id.clone(),
            system: collection.system,
            type_name: collection.type_name().to_owned(),
            name: collection.name.clone(),
            fields: fields.to_string(),
            indexes: indexes.to_string(),
            list_rule: rule(&rules.list),
            view_rule: rule(&rules.view),
            create_rule: rule(&rules.create),
            update_rule: rule(&rules.update),
            delete_rule: rule(&rules.delete),
            options: options(&collection.kind).expect("options are maps with text keys, which JSON always can express"),
            created: collection.created.clone(),
            updated: collection.updated.clone(),
        }
    }
}

/// The API's form: flat, without secrets.
impl Serialize for Collection {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &self.id)?;
        map.serialize_entry("listRule", &self.rules.list)?;
        map.serialize_entry("viewRule", &self.rules.view)?;
        map.serialize_entry("createRule", &self.rules.create)?;
        map.serialize_entry("updateRule", &self.rules.update)?;
        map.serialize_entry("deleteRule", &self.rules.delete)?;
        map.serialize_entry("name", &self.name)?;
        map.serialize_entry("type", self.type_name())?;
        let fields: Vec<Json> = self.fields.iter().map(Field::to_json).collect();
        map.serialize_entry("fields", &fields)?;
        map.serialize_entry("indexes", &self.indexes)?;
        map.serialize_entry("created", &self.created)?;
        map.serialize_entry("updated", &self.updated)?;
        map.serialize_entry("system", &self.system)?;
        match &self.kind {
            CollectionKind::Base => {}
            CollectionKind::View { query } => map.serialize_entry("viewQuery", query)?,
            CollectionKind::Auth(options) => flatten(&options.without_secrets(), &mut map)?,
        }
        map.end()
    }
}

/// The options of an auth collection beside the common keys.
fn flatten<M: SerializeMap>(options: &AuthOptions, map: &mut M) -> Result<(), M::Error> {
    map.serialize_entry("authRule", &options.auth_rule)?;
    map.serialize_entry("manageRule", &options.manage_rule)?;
    map.serialize_entry("authAlert", &options.auth_alert)?;
    map.serialize_entry("oauth2", &options.oauth2)?;
    map.serialize_entry("passwordAuth", &options.password_auth)?;
    map.serialize_entry("mfa", &options.mfa)?;
    map.serialize_entry("otp", &options.otp)?;
    map.serialize_entry("authToken", &options.auth_token)?;
    map.serialize_entry("passwordResetToken", &options.password_reset_token)?;
    map.serialize_entry("emailChangeToken", &options.email_change_token)?;
    map.serialize_entry("verificationToken", &options.verification_token)?;
    map.serialize_entry("fileToken", &options.file_token)?;
    map.serialize_entry("verificationTemplate", &options.verification_template)?;
    map.serialize_entry("resetPasswordTemplate", &options.reset_password_template)?;
    map.serialize_entry("confirmEmailChangeTemplate", &options.confirm_email_change_template)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::schema::{FieldKind, Rule};

    fn keys(text: &str) -> Vec<String> {
        // Top-level keys in the order in which they stand.
        let mut found = Vec::new();
        let mut depth = 0;
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}', '[', ']', '"']) {
            match rest.as_bytes()[at] {
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {
                    let mut end = at + 1;
                    while rest.as_bytes()[end] != b'"' {
                        end += if rest.as_bytes()[end] == b'\\' { 2 } else { 1 };
                    }
                    if depth == 1 && rest[end + 1..].starts_with(':') {
                        found.push(rest[at + 1..end].to_owned());
                    }
                    rest = &rest[end + 1..];
                    continue;
                }
            }
            rest = &rest[at + 1..];
        }
        found
    }

    fn auth() -> StoredCollection {
        let mut options = AuthOptions::fresh(false);
        options.oauth2.providers = vec![crate::schema::auth_options::OAuth2Provider {
            name: "google".into(),
            client_secret: "hidden".into(),
            ..Default::default()
        }];
        StoredCollection {
            id: "c1".into(),
            type_name: "auth".into(),
            name: "people".into(),
            fields:
                r#"[{"id":"a","name":"title","type":"text"},{"id":"b","name":"at","onCreate":true,"type":"autodate"}]"#
                    .into(),
            indexes: r#"["CREATE INDEX x ON people (title)"]"#.into(),
            list_rule: Some(String::new()),
            view_rule: Some("id = ''".into()),
            options: serde_json::to_string(&options).unwrap(),
            created: "2026-11-22 23:45:14.431Z".into(),
            ..Default::default()
        }
    }

    #[test]
    fn a_row_becomes_a_collection_and_the_same_row() {
        let row = auth();
        let collection = Collection::try_from(row.clone()).unwrap();
        assert_eq!(collection.rules.list, Rule::Open);
        assert_eq!(collection.rules.view, Rule::When("id = ''".into()));
        assert_eq!(collection.rules.delete, Rule::Sealed);
        assert!(matches!(collection.field("at").unwrap().1.kind, FieldKind::Autodate(_)));
        let stored = StoredCollection::from(&collection);
        assert_eq!(Collection::try_from(stored.clone()).unwrap(), collection);
        assert_eq!(StoredCollection { fields: row.fields.clone(), ..stored.clone() }, row);
        assert_eq!(
            stored.fields,
            concat!(
                r#"[{"autogeneratePattern":"","help":"","hidden":false,"id":"a","max":0,"min":0,"name":"title","pattern":"","#,
                r#""presentable":false,"primaryKey":false,"required":false,"system":false,"type":"text"},"#,
                r#"{"hidden":false,"id":"b","name":"at","onCreate":true,"onUpdate":false,"presentable":false,"#,
                r#""system":false,"type":"autodate"}]"#,
            )
        );
    }

    #[test]
    fn rows_of_older_files_are_read() {
        let stored = StoredCollection {
            name: "old".into(),
            type_name: "auth".into(),
            fields: r#"[{"id":"a","name":"s","type":"select","values":null,"help":null,"unknown":1}]"#.into(),
            indexes: "null".into(),
            options: r#"{"authRule":null,"oauth2":{"providers":null,"enabled":true},"otp":null}"#.into(),
            ..Default::default()
        };
        let collection = Collection::try_from(stored).unwrap();
        let options = collection.auth().unwrap();
        assert!(options.oauth2.enabled && options.oauth2.providers.is_empty());
        assert_eq!(options.auth_rule, Rule::Sealed);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let wrong = |stored: StoredCollection| Collection::try_from(stored).unwrap_err().to_string();
        let unknown = StoredCollection { fields: r#"[{"type":"vector"}]"#.into(), ..auth() };
        assert_eq!(wrong(unknown), r#"the collection "people" cannot be read: fields: unknown field type "vector""#);
        let broken = StoredCollection { options: "{".into(), ..auth() };
        assert!(wrong(broken).starts_with(r#"the collection "people" cannot be read: options: "#));
    }

    #[test]
    fn clients_see_flat_objects_in_a_fixed_order_without_secrets() {
        let collection = Collection::try_from(auth()).unwrap();
        let text = serde_json::to_string(&collection).unwrap();
        let common = [
            "id",
            "listRule",
            "viewRule",
            "createRule",
            "updateRule",
            "deleteRule",
            "name",
            "type",
            "fields",
            "indexes",
            "created",
            "updated",
            "system",
        ];
        let auth_keys = [
            "authRule",
            "manageRule",
            "authAlert",
            "oauth2",
            "passwordAuth",
            "mfa",
            "otp",
            "authToken",
            "passwordResetToken",
            "emailChangeToken",
            "verificationToken",
            "fileToken",
            "verificationTemplate",
            "resetPasswordTemplate",
            "confirmEmailChangeTemplate",
        ];
        assert_eq!(keys(&text), [&common[..], &auth_keys[..]].concat());
        assert!(!text.to_lowercase().contains("secret"), "{text}");
        let json: Json = serde_json::from_str(&text).unwrap();
        assert_eq!(json["authToken"], json!({ "duration": 432000 }));
        assert_eq!(json["oauth2"]["providers"][0]["name"], "google");
        assert_eq!(json["listRule"], "");
        assert_eq!(json["deleteRule"], Json::Null);

        let view = Collection::new("v", "v", CollectionKind::View { query: "select 1 as id".into() });
        let text = serde_json::to_string(&view).unwrap();
        assert_eq!(keys(&text), [&common[..], &["viewQuery"]].concat());
        assert_eq!(StoredCollection::from(&view).options, r#"{"viewQuery":"select 1 as id"}"#);
        let base = Collection::new("b", "b", CollectionKind::Base);
        assert_eq!(StoredCollection::from(&base).options, "{}");
    }
}
