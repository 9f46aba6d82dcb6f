//! Tests of field types as tables: what is sent, what is stored, what is shown, what is refused.

use headwater_actors::Value;
use serde_json::{Value as Json, json};

use crate::errors::Errors;
use crate::schema::{Field, FieldKind};

/// A field with these options; `type` is one of them.
pub(super) fn field(options: &Json) -> Field {
    let mut options = options.clone();
    options["id"] = json!("f");
    options["name"] = json!("f");
    Field::from_json(&options).unwrap()
}

/// Rows of: sent, stored, shown. What is stored must be what SQLite makes of it, and what is shown must come back as it is.
pub(super) fn casts(options: Json, rows: &[(Json, Json, Json)]) {
    let field = field(&options);
    for (sent, stored, shown) in rows {
        let value = field.of().cast(sent);
        assert_eq!(as_json(&value), *stored, "stored of {sent}");
        assert_eq!(field.of().to_json(&value), *shown, "shown of {sent}");
        assert_eq!(kept_by_sqlite(&field, &value), value, "kept of {sent}");
        assert_eq!(written(&field, &value), *shown, "written of {sent}");
        assert_eq!(field.of().to_json(&field.of().cast(shown)), *shown, "shown again of {sent}");
    }
}

/// Rows of: the value in the file, what is shown of it. For what other versions and other tools have left behind.
pub(super) fn reads(options: Json, rows: &[(Value, Json)]) {
    let field = field(&options);
    for (stored, shown) in rows {
        assert_eq!(field.of().to_json(stored), *shown, "{stored:?}");
        assert_eq!(written(&field, stored), *shown, "{stored:?}");
    }
}

/// Rows of: sent, the error without its message (`null` for none).
pub(super) fn values(options: Json, rows: &[(Json, Json)]) {
    let field = field(&options);
    for (sent, expected) in rows {
        let value = field.of().cast(sent);
        let result = match (&field.kind, &value) {
            (FieldKind::Password(password), Value::Text(plain)) if !plain.is_empty() => password.validate_plain(plain),
            _ => field.validate(&value),
        };
        let mut errors = Errors::new();
        errors.check("f", result);
        let mut error = errors.to_json()["f"].clone();
        if let Some(error) = error.as_object_mut() {
            assert!(error.remove("message").unwrap().as_str().unwrap().len() > 5);
        }
        assert_eq!(error, *expected, "{options} {sent}");
    }
}

/// Rows of: options, the codes of what is wrong with them by path.
pub(super) fn options(type_name: &str, rows: &[(Json, Json)]) {
    for (options, expected) in rows {
        let mut definition = json!({ "type": type_name, "id": "f", "name": "f" });
        definition.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
        let mut errors = Errors::new();
        Field::from_json(&definition).unwrap().check(&mut errors);
        assert_eq!(codes(&errors.to_json()), *expected, "{definition}");
    }
}

/// A tree of errors with nothing but the codes.
pub(crate) fn codes(errors: &Json) -> Json {
    match errors.get("code") {
        Some(code) => code.clone(),
        None => errors.as_object().unwrap().iter().map(|(key, value)| (key.clone(), codes(value))).collect(),
    }
}

/// What SQLite holds after storing a value in the field's column.
pub(super) fn kept_by_sqlite(field: &Field, value: &Value) -> Value {
    let db = rusqlite::Connection::open_in_memory().unwrap();
    db.execute_batch(&format!("CREATE TABLE t (v {})", field.of().column())).unwrap();
    db.execute("INSERT INTO t VALUES (?)", [value]).unwrap();
    db.query_row("SELECT v FROM t", [], |row| row.get(0)).unwrap()
}

pub(super) fn written(field: &Field, value: &Value) -> Json {
    let mut out = Vec::new();
    field.of().write_json(value, &mut out);
    serde_json::from_slice(&out).unwrap()
}

fn as_json(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Integer(number) => json!(number),
        Value::Real(number) => json!(number),
        Value::Text(text) => json!(text),
        Value::Blob(_) => panic!("no field stores bytes"),
    }
}

mod properties {
    use super::*;
    use proptest::prelude::*;

    /// Any JSON, with a liking for texts that mean something to one type or another.
    fn any_json() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::from),
            any::<i64>().prop_map(Json::from),
            any::<u64>().prop_map(Json::from),
            any::<f64>().prop_map(Json::from),
            ".{0,12}".prop_map(Json::from),
            r#"[-+0-9.eE_ "\[\]{},:nulTa]{0,10}"#.prop_map(Json::from),
            "[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]{1,4})?(Z|\\+[0-9]{2}:?[0-9]{2})?"
                .prop_map(Json::from),
        ];
        leaf.prop_recursive(3, 24, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..20).prop_map(Json::from),
                prop::collection::btree_map(
                    prop_oneof![Just("lon".to_owned()), Just("lat".to_owned()), ".{0,3}"],
                    inner.clone(),
                    0..5
                )
                .prop_map(|map| Json::Object(map.into_iter().collect())),
                inner.prop_map(|json| Json::String(json.to_string())),
            ]
        })
    }

    fn all_types() -> Vec<Field> {
        let mut all: Vec<Json> =
            ["text", "editor", "number", "bool", "email", "url", "date", "autodate", "json", "password", "geoPoint"]
                .map(|name| json!({ "type": name }))
                .into();
        for name in ["select", "file", "relation"] {
            all.extend([json!({ "type": name, "maxSelect": 1 }), json!({ "type": name, "maxSelect": 9 })]);
        }
        all.iter().map(field).collect()
    }

    proptest! {
        #[test]
        fn every_type_takes_any_json(sent in any_json()) {
            for field in all_types() {
                let type_name = field.of().type_name();
                let value = field.of().cast(&sent);
                let valid = field.validate(&value).is_ok();
                let shown = field.of().to_json(&value);
                if type_name == "number" && !valid {
                    continue;
                }
                prop_assert_eq!(&kept_by_sqlite(&field, &value), &value, "kept by {}", type_name);
                // Numbers may be written as 1e19 or in full, so both are brought into one form.
                prop_assert_eq!(crate::json::text(&written(&field, &value)), crate::json::text(&shown));
                // A JSON text that is a document in quotes becomes that document when it is sent back.
                if type_name != "json" || !(shown.is_string() || shown.is_number()) {
                    let again = field.of().cast(&shown);
                    let again = crate::json::text(&field.of().to_json(&again));
                    prop_assert_eq!(again, crate::json::text(&shown), "shown by {}", type_name);
                }
            }
        }

        #[test]
        fn every_type_reads_any_value(text in ".{0,16}", number: f64, bytes: Vec<u8>) {
            for field in all_types() {
                for value in [Value::Null, Value::Text(text.clone()), Value::Real(number), Value::Integer(number as i64), Value::Blob(bytes.clone())] {
                    let shown = field.of().to_json(&value);
                    written(&field, &value);
                    let _ = (field.validate(&value), field.of().is_blank(&value));
                    // Whatever is stored, clients get the JSON type that the field promises.
                    let promised = std::mem::discriminant(&field.of().to_json(&field.of().zero()));
                    let type_name = field.of().type_name();
                    prop_assert!(type_name == "json" || std::mem::discriminant(&shown) == promised, "{}", type_name);
                }
            }
        }
    }

    #[test]
    fn the_zero_value_is_blank_and_stays_what_it_is() {
        for field in all_types() {
            let zero = field.of().zero();
            assert!(field.of().is_blank(&zero));
            assert!(field.of().is_blank(&Value::Null));
            assert_eq!(field.of().to_json(&Value::Null), field.of().to_json(&zero));
            assert_eq!(kept_by_sqlite(&field, &zero), zero);
        }
    }
}
