//! `headwater superuser`: the accounts that may do everything, and where they may come from.
//!
//! It opens the data directory itself, so no server may be running on it.

use std::error::Error;
use std::sync::Arc;

use clap::Subcommand;
use headwater_actors::{JobLimits, Tx, WriteError};
use serde_json::{Map, Value as Json, json};

use crate::app::{App, Config};
use crate::auth::cache::load_where;
use crate::checks;
use crate::ops::settings::Settings;
use crate::records::{Record, RecordError, write};
use crate::schema::{Collection, SUPERUSERS};

#[derive(Subcommand)]
pub enum Command {
    /// Creates a superuser
    Create { email: String, password: String },
    /// Changes the password of a superuser
    Update { email: String, password: String },
    /// Creates a superuser, or changes the password of the one who has this address
    Upsert { email: String, password: String },
    /// Deletes a superuser
    Delete { email: String },
    /// Says where superusers may come from: addresses and ranges, none for anywhere
    Ips {
        #[arg(value_name = "IP|CIDR")]
        ips: Vec<String>,
    },
}

pub fn run(config: Config, command: Command) -> Result<(), Box<dyn Error>> {
    actix_web::rt::System::new().block_on(async {
        let app = App::open(config)?;
        let result = execute(&app, command).await;
        app.close().await;
        println!("{}", result?);
        Ok(())
    })
}

/// What was done, as a sentence.
async fn execute(app: &App, command: Command) -> Result<String, Box<dyn Error>> {
    let superusers =
        app.schema.current().find(SUPERUSERS).cloned().ok_or("the directory has no superusers collection")?;
    match command {
        Command::Create { email, password } => {
            create(app, &superusers, &email, &password)
                .await
                .map_err(|error| format!("failed to create new superuser account: {error}"))?;
            Ok(format!("Successfully created new superuser \"{email}\"!"))
        }
        Command::Update { email, password } => {
            let known = find(app, &superusers, &email).await?;
            let known = known.ok_or_else(|| format!("superuser with email \"{email}\" doesn't exist"))?;
            change_password(app, &known, &password)
                .await
                .map_err(|error| format!("failed to change superuser \"{email}\" password: {error}"))?;
            Ok(format!("Successfully changed superuser \"{email}\" password!"))
        }
        Command::Upsert { email, password } => {
            let saved = match find(app, &superusers, &email).await? {
                Some(known) => change_password(app, &known, &password).await,
                None => create(app, &superusers, &email, &password).await,
            };
            saved.map_err(|error| format!("failed to upsert superuser account: {error}"))?;
            Ok(format!("Successfully saved superuser \"{email}\"!"))
        }
        Command::Delete { email } => {
            let Some(known) = find(app, &superusers, &email).await? else {
                return Ok(format!("superuser \"{email}\" is missing or already deleted"));
            };
            write::delete_by_system(app, &superusers, known.id())
                .await
                .map_err(|error| format!("failed to delete superuser \"{email}\": {}", reason(&error)))?;
            Ok(format!("Successfully deleted superuser \"{email}\"!"))
        }
        Command::Ips { ips } => {
            let message = match ips.len() {
                0 => "Superusers may come from anywhere now.".to_owned(),
                _ => format!("Superusers may come only from {} now.", ips.join(", ")),
            };
            restrict(app, ips).await?;
            Ok(message)
        }
    }
}

async fn find(app: &App, superusers: &Arc<Collection>, email: &str) -> Result<Option<Record>, Box<dyn Error>> {
    check_address(email)?;
    let (superusers, email) = (superusers.clone(), email.to_owned());
    Ok(app.readers.run(move |conn| load_where(conn, &superusers, "\"email\" = ?1", &email)).await??)
}

fn check_address(email: &str) -> Result<(), &'static str> {
    if email.is_empty() || checks::email(email).is_err() { Err("missing or invalid email address") } else { Ok(()) }
}

async fn create(app: &App, superusers: &Arc<Collection>, email: &str, password: &str) -> Result<(), String> {
    check_address(email)?;
    let values = object([("email", email), ("password", password)]);
    write::create_by_system(app, superusers, values).await.map(drop).map_err(|error| reason(&error))
}

async fn change_password(app: &App, superuser: &Record, password: &str) -> Result<(), String> {
    if password.is_empty() {
        return Err("password: Cannot be blank.".into());
    }
    let values = object([("password", password)]);
    let changed = write::update_by_system(app, &superuser.collection, superuser.id(), values).await;
    changed.map(drop).map_err(|error| reason(&error))
}

fn object<const N: usize>(values: [(&str, &str); N]) -> Map<String, Json> {
    values.into_iter().map(|(key, value)| (key.to_owned(), json!(value))).collect()
}

/// What is wrong with which field, on one line.
fn reason(error: &RecordError) -> String {
    match error {
        RecordError::Failed(_, errors) if !errors.is_empty() => describe(&errors.to_json()),
        error => error.to_string(),
    }
}

fn describe(errors: &Json) -> String {
    let Some(errors) = errors.as_object() else { return String::new() };
    let fields = errors.iter().map(|(field, error)| {
        let message = error.get("message").and_then(Json::as_str).map_or_else(|| describe(error), str::to_owned);
        format!("{field}: {message}")
    });
    fields.collect::<Vec<_>>().join("; ")
}

async fn restrict(app: &App, ips: Vec<String>) -> Result<(), String> {
    let job = move |tx: &mut Tx<'_>| -> Result<(), String> {
        let stored = Settings::load(tx.conn()).map_err(|error| error.to_string())?;
        let settings = Settings { superuser_ips: ips, ..stored };
        if settings.check().contains("superuserIPs") {
            return Err(format!("invalid addresses: {}", describe(&settings.check().to_json()["superuserIPs"])));
        }
        settings.store(tx.conn()).map_err(|error| error.to_string())
    };
    match app.writer.run(JobLimits::ONE, job).await {
        Ok(_) => Ok(()),
        Err(WriteError::Job(reason)) => Err(reason),
        Err(error) => Err(error.to_string()),
    }
}
