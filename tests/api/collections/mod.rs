//! The collections API: what a superuser may define, and what becomes of the tables.

mod checks;
mod import;
mod lifecycle;
mod views;
