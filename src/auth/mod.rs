//! Auth records: passwords, tokens, and who a request comes from.
//!
//! Called by the HTTP layer (logging in, who asks) and by the write pipeline (hashing, forgetting what changed). It reads
//! through the Readers and writes through the Writer, like everybody else.

pub mod admission;
pub mod cache;
pub mod hooks;
pub mod identity;
pub mod installer;
pub mod login;
pub mod methods;
pub mod mfa;
pub mod passwords;
pub mod tokens;

pub use cache::AuthCache;
pub use hooks::Hooks;
pub use passwords::Hasher;
