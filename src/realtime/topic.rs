//! A subscription's text, as visibility needs it.

use std::sync::Arc;

use headwater_actors::topic::topic_of;

use super::options::Options;
use crate::schema::{Collection, Rule};

/// What one text of a subscription asks for. Parsed once for all clients that use the text.
pub struct Topic {
    /// One record rather than all of the collection.
    is_record: bool,
    pub(super) options: Option<Arc<Options>>,
}

impl Topic {
    pub(super) fn parse(text: &str) -> Topic {
        let is_record = topic_of(text).split_once('/').is_some_and(|(_, record)| record != "*");
        Topic { is_record, options: Options::of(text).map(Arc::new) }
    }

    /// The rule that decides about this topic: as for a list, or as for a look at one record.
    pub(super) fn rule<'a>(&self, collection: &'a Collection) -> &'a Rule {
        if self.is_record { &collection.rules.view } else { &collection.rules.list }
    }
}
