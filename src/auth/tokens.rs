//! Tokens: signed JSON (JWT, HS256) that says which auth record its bearer is, and what for.
//!
//! The key of a token is the record's own `tokenKey` followed by the secret that its collection has for that type of
//! token. Changing either ends every token made with it; there is no list of sessions. Tokens of the reference and ours
//! verify on both sides, so what is accepted here is exactly what it accepts (auth.md §4).

use chrono::Utc;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

use crate::records::Record;
use crate::schema::AuthOptions;
use crate::schema::auth_options::TokenConfig;

/// What a token is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TokenKind {
    Auth,
    File,
    Verification,
    PasswordReset,
    EmailChange,
}

impl TokenKind {
    /// Lifetime and secret of this type of token.
    pub fn config(self, options: &AuthOptions) -> &TokenConfig {
        match self {
            TokenKind::Auth => &options.auth_token,
            TokenKind::File => &options.file_token,
            TokenKind::Verification => &options.verification_token,
            TokenKind::PasswordReset => &options.password_reset_token,
            TokenKind::EmailChange => &options.email_change_token,
        }
    }
}

/// What a token says. Fields in alphabetical order, as they are written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Claims {
    /// The id of the record's collection; its name is understood too.
    pub collection_id: String,
    /// The address that a mail token was sent for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub email: String,
    /// Seconds since 1970. A token without it, or with 0, never ends.
    #[serde(default, serialize_with = "whole")]
    exp: Option<f64>,
    #[serde(default, skip_serializing)]
    iat: Option<f64>,
    pub id: String,
    #[serde(default, skip_serializing)]
    nbf: Option<f64>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub new_email: String,
    /// Only in auth tokens: whether a refresh gives a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refreshable: Option<bool>,
    #[serde(rename = "type")]
    pub kind: TokenKind,
}

/// Seconds as a whole number: other readers refuse `1.7e9`.
fn whole<S: serde::Serializer>(seconds: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_i64(seconds.unwrap_or_default() as i64)
}

impl Claims {
    /// True unless the token has ended or was not to be used yet. There is no leeway.
    pub fn current(&self) -> bool {
        self.current_at(Utc::now().timestamp_micros() as f64 / 1e6)
    }

    fn current_at(&self, now: f64) -> bool {
        let before = |limit: Option<f64>| limit.is_none_or(|limit| limit == 0.0 || now < limit.trunc());
        let since = |limit: Option<f64>| limit.is_none_or(|limit| now >= limit.trunc());
        before(self.exp) && since(self.nbf) && since(self.iat)
    }

    /// Reads a token without believing it: nothing here is true until [`verify`] said so.
    pub fn unverified(token: &str) -> Option<Claims> {
        jsonwebtoken::dangerous::insecure_decode::<Claims>(token).ok().map(|token| token.claims)
    }
}

/// True if the token was signed with this key, by the one algorithm that we use. Says nothing about its time.
pub fn verify(token: &str, key: &str) -> bool {
    let mut rules = Validation::new(Algorithm::HS256);
    rules.required_spec_claims.clear();
    rules.validate_exp = false;
    rules.validate_aud = false;
    jsonwebtoken::decode::<Claims>(token, &DecodingKey::from_secret(key.as_bytes()), &rules).is_ok()
}

/// The key of a record's tokens of one type; none if the record is not of an auth collection or has no key of its own.
pub fn key(record: &Record, kind: TokenKind) -> Option<String> {
    let own = record.text("tokenKey");
    let secret = &kind.config(record.collection.auth()?).secret;
    (!own.is_empty() && !secret.is_empty()).then(|| format!("{own}{secret}"))
}

/// Why no token was made.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    #[error("{0}/{1} cannot have tokens: it has no token key, or its collection no secret")]
    NoKey(String, String),
    #[error("could not sign: {0}")]
    Sign(#[from] jsonwebtoken::errors::Error),
}

/// A new token of a record, for as long as its collection says.
pub fn issue(record: &Record, kind: TokenKind) -> Result<String, TokenError> {
    sign(record, kind, None, None, ["", ""])
}

/// An auth token that a refresh renews.
pub fn issue_auth(record: &Record) -> Result<String, TokenError> {
    sign(record, TokenKind::Auth, Some(true), None, ["", ""])
}

/// An auth token that ends when it ends, after so many seconds (0: as long as its collection says).
pub fn issue_static(record: &Record, seconds: i64) -> Result<String, TokenError> {
    sign(record, TokenKind::Auth, Some(false), (seconds != 0).then_some(seconds), ["", ""])
}

/// A token for a link in a mail to the record's address (and, to change it, the new one).
pub fn issue_mail(record: &Record, kind: TokenKind, new_email: &str) -> Result<String, TokenError> {
    sign(record, kind, None, None, [record.text("email"), new_email])
}

fn sign(
    record: &Record,
    kind: TokenKind,
    refreshable: Option<bool>,
    seconds: Option<i64>,
    [email, new_email]: [&str; 2],
) -> Result<String, TokenError> {
    let no_key = || TokenError::NoKey(record.collection.name.clone(), record.id().to_owned());
    let options = record.collection.auth().ok_or_else(no_key)?;
    let key = key(record, kind).ok_or_else(no_key)?;
    let seconds = seconds.unwrap_or(kind.config(options).duration);
    let claims = Claims {
        collection_id: record.collection.id.clone(),
        email: email.to_owned(),
        exp: Some(Utc::now().timestamp().saturating_add(seconds) as f64),
        iat: None,
        id: record.id().to_owned(),
        nbf: None,
        new_email: new_email.to_owned(),
        refreshable,
        kind,
    };
    let header = Header::new(Algorithm::HS256);
    Ok(jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(key.as_bytes()))?)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::schema::{Collection, CollectionKind, Field, FieldKind, fields};
    use base64::Engine;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
    use headwater_actors::Value;
    use serde_json::json;
    use std::sync::Arc;

    pub(crate) fn user() -> Record {
        let text = |name: &str| Field::new(name, FieldKind::Text(fields::Text::default()));
        let config = |secret: &str, duration| TokenConfig { secret: secret.into(), duration };
        let options = AuthOptions {
            auth_token: config("auth-secret", 60),
            file_token: config("file-secret", 10),
            verification_token: config("verification-secret", 10),
            ..AuthOptions::default()
        };
        let collection = Collection::new("pbc_1", "users", CollectionKind::Auth(Box::new(options)));
        let collection = collection.with_fields(vec![text("id"), text("tokenKey"), text("email")]);
        let values = ["u1", "token-key", "a@example.com"].map(|text| Value::Text(text.into()));
        Record::from_values(Arc::new(collection), values.into())
    }

    const KEY: &str = "token-keyauth-secret";

    pub(crate) fn forge(header: serde_json::Value, claims: serde_json::Value, key: &str) -> String {
        let part = |json: serde_json::Value| BASE64.encode(json.to_string());
        let message = format!("{}.{}", part(header), part(claims));
        let secret = EncodingKey::from_secret(key.as_bytes());
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &secret, Algorithm::HS256).unwrap();
        format!("{message}.{signature}")
    }

    fn accepted(header: serde_json::Value, claims: serde_json::Value) -> bool {
        let token = forge(header, claims, KEY);
        Claims::unverified(&token).is_some_and(|claims| claims.current()) && verify(&token, KEY)
    }

    #[test]
    fn a_token_says_what_the_reference_says_in_its_order() {
        let token = issue_auth(&user()).unwrap();
        let parts: Vec<_> = token.split('.').map(|part| BASE64.decode(part).unwrap_or_default()).collect();
        let header: serde_json::Value = serde_json::from_slice(&parts[0]).unwrap();
        assert_eq!(header, json!({"alg": "HS256", "typ": "JWT"}));
        let text = String::from_utf8(parts[1].clone()).unwrap();
        let exp = Utc::now().timestamp() + 60;
        assert_eq!(
            text,
            format!(r#"{{"collectionId":"pbc_1","exp":{exp},"id":"u1","refreshable":true,"type":"auth"}}"#)
        );
        assert!(verify(&token, KEY) && Claims::unverified(&token).unwrap().current());
        let mail = Claims::unverified(&issue_mail(&user(), TokenKind::Verification, "").unwrap()).unwrap();
        assert_eq!(
            (mail.email.as_str(), mail.kind, mail.refreshable),
            ("a@example.com", TokenKind::Verification, None)
        );
        let file = issue(&user(), TokenKind::File).unwrap();
        assert!(verify(&file, "token-keyfile-secret") && !verify(&file, KEY));
    }

    #[test]
    fn claims_that_are_accepted_and_refused() {
        let header = json!({"alg": "HS256"});
        let now = Utc::now().timestamp();
        let with = |extra: serde_json::Value| {
            let mut claims = json!({"id": "u1", "collectionId": "pbc_1", "type": "auth"});
            claims.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            accepted(header.clone(), claims)
        };
        assert!(with(json!({})), "no exp never ends");
        assert!(with(json!({"exp": now as f64 + 5.5})), "exp may have a fraction");
        assert!(with(json!({"exp": now + 5, "nbf": now - 5, "iat": now - 5, "other": [1]})));
        assert!(!with(json!({"exp": (now + 5).to_string()})), "exp as text");
        assert!(!with(json!({"exp": now})), "no leeway");
        assert!(!with(json!({"nbf": now + 5})));
        assert!(!with(json!({"iat": now + 5})));
        assert!(!with(json!({"id": 5})));
        assert!(!with(json!({"type": "other"})));
        for missing in ["id", "collectionId", "type"] {
            let mut claims = json!({"id": "u1", "collectionId": "pbc_1", "type": "auth"});
            claims.as_object_mut().unwrap().remove(missing);
            assert!(!accepted(header.clone(), claims), "{missing}");
        }
    }

    #[test]
    fn other_algorithms_keys_and_spellings_are_refused() {
        let claims = json!({"id": "u1", "collectionId": "pbc_1", "type": "auth"});
        let good = forge(json!({"alg": "HS256", "typ": "JWT"}), claims.clone(), KEY);
        assert!(verify(&good, KEY));
        for alg in ["none", "HS384", "HS512", "RS256", "hs256", ""] {
            let token = forge(json!({"alg": alg}), claims.clone(), KEY);
            assert!(!verify(&token, KEY), "{alg}");
        }
        let unsigned = forge(json!({"alg": "none"}), claims.clone(), KEY);
        let unsigned = format!("{}.", unsigned.rsplit_once('.').unwrap().0);
        assert!(!verify(&unsigned, KEY));
        assert!(!verify(&format!("{good}="), KEY));
        assert!(!verify(&good, "token-keyfile-secret"));
        assert!(!verify(&good, ""));
        for text in ["", ".", "..", "a.b", "a.b.c", "a.b.c.d", "é.é.é"] {
            assert!(!verify(text, KEY) && Claims::unverified(text).is_none(), "{text}");
        }
    }

    #[test]
    fn without_a_key_there_are_no_tokens() {
        let mut record = user();
        record.set("tokenKey", String::new());
        assert!(key(&record, TokenKind::Auth).is_none() && issue_auth(&record).is_err());
        // This type has no secret.
        assert!(issue(&user(), TokenKind::PasswordReset).is_err());
    }
}
