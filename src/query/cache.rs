//! Parsed texts, kept by text: rules are parsed once and not on every request.

use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use super::QueryError;
use super::parser;
use super::tree::Filter;
use crate::generations::Generations;

/// Texts per generation.
const CAPACITY: usize = 500;
/// Longer texts are parsed on each use.
const MAX_TEXT: usize = 4096;

static PARSED: LazyLock<Mutex<Generations<Arc<Filter>>>> = LazyLock::new(|| Mutex::new(Generations::new(CAPACITY)));

/// The tree of a text, from the cache where it is known.
pub fn parse(text: &str) -> Result<Arc<Filter>, QueryError> {
    let cached = |text: &str| PARSED.lock().unwrap_or_else(PoisonError::into_inner).get(text);
    if let Some(filter) = cached(text) {
        return Ok(filter);
    }
    let filter = Arc::new(parser::parse(text)?);
    if text.len() <= MAX_TEXT {
        PARSED.lock().unwrap_or_else(PoisonError::into_inner).insert(text.into(), filter.clone());
    }
    Ok(filter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_text_gives_the_same_tree() {
        let first = parse("cached = 'tree'").unwrap();
        assert!(Arc::ptr_eq(&first, &parse("cached = 'tree'").unwrap()));
        assert!(parse("cached =").is_err());
    }
}
