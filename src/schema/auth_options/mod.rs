//! What an auth collection has beyond a base collection: how one may log in, and the keys of its tokens.

mod check;
mod defaults;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::collection::Rule;

/// The `options` column of an auth collection. Over HTTP the same keys stand beside the common ones, without secrets.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AuthOptions {
    /// Who may log in: evaluated on the record. `Sealed`: nobody.
    pub auth_rule: Rule,
    /// Who may manage others' records (set emails and passwords). Never `Open`.
    pub manage_rule: Rule,
    pub auth_alert: AuthAlert,
    pub oauth2: OAuth2,
    pub password_auth: PasswordAuth,
    pub mfa: Mfa,
    pub otp: Otp,
    pub auth_token: TokenConfig,
    pub password_reset_token: TokenConfig,
    pub email_change_token: TokenConfig,
    pub verification_token: TokenConfig,
    pub file_token: TokenConfig,
    pub verification_template: MailTemplate,
    pub reset_password_template: MailTemplate,
    pub confirm_email_change_template: MailTemplate,
}

/// Lifetime and key of one type of token. Seconds; the key is this secret appended to the record's own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TokenConfig {
    /// Left out of what clients see.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub secret: String,
    pub duration: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MailTemplate {
    pub subject: String,
    pub body: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AuthAlert {
    pub enabled: bool,
    pub email_template: MailTemplate,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PasswordAuth {
    pub enabled: bool,
    pub identity_fields: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Mfa {
    pub enabled: bool,
    /// Seconds between the first and the second factor.
    pub duration: i64,
    pub rule: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Otp {
    pub enabled: bool,
    /// Seconds.
    pub duration: i64,
    /// Digits.
    pub length: i64,
    pub email_template: MailTemplate,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OAuth2 {
    /// On disk this may be `null`.
    #[serde(deserialize_with = "super::fields::null_as_empty")]
    pub providers: Vec<OAuth2Provider>,
    pub mapped_fields: MappedFields,
    pub enabled: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MappedFields {
    pub id: String,
    pub name: String,
    pub username: String,
    #[serde(rename = "avatarURL")]
    pub avatar_url: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OAuth2Provider {
    pub pkce: Option<bool>,
    pub name: String,
    pub client_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub client_secret: String,
    #[serde(rename = "authURL")]
    pub auth_url: String,
    #[serde(rename = "tokenURL")]
    pub token_url: String,
    #[serde(rename = "userInfoURL")]
    pub user_info_url: String,
    pub display_name: String,
    pub extra: Option<serde_json::Map<String, Json>>,
}

impl AuthOptions {
    /// As clients may see it.
    pub(crate) fn without_secrets(&self) -> AuthOptions {
        let mut options = self.clone();
        for token in [
            &mut options.auth_token,
            &mut options.password_reset_token,
            &mut options.email_change_token,
            &mut options.verification_token,
            &mut options.file_token,
        ] {
            token.secret.clear();
        }
        for provider in &mut options.oauth2.providers {
            provider.client_secret.clear();
        }
        options
    }
}
