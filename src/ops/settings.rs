//! The settings document: one JSON value in the table `_params`, as the reference stores it (operations.md §2).
//!
//! Read once at the start and kept in [`SettingsCache`]; only the settings API replaces it. Secrets stand in the stored
//! form and in no answer.

mod merge;
mod validation;

use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};

use rusqlite::{Connection, OptionalExtension};
use serde::{Deserialize, Deserializer, Serialize};

pub use merge::{MergeError, merge};

use super::subnet::Subnet;

/// The whole document. Keys in the order in which they are written.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Settings {
    /// Where superusers may come from: addresses and ranges; empty for anywhere.
    #[serde(rename = "superuserIPs", deserialize_with = "null_as_default")]
    pub superuser_ips: Vec<String>,
    pub smtp: Smtp,
    pub backups: Backups,
    pub s3: S3,
    pub meta: Meta,
    pub rate_limits: RateLimits,
    pub trusted_proxy: TrustedProxy,
    pub batch: Batch,
    pub logs: Logs,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Smtp {
    pub enabled: bool,
    pub port: i64,
    pub host: String,
    pub username: String,
    /// None only in answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// Empty for PLAIN.
    pub auth_method: String,
    /// TLS from the first byte; otherwise STARTTLS where the server offers it.
    pub tls: bool,
    /// What to say in EHLO; empty for `localhost`.
    pub local_name: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Backups {
    /// When to make one by itself; empty for never.
    pub cron: String,
    pub cron_max_keep: i64,
    pub s3: S3,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct S3 {
    pub enabled: bool,
    pub bucket: String,
    pub region: String,
    pub endpoint: String,
    pub access_key: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub secret: String,
    pub force_path_style: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Meta {
    pub accent_color: String,
    pub app_name: String,
    #[serde(rename = "appURL")]
    pub app_url: String,
    pub sender_name: String,
    pub sender_address: String,
    pub hide_controls: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RateLimits {
    #[serde(deserialize_with = "null_as_default")]
    pub rules: Vec<RateLimitRule>,
    #[serde(rename = "excludedIPs", deserialize_with = "null_as_default")]
    pub excluded_ips: Vec<String>,
    pub enabled: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RateLimitRule {
    /// A tag (`users:create`, `*:auth`), a path, or a prefix of paths (ends in `/`); a path may follow a method.
    pub label: String,
    /// `@guest`, `@auth`, or empty for both.
    pub audience: String,
    /// Seconds.
    pub duration: i64,
    pub max_requests: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TrustedProxy {
    /// Headers that say where a request comes from, the most trusted first.
    #[serde(deserialize_with = "null_as_default")]
    pub headers: Vec<String>,
    #[serde(rename = "useLeftmostIP")]
    pub use_leftmost_ip: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Batch {
    pub enabled: bool,
    pub max_requests: i64,
    /// Seconds; 0 for 3.
    pub timeout: i64,
    /// Bytes; 0 for 128 MiB.
    pub max_body_size: i64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Logs {
    pub max_days: i64,
    pub min_level: i64,
    #[serde(rename = "logIP")]
    pub log_ip: bool,
    pub log_auth_id: bool,
}

fn null_as_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl Default for Smtp {
    fn default() -> Smtp {
        Smtp {
            enabled: false,
            port: 587,
            host: "smtp.example.com".into(),
            username: String::new(),
            password: Some(String::new()),
            auth_method: String::new(),
            tls: false,
            local_name: String::new(),
        }
    }
}

impl Default for Backups {
    fn default() -> Backups {
        Backups { cron: String::new(), cron_max_keep: 3, s3: S3::default() }
    }
}

impl Default for Meta {
    fn default() -> Meta {
        Meta {
            accent_color: "#1055c9".into(),
            app_name: "Acme".into(),
            app_url: "http://localhost:8090".into(),
            sender_name: "Support".into(),
            sender_address: "support@example.com".into(),
            hide_controls: false,
        }
    }
}

impl Default for RateLimits {
    fn default() -> RateLimits {
        let rule = |label: &str, duration, max_requests| RateLimitRule {
            label: label.into(),
            audience: String::new(),
            duration,
            max_requests,
        };
        RateLimits {
            rules: vec![
                rule("*:auth", 3, 2),
                rule("*:create", 5, 20),
                rule("/api/batch", 1, 3),
                rule("/api/", 10, 300),
            ],
            excluded_ips: Vec::new(),
            enabled: false,
        }
    }
}

impl Default for Batch {
    fn default() -> Batch {
        Batch { enabled: false, max_requests: 50, timeout: 3, max_body_size: 0 }
    }
}

impl Default for Logs {
    fn default() -> Logs {
        Logs { max_days: 5, min_level: 0, log_ip: true, log_auth_id: false }
    }
}

impl Settings {
    /// Reads the row of `_params`; defaults where it is missing.
    pub fn load(conn: &Connection) -> rusqlite::Result<Settings> {
        // PocketBase leaves a blob.
        let sql = "SELECT CAST(value AS TEXT) FROM _params WHERE id = 'settings'";
        let Some(text) = conn.query_row(sql, [], |row| row.get::<_, Option<String>>(0)).optional()?.flatten() else {
            return Ok(Settings::default());
        };
        serde_json::from_str(&text)
            .map_err(|error| rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(error)))
    }

    /// Writes the row of `_params`. Inside a job of the Writer, or before it runs.
    pub fn store(&self, conn: &Connection) -> rusqlite::Result<()> {
        let text =
            serde_json::to_string(self).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
        let now = crate::dates::now();
        let sql = "INSERT INTO _params (id, value, created, updated) VALUES ('settings', ?1, ?2, ?2)
                   ON CONFLICT (id) DO UPDATE SET value = excluded.value, updated = excluded.updated";
        conn.execute(sql, [&text, &now]).map(drop)
    }

    /// A copy without secrets: what answers hold.
    pub fn public(&self) -> Settings {
        let mut public = self.clone();
        public.smtp.password = None;
        public.s3.secret.clear();
        public.backups.s3.secret.clear();
        public
    }

    /// True if superusers may come from this address.
    pub fn admits_superuser(&self, address: Option<IpAddr>) -> bool {
        self.superuser_ips.is_empty()
            || address.is_some_and(|address| {
                self.superuser_ips.iter().filter_map(|text| Subnet::parse(text)).any(|range| range.contains(address))
            })
    }
}

/// The current settings. Reading is an `Arc` clone.
#[derive(Debug, Default)]
pub struct SettingsCache(RwLock<Arc<Settings>>);

impl SettingsCache {
    pub fn new(settings: Settings) -> SettingsCache {
        SettingsCache(RwLock::new(Arc::new(settings)))
    }

    pub fn current(&self) -> Arc<Settings> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// To be called after the commit that stored them.
    pub fn replace(&self, settings: Arc<Settings>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = settings;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a fresh directory of the reference answers.
    const FRESH: &str = concat!(
        r#"{"superuserIPs":[],"smtp":{"enabled":false,"port":587,"host":"smtp.example.com","username":"","authMethod":"","tls":false,"localName":""},"#,
        r#""backups":{"cron":"","cronMaxKeep":3,"s3":{"enabled":false,"bucket":"","region":"","endpoint":"","accessKey":"","forcePathStyle":false}},"#,
        r#""s3":{"enabled":false,"bucket":"","region":"","endpoint":"","accessKey":"","forcePathStyle":false},"#,
        r##""meta":{"accentColor":"#1055c9","appName":"Acme","appURL":"http://localhost:8090","senderName":"Support","senderAddress":"support@example.com","hideControls":false},"##,
        r#""rateLimits":{"rules":[{"label":"*:auth","audience":"","duration":3,"maxRequests":2},{"label":"*:create","audience":"","duration":5,"maxRequests":20},"#,
        r#"{"label":"/api/batch","audience":"","duration":1,"maxRequests":3},{"label":"/api/","audience":"","duration":10,"maxRequests":300}],"excludedIPs":[],"enabled":false},"#,
        r#""trustedProxy":{"headers":[],"useLeftmostIP":false},"batch":{"enabled":false,"maxRequests":50,"timeout":3,"maxBodySize":0},"#,
        r#""logs":{"maxDays":5,"minLevel":0,"logIP":true,"logAuthId":false}}"#
    );

    #[test]
    fn fresh_settings_answer_as_the_reference_does() {
        assert_eq!(serde_json::to_string(&Settings::default().public()).unwrap(), FRESH);
    }

    #[test]
    fn secrets_are_stored_and_not_answered() {
        let mut settings = Settings::default();
        settings.smtp.password = Some("p1".into());
        settings.s3.secret = "p2".into();
        settings.backups.s3.secret = "p3".into();
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch("CREATE TABLE _params (id TEXT PRIMARY KEY, value JSON, created TEXT, updated TEXT)")
            .unwrap();
        assert_eq!(Settings::load(&conn).unwrap(), Settings::default());
        settings.store(&conn).unwrap();
        settings.store(&conn).unwrap();
        assert_eq!(Settings::load(&conn).unwrap(), settings);
        conn.execute_batch("UPDATE _params SET value = CAST(value AS BLOB)").unwrap();
        assert_eq!(Settings::load(&conn).unwrap(), settings);
        assert_eq!(serde_json::to_string(&settings.public()).unwrap(), FRESH);
    }

    #[test]
    fn superusers_may_come_from_the_listed_addresses() {
        let mut settings = Settings::default();
        assert!(settings.admits_superuser(None));
        settings.superuser_ips = vec!["10.0.0.0/8".into(), "::1".into()];
        assert!(settings.admits_superuser("10.1.1.1".parse().ok()) && settings.admits_superuser("::1".parse().ok()));
        assert!(!settings.admits_superuser("11.1.1.1".parse().ok()) && !settings.admits_superuser(None));
    }
}
