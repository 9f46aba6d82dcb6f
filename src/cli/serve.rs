//! `headwater serve`: the server, until SIGINT or SIGTERM.

use std::error::Error;

use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::app::{App, Config};
use crate::auth::installer;
use crate::http;

#[derive(Args)]
pub struct Options {
    /// The address to listen on; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:8090", value_name = "HOST:PORT")]
    http: String,

    /// Origins that browsers may call from, with `*` and `?` as wildcards
    #[arg(long, value_delimiter = ',', default_value = "*", value_name = "ORIGIN,…")]
    origins: Vec<String>,
}

pub fn run(config: Config, options: Options) -> Result<(), Box<dyn Error>> {
    raise_open_files_limit();
    let config = Config { origins: options.origins, ..config };
    actix_web::rt::System::new().block_on(serve(config, &options.http))
}

async fn serve(config: Config, address: &str) -> Result<(), Box<dyn Error>> {
    // Before anybody knows that we are there: who is asked to stop stops in peace.
    let stop = Signals::listen()?;
    let app = App::open(config)?;
    let (server, bound) =
        http::server::bind(app.clone(), address).map_err(|error| format!("could not listen on {address}: {error}"))?;
    let base = format!("http://{bound}");
    let handle = server.handle();
    let running = actix_web::rt::spawn(server);
    announce(&base);
    match installer::invite(&app).await {
        Ok(Some(token)) => announce_installer(&base, &token),
        Ok(None) => {}
        Err(error) => log::error!("no superuser exists, and the installer's account could not be made: {error}"),
    }

    stop.come().await;
    app.realtime.shutdown().await;
    handle.stop(true).await;
    running.await??;
    app.close().await;
    Ok(())
}

/// Where the server is to be found. Scripts wait for the first of these lines.
fn announce(base: &str) {
    println!("{} Server started at {base}", crate::dates::now());
    println!("├─ REST API:  {base}/api/");
    println!("└─ Dashboard: {base}/_/");
}

/// How to make the first superuser.
fn announce_installer(base: &str, token: &str) {
    println!("\nThere is no superuser yet. Create one on this page within 30 minutes:");
    println!("{base}/_/#/pbinstall/{token}");
    println!("or stop the server and run: headwater superuser upsert EMAIL PASSWORD");
}

/// What asks the server to stop.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Signals> {
        Ok(Signals { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn come(mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Every client is an open file: takes as many as the system lets us have.
fn raise_open_files_limit() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls only read or write the struct that they are given.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) == 0 && limit.rlim_cur < limit.rlim_max {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
        }
    }
}
