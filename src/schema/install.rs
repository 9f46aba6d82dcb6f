//! A fresh data directory: its tables, its settings, the system collections and `users`.
//!
//! Names, ids, rules and declarations are those that PocketBase v0.39 writes, so that it opens the directory too: it
//! goes by the rows of `_migrations` and would otherwise run its own initial migration over our tables.

use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, params};

use super::fields::{File, Password, Text};
use super::sync::SyncError;
use super::{
    AuthOptions, Collection, CollectionKind, Field, FieldKind, Rule, Rules, SUPERUSERS, store, sync, system_fields,
    upgrade,
};
use crate::dates;

/// The migrations that a directory of today's layout has behind it, in order.
pub const MIGRATIONS: [&str; 8] = [
    "1640988000_aux_init.go",
    "1640988000_init.go",
    FIRST_SUPPORTED_MIGRATION,
    "1717233557_v0.23_migrate2.go",
    "1717233558_v0.23_migrate3.go",
    "1717233559_v0.23_migrate4.go",
    "1763020353_update_default_auth_alert_templates.go",
    upgrade::NORMALIZE_INDEXES,
];

/// Directories without it have another layout, which nothing here can read.
pub const FIRST_SUPPORTED_MIGRATION: &str = "1717233556_v0.23_migrate.go";

const TABLES: &str = "
    CREATE TABLE `_migrations` (file VARCHAR(255) PRIMARY KEY NOT NULL, applied INTEGER NOT NULL);
    CREATE TABLE `_params` (
        `id`      TEXT PRIMARY KEY DEFAULT ('r'||lower(hex(randomblob(7)))) NOT NULL,
        `value`   JSON DEFAULT NULL,
        `created` TEXT DEFAULT (strftime('%Y-%m-%d %H:%M:%fZ')) NOT NULL,
        `updated` TEXT DEFAULT (strftime('%Y-%m-%d %H:%M:%fZ')) NOT NULL
    );
    CREATE TABLE `_collections` (
        `id`         TEXT PRIMARY KEY DEFAULT ('r'||lower(hex(randomblob(7)))) NOT NULL,
        `system`     BOOLEAN DEFAULT FALSE NOT NULL,
        `type`       TEXT DEFAULT 'base' NOT NULL,
        `name`       TEXT UNIQUE NOT NULL,
        `fields`     JSON DEFAULT '[]' NOT NULL,
        `indexes`    JSON DEFAULT '[]' NOT NULL,
        `listRule`   TEXT DEFAULT NULL,
        `viewRule`   TEXT DEFAULT NULL,
        `createRule` TEXT DEFAULT NULL,
        `updateRule` TEXT DEFAULT NULL,
        `deleteRule` TEXT DEFAULT NULL,
        `options`    JSON DEFAULT '{}' NOT NULL,
        `created`    TEXT DEFAULT (strftime('%Y-%m-%d %H:%M:%fZ')) NOT NULL,
        `updated`    TEXT DEFAULT (strftime('%Y-%m-%d %H:%M:%fZ')) NOT NULL
    );
    CREATE INDEX idx__collections_type on `_collections` (`type`);";

const LOG_TABLES: &str = "
    CREATE TABLE IF NOT EXISTS `_logs` (
        `id`      TEXT PRIMARY KEY DEFAULT ('r'||lower(hex(randomblob(7)))) NOT NULL,
        `level`   INTEGER DEFAULT 0 NOT NULL,
        `message` TEXT DEFAULT '' NOT NULL,
        `data`    JSON DEFAULT '{}' NOT NULL,
        `created` TEXT DEFAULT (strftime('%Y-%m-%d %H:%M:%fZ')) NOT NULL
    );
    CREATE INDEX IF NOT EXISTS idx_logs_level on `_logs` (`level`);
    CREATE INDEX IF NOT EXISTS idx_logs_message on `_logs` (`message`);
    CREATE INDEX IF NOT EXISTS idx_logs_created_hour on `_logs` (strftime('%Y-%m-%d %H:00:00', `created`));";

/// The settings of a fresh directory, as stored in `_params`.
const SETTINGS: &str = concat!(
    r#"{"superuserIPs":[],"#,
    r#""smtp":{"enabled":false,"port":587,"host":"smtp.example.com","username":"","password":"","authMethod":"","tls":false,"localName":""},"#,
    r#""backups":{"cron":"","cronMaxKeep":3,"s3":{"enabled":false,"bucket":"","region":"","endpoint":"","accessKey":"","forcePathStyle":false}},"#,
    r#""s3":{"enabled":false,"bucket":"","region":"","endpoint":"","accessKey":"","forcePathStyle":false},"#,
    r##""meta":{"accentColor":"#1055c9","appName":"Acme","appURL":"http://localhost:8090","senderName":"Support","senderAddress":"support@example.com","hideControls":false},"##,
    r#""rateLimits":{"rules":[{"label":"*:auth","audience":"","duration":3,"maxRequests":2},{"label":"*:create","audience":"","duration":5,"maxRequests":20},{"label":"/api/batch","audience":"","duration":1,"maxRequests":3},{"label":"/api/","audience":"","duration":10,"maxRequests":300}],"excludedIPs":[],"enabled":false},"#,
    r#""trustedProxy":{"headers":[],"useLeftmostIP":false},"#,
    r#""batch":{"enabled":false,"maxRequests":50,"timeout":3,"maxBodySize":0},"#,
    r#""logs":{"maxDays":5,"minLevel":0,"logIP":true,"logAuthId":false}}"#,
);

/// Rows about an auth record belong to that record.
const OWNER: &str =
    "@request.auth.id != '' && recordRef = @request.auth.id && collectionRef = @request.auth.collectionId";

/// Fills an empty database. Inside the caller's transaction.
pub fn create(conn: &Connection) -> rusqlite::Result<()> {
    conn.execute_batch(TABLES)?;
    // Microseconds since 1970; a step each keeps their order.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_micros() as i64);
    for (step, file) in MIGRATIONS.iter().enumerate() {
        conn.execute("INSERT INTO _migrations (file, applied) VALUES (?1, ?2)", params![file, now + step as i64])?;
    }
    conn.execute("INSERT INTO _params (id, value) VALUES ('settings', ?1)", [SETTINGS])?;
    for collection in [mfas(), otps(), external_auths(), auth_origins(), superusers(), users()] {
        store::insert(conn, &collection)?;
        sync::create_table(conn, &collection).map_err(SyncError::into_sqlite)?;
    }
    Ok(())
}

/// The tables of `auxiliary.db`, where they are missing.
pub fn create_logs(conn: &Connection) -> rusqlite::Result<()> {
    conn.execute_batch(LOG_TABLES)
}

fn mfas() -> Collection {
    system(
        "pbc_2279338944",
        "_mfas",
        vec![reference("collectionRef"), reference("recordRef"), reference("method")],
        &["CREATE INDEX `idx_mfas_collectionRef_recordRef` ON `_mfas` (collectionRef,recordRef)"],
        false,
    )
}

fn otps() -> Collection {
    let password = FieldKind::Password(Password { cost: 8, ..Password::default() });
    system(
        "pbc_1638494021",
        "_otps",
        vec![
            reference("collectionRef"),
            reference("recordRef"),
            Field { hidden: true, required: true, ..Field::new("password", password) },
            Field { hidden: true, required: false, ..reference("sentTo") },
        ],
        &["CREATE INDEX `idx_otps_collectionRef_recordRef` ON `_otps` (collectionRef, recordRef)"],
        false,
    )
}

fn external_auths() -> Collection {
    system(
        "pbc_2281828961",
        "_externalAuths",
        vec![reference("collectionRef"), reference("recordRef"), reference("provider"), reference("providerId")],
        &[
            "CREATE UNIQUE INDEX `idx_externalAuths_record_provider` ON `_externalAuths` (collectionRef, recordRef, provider)",
            "CREATE UNIQUE INDEX `idx_externalAuths_collection_provider` ON `_externalAuths` (collectionRef, provider, providerId)",
        ],
        true,
    )
}

fn auth_origins() -> Collection {
    system(
        "pbc_4275539003",
        "_authOrigins",
        vec![reference("collectionRef"), reference("recordRef"), reference("fingerprint")],
        &[
            "CREATE UNIQUE INDEX `idx_authOrigins_unique_pairs` ON `_authOrigins` (collectionRef, recordRef, fingerprint)",
        ],
        true,
    )
}

fn superusers() -> Collection {
    let options = AuthOptions::fresh(true);
    let mut collection = Collection::new("pbc_3142635823", SUPERUSERS, CollectionKind::Auth(Box::new(options)));
    collection.system = true;
    system_fields::enforce(&mut collection);
    collection.fields.extend([created(), updated()].map(as_system));
    dated(collection)
}

fn users() -> Collection {
    let mut options = AuthOptions::fresh(false);
    options.oauth2.mapped_fields.name = "name".into();
    options.oauth2.mapped_fields.avatar_url = "avatar".into();
    let mut collection = Collection::new("_pb_users_auth_", "users", CollectionKind::Auth(Box::new(options)));
    let own = Rule::When("id = @request.auth.id".into());
    collection.rules =
        Rules { list: own.clone(), view: own.clone(), create: Rule::Open, update: own.clone(), delete: own };
    system_fields::enforce(&mut collection);
    let images = ["image/jpeg", "image/png", "image/svg+xml", "image/gif", "image/webp"].map(String::from);
    collection.fields.extend([
        Field::new("name", FieldKind::Text(Text { max: 255, ..Text::default() })),
        Field::new(
            "avatar",
            FieldKind::File(File { max_select: 1, mime_types: Some(images.into()), ..File::default() }),
        ),
        created(),
        updated(),
    ]);
    dated(collection)
}

/// A base collection about auth records, which only they may read.
fn system(id: &str, name: &str, fields: Vec<Field>, indexes: &[&str], deletable: bool) -> Collection {
    let mut collection = Collection::new(id, name, CollectionKind::Base);
    collection.system = true;
    collection.fields =
        [system_fields::id()].into_iter().chain(fields).chain([created(), updated()]).map(as_system).collect();
    collection.indexes = indexes.iter().map(|text| (*text).to_owned()).collect();
    let owner = Rule::When(OWNER.into());
    collection.rules.list = owner.clone();
    collection.rules.view = owner.clone();
    if deletable {
        collection.rules.delete = owner;
    }
    dated(collection)
}

fn reference(name: &str) -> Field {
    Field { required: true, ..Field::new(name, FieldKind::Text(Text::default())) }
}

fn created() -> Field {
    system_fields::autodate("created", false)
}

fn updated() -> Field {
    system_fields::autodate("updated", true)
}

fn as_system(field: Field) -> Field {
    Field { system: true, ..field }
}

fn dated(mut collection: Collection) -> Collection {
    collection.created = dates::now();
    collection.updated = collection.created.clone();
    collection.index();
    collection
}
