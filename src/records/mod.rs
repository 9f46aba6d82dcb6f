//! Records: their values, how they are read, written and shown.

pub mod record;

pub use record::{Expanded, Record};
