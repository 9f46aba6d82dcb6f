//! An e-mail address.

use headwater_actors::Value;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::scalar;
use crate::errors::{Errors, Invalid};
use crate::schema::field::{Field, FieldType};
use crate::{checks, json};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Email {
    /// Only these domains, if any.
    pub only_domains: Option<Vec<String>>,
    /// Any but these domains. Excludes `only_domains`.
    pub except_domains: Option<Vec<String>>,
}

impl FieldType for Email {
    fn type_name(&self) -> &'static str {
        "email"
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
        checks::email(&address)?;
        let domain = address.rsplit('@').next().unwrap_or_default();
        let allowed = address.is_empty() || super::domain_allowed(&self.only_domains, &self.except_domains, domain);
        if allowed {
            Ok(())
        } else {
            Err(Invalid::new("validation_email_domain_not_allowed", "Email domain is not allowed"))
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
        let not_allowed = json!({ "code": "validation_email_domain_not_allowed" });
        table::values(
            json!({ "type": "email", "onlyDomains": ["example.com"] }),
            &[
                (json!(""), Json::Null),
                (json!("a@example.com"), Json::Null),
                (json!("a@EXAMPLE.com"), not_allowed.clone()),
                (json!("a@b.co"), not_allowed.clone()),
                (json!("a@b"), json!({ "code": "validation_is_email" })),
            ],
        );
        table::values(
            json!({ "type": "email", "exceptDomains": ["example.com"] }),
            &[(json!("a@b.co"), Json::Null), (json!("a@example.com"), not_allowed)],
        );
    }

    #[test]
    fn options() {
        table::options(
            "email",
            &[
                (json!({ "onlyDomains": [], "exceptDomains": ["a.b"] }), json!({})),
                (
                    json!({ "onlyDomains": ["a.b"], "exceptDomains": ["c.d"] }),
                    json!({ "onlyDomains": "validation_empty", "exceptDomains": "validation_empty" }),
                ),
                (json!({ "onlyDomains": ["a.b", "x y"] }), json!({ "onlyDomains": { "1": "validation_is_domain" } })),
            ],
        );
    }
}
