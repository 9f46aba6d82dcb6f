//! References to records of another collection, by their ids.

use headwater_actors::Value;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::list;
use crate::checks;
use crate::errors::{Errors, Invalid};
use crate::schema::field::{Field, FieldType};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Relation {
    pub collection_id: String,
    /// Delete this record when nothing it refers to is left.
    pub cascade_delete: bool,
    pub min_select: i64,
    /// More than 1: several ids, stored as a JSON array.
    pub max_select: i64,
}

impl FieldType for Relation {
    fn type_name(&self) -> &'static str {
        "relation"
    }

    fn column(&self) -> &'static str {
        if self.max_select > 1 { "JSON DEFAULT '[]' NOT NULL" } else { "TEXT DEFAULT '' NOT NULL" }
    }

    fn zero(&self) -> Value {
        Value::Text(if self.max_select > 1 { "[]".into() } else { String::new() })
    }

    fn is_multiple(&self) -> bool {
        self.max_select > 1
    }

    fn cast(&self, input: &Json) -> Value {
        list::cast(input, self.is_multiple())
    }

    fn to_json(&self, stored: &Value) -> Json {
        list::to_json(stored, self.is_multiple())
    }

    fn write_json(&self, stored: &Value, out: &mut Vec<u8>) {
        list::write_json(stored, self.is_multiple(), out);
    }

    fn is_blank(&self, stored: &Value) -> bool {
        list::is_blank(stored)
    }

    fn validate(&self, _field: &Field, stored: &Value) -> Result<(), Invalid> {
        let count = list::stored(stored).len();
        if count > 0 && (count as i64) < self.min_select {
            let message = format!("Select at least {}", self.min_select);
            return Err(Invalid::new("validation_not_enough_values", message).with("minSelect", self.min_select));
        }
        list::check_count(count, self.max_select)
    }

    fn check_options(&self, _field: &Field, errors: &mut Errors) {
        errors.check("collectionId", checks::required(&self.collection_id));
        errors.check("minSelect", checks::min(self.min_select, 0));
        if self.min_select > 0 {
            errors.check("maxSelect", checks::required_number(self.max_select));
        }
        errors.check("maxSelect", checks::min(self.max_select, self.min_select));
    }

    fn options_to_json(&self) -> serde_json::Map<String, Json> {
        super::options_to_json(self)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::schema::fields::table;

    #[test]
    fn values() {
        table::values(
            json!({ "type": "relation", "collectionId": "c", "minSelect": 2, "maxSelect": 3 }),
            &[
                (json!([]), Json::Null),
                (json!(["a", "b"]), Json::Null),
                (json!(["a", "a"]), json!({ "code": "validation_not_enough_values", "params": { "minSelect": 2 } })),
                (
                    json!(["a", "b", "c", "d"]),
                    json!({ "code": "validation_too_many_values", "params": { "maxSelect": 3 } }),
                ),
            ],
        );
    }

    #[test]
    fn options() {
        let too_small = "validation_min_greater_equal_than_required";
        table::options(
            "relation",
            &[
                (json!({ "collectionId": "c" }), json!({})),
                (json!({}), json!({ "collectionId": "validation_required" })),
                (json!({ "collectionId": "c", "minSelect": 2 }), json!({ "maxSelect": "validation_required" })),
                (json!({ "collectionId": "c", "minSelect": 2, "maxSelect": 1 }), json!({ "maxSelect": too_small })),
                (json!({ "collectionId": "c", "minSelect": -1 }), json!({ "minSelect": too_small })),
                (json!({ "collectionId": "c", "maxSelect": -1 }), json!({ "maxSelect": too_small })),
            ],
        );
    }
}
