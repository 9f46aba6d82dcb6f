//! The running server's state, one handle for all of it.

use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;

use headwater_actors::{Readers, WriterHandle};

use crate::auth::{AuthCache, Hasher};
use crate::ops::settings::SettingsCache;
use crate::schema::SchemaCache;

/// The app: cheap to clone, shared by all threads.
#[derive(Clone)]
pub struct App(Arc<Inner>);

/// What the app is made of.
pub struct Inner {
    pub data_dir: PathBuf,
    pub writer: WriterHandle,
    pub readers: Readers,
    pub schema: SchemaCache,
    pub settings: SettingsCache,
    /// Hashes and checks passwords, off the workers' threads.
    pub hasher: Hasher,
    /// Auth records and tokens that requests showed lately.
    pub auth_cache: AuthCache,
}

impl App {
    pub fn new(inner: Inner) -> App {
        App(Arc::new(inner))
    }
}

impl Deref for App {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}
