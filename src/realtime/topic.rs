//! A subscription's text, as visibility needs it.

use std::cell::RefCell;
use std::sync::Arc;

use headwater_actors::topic::topic_of;

use super::options::Options;
use super::rules::Asked;
use crate::query::Predicate;
use crate::request::{Context, RequestInfo};
use crate::schema::{Collection, Schema};

/// What one text of a subscription asks for. Parsed once for all clients that use the text.
pub struct Topic {
    /// One record rather than all of the collection.
    is_record: bool,
    pub(super) options: Option<Arc<Options>>,
    /// The options' filter in memory, with what it was compiled for.
    filter: RefCell<Option<Filter>>,
}

struct Filter {
    schema: Arc<Schema>,
    collection: Arc<Collection>,
    predicate: Arc<Predicate>,
}

impl Topic {
    pub(super) fn parse(text: &str) -> Topic {
        let is_record = topic_of(text).split_once('/').is_some_and(|(_, record)| record != "*");
        Topic { is_record, options: Options::of(text).map(Arc::new), filter: RefCell::default() }
    }

    /// The rule that decides about this topic: as for a list, or as for a look at one record.
    pub(super) fn asked(&self) -> Asked {
        if self.is_record { Asked::View } else { Asked::List }
    }

    /// The options' filter in memory, as those see it who are no superusers.
    pub(super) fn filter(&self, schema: &Arc<Schema>, collection: &Arc<Collection>) -> Option<Arc<Predicate>> {
        let text = self.options.as_ref()?.filter()?;
        let mut filter = self.filter.borrow_mut();
        match &*filter {
            Some(known) if Arc::ptr_eq(&known.schema, schema) && Arc::ptr_eq(&known.collection, collection) => {
                Some(known.predicate.clone())
            }
            _ => {
                let predicate = Arc::new(Predicate::filter(schema, collection, text));
                let (schema, collection) = (schema.clone(), collection.clone());
                *filter = Some(Filter { schema, collection, predicate: predicate.clone() });
                Some(predicate)
            }
        }
    }
}

/// What rules see of a subscription, but for who asks.
pub(super) fn request(options: Option<&Options>) -> RequestInfo {
    RequestInfo {
        context: Context::Realtime,
        method: "GET".into(),
        query: options.map(|options| options.query.clone()).unwrap_or_default(),
        headers: options.map(|options| options.headers.clone()).unwrap_or_default(),
        ..RequestInfo::default()
    }
}
