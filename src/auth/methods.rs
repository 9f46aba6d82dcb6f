//! How one may log in to an auth collection, as its login pages ask for it (auth.md §5.1).

use serde::Serialize;

use crate::schema::Collection;

/// The answer to `auth-methods`, keys in its order.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Methods {
    password: Password,
    oauth2: OAuth2,
    mfa: Timed,
    otp: Timed,
    /// Older clients read these three.
    auth_providers: Option<Vec<Provider>>,
    username_password: bool,
    email_password: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Password {
    identity_fields: Vec<String>,
    enabled: bool,
}

#[derive(Debug, Serialize)]
struct OAuth2 {
    providers: Vec<Provider>,
    enabled: bool,
}

/// Seconds, 0 where it is off.
#[derive(Debug, Serialize)]
struct Timed {
    enabled: bool,
    duration: i64,
}

/// An OAuth2 provider and the address at which logging in with it begins.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Provider {
    name: String,
    display_name: String,
}

/// The methods of an auth collection; of any other none.
pub fn of(collection: &Collection) -> Methods {
    let options = collection.auth().cloned().unwrap_or_default();
    let fields = if options.password_auth.enabled { options.password_auth.identity_fields } else { Vec::new() };
    let timed = |enabled: bool, duration| Timed { enabled, duration: if enabled { duration } else { 0 } };
    Methods {
        username_password: fields.iter().any(|field| field == "username"),
        email_password: fields.iter().any(|field| field == "email"),
        password: Password { identity_fields: fields, enabled: options.password_auth.enabled },
        oauth2: OAuth2 { providers: Vec::new(), enabled: options.oauth2.enabled },
        mfa: timed(options.mfa.enabled, options.mfa.duration),
        otp: timed(options.otp.enabled, options.otp.duration),
        auth_providers: None,
    }
}
