//! Collections and their fields: what they are, how they are stored, checked and changed.
//!
//! [`Schema`] is the whole of it at one moment: an immutable snapshot that requests hold on to while they run. The
//! Writer replaces it after the commit that changed it ([`SchemaCache`]).

pub mod auth_options;
pub mod collection;
pub mod draft;
pub mod encoding;
pub mod field;
pub mod fields;
pub mod import;
pub mod indexes;
pub mod install;
pub mod row_sql;
pub mod save;
pub mod store;
pub mod sync;
pub mod system_fields;
pub mod upgrade;
pub mod validate;
pub mod view_query;
pub mod view_rename;
pub mod views;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

pub use auth_options::AuthOptions;
pub use collection::{Collection, CollectionKind, Rule, Rules};
pub use field::{Field, FieldKind, FieldType};

/// The name of the collection whose records may do everything.
pub const SUPERUSERS: &str = "_superusers";

/// All collections in one version.
#[derive(Debug, Default)]
pub struct Schema {
    /// Grows with every change of any collection, within one run of the server.
    pub version: u64,
    collections: Vec<Arc<Collection>>,
    by_id: HashMap<String, usize>,
    by_name: HashMap<String, usize>,
}

impl Schema {
    pub fn new(version: u64, collections: Vec<Arc<Collection>>) -> Schema {
        let by_id = collections.iter().enumerate().map(|(index, c)| (c.id.clone(), index)).collect();
        let by_name = collections.iter().enumerate().map(|(index, c)| (c.name.to_lowercase(), index)).collect();
        Schema { version, collections, by_id, by_name }
    }

    /// A snapshot with a version that none had before.
    pub fn of(collections: Vec<Arc<Collection>>) -> Schema {
        static VERSION: AtomicU64 = AtomicU64::new(0);
        Schema::new(VERSION.fetch_add(1, Ordering::Relaxed) + 1, collections)
    }

    /// The next snapshot, with this collection in the place of the one with its id, or as the newest.
    pub fn with(&self, collection: Arc<Collection>) -> Schema {
        let mut collections = self.collections.clone();
        match self.by_id.get(&collection.id) {
            Some(index) => collections[*index] = collection,
            None => collections.push(collection),
        }
        Schema::of(collections)
    }

    /// The next snapshot, without the collection of this id.
    pub fn without(&self, id: &str) -> Schema {
        Schema::of(self.collections.iter().filter(|collection| collection.id != id).cloned().collect())
    }

    /// All collections, in order of their creation.
    pub fn collections(&self) -> &[Arc<Collection>] {
        &self.collections
    }

    /// By exact id.
    pub fn by_id(&self, id: &str) -> Option<&Arc<Collection>> {
        self.by_id.get(id).map(|index| &self.collections[*index])
    }

    /// Whether this is the collection as it is in this schema: not as it was before, or will be later.
    pub fn has(&self, collection: &Arc<Collection>) -> bool {
        self.by_id(&collection.id).is_some_and(|own| Arc::ptr_eq(own, collection))
    }

    /// By name, in any case.
    pub fn by_name(&self, name: &str) -> Option<&Arc<Collection>> {
        self.by_name.get(&name.to_lowercase()).map(|index| &self.collections[*index])
    }

    /// By exact id, or by name in any case: how a URL names a collection.
    pub fn find(&self, id_or_name: &str) -> Option<&Arc<Collection>> {
        self.by_id(id_or_name).or_else(|| self.by_name(id_or_name))
    }
}

/// The current [`Schema`]. Reading is an `Arc` clone; only effects of the Writer's commits replace it.
#[derive(Debug, Default)]
pub struct SchemaCache(RwLock<Arc<Schema>>);

impl SchemaCache {
    pub fn new(schema: Schema) -> SchemaCache {
        SchemaCache(RwLock::new(Arc::new(schema)))
    }

    pub fn current(&self) -> Arc<Schema> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn replace(&self, schema: Arc<Schema>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = schema;
    }
}
