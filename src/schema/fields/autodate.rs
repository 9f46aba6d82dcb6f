//! A moment set by the server when a record is created or updated.

use headwater_actors::Value;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::errors::{Errors, Invalid};
use crate::json;
use crate::schema::field::{Field, FieldType};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Autodate {
    pub on_create: bool,
    pub on_update: bool,
}

impl FieldType for Autodate {
    fn type_name(&self) -> &'static str {
        "autodate"
    }

    fn column(&self) -> &'static str {
        "TEXT DEFAULT '' NOT NULL"
    }

    fn zero(&self) -> Value {
        Value::Text(String::new())
    }

    fn cast(&self, input: &Json) -> Value {
        super::date::cast(input)
    }

    fn to_json(&self, stored: &Value) -> Json {
        Json::String(super::date::read(stored).into_owned())
    }

    fn write_json(&self, stored: &Value, out: &mut Vec<u8>) {
        json::write_text(&super::date::read(stored), out);
    }

    fn validate(&self, _field: &Field, _stored: &Value) -> Result<(), Invalid> {
        Ok(())
    }

    fn check_options(&self, _field: &Field, errors: &mut Errors) {
        if !self.on_create && !self.on_update {
            for option in ["onCreate", "onUpdate"] {
                let message = "either onCreate or onUpdate must be enabled";
                errors.add(option, Invalid::new("validation_required", message));
            }
        }
    }

    fn options_to_json(&self) -> serde_json::Map<String, Json> {
        super::options_to_json(self)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::schema::fields::table;

    #[test]
    fn it_needs_an_occasion_and_has_no_help() {
        table::options(
            "autodate",
            &[
                (json!({ "onUpdate": true }), json!({})),
                (json!({}), json!({ "onCreate": "validation_required", "onUpdate": "validation_required" })),
            ],
        );
        let field = table::field(&json!({ "type": "autodate", "onCreate": true, "help": "x", "required": true }));
        assert_eq!(
            field.to_json(),
            json!({
                "hidden": false, "id": "f", "name": "f", "onCreate": true, "onUpdate": false, "presentable": false,
                "system": false, "type": "autodate",
            })
        );
    }
}
