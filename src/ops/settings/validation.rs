//! What settings must be before they are stored, in the codes that clients compare.

use std::net::IpAddr;

use super::{Backups, Batch, Logs, Meta, RateLimitRule, RateLimits, S3, Settings, Smtp};
use crate::checks::{self, length, min, required, required_number};
use crate::errors::{Errors, Invalid};
use crate::ops::cron::Schedule;
use crate::ops::subnet::Subnet;

impl Settings {
    /// Everything that is wrong with them, by path.
    pub fn check(&self) -> Errors {
        let mut errors = Errors::new();
        errors.nest("superuserIPs", check_subnets(&self.superuser_ips));
        errors.nest("meta", check_meta(&self.meta));
        errors.nest("logs", check_logs(&self.logs));
        errors.nest("smtp", check_smtp(&self.smtp));
        errors.nest("s3", check_s3(&self.s3));
        errors.nest("backups", check_backups(&self.backups));
        errors.nest("batch", check_batch(&self.batch));
        errors.nest("rateLimits", check_rate_limits(&self.rate_limits));
        errors
    }
}

fn check_subnets(subnets: &[String]) -> Errors {
    let mut errors = Errors::new();
    for (index, text) in subnets.iter().enumerate() {
        errors.check(index.to_string(), required(text));
        if Subnet::parse(text).is_none() {
            // The code is misspelt, and so known to clients.
            errors.add(index.to_string(), Invalid::new("validation_invlaid_ip_or_subnet", "invalid IP or CIDR subnet"));
        }
    }
    errors
}

fn check_meta(meta: &Meta) -> Errors {
    let mut errors = Errors::new();
    errors.check("accentColor", length(&meta.accent_color, 7, 7));
    let digits = meta.accent_color.strip_prefix('#').unwrap_or_default();
    if !meta.accent_color.is_empty() && !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let invalid = Invalid::new("validation_is_hex_color", "must be a valid hexadecimal color code");
        errors.add("accentColor", invalid);
    }
    for (key, name) in [("appName", &meta.app_name), ("senderName", &meta.sender_name)] {
        errors.check(key, required(name).and_then(|()| length(name, 1, 255)));
    }
    errors.check("appURL", required(&meta.app_url).and_then(|()| checks::url(&meta.app_url)));
    let address = &meta.sender_address;
    errors.check("senderAddress", required(address).and_then(|()| checks::email(address)));
    errors
}

fn check_logs(logs: &Logs) -> Errors {
    let mut errors = Errors::new();
    errors.check("maxDays", min(logs.max_days, 0));
    errors
}

fn check_smtp(smtp: &Smtp) -> Errors {
    let mut errors = Errors::new();
    if smtp.enabled {
        errors.check("host", required(&smtp.host));
        errors.check("port", required_number(smtp.port));
    }
    errors.check("host", host(&smtp.host));
    errors.check("port", min(smtp.port, 0));
    errors.check("localName", host(&smtp.local_name));
    if !["", "PLAIN", "LOGIN"].contains(&smtp.auth_method.as_str()) {
        errors.add("authMethod", not_in_list());
    }
    errors
}

fn check_s3(s3: &S3) -> Errors {
    let mut errors = Errors::new();
    errors.check("endpoint", checks::url(&s3.endpoint));
    if s3.enabled {
        let needed = [
            ("endpoint", &s3.endpoint),
            ("bucket", &s3.bucket),
            ("region", &s3.region),
            ("accessKey", &s3.access_key),
            ("secret", &s3.secret),
        ];
        for (key, text) in needed {
            errors.check(key, required(text));
        }
    }
    errors
}

fn check_backups(backups: &Backups) -> Errors {
    let mut errors = Errors::new();
    errors.nest("s3", check_s3(&backups.s3));
    if !backups.cron.is_empty() {
        if let Err(reason) = Schedule::parse(&backups.cron) {
            errors.add("cron", Invalid::new("validation_invalid_cron", reason));
        }
        errors.check("cronMaxKeep", required_number(backups.cron_max_keep));
    }
    errors.check("cronMaxKeep", min(backups.cron_max_keep, 1));
    errors
}

fn check_batch(batch: &Batch) -> Errors {
    let mut errors = Errors::new();
    if batch.enabled {
        errors.check("maxRequests", required_number(batch.max_requests));
        errors.check("timeout", required_number(batch.timeout));
    }
    errors.check("maxRequests", min(batch.max_requests, 0));
    errors.check("timeout", min(batch.timeout, 0));
    errors.check("maxBodySize", min(batch.max_body_size, 0));
    errors
}

fn check_rate_limits(limits: &RateLimits) -> Errors {
    let mut errors = Errors::new();
    errors.nest("excludedIPs", check_subnets(&limits.excluded_ips));
    if limits.enabled && limits.rules.is_empty() {
        errors.add("rules", Invalid::required());
    }
    let mut rules = Errors::new();
    for (index, rule) in limits.rules.iter().enumerate() {
        let mut found = check_rule(rule);
        if limits.rules[..index].iter().any(|earlier| conflict(earlier, rule)) {
            let message = format!(
                "Rate limit rule configuration with label {} already exists or conflicts with another rule.",
                rule.label
            );
            let invalid = Invalid::new("validation_conflicting_rate_limit_rule", message);
            found.add("label", invalid.with("label", rule.label.clone()));
        }
        rules.nest(index.to_string(), found);
    }
    errors.nest("rules", rules);
    errors
}

/// Two rules of one label for overlapping audiences.
fn conflict(a: &RateLimitRule, b: &RateLimitRule) -> bool {
    a.label == b.label && (a.audience == b.audience || a.audience.is_empty() || b.audience.is_empty())
}

fn check_rule(rule: &RateLimitRule) -> Errors {
    let mut errors = Errors::new();
    errors.check("label", required(&rule.label));
    if !is_label(&rule.label) {
        errors.add("label", checks::bad_format());
    }
    for (key, number) in [("maxRequests", rule.max_requests), ("duration", rule.duration)] {
        errors.check(key, required_number(number).and_then(|()| min(number, 1)));
    }
    if !["", "@guest", "@auth"].contains(&rule.audience.as_str()) {
        errors.add("audience", not_in_list());
    }
    errors
}

/// `tag`, `collection:tag`, `*:tag`, `/path`, `METHOD /path`.
fn is_label(text: &str) -> bool {
    let word = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let path = |text: &str| {
        let rest = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'/' | b'-'));
        text.starts_with('/') && rest
    };
    match (text.split_once(' '), text.split_once(':')) {
        (Some((method, rest)), _) => word(method) && path(rest),
        (None, Some((name, tag))) => (name == "*" || word(name)) && word(tag),
        (None, None) => word(text) || path(text),
    }
}

fn not_in_list() -> Invalid {
    Invalid::new("validation_in_invalid", "must be a valid value")
}

/// An IP address or a DNS name, which may have a single label.
fn host(text: &str) -> Result<(), Invalid> {
    let label = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-') && label.bytes().all(inner)
    };
    let name = text.strip_suffix('.').unwrap_or(text);
    if text.is_empty() || text.parse::<IpAddr>().is_ok() || (name.len() <= 253 && name.split('.').all(label)) {
        Ok(())
    } else {
        Err(Invalid::new("validation_is_host", "must be a valid IP address or DNS name"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value as Json, json};

    fn codes(changes: Json) -> Json {
        fn strip(json: Json) -> Json {
            match json {
                Json::Object(mut object) => match object.remove("code") {
                    Some(code) => code,
                    None => object.into_iter().map(|(key, value)| (key, strip(value))).collect(),
                },
                other => other,
            }
        }
        let settings = Settings::default().merged(changes.as_object().unwrap(), false).unwrap();
        strip(settings.check().to_json())
    }

    #[test]
    fn what_is_wrong_with_settings() {
        const REQUIRED: &str = "validation_required";
        let subnet = "validation_invlaid_ip_or_subnet";
        let cases = [
            (json!({}), json!({})),
            (json!({"superuserIPs": ["1.1.1.1", "", "x"]}), json!({"superuserIPs": {"1": REQUIRED, "2": subnet}})),
            (
                json!({"meta": {"accentColor": "#12", "appName": "", "appURL": "x y", "senderAddress": "no"}}),
                json!({"meta": {
                    "accentColor": "validation_length_invalid", "appName": REQUIRED,
                    "appURL": "validation_is_url", "senderAddress": "validation_is_email"
                }}),
            ),
            (json!({"meta": {"accentColor": "#12345g"}}), json!({"meta": {"accentColor": "validation_is_hex_color"}})),
            (json!({"smtp": {"host": "", "port": 0}}), json!({})),
            (
                json!({"smtp": {"enabled": true, "host": "", "port": 0, "authMethod": "x", "localName": "a b"}}),
                json!({"smtp": {
                    "host": REQUIRED, "port": REQUIRED, "authMethod": "validation_in_invalid",
                    "localName": "validation_is_host"
                }}),
            ),
            (
                json!({"backups": {"cron": "x", "cronMaxKeep": 0, "s3": {"enabled": true, "endpoint": "https://a.io"}}}),
                json!({"backups": {
                    "cron": "validation_invalid_cron", "cronMaxKeep": REQUIRED,
                    "s3": {"bucket": REQUIRED, "region": REQUIRED, "accessKey": REQUIRED, "secret": REQUIRED}
                }}),
            ),
            (
                json!({"batch": {"enabled": true, "maxRequests": 0, "timeout": -1}, "logs": {"maxDays": -1}}),
                json!({
                    "batch": {"maxRequests": REQUIRED, "timeout": "validation_min_greater_equal_than_required"},
                    "logs": {"maxDays": "validation_min_greater_equal_than_required"}
                }),
            ),
            (json!({"rateLimits": {"enabled": true, "rules": []}}), json!({"rateLimits": {"rules": REQUIRED}})),
        ];
        for (changes, expected) in cases {
            assert_eq!(codes(changes.clone()), expected, "{changes}");
        }
    }

    #[test]
    fn rate_limit_rules() {
        let rule = |label: &str, audience: &str| json!({"label": label, "audience": audience, "duration": 1, "maxRequests": 1});
        let check = |rules: Json| codes(json!({"rateLimits": {"rules": rules}}))["rateLimits"]["rules"].clone();
        for label in ["tag", "users:create", "*:auth", "/", "/api/x-y/", "POST /api/"] {
            assert_eq!(check(json!([rule(label, "")])), Json::Null, "{label}");
        }
        for label in ["a b", "*", "*:", ":x", "a:b:c", "POST api", "/a b", "/é"] {
            assert_eq!(check(json!([rule(label, "")])), json!({"0": {"label": "validation_match_invalid"}}), "{label}");
        }
        let conflicting = "validation_conflicting_rate_limit_rule";
        assert_eq!(check(json!([rule("a", "@guest"), rule("a", "@auth")])), Json::Null);
        assert_eq!(check(json!([rule("a", "@guest"), rule("a", "")])), json!({"1": {"label": conflicting}}));
        let zero = json!([{"label": "", "audience": "x"}]);
        let required = "validation_required";
        let expected = json!({"0": {
            "label": required, "audience": "validation_in_invalid", "duration": required, "maxRequests": required
        }});
        assert_eq!(check(zero), expected);
    }
}
