//! What every request passes through.
//!
//! It is one layer rather than a stack of them: it runs on every request, and each layer of actix costs an allocation.

mod cors;
mod paths;
mod pipeline;

pub use cors::Origins;
pub use pipeline::Pipeline;
pub(crate) use pipeline::bearer;
