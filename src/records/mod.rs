//! Records: their values, how they are read, written and shown.

mod auth_fields;
mod autodates;
pub mod batch;
mod body;
mod cascade;
mod create;
mod delete;
pub mod error;
mod excerpt;
pub mod expand;
pub mod hooks;
mod membership;
pub mod output;
pub mod pages;
mod passwords;
pub mod pick;
pub mod present;
pub mod read;
pub mod record;
mod request_hook;
mod rules;
pub(crate) mod save;
pub mod shows;
#[cfg(test)]
mod tests;
pub mod totals;
pub mod truncate;
mod update;

mod validate;
mod work;
pub mod write;

pub use body::Input;
#[cfg(any(test, fuzzing))]
pub(crate) use body::{Given, id_of};
pub use error::RecordError;
pub use hooks::Hooks;
pub use record::{Expanded, Record, Shows};
#[cfg(any(test, fuzzing))]
pub(crate) use validate::values as check_values;

pub use write::{Authority, Written};
