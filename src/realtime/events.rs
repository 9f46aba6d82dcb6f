//! What extensions may attach to in realtime.

use std::error::Error;

use bytes::Bytes;

use super::ClientId;
use crate::hooks::{Hook, Tagged};
use crate::request::Caller;

/// Why a handler stopped what was going on. The HTTP layer answers with it.
pub type Stopped = Box<dyn Error + Send + Sync>;

/// The hooks of realtime.
#[derive(Default)]
pub struct Events {
    /// A stream is about to open.
    pub connect: Hook<Connect, Stopped>,
    /// A client is about to set its topics; handlers may alter them.
    pub subscribe: Hook<Subscribe, Stopped>,
    /// A message is about to be sent to one client; handlers may alter it, and a handler that does not call `next`
    /// withholds it. While any is attached, no message is shared among clients.
    pub message: Hook<Message, Stopped>,
}

impl Events {
    /// Shows a message to the handlers; none if they withheld it.
    pub(super) fn pass(&self, mut message: Message) -> Result<Option<Message>, Stopped> {
        let mut sent = false;
        self.message.trigger(&mut message, |_| {
            sent = true;
            Ok(())
        })?;
        Ok(sent.then_some(message))
    }
}

pub struct Connect {
    pub client: ClientId,
}

pub struct Subscribe {
    pub client: ClientId,
    pub caller: Caller,
    /// The subscriptions' texts, options included.
    pub topics: Vec<String>,
}

pub struct Message {
    pub client: ClientId,
    pub caller: Caller,
    /// The subscription's text: the event's name.
    pub name: String,
    /// JSON on a single line.
    pub data: Bytes,
}

macro_rules! of_no_collection {
    ($($event:ty),*) => {
        $(impl Tagged for $event {
            fn tags(&self) -> [&str; 2] {
                ["", ""]
            }
        })*
    };
}

of_no_collection!(Connect, Subscribe, Message);
