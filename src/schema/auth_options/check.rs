//! What is wrong with the options of an auth collection, before they are saved.
//!
//! Rules are not read here: whether an expression means something is for whoever knows the query language.

use super::{AuthAlert, AuthOptions, MailTemplate, Mfa, OAuth2, OAuth2Provider, Otp, TokenConfig};
use crate::checks;
use crate::errors::{Errors, Invalid};
use crate::schema::indexes::single_unique;
use crate::schema::{Collection, Rule};

/// Three years: the longest life of a token, in seconds.
const MAX_TOKEN_SECONDS: i64 = 94_670_856;

/// A day: the most that one may take between two steps of a login, in seconds.
const MAX_STEP_SECONDS: i64 = 86_400;

/// The names that an OAuth2 provider may have. The three `oidc` ones are whatever the owner makes of them.
const PROVIDERS: [&str; 32] = [
    "apple",
    "bitbucket",
    "box",
    "discord",
    "facebook",
    "gitea",
    "gitee",
    "github",
    "gitlab",
    "google",
    "instagram2",
    "kakao",
    "lark",
    "linear",
    "livechat",
    "mailcow",
    "microsoft",
    "monday",
    "notion",
    "oidc",
    "oidc2",
    "oidc3",
    "patreon",
    "planningcenter",
    "spotify",
    "strava",
    "trakt",
    "twitch",
    "twitter",
    "vk",
    "wakatime",
    "yandex",
];

impl AuthOptions {
    /// Notes what is wrong under the options' own keys. `collection` is the one that they belong to, as it is to be saved.
    pub fn check(&self, collection: &Collection, errors: &mut Errors) {
        let before = errors.clone();
        if self.manage_rule == Rule::Open {
            errors.add("manageRule", Invalid::new("validation_nil_or_not_empty_required", "cannot be blank"));
        }
        errors.nest("authAlert", self.auth_alert.check());
        // Superusers always log in by password, so there always is something to log in with.
        let by_password = self.password_auth.enabled || collection.is_superusers();
        if by_password && self.password_auth.identity_fields.is_empty() {
            errors.nest("passwordAuth", Errors::one("identityFields", Invalid::required()));
        }
        errors.nest("oauth2", self.oauth2.check());
        errors.nest("otp", self.otp.check());
        errors.nest("mfa", self.mfa.check());
        errors.nest("authToken", self.auth_token.check());
        errors.nest("passwordResetToken", self.password_reset_token.check());
        errors.nest("emailChangeToken", self.email_change_token.check());
        errors.nest("verificationToken", self.verification_token.check());
        errors.nest("fileToken", self.file_token.check());
        errors.nest("verificationTemplate", self.verification_template.check());
        errors.nest("resetPasswordTemplate", self.reset_password_template.check());
        errors.nest("confirmEmailChangeTemplate", self.confirm_email_change_template.check());
        // What follows concerns several options at once, and only makes sense where each is right by itself.
        if *errors != before {
            return;
        }
        let ways_in = [self.password_auth.enabled, self.oauth2.enabled, self.otp.enabled];
        if self.mfa.enabled && ways_in.into_iter().filter(|enabled| *enabled).count() < 2 {
            let message = "MFA requires at least 2 auth methods to be enabled.";
            errors.nest("mfa", Errors::one("enabled", Invalid::new("validation_mfa_not_enough_auths", message)));
            return;
        }
        if by_password {
            let mut wrong = Errors::new();
            wrong.check("identityFields", self.check_identity_fields(collection));
            errors.nest("passwordAuth", wrong);
        }
    }

    fn check_identity_fields(&self, collection: &Collection) -> Result<(), Invalid> {
        for name in &self.password_auth.identity_fields {
            if collection.field(name).is_none() {
                let message = format!("Invalid or missing field {name}");
                return Err(Invalid::new("validation_missing_field", message).with("fieldName", name.as_str()));
            }
            if single_unique(&collection.indexes, name).is_none() {
                let message = format!("The field {name} doesn't have a UNIQUE constraint.");
                let invalid = Invalid::new("validation_missing_unique_constraint", message);
                return Err(invalid.with("fieldName", name.as_str()));
            }
        }
        Ok(())
    }
}

impl TokenConfig {
    fn check(&self) -> Errors {
        let mut errors = Errors::new();
        errors.check("secret", checks::required(&self.secret).and_then(|()| checks::length(&self.secret, 30, 255)));
        let duration = checks::required_number(self.duration);
        errors.check("duration", duration.and_then(|()| checks::between(self.duration, 10, MAX_TOKEN_SECONDS)));
        errors
    }
}

impl MailTemplate {
    fn check(&self) -> Errors {
        let mut errors = Errors::new();
        errors.check("subject", checks::required(&self.subject));
        errors.check("body", checks::required(&self.body));
        errors
    }
}

impl AuthAlert {
    fn check(&self) -> Errors {
        // Also where it is off: the template may be used by itself.
        let mut errors = Errors::new();
        errors.nest("emailTemplate", self.email_template.check());
        errors
    }
}

impl Otp {
    fn check(&self) -> Errors {
        let mut errors = Errors::new();
        if self.enabled {
            errors.check("duration", check_step(self.duration));
            let length = checks::required_number(self.length);
            errors.check("length", length.and_then(|()| checks::min(self.length, 4)));
        }
        errors.nest("emailTemplate", self.email_template.check());
        errors
    }
}

impl Mfa {
    fn check(&self) -> Errors {
        let mut errors = Errors::new();
        if self.enabled {
            errors.check("duration", check_step(self.duration));
        }
        errors
    }
}

fn check_step(seconds: i64) -> Result<(), Invalid> {
    checks::required_number(seconds).and_then(|()| checks::between(seconds, 10, MAX_STEP_SECONDS))
}

impl OAuth2 {
    fn check(&self) -> Errors {
        let mut wrong = Errors::new();
        if !self.enabled {
            return wrong;
        }
        let repeats = |(index, provider): &(usize, &OAuth2Provider)| {
            !provider.name.is_empty() && self.providers[..*index].iter().any(|other| other.name == provider.name)
        };
        if let Some((index, provider)) = self.providers.iter().enumerate().find(repeats) {
            let message = format!("The provider {} is already registered.", provider.name);
            let duplicated = Invalid::new("validation_duplicated_provider", message);
            wrong.nest(index.to_string(), Errors::one("name", duplicated.with("name", provider.name.as_str())));
        } else {
            for (index, provider) in self.providers.iter().enumerate() {
                wrong.nest(index.to_string(), provider.check());
            }
        }
        let mut errors = Errors::new();
        errors.nest("providers", wrong);
        errors
    }
}

impl OAuth2Provider {
    fn check(&self) -> Errors {
        let mut errors = Errors::new();
        errors.check("name", checks::required(&self.name));
        if !PROVIDERS.contains(&self.name.as_str()) {
            let message = format!("Invalid or missing provider with name {}.", self.name);
            errors.add("name", Invalid::new("validation_missing_provider", message).with("name", self.name.as_str()));
        }
        errors.check("clientId", checks::required(&self.client_id));
        errors.check("clientSecret", checks::required(&self.client_secret));
        errors.check("authURL", checks::url(&self.auth_url));
        errors.check("tokenURL", checks::url(&self.token_url));
        errors.check("userInfoURL", checks::url(&self.user_info_url));
        errors
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::schema::encoding::kind;
    use crate::schema::{CollectionKind, Field, SUPERUSERS};

    /// The codes of what is wrong with fresh options that these are laid over, by path.
    fn codes(collection: &str, change: Json) -> Json {
        let mut options = serde_json::to_value(AuthOptions::fresh(false)).unwrap();
        lay_over(&mut options, &change);
        let CollectionKind::Auth(options) = kind("auth", options).unwrap() else { panic!() };
        let fields = ["email", "verified"].map(|name| json!({ "id": name, "name": name, "type": "text" }));
        let fields = fields.iter().map(|field| Field::from_json(field).unwrap()).collect();
        let mut collection = Collection::new("c", collection, CollectionKind::Base).with_fields(fields);
        collection.indexes = vec!["CREATE UNIQUE INDEX i ON users (email)".to_owned()];
        let mut errors = Errors::new();
        options.check(&collection, &mut errors);
        crate::schema::fields::table::codes(&errors.to_json())
    }

    fn lay_over(base: &mut Json, change: &Json) {
        match (base, change) {
            (Json::Object(base), Json::Object(change)) => {
                for (key, value) in change {
                    lay_over(base.entry(key).or_insert(Json::Null), value);
                }
            }
            (base, change) => *base = change.clone(),
        }
    }

    #[test]
    fn options() {
        let too_small = "validation_min_greater_equal_than_required";
        let too_large = "validation_max_less_equal_than_required";
        let required = "validation_required";
        let provider = |name: &str| json!({ "name": name, "clientId": "a", "clientSecret": "b" });
        let rows = [
            (json!({}), json!({})),
            (json!({ "manageRule": "" }), json!({ "manageRule": "validation_nil_or_not_empty_required" })),
            (
                json!({ "authToken": { "secret": "", "duration": 5 } }),
                json!({ "authToken": { "secret": required, "duration": too_small } }),
            ),
            (
                json!({ "fileToken": { "secret": "short", "duration": 94670857 } }),
                json!({ "fileToken": { "secret": "validation_length_out_of_range", "duration": too_large } }),
            ),
            (
                json!({ "verificationToken": { "duration": 0 } }),
                json!({ "verificationToken": { "duration": required } }),
            ),
            (
                json!({ "otp": { "enabled": true, "duration": 5, "length": 3 } }),
                json!({ "otp": { "duration": too_small, "length": too_small } }),
            ),
            (json!({ "otp": { "duration": 0, "length": 0 } }), json!({})),
            (json!({ "mfa": { "enabled": true } }), json!({ "mfa": { "enabled": "validation_mfa_not_enough_auths" } })),
            (json!({ "mfa": { "enabled": true }, "otp": { "enabled": true } }), json!({})),
            (json!({ "mfa": { "enabled": true, "duration": 86401 } }), json!({ "mfa": { "duration": too_large } })),
            (
                json!({ "passwordAuth": { "identityFields": [] } }),
                json!({ "passwordAuth": { "identityFields": required } }),
            ),
            (json!({ "passwordAuth": { "enabled": false, "identityFields": [] } }), json!({})),
            (
                json!({ "passwordAuth": { "identityFields": ["email", "nope"] } }),
                json!({ "passwordAuth": { "identityFields": "validation_missing_field" } }),
            ),
            (
                json!({ "passwordAuth": { "identityFields": ["verified"] } }),
                json!({ "passwordAuth": { "identityFields": "validation_missing_unique_constraint" } }),
            ),
            (json!({ "oauth2": { "providers": [{}] } }), json!({})),
            (
                json!({ "oauth2": { "enabled": true, "providers": [provider("google"), { "name": "x", "authURL": "y" }] } }),
                json!({ "oauth2": { "providers": { "1": {
                    "name": "validation_missing_provider",
                    "clientId": required,
                    "clientSecret": required,
                    "authURL": "validation_is_url",
                } } } }),
            ),
            (
                json!({ "oauth2": { "enabled": true, "providers": [provider("oidc"), provider("oidc"), {}] } }),
                json!({ "oauth2": { "providers": { "1": { "name": "validation_duplicated_provider" } } } }),
            ),
            (
                json!({ "resetPasswordTemplate": { "subject": "" }, "authAlert": { "enabled": false, "emailTemplate": { "body": "" } } }),
                json!({
                    "resetPasswordTemplate": { "subject": required },
                    "authAlert": { "emailTemplate": { "body": required } },
                }),
            ),
        ];
        for (change, expected) in rows {
            assert_eq!(codes("users", change.clone()), expected, "{change}");
        }
    }

    #[test]
    fn superusers_always_have_a_way_in() {
        let change = json!({ "passwordAuth": { "enabled": false, "identityFields": [] } });
        let expected = json!({ "passwordAuth": { "identityFields": "validation_required" } });
        assert_eq!(codes(SUPERUSERS, change), expected);
    }
}
