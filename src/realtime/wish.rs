//! What a client asks for: topics, and where it wants to go on.

use std::net::IpAddr;

use headwater_actors::hub::{Since, Topics};

use super::ClientId;
use super::events::Stopped;
use crate::errors::{Errors, Invalid};
use crate::request::Caller;

/// Topics that a client may have.
pub(super) const MAX_TOPICS: usize = 1000;

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
        }
    }
    if items.is_empty() { Ok(()) } else { Err(TopicErrors::Items(items)) }
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

fn too_long(max: usize) -> Invalid {
    let message = format!("The length must be no more than {max}.");
    Invalid::new("validation_length_too_long", message).with("min", 0).with("max", max)
}
