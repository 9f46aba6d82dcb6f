//! Pages of lists that were read, kept for those who ask for the same page before anything is written that it may show.
//!
//! What is kept is the answer as bytes, so a page is only kept where it is the same for all who come to the same query: who
//! may see what is part of the query, superusers are kept apart, and nothing is kept of auth records, of which each sees his
//! own address, nor where relations are expanded or extensions change what is shown.
//!
//! How it is known that nothing was written is told in [`super::totals`].

use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};

use headwater_actors::Seq;

use super::read::Page;
use super::totals::Totals;
use crate::generations::Generations;
use crate::query::{Reads, Statement};
use crate::request::RequestInfo;

/// Pages that are kept; of those that nobody asks for any more, as many again.
const CAPACITY: usize = 128;
/// Larger answers are read each time.
const MAX_BYTES: usize = 32 << 10;
/// So are those to longer queries, and with longer lists of fields.
const MAX_KEY: usize = 4096;

/// The pages that are kept: 9 MB at most, with their keys.
pub struct Pages(Mutex<Generations<Arc<Kept>>>);

struct Kept {
    json: Box<[u8]>,
    is_empty_search: bool,
    /// All changes up to this one are in it.
    at: Seq,
    era: u64,
}

/// A page that may be kept.
pub(super) struct PageKey {
    text: Box<str>,
    reads: Reads,
    era: u64,
}

impl Default for Pages {
    fn default() -> Pages {
        Pages(Mutex::new(Generations::new(CAPACITY)))
    }
}

impl Pages {
    /// The answer, and whether it is that of an empty search.
    pub(super) fn get(&self, key: &PageKey, totals: &Totals) -> Option<(Vec<u8>, bool)> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&key.text)?;
        let is_fresh = kept.era == key.era && key.era == totals.era() && totals.changed(&key.reads) <= kept.at;
        is_fresh.then(|| {
            // Room for the end of the line.
            let mut json = Vec::with_capacity(kept.json.len() + 1);
            json.extend_from_slice(&kept.json);
            (json, kept.is_empty_search)
        })
    }

    /// Keeps an answer. `at`: the last change that was told before it was read.
    pub(super) fn keep(&self, key: PageKey, json: &[u8], is_empty_search: bool, at: Seq) {
        if json.len() > MAX_BYTES {
            return;
        }
        let kept = Arc::new(Kept { json: json.into(), is_empty_search, at, era: key.era });
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key.text, kept);
    }
}

impl PageKey {
    /// None where the same query may show something else in a moment. `is_search`: see [`super::read::List`].
    pub(super) fn of(
        rows: &Statement,
        reads: Reads,
        page: Page,
        is_search: bool,
        request: &RequestInfo,
        era: u64,
    ) -> Option<PageKey> {
        if !reads.lasts {
            return None;
        }
        let mut text = rows.key(MAX_KEY)?;
        let (is_superuser, fields) = (request.caller.is_superuser(), request.query.get("fields"));
        // Writing to a String cannot fail.
        let _ = write!(text, "\0{page:?}{is_search}{is_superuser}{fields:?}");
        (text.len() <= MAX_KEY).then(|| PageKey { text: text.into(), reads, era })
    }
}
