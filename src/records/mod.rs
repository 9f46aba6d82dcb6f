//! Records: their values, how they are read, written and shown.

mod excerpt;
pub mod expand;
pub mod output;
pub mod pick;
pub mod record;
pub mod shows;

pub use record::{Expanded, Record, Shows};
