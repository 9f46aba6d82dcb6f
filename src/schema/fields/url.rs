//! An absolute URL.

use headwater_actors::Value;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::scalar;
use crate::errors::{Errors, Invalid};
use crate::schema::field::{Field, FieldType};
use crate::{checks, json};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Url {
    /// Only these domains, if any.
    pub only_domains: Option<Vec<String>>,
    /// Any but these domains. Excludes `only_domains`.
    pub except_domains: Option<Vec<String>>,
}

impl FieldType for Url {
    fn type_name(&self) -> &'static str {
        "url"
    }

    fn column(&self) -> &'static str {
        "TEXT DEFAULT '' NOT NULL"
    }

    fn zero(&self) -> Value {
        Value::Text(String::new())
    }

    fn cast(&self, input: &Json) -> Value {
        Value::Text(scalar::text(input))
    }

    fn to_json(&self, stored: &Value) -> Json {
        Json::String(scalar::stored_text(stored).into_owned())
    }

    fn write_json(&self, stored: &Value, out: &mut Vec<u8>) {
        json::write_text(&scalar::stored_text(stored), out);
    }

    fn validate(&self, _field: &Field, stored: &Value) -> Result<(), Invalid> {
        let address = scalar::stored_text(stored);
        if checks::url(&address).is_err() {
            return Err(Invalid::new("validation_invalid_url", "Must be a valid url"));
        }
        let host = checks::url_host(&address);
        let allowed = address.is_empty() || super::domain_allowed(&self.only_domains, &self.except_domains, host);
        if allowed {
            Ok(())
        } else {
            Err(Invalid::new("validation_url_domain_not_allowed", "Url domain is not allowed"))
        }
    }

    fn check_options(&self, _field: &Field, errors: &mut Errors) {
        super::check_domains(&self.only_domains, &self.except_domains, errors);
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
        let not_allowed = json!({ "code": "validation_url_domain_not_allowed" });
        table::values(
            json!({ "type": "url", "onlyDomains": ["example.com:80"] }),
            &[
                (json!(""), Json::Null),
                (json!("http://u@example.com:80/x"), Json::Null),
                (json!("http://example.com"), not_allowed.clone()),
                (json!("example.com"), not_allowed.clone()),
                (json!("a"), json!({ "code": "validation_invalid_url" })),
            ],
        );
        table::values(
            json!({ "type": "url", "exceptDomains": ["example.com"] }),
            &[(json!("https://example.org"), Json::Null), (json!("https://example.com/a"), not_allowed)],
        );
        table::options(
            "url",
            &[(json!({ "exceptDomains": ["a..b"] }), json!({ "exceptDomains": { "0": "validation_is_domain" } }))],
        );
    }
}
