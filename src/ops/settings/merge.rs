//! Laying a client's changes over the settings: what it does not name stays as it is.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json};

use super::Settings;

/// A value has the wrong type.
#[derive(Debug, PartialEq, thiserror::Error)]
#[error("a value has the wrong type")]
pub struct MergeError;

impl Settings {
    /// The settings with these changes.
    pub fn merged(&self, changes: &Map<String, Json>, form: bool) -> Result<Settings, MergeError> {
        merge(self, changes, form)
    }
}

/// A document with these changes. Unknown keys are ignored, lists replaced as a whole. A form's keys are paths
/// (`meta.appName`), and its values take the type that they replace.
pub fn merge<T: Serialize + DeserializeOwned>(
    document: &T,
    changes: &Map<String, Json>,
    form: bool,
) -> Result<T, MergeError> {
    let mut document = serde_json::to_value(document).map_err(|_| MergeError)?;
    for (key, change) in changes {
        match (form, key.split_once('.')) {
            (true, Some(_)) => {
                let path = key.rsplit('.');
                let nested =
                    path.fold(change.clone(), |inner, key| Json::Object(Map::from_iter([(key.into(), inner)])));
                overlay(&mut document, &nested, form)?;
            }
            _ => overlay(&mut document, &Json::Object(Map::from_iter([(key.clone(), change.clone())])), form)?,
        }
    }
    serde_json::from_value(document).map_err(|_| MergeError)
}

fn overlay(base: &mut Json, change: &Json, form: bool) -> Result<(), MergeError> {
    match (base, change) {
        (Json::Object(base), Json::Object(change)) => {
            for (key, value) in change {
                match base.get_mut(key) {
                    Some(known) => overlay(known, value, form)?,
                    // An unset secret is left out of the stored form.
                    None => {
                        let value = if form && key == "secret" { Json::String(text(value)) } else { value.clone() };
                        base.insert(key.clone(), value);
                    }
                }
            }
        }
        // A list would be taken for the fields of the object in their order.
        (Json::Object(_), Json::Array(_)) => return Err(MergeError),
        (Json::Array(base), Json::Null) => base.clear(),
        (_, Json::Null) => {}
        (Json::Array(base), change) if form && !change.is_array() => *base = vec![change.clone()],
        (base @ Json::String(_), change) if form => *base = Json::String(text(change)),
        (base, change) => *base = change.clone(),
    }
    Ok(())
}

fn text(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn merged(changes: Json, form: bool) -> Result<Settings, MergeError> {
        let mut settings = Settings::default();
        settings.smtp.password = Some("kept".into());
        settings.merged(changes.as_object().unwrap(), form)
    }

    #[test]
    fn what_is_not_named_stays() {
        let changes = json!({
            "meta": {"appName": "x", "other": 1}, "unknown": [], "smtp": {"port": null, "password": null},
            "s3": {"secret": "s"}, "rateLimits": {"rules": [{"label": "/x/", "duration": 1}], "excludedIPs": null}
        });
        let settings = merged(changes, false).unwrap();
        assert_eq!((settings.meta.app_name.as_str(), settings.meta.sender_name.as_str()), ("x", "Support"));
        assert_eq!((settings.smtp.port, settings.smtp.password.as_deref()), (587, Some("kept")));
        assert_eq!(settings.s3.secret, "s");
        assert_eq!(settings.rate_limits.rules.len(), 1);
        assert_eq!((settings.rate_limits.rules[0].duration, settings.rate_limits.rules[0].max_requests), (1, 0));
        assert_eq!(merged(json!({"smtp": {"password": ""}}), false).unwrap().smtp.password.as_deref(), Some(""));
    }

    #[test]
    fn wrong_types_are_refused() {
        for changes in [
            json!({"meta": 1}),
            json!({"meta": []}),
            json!({"meta": {"appName": 5}}),
            json!({"logs": {"maxDays": "5"}}),
        ] {
            assert_eq!(merged(changes.clone(), false), Err(MergeError), "{changes}");
        }
    }

    #[test]
    fn forms_name_paths_and_take_the_types_that_are_there() {
        let changes = json!({
            "meta.appName": 123, "backups.s3.secret": 5, "logs.maxDays": 7, "smtp.tls": true, "superuserIPs": "1.1.1.1"
        });
        let settings = merged(changes, true).unwrap();
        assert_eq!((settings.meta.app_name.as_str(), settings.backups.s3.secret.as_str()), ("123", "5"));
        assert_eq!((settings.logs.max_days, settings.smtp.tls), (7, true));
        assert_eq!(settings.superuser_ips, ["1.1.1.1"]);
    }
}
