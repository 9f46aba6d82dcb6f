//! The records API.

mod batch;
mod crud;
mod expand;
mod limits;
mod pages;
mod rules;
mod totals;
mod values;

use serde_json::Value as Json;

/// The id of a record or a collection.
fn id(record: &Json) -> &str {
    record["id"].as_str().expect("an id")
}
