//! What a request is to the rules: who asks, how, and with what. Everything behind `@request.` in the query language.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value as Json};

use crate::records::Record;

/// `@request.context`: what the rule is evaluated for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Context {
    #[default]
    Default,
    Expand,
    Realtime,
    ProtectedFile,
    Batch,
    OAuth2,
    Otp,
    Password,
}

impl Context {
    pub fn as_str(self) -> &'static str {
        match self {
            Context::Default => "default",
            Context::Expand => "expand",
            Context::Realtime => "realtime",
            Context::ProtectedFile => "protectedFile",
            Context::Batch => "batch",
            Context::OAuth2 => "oauth2",
            Context::Otp => "otp",
            Context::Password => "password",
        }
    }
}

/// Who asks: nobody in particular, or an auth record.
#[derive(Clone, Debug, Default)]
pub struct Caller(Option<Arc<Record>>);

impl Caller {
    pub const GUEST: Caller = Caller(None);

    pub fn of(record: Arc<Record>) -> Caller {
        Caller(Some(record))
    }

    pub fn record(&self) -> Option<&Arc<Record>> {
        self.0.as_ref()
    }

    pub fn is_guest(&self) -> bool {
        self.0.is_none()
    }

    /// Superusers skip all rules.
    pub fn is_superuser(&self) -> bool {
        self.0.as_ref().is_some_and(|record| record.collection.is_superusers())
    }

    /// True if this is the very record.
    pub fn is(&self, record: &Record) -> bool {
        self.0.as_ref().is_some_and(|own| own.id() == record.id() && own.collection.id == record.collection.id)
    }

    /// `COLLECTION_ID/RECORD_ID`, as the change log names who made a change.
    pub fn actor(&self) -> Option<Arc<str>> {
        self.0.as_ref().map(|record| format!("{}/{}", record.collection.id, record.id()).into())
    }
}

/// A request as rules see it.
#[derive(Clone, Debug, Default)]
pub struct RequestInfo {
    pub context: Context,
    /// Upper case.
    pub method: String,
    /// First value of each query parameter.
    pub query: BTreeMap<String, String>,
    /// First value of each header; names in lower case with `_` for `-`.
    pub headers: BTreeMap<String, String>,
    /// The body after modifiers were resolved against the record (query-language.md §7.1).
    pub body: Map<String, Json>,
    pub caller: Caller,
}
