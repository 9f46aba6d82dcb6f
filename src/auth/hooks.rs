//! The places where extensions attach to logging in.
//!
//! Handlers run on a thread where they may take their time, never on a worker or the Writer. All of it costs nothing while
//! nobody is attached.

use std::error::Error;
use std::sync::Arc;

use serde_json::Value as Json;

use crate::app::App;
use crate::hooks::{Hook, Tagged};
use crate::records::Record;
use crate::request::RequestInfo;
use crate::schema::Collection;

/// Why a handler stopped a login. The HTTP layer answers with it.
pub type Stopped = Box<dyn Error + Send + Sync>;

/// All hooks of authentication.
#[derive(Default)]
pub struct Hooks {
    /// Around every successful authentication, whatever its method: outside are the checks that the record may log in,
    /// inside the second factor and the answer. A handler that does not call `next` leaves the answer empty.
    pub auth_request: Hook<AuthEvent, Stopped>,
    /// Around a login with a password, before the password is looked at. Handlers may put another record in.
    pub password_request: Hook<PasswordEvent, Stopped>,
    /// Around the renewal of a token.
    pub refresh_request: Hook<RefreshEvent, Stopped>,
}

/// Somebody has proved who he is, and is about to get his token.
pub struct AuthEvent {
    pub app: App,
    pub record: Record,
    pub token: String,
    /// Stands beside the token in the answer.
    pub meta: Option<Json>,
    /// How he proved it; empty where a token was renewed or a superuser asked for it.
    pub method: &'static str,
    pub request: Arc<RequestInfo>,
}

/// Somebody tries a password.
pub struct PasswordEvent {
    pub app: App,
    pub collection: Arc<Collection>,
    /// Whose identity it is; None if it is nobody's. The password has not been compared yet.
    pub record: Option<Record>,
    pub identity: String,
    /// The only field that was looked in; empty for all identity fields.
    pub identity_field: String,
    pub password: String,
    pub request: Arc<RequestInfo>,
}

/// A record asks for a new token.
pub struct RefreshEvent {
    pub app: App,
    pub record: Record,
    pub request: Arc<RequestInfo>,
}

/// What `next` of [`Hooks::auth_request`] fails with when the answer is that a second factor is needed: whoever notes
/// logins then does not note half of one.
#[derive(Debug, thiserror::Error)]
#[error("a second factor is needed")]
pub struct SecondFactorNeeded;

impl Tagged for AuthEvent {
    fn tags(&self) -> [&str; 2] {
        [&self.record.collection.name, &self.record.collection.id]
    }
}

impl Tagged for PasswordEvent {
    fn tags(&self) -> [&str; 2] {
        [&self.collection.name, &self.collection.id]
    }
}

impl Tagged for RefreshEvent {
    fn tags(&self) -> [&str; 2] {
        [&self.record.collection.name, &self.record.collection.id]
    }
}
