//! The running server's state, one handle for all of it.

use std::fs::File;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use headwater_actors::change_log::LogLimits;
use headwater_actors::readers::ReaderLimits;
use headwater_actors::writer::{Writer, WriterLimits};
use headwater_actors::{Checkpointer, Commit, Downstream, Position, Pruner, Readers, Seq, WriterHandle};
use rusqlite::Connection;

use crate::auth::passwords::{Hasher, Policy};
use crate::auth::{self, AuthCache};
use crate::ops::data_dir::{self, DataDir, DataDirError};
use crate::ops::own_settings::{OwnSettings, OwnSettingsCache};
use crate::ops::rate_limits::RateLimiter;
use crate::ops::seal::Seal;
use crate::ops::settings::{Settings, SettingsCache};
use crate::query::Predicates;
use crate::realtime::Realtime;
use crate::records::Hooks;
use crate::records::pages::Pages;
use crate::records::totals::Totals;
use crate::schema::{self, Schema, SchemaCache};

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
    /// Rules, to be answered in memory.
    pub predicates: Predicates,
    /// How many records lists have.
    pub totals: Arc<Totals>,
    pub pages: Pages,
    /// Clients that listen to changes.
    pub realtime: Realtime,
    /// Counts how often clients ask.
    pub rate_limiter: RateLimiter,
    /// Where extensions attach to the life of records.
    pub record_hooks: Hooks,
    /// Where extensions attach to logging in.
    pub auth_hooks: auth::Hooks,
    /// Taken at close.
    open: Mutex<Option<Open>>,
}

/// What works on the data directory, in the order in which it ends: the directory is unlocked when nothing of ours
/// touches it any more.
struct Open {
    pruner: Pruner,
    checkpointer: Checkpointer,
    seal: Seal,
    lock: File,
}

/// Why the app did not start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    #[error("the database could not be read: {0}")]
    Database(#[from] rusqlite::Error),
    #[error("the readers could not open the database: {0}")]
    Readers(#[from] headwater_actors::readers::StartError),
    #[error("a thread could not be started: {0}")]
    Thread(#[from] std::io::Error),
}

impl App {
    /// Opens the data directory and starts the actors. Needs a running actix system.
    pub fn open(config: Config) -> Result<App, OpenError> {
        let data_dir = DataDir::open(&config.dir)?;
        let database = data_dir.database();
        let DataDir { writer: conn, lock, seal, .. } = data_dir;

        let realtime = Realtime::default();
        let totals = Arc::new(Totals::default());
        let app = Arc::new(OnceLock::new());
        let outlet =
            Outlet { totals: totals.clone(), realtime: realtime.clone(), seal: seal.clone(), app: app.clone() };
        let (writer, _) = Writer::start(conn, WriterLimits::default(), Box::new(outlet))?;
        let limits = ReaderLimits { time: config.query_timeout, ..ReaderLimits::default() };
        let readers = Readers::start(&database, limits, data_dir::prepare)?;
        let open = || -> rusqlite::Result<Connection> {
            let conn = Connection::open(&database)?;
            data_dir::prepare(&conn).map(|()| conn)
        };
        let checkpoints = open()?;
        // After the Writer began to watch for other programs: what they change from here on is read anew.
        let schema = SchemaCache::new(schema::store::load(&checkpoints)?);
        let settings = SettingsCache::new(Settings::load(&checkpoints)?);
        let own_settings = OwnSettingsCache::new(OwnSettings::load(&checkpoints)?);
        let hasher = Hasher::start(Policy::load(&checkpoints)?)?;
        let checkpointer = Checkpointer::start(&database, checkpoints, writer.clone())?;
        let bounds = own_settings.watch();
        let pruner = Pruner::start(open()?, writer.clone(), move || {
            let settings = &bounds.borrow().change_log;
            LogLimits { max_age: settings.max_age(), max_bytes: settings.max_bytes() }
        })?;

        let auth_cache = AuthCache::new();
        let rate_limiter = RateLimiter::default();
        let record_hooks = Hooks::default();
        let auth_hooks = auth::Hooks::default();
        let open = Mutex::new(Some(Open { pruner, checkpointer, seal, lock }));
        let inner = Inner {
            config,
            writer,
            readers,
            schema,
            settings,
            own_settings,
            hasher,
            auth_cache,
            predicates: Predicates::default(),
            totals,
            pages: Pages::default(),
            realtime,
            rate_limiter,
            record_hooks,
            auth_hooks,
            open,
        };
        let inner = Arc::new(inner);
        let _ = app.set(Arc::downgrade(&inner));
        Ok(App(inner))
    }

    /// Reads anew what is kept of the database in memory, because another program wrote to it. What can no longer be
    /// read stays as it is known.
    fn reload(&self, conn: &Connection) {
        fn readable<T>(what: &str, read: rusqlite::Result<T>) -> Option<T> {
            read.inspect_err(|error| log::error!("the {what} that another program left cannot be read: {error}")).ok()
        }
        let schema = readable("collections", schema::store::load(conn));
        let settings = readable("settings", Settings::load(conn));
        self.replace(schema, settings, readable("settings of Headwater", OwnSettings::load(conn)));
    }

    /// Puts what was read anew in the place of what is kept in memory, after it was changed past all that keeps track of
    /// it. What is not given stays.
    pub(crate) fn replace(&self, schema: Option<Schema>, settings: Option<Settings>, own: Option<OwnSettings>) {
        if let Some(schema) = schema {
            self.realtime.revoke_changed(&self.schema.current(), &schema);
            self.schema.replace(schema.into());
        }
        if let Some(settings) = settings {
            self.settings.replace(settings.into());
        }
        if let Some(own) = own {
            self.own_settings.replace(own.into());
        }
        // Those of another version of their collection are not used any more, but that may have stayed.
        self.auth_cache.forget_all();
    }

    /// Lets queued writes finish, then closes the database and unlocks the directory.
    pub async fn close(&self) {
        self.writer.stop().await;
        let Some(open) = self.open.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        let Open { pruner, checkpointer, seal, lock } = open;
        drop((pruner, checkpointer));
        if let Err(error) = seal.close(&self.writer.position()) {
            log::warn!("the database could not be sealed: {error}; clients will have to read anew");
        }
        drop(lock);
    }
}

/// Where the Writer's news go.
struct Outlet {
    totals: Arc<Totals>,
    realtime: Realtime,
    seal: Seal,
    /// Not there yet while the app is being put together.
    app: Arc<OnceLock<Weak<Inner>>>,
}

impl Downstream for Outlet {
    fn committed(&mut self, commit: &Arc<Commit>, more: bool) {
        self.totals.committed(commit, more);
    }

    fn commit(&mut self, commit: Arc<Commit>) {
        self.realtime.publish(&commit);
    }

    fn overwritten(&mut self, conn: &Connection) {
        log::warn!("another program wrote to data.db: clients have to read anew");
        if let Some(inner) = self.app.get().and_then(Weak::upgrade) {
            App(inner).reload(conn);
        }
    }

    fn expired(&mut self, through: Seq) {
        self.realtime.expire(through);
    }

    fn new_epoch(&mut self, start: Position) {
        log::info!("positions of before {start} count no more");
        if let Err(error) = self.seal.open(&start) {
            log::warn!("the database could not be sealed: {error}; clients will have to read anew");
        }
        self.realtime.new_epoch(&start);
    }
}

impl Deref for App {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}
