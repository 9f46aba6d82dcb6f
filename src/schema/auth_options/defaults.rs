//! What a new auth collection starts with: lifetimes, random secrets and the texts of its mails.

use super::{AuthAlert, AuthOptions, MailTemplate, Mfa, OAuth2, Otp, PasswordAuth, TokenConfig};
use crate::patterns;
use crate::schema::Rule;

/// Characters of a new token secret.
const SECRET_LENGTH: usize = 50;

impl TokenConfig {
    /// A token with a new random secret; `duration` in seconds.
    pub fn fresh(duration: i64) -> TokenConfig {
        TokenConfig { secret: TokenConfig::random_secret(), duration }
    }

    pub fn random_secret() -> String {
        patterns::random_text(SECRET_LENGTH, patterns::ALPHANUMERIC)
    }
}

impl MailTemplate {
    fn new(subject: &str, body: &str) -> MailTemplate {
        MailTemplate { subject: subject.to_owned(), body: body.to_owned() }
    }
}

impl AuthOptions {
    /// What a new auth collection starts with: password login by e-mail, secrets of its own.
    pub fn fresh(superusers: bool) -> AuthOptions {
        const HOUR: i64 = 3_600;
        const DAY: i64 = 24 * HOUR;
        AuthOptions {
            auth_rule: Rule::Open,
            manage_rule: Rule::Sealed,
            auth_alert: AuthAlert {
                enabled: true,
                email_template: MailTemplate::new("New login to your {APP_NAME} account", NEW_LOCATION),
            },
            oauth2: OAuth2::default(),
            password_auth: PasswordAuth { enabled: true, identity_fields: vec!["email".to_owned()] },
            mfa: Mfa { enabled: false, duration: 600, rule: String::new() },
            otp: Otp {
                enabled: false,
                duration: 180,
                length: 8,
                email_template: MailTemplate::new("Your one-time password for {APP_NAME}", ONE_TIME_PASSWORD),
            },
            auth_token: TokenConfig::fresh(if superusers { DAY } else { 5 * DAY }),
            password_reset_token: TokenConfig::fresh(HOUR / 2),
            email_change_token: TokenConfig::fresh(HOUR / 2),
            verification_token: TokenConfig::fresh(DAY),
            file_token: TokenConfig::fresh(180),
            verification_template: MailTemplate::new("Please confirm your {APP_NAME} email address", VERIFICATION),
            reset_password_template: MailTemplate::new("Choose a new {APP_NAME} password", PASSWORD_RESET),
            confirm_email_change_template: MailTemplate::new("Confirm your new {APP_NAME} address", EMAIL_CHANGE),
        }
    }
}

const NEW_LOCATION: &str = "<p>Hello,</p>\n\
    <p>Somebody logged in to your {APP_NAME} account from a place that we had not seen before:</p>\n\
    <p><em>{ALERT_INFO}</em></p>\n\
    <p><strong>If that was not you, change your {APP_NAME} password now: it ends all other logins.</strong></p>\n\
    <p>If it was you, there is nothing to do.</p>\n\
    <p>The {APP_NAME} team</p>";

const ONE_TIME_PASSWORD: &str = "<p>Hello,</p>\n\
    <p>This password lets you in once: <strong>{OTP}</strong></p>\n\
    <p><em>If you did not ask for it, nobody can use it without this message, and you can delete it.</em></p>\n\
    <p>The {APP_NAME} team</p>";

const VERIFICATION: &str = "<p>Hello,</p>\n\
    <p>Welcome to {APP_NAME}. One click tells us that this address is yours:</p>\n\
    <p><a class=\"btn\" href=\"{APP_URL}/_/#/auth/confirm-verification/{TOKEN}\" target=\"_blank\" rel=\"noopener\">\
    Confirm address</a></p>\n\
    <p><em>If you did not sign up, you can delete this message.</em></p>\n\
    <p>The {APP_NAME} team</p>";

const PASSWORD_RESET: &str = "<p>Hello,</p>\n\
    <p>Use this button to choose a new password:</p>\n\
    <p><a class=\"btn\" href=\"{APP_URL}/_/#/auth/confirm-password-reset/{TOKEN}\" target=\"_blank\" rel=\"noopener\">\
    Choose password</a></p>\n\
    <p><em>If you did not ask for a new password, you can delete this message; the old one stays.</em></p>\n\
    <p>The {APP_NAME} team</p>";

const EMAIL_CHANGE: &str = "<p>Hello,</p>\n\
    <p>Use this button to make this the address of your {APP_NAME} account:</p>\n\
    <p><a class=\"btn\" href=\"{APP_URL}/_/#/auth/confirm-email-change/{TOKEN}\" target=\"_blank\" rel=\"noopener\">\
    Confirm address</a></p>\n\
    <p><em>If you did not ask for this change, you can delete this message; the old address stays.</em></p>\n\
    <p>The {APP_NAME} team</p>";
