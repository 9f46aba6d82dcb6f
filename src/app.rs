//! The running server's state, one handle for all of it.

use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;

use headwater_actors::{Readers, WriterHandle};

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
