//! Headwater's own settings: what the reference has no place for. One JSON value in `_hw_state`, so that the reference's
//! row in `_params` stays what the reference can read.
//!
//! Read once at the start and kept in [`OwnSettingsCache`]; only the settings API replaces them, under the key
//! `headwater` of its document. Who acts on them either asks for the current ones or waits for the next
//! ([`OwnSettingsCache::watch`]).

use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use tokio::sync::watch;

use super::settings::{MergeError, merge};
use crate::checks::{self, MAX_SAFE_INTEGER};
use crate::errors::{Errors, Invalid};

/// The key of the settings API under which they stand.
pub const KEY: &str = "headwater";

/// All of them. Keys in the order in which they are written; what is missing has its default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OwnSettings {
    pub realtime: RealtimeSettings,
    pub change_log: ChangeLogSettings,
    /// What metrics are told to, besides superusers; empty for superusers only. None only in answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics_token: Option<String>,
}

/// Streams and their clients.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RealtimeSettings {
    /// Seconds between signs of life on a silent stream.
    pub keep_alive: i64,
    /// Seconds without an event after which a stream ends; 0 for never.
    pub idle_timeout: i64,
    /// Seconds after which a stream ends in any case; 0 for never.
    pub max_lifetime: i64,
    /// Bytes that may wait for one client.
    pub queue_bytes: i64,
    /// Seconds that a client may take nothing while something waits for it.
    pub stall_timeout: i64,
}

/// How far back streams can be resumed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ChangeLogSettings {
    /// Seconds that a change is kept.
    pub max_age: i64,
    /// Bytes that all changes may have; wins over the age.
    pub max_bytes: i64,
}

impl Default for RealtimeSettings {
    fn default() -> RealtimeSettings {
        RealtimeSettings { keep_alive: 25, idle_timeout: 0, max_lifetime: 0, queue_bytes: 256 << 10, stall_timeout: 10 }
    }
}

impl Default for ChangeLogSettings {
    fn default() -> ChangeLogSettings {
        ChangeLogSettings { max_age: 24 * 60 * 60, max_bytes: 256 << 20 }
    }
}

impl RealtimeSettings {
    pub fn keep_alive(&self) -> Duration {
        seconds(self.keep_alive)
    }

    /// None for never.
    pub fn idle_timeout(&self) -> Option<Duration> {
        (self.idle_timeout > 0).then(|| seconds(self.idle_timeout))
    }

    /// None for never.
    pub fn max_lifetime(&self) -> Option<Duration> {
        (self.max_lifetime > 0).then(|| seconds(self.max_lifetime))
    }

    pub fn queue_bytes(&self) -> usize {
        usize::try_from(self.queue_bytes).unwrap_or_default()
    }

    pub fn stall_timeout(&self) -> Duration {
        seconds(self.stall_timeout)
    }
}

impl ChangeLogSettings {
    pub fn max_age(&self) -> Duration {
        seconds(self.max_age)
    }

    pub fn max_bytes(&self) -> u64 {
        u64::try_from(self.max_bytes).unwrap_or_default()
    }
}

fn seconds(number: i64) -> Duration {
    Duration::from_secs(u64::try_from(number).unwrap_or_default())
}

/// Ten years: enough for anyone, and far from any overflow.
const LONGEST: i64 = 10 * 366 * 24 * 60 * 60;

impl OwnSettings {
    /// The row of `_hw_state`.
    const ROW: &str = "settings";

    /// Reads them; defaults where they were never saved.
    pub fn load(conn: &Connection) -> rusqlite::Result<OwnSettings> {
        let sql = "SELECT value FROM _hw_state WHERE key = ?1";
        let text: Option<String> = conn.query_row(sql, [Self::ROW], |row| row.get(0)).optional()?;
        let Some(text) = text else { return Ok(OwnSettings::default()) };
        serde_json::from_str(&text)
            .map_err(|error| rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(error)))
    }

    /// Writes them. Inside a job of the Writer.
    pub fn store(&self, conn: &Connection) -> rusqlite::Result<()> {
        let text =
            serde_json::to_string(self).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
        let sql = "INSERT INTO _hw_state (key, value) VALUES (?1, ?2)
                   ON CONFLICT (key) DO UPDATE SET value = excluded.value";
        conn.execute(sql, [Self::ROW, &text]).map(drop)
    }

    /// Takes what concerns them out of the body of a settings request; none if it names nothing of them. A form's keys
    /// are paths (`headwater.changeLog.maxAge`).
    pub fn take_changes(body: &mut Map<String, Json>, form: bool) -> Option<Map<String, Json>> {
        let own = |key: &str| key == KEY || (form && key.split_once('.').is_some_and(|(first, _)| first == KEY));
        let keys: Vec<String> = body.keys().filter(|key| own(key)).cloned().collect();
        let changes: Map<String, Json> =
            keys.into_iter().filter_map(|key| body.remove(&key).map(|value| (key, value))).collect();
        (!changes.is_empty()).then_some(changes)
    }

    /// The settings with what [`OwnSettings::take_changes`] took.
    pub fn merged(&self, changes: &Map<String, Json>, form: bool) -> Result<OwnSettings, MergeError> {
        #[derive(Serialize, Deserialize)]
        struct Document {
            headwater: OwnSettings,
        }
        merge(&Document { headwater: self.clone() }, changes, form).map(|document: Document| document.headwater)
    }

    /// Everything that is wrong with them, by path.
    pub fn check(&self) -> Errors {
        let mut realtime = Errors::new();
        let RealtimeSettings { keep_alive, idle_timeout, max_lifetime, queue_bytes, stall_timeout } = self.realtime;
        realtime.check("keepAlive", within(keep_alive, 5, 300));
        realtime.check("idleTimeout", never_or_within(idle_timeout, 10, LONGEST));
        realtime.check("maxLifetime", never_or_within(max_lifetime, 10, LONGEST));
        realtime.check("queueBytes", within(queue_bytes, 16 << 10, 64 << 20));
        realtime.check("stallTimeout", within(stall_timeout, 1, 300));
        let mut change_log = Errors::new();
        change_log.check("maxAge", within(self.change_log.max_age, 60, LONGEST));
        change_log.check("maxBytes", within(self.change_log.max_bytes, 1 << 20, MAX_SAFE_INTEGER));

        let mut errors = Errors::new();
        errors.nest("realtime", realtime);
        errors.nest("changeLog", change_log);
        let token = self.metrics_token();
        errors.check("metricsToken", checks::length(token, 16, 255));
        // Anything else cannot be shown in a header, and would be a token that never works.
        let is_shown = token.bytes().all(|byte| byte.is_ascii_graphic());
        errors.check("metricsToken", if is_shown { Ok(()) } else { Err(checks::bad_format()) });
        errors
    }

    /// Empty if there is none.
    pub fn metrics_token(&self) -> &str {
        self.metrics_token.as_deref().unwrap_or_default()
    }

    /// A copy without secrets: what answers hold.
    pub fn public(&self) -> OwnSettings {
        OwnSettings { metrics_token: None, ..self.clone() }
    }
}

/// Unlike [`checks::between`] it takes 0 for the number that it is.
fn within(number: i64, least: i64, most: i64) -> Result<(), Invalid> {
    match number {
        number if number < least => Err(checks::too_small(least)),
        number if number > most => Err(checks::too_large(most)),
        _ => Ok(()),
    }
}

fn never_or_within(number: i64, least: i64, most: i64) -> Result<(), Invalid> {
    if number == 0 { Ok(()) } else { within(number, least, most) }
}

/// The current settings, and word of the next. Reading is an `Arc` clone.
#[derive(Debug)]
pub struct OwnSettingsCache(watch::Sender<Arc<OwnSettings>>);

impl OwnSettingsCache {
    pub fn new(settings: OwnSettings) -> OwnSettingsCache {
        OwnSettingsCache(watch::Sender::new(Arc::new(settings)))
    }

    pub fn current(&self) -> Arc<OwnSettings> {
        self.0.borrow().clone()
    }

    /// `changed().await` ends with the next change; `borrow_and_update()` then gives it.
    pub fn watch(&self) -> watch::Receiver<Arc<OwnSettings>> {
        self.0.subscribe()
    }

    /// To be called after the commit that stored them.
    pub fn replace(&self, settings: Arc<OwnSettings>) {
        self.0.send_replace(settings);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn merged(settings: &OwnSettings, body: Json, form: bool) -> Result<OwnSettings, MergeError> {
        let mut body = body.as_object().unwrap().clone();
        let changes = OwnSettings::take_changes(&mut body, form).unwrap();
        assert!(!body.keys().any(|key| key.starts_with(KEY)), "all of them are taken");
        settings.merged(&changes, form)
    }

    #[test]
    fn a_change_names_what_it_changes() {
        let settings = OwnSettings { metrics_token: Some("0123456789abcdef".into()), ..OwnSettings::default() };
        let changed = json!({ "headwater": { "realtime": { "keepAlive": 30 }, "unknown": 1 }, "meta": {} });
        let changed = merged(&settings, changed, false).unwrap();
        let realtime = RealtimeSettings { keep_alive: 30, ..RealtimeSettings::default() };
        assert_eq!(changed, OwnSettings { realtime, ..settings.clone() });
        let form = json!({ "headwater.changeLog.maxAge": 61, "headwater.metricsToken": "", "meta.appName": "x" });
        let changed = merged(&settings, form, true).unwrap();
        assert_eq!((changed.change_log.max_age, changed.metrics_token()), (61, ""));
        assert_eq!(merged(&settings, json!({ "headwater": null }), false).unwrap(), settings);
        assert!(OwnSettings::take_changes(&mut json!({ "meta": {} }).as_object().unwrap().clone(), false).is_none());
        for wrong in [json!(1), json!({ "realtime": { "keepAlive": "30" } }), json!({ "changeLog": [] })] {
            assert_eq!(merged(&settings, json!({ "headwater": wrong }), false), Err(MergeError), "{wrong}");
        }
    }

    #[test]
    fn every_figure_has_its_range() {
        let cases = [
            ("realtime", "keepAlive", [5, 300], [4, 301]),
            ("realtime", "idleTimeout", [0, 10], [9, -1]),
            ("realtime", "maxLifetime", [0, 10], [9, LONGEST + 1]),
            ("realtime", "queueBytes", [16 << 10, 64 << 20], [(16 << 10) - 1, (64 << 20) + 1]),
            ("realtime", "stallTimeout", [1, 300], [0, 301]),
            ("changeLog", "maxAge", [60, LONGEST], [59, 0]),
            ("changeLog", "maxBytes", [1 << 20, MAX_SAFE_INTEGER], [(1 << 20) - 1, -1]),
        ];
        for (group, name, good, bad) in cases {
            let check = |number: i64| {
                let body = json!({ "headwater": { group: { name: number } } });
                merged(&OwnSettings::default(), body, false).unwrap().check().to_json()
            };
            for number in good {
                assert_eq!(check(number), json!({}), "{name} {number}");
            }
            for number in bad {
                let code = check(number)[group][name]["code"].clone();
                assert!(code.as_str().is_some_and(|code| code.starts_with("validation_m")), "{name} {number}: {code}");
            }
        }
        let token = |text: &str| OwnSettings { metrics_token: Some(text.into()), ..OwnSettings::default() }.check();
        assert!(token("").is_empty() && token(&"x".repeat(16)).is_empty());
        assert_eq!(token("short").to_json()["metricsToken"]["code"], "validation_length_out_of_range");
    }

    #[test]
    fn they_are_stored_whole_and_answered_without_the_secret() {
        let conn = Connection::open_in_memory().unwrap();
        headwater_actors::change_log::create_tables(&conn).unwrap();
        assert_eq!(OwnSettings::load(&conn).unwrap(), OwnSettings::default());
        let settings = OwnSettings { metrics_token: Some("0123456789abcdef".into()), ..OwnSettings::default() };
        settings.store(&conn).unwrap();
        settings.store(&conn).unwrap();
        assert_eq!(OwnSettings::load(&conn).unwrap(), settings);
        let answer = serde_json::to_string(&settings.public()).unwrap();
        let expected = concat!(
            r#"{"realtime":{"keepAlive":25,"idleTimeout":0,"maxLifetime":0,"queueBytes":262144,"stallTimeout":10},"#,
            r#""changeLog":{"maxAge":86400,"maxBytes":268435456}}"#
        );
        assert_eq!(answer, expected);
    }

    #[actix_web::test]
    async fn who_watches_hears_of_a_change() {
        let cache = OwnSettingsCache::new(OwnSettings::default());
        let mut watch = cache.watch();
        assert!(!watch.has_changed().unwrap());
        cache.replace(Arc::new(OwnSettings { metrics_token: Some("x".into()), ..OwnSettings::default() }));
        watch.changed().await.unwrap();
        assert_eq!(watch.borrow_and_update().metrics_token(), "x");
        assert_eq!(cache.current().metrics_token(), "x");
    }
}
