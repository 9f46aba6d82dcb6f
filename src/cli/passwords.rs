//! `headwater passwords`: how new password hashes are made.

use std::error::Error;

use clap::{Args, ValueEnum};
use headwater_actors::{JobLimits, Tx, WriteError};

use crate::app::{App, Config};
use crate::auth::passwords::Policy;

#[derive(Args)]
pub struct Options {
    /// The scheme of new hashes; without it, the one in use is named
    scheme: Option<Scheme>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Scheme {
    /// PocketBase can read them
    Bcrypt,
    /// Harder to guess; who has such a password cannot log in to PocketBase with it
    Argon2id,
}

pub fn run(config: Config, options: Options) -> Result<(), Box<dyn Error>> {
    actix_web::rt::System::new().block_on(async {
        let app = App::open(config)?;
        let policy = match options.scheme {
            None => Ok(app.hasher.policy()),
            Some(Scheme::Bcrypt) => set(&app, Policy::Bcrypt).await,
            Some(Scheme::Argon2id) => set(&app, Policy::Argon2id).await,
        };
        app.close().await;
        println!("New passwords are kept as {}, others as they are until their next login.", policy?.as_str());
        Ok(())
    })
}

async fn set(app: &App, policy: Policy) -> Result<Policy, WriteError<rusqlite::Error>> {
    let job = move |tx: &mut Tx<'_>| policy.store(tx.conn()).map(|()| policy);
    Ok(app.writer.run(JobLimits::ONE, job).await?.value)
}
