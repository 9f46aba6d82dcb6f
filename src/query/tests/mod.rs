//! The query language against a real database: the collections of the conformance set, and what each filter finds.

mod conformance;
pub(crate) mod fixture;
mod oracle;
mod oracle_properties;
mod predicate;
pub(crate) mod predicate_properties;
mod properties;
mod replay;
mod select;
mod sorts;
