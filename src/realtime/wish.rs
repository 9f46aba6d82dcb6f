//! What a client asks for: topics, and where it wants to go on.

use std::net::IpAddr;

use headwater_actors::hub::{Liveness, Since, Topics};

use super::ClientId;
use super::events::Stopped;
use super::live::{self, MAX_WINDOW};
use crate::errors::{Errors, Invalid};
use crate::request::Caller;

/// Topics that a client may have.
pub(super) const MAX_TOPICS: usize = 1000;

/// Of these, those that may be live queries: each costs a read when it begins, and a window one after each commit that
/// concerns it.
pub(super) const MAX_LIVE: usize = 32;

/// Bytes of a subscription's text.
const MAX_TOPIC: usize = 2500;

pub struct Wish {
    pub client: ClientId,
    /// Where the wish comes from: the client must be connected from there too.
    pub ip: Option<IpAddr>,
    /// Who asks; without, whoever the client belongs to.
    pub caller: Option<Caller>,
    /// A client that is spoken for by its own connection may become another caller.
    pub any_caller: bool,
    pub topics: Topics,
    /// From now on, without.
    pub since: Option<Since>,
}

/// Why a wish was not granted.
#[derive(Debug)]
pub enum SubscribeError {
    UnknownClient,
    /// It was connected from another address.
    OtherAddress,
    /// It belongs to another caller.
    OtherCaller,
    TooManyTopics,
    TooManyLive,
    /// A handler said no.
    Stopped(Stopped),
}

/// What is wrong with a list of topics, by its place in the list.
pub fn check_topics(topics: &[String]) -> Result<(), TopicErrors> {
    if topics.len() > MAX_TOPICS {
        return Err(TopicErrors::List(too_many_topics()));
    }
    let mut items = Errors::new();
    for (index, topic) in topics.iter().enumerate() {
        if topic.len() > MAX_TOPIC {
            items.add(index.to_string(), too_long(MAX_TOPIC));
        } else if topic.chars().any(char::is_control) {
            // It would be echoed into the stream as lines of its own.
            items.add(index.to_string(), Invalid::value());
        } else if live::is_too_large(topic) {
            items.add(index.to_string(), too_large());
        }
    }
    if !items.is_empty() {
        return Err(TopicErrors::Items(items));
    }
    let live = topics.iter().filter(|topic| live::liveness(topic) != Liveness::Events).count();
    if live > MAX_LIVE { Err(TopicErrors::List(too_many_live())) } else { Ok(()) }
}

/// See [`check_topics`].
pub enum TopicErrors {
    List(Invalid),
    Items(Errors),
}

impl TopicErrors {
    /// As errors of the list's field.
    pub fn of_field(self, field: &str) -> Errors {
        let mut errors = Errors::new();
        match self {
            TopicErrors::List(invalid) => errors.add(field, invalid),
            TopicErrors::Items(items) => errors.nest(field, items),
        }
        errors
    }
}

pub fn too_many_topics() -> Invalid {
    too_long(MAX_TOPICS)
}

pub fn too_many_live() -> Invalid {
    let message = format!("No more than {MAX_LIVE} topics may be live queries.");
    Invalid::new("validation_too_many_live_queries", message).with("max", MAX_LIVE)
}

fn too_large() -> Invalid {
    let message = format!("The perPage of a live query with sort must be no more than {MAX_WINDOW}.");
    Invalid::new("validation_max_less_equal_than_required", message).with("threshold", MAX_WINDOW)
}

fn too_long(max: usize) -> Invalid {
    let message = format!("The length must be no more than {max}.");
    Invalid::new("validation_length_too_long", message).with("min", 0).with("max", max)
}
