//! The running server's state, one handle for all of it.

use std::fs::File;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use headwater_actors::readers::ReaderLimits;
use headwater_actors::writer::{Writer, WriterLimits};
use headwater_actors::{Checkpointer, Commit, Readers, WriterHandle};
use rusqlite::Connection;

use crate::auth::passwords::{Hasher, Policy};
use crate::auth::{self, AuthCache};
use crate::ops::data_dir::{self, DataDir, DataDirError};
use crate::ops::own_settings::{OwnSettings, OwnSettingsCache};
use crate::ops::rate_limits::RateLimiter;
use crate::ops::settings::{Settings, SettingsCache};
use crate::realtime::Realtime;
use crate::records::Hooks;
use crate::schema::{self, SchemaCache};

/// What an operator decides when starting the server.
#[derive(Clone, Debug)]
pub struct Config {
    /// The data directory.
    pub dir: PathBuf,
    /// How long one query may run.
    pub query_timeout: Duration,
    /// Origins that browsers may call from, with wildcards.
    pub origins: Vec<String>,
}

/// The app: cheap to clone, shared by all threads.
#[derive(Clone)]
pub struct App(Arc<Inner>);

/// What the app is made of.
pub struct Inner {
    pub config: Config,
    pub writer: WriterHandle,
    pub readers: Readers,
    pub schema: SchemaCache,
    pub settings: SettingsCache,
    /// What the reference has no settings for.
    pub own_settings: OwnSettingsCache,
    /// Hashes and checks passwords, off the workers' threads.
    pub hasher: Hasher,
    /// Auth records and tokens that requests showed lately.
    pub auth_cache: AuthCache,
    /// Clients that listen to changes.
    pub realtime: Realtime,
    /// Counts how often clients ask.
    pub rate_limiter: RateLimiter,
    /// Where extensions attach to the life of records.
    pub record_hooks: Hooks,
    /// Where extensions attach to logging in.
    pub auth_hooks: auth::Hooks,
    /// Taken at close, in this order: the directory is unlocked when nothing of ours touches it any more.
    open: Mutex<Option<(Checkpointer, File)>>,
}

/// Why the app did not start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    #[error("the database could not be read: {0}")]
    Database(#[from] rusqlite::Error),
    #[error("the readers could not open the database: {0}")]
    Readers(#[from] r2d2::Error),
    #[error("a thread could not be started: {0}")]
    Thread(#[from] std::io::Error),
}

impl App {
    /// Opens the data directory and starts the actors. Needs a running actix system.
    pub fn open(config: Config) -> Result<App, OpenError> {
        let data_dir = DataDir::open(&config.dir)?;
        let database = data_dir.database();
        let DataDir { writer: conn, lock, .. } = data_dir;
        let schema = SchemaCache::new(schema::store::load(&conn)?);
        let settings = SettingsCache::new(Settings::load(&conn)?);
        let own_settings = OwnSettingsCache::new(OwnSettings::load(&conn)?);
        let hasher = Hasher::start(Policy::load(&conn)?)?;

        let realtime = Realtime::default();
        let published = realtime.clone();
        let publish = Box::new(move |commit: Arc<Commit>| published.publish(&commit));
        let (writer, _) = Writer::start(conn, WriterLimits::default(), publish)?;
        let limits = ReaderLimits { time: config.query_timeout, ..ReaderLimits::default() };
        let readers = Readers::start(&database, limits, data_dir::prepare)?;
        let checkpoints = Connection::open(&database)?;
        data_dir::prepare(&checkpoints)?;
        let checkpointer = Checkpointer::start(&database, checkpoints, writer.clone())?;

        let auth_cache = AuthCache::new();
        let rate_limiter = RateLimiter::default();
        let record_hooks = Hooks::default();
        let auth_hooks = auth::Hooks::default();
        let open = Mutex::new(Some((checkpointer, lock)));
        let inner = Inner {
            config,
            writer,
            readers,
            schema,
            settings,
            own_settings,
            hasher,
            auth_cache,
            realtime,
            rate_limiter,
            record_hooks,
            auth_hooks,
            open,
        };
        Ok(App(Arc::new(inner)))
    }

    /// Lets queued writes finish, then closes the database and unlocks the directory.
    pub async fn close(&self) {
        self.writer.stop().await;
        self.open.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

impl Deref for App {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}
