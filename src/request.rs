//! What a request is to the rules: who asks, how, and with what. Everything behind `@request.` in the query language.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
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

/// First value of each header; names in lower case with `_` for `-`.
///
/// Every request pays for these and few rules read them, so they are kept as one text with the places of its parts.
#[derive(Clone, Debug, Default)]
pub struct Headers {
    text: String,
    /// Where in `text` each name and its value end; each begins where the one before it ended.
    ends: Vec<(u32, u32)>,
}

impl Headers {
    /// Adds a header; one of the same name that is already there stands.
    pub fn add(&mut self, name: &str, value: &str) {
        let start = self.text.len();
        self.text.extend(name.chars().map(|c| if c == '-' { '_' } else { c.to_ascii_lowercase() }));
        let name_end = self.text.len();
        let known = self.iter().any(|(known, _)| known == &self.text[start..]);
        if known || name_end + value.len() > u32::MAX as usize {
            self.text.truncate(start);
            return;
        }
        self.text.push_str(value);
        self.ends.push((name_end as u32, self.text.len() as u32));
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut start = 0;
        self.ends.iter().map(move |(name_end, value_end)| {
            let (name_end, value_end) = (*name_end as usize, *value_end as usize);
            let header = (&self.text[start..name_end], &self.text[name_end..value_end]);
            start = value_end;
            header
        })
    }
}

impl<N: AsRef<str>, V: AsRef<str>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(all: I) -> Headers {
        let mut headers = Headers::default();
        for (name, value) in all {
            headers.add(name.as_ref(), value.as_ref());
        }
        headers
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
    pub headers: Headers,
    /// The body after modifiers were resolved against the record (query-language.md §7.1).
    pub body: Map<String, Json>,
    pub caller: Caller,
}

/// An uploaded file of a multipart body.
#[derive(Clone, Debug)]
pub struct Upload {
    /// The part's name: a file field, maybe with a modifier.
    pub key: String,
    /// The name that the client gave the file.
    pub name: String,
    pub content: Bytes,
}
