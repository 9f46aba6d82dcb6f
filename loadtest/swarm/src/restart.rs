//! The server is killed under its clients and started again, while writes go on: how long until everyone is back and has
//! received what was missed.

use crate::audience::Audience;
use crate::client::Protocol;
use crate::crowd::{Crowd, Guests, OPENING, REQUESTS};
use crate::fixture::{self, Counts};
use crate::ledger::Ledger;
use crate::scene::Scene;
use crate::server::{self, Server};
use crate::writers::{self, Pace, Writers};
use crate::{Result, process};
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};

/// Within it everything has to be over: the clients noticing, and their coming back.
const LIMIT: Duration = Duration::from_secs(60);

pub(crate) struct Plan {
    /// Those of the reference's protocol only come back; they cannot resume.
    pub(crate) protocol: Protocol,
    pub(crate) clients: usize,
    /// Written half of them right before the end, and the other half right after the beginning.
    pub(crate) events: usize,
}

pub(crate) struct Report {
    clients: usize,
    /// From the start of the process to its first answer.
    pub(crate) starting: Duration,
    /// From the first answer until all clients are connected and subscribed again.
    pub(crate) connected: Duration,
    /// The same, until they have received everything, if they resume.
    pub(crate) complete: Option<Duration>,
    /// If they resume.
    pub(crate) ledger: Option<Ledger>,
    pub(crate) resets: u64,
}

impl Report {
    pub(crate) fn seconds(&self) -> f64 {
        self.connected.max(self.complete.unwrap_or_default()).as_secs_f64()
    }

    pub(crate) fn is_clean(&self) -> bool {
        self.resets == 0 && self.ledger.as_ref().is_none_or(Ledger::is_clean)
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({
            "clients": self.clients, "seconds": self.seconds(), "starting_seconds": self.starting.as_secs_f64(),
            "connected_seconds": self.connected.as_secs_f64(), "resets": self.resets,
            "complete_seconds": self.complete.map(|complete| complete.as_secs_f64()),
            "ledger": self.ledger.as_ref().map(Ledger::to_json),
        })
    }

    pub(crate) fn summary(&self) -> String {
        let ledger = self.ledger.as_ref().map_or("they do not resume".to_owned(), Ledger::summary);
        format!(
            "{} clients: all back after {:.2} s, everything received after {:.2} s (the server took {:.2} s to start); {ledger}, {} resets",
            self.clients,
            self.connected.as_secs_f64(),
            self.seconds(),
            self.starting.as_secs_f64(),
            self.resets,
        )
    }
}

/// With a server and a directory of its own.
pub(crate) fn run_alone(binary: &Path, directory: &Path, plan: &Plan, pin: bool) -> Result<Report> {
    let directory = std::path::absolute(directory)?.join("restart");
    if directory.exists() {
        std::fs::remove_dir_all(&directory)?;
    }
    if pin {
        process::pin(server::OWN_CORE)?;
    }
    server::create_data(binary, &directory)?;
    let mut server = Server::start(binary, &directory, pin.then_some(server::SERVER_CORE))?;
    fixture::prepare(&server.log_in()?, Counts::default())?;
    run(&mut server, plan)
}

pub(crate) fn run(server: &mut Server, plan: &Plan) -> Result<Report> {
    let guests = Guests::new(plan.protocol, Scene::Fanout.topics(), Vec::new(), plan.clients);
    let mut crowd = Crowd::open(&server.target, guests.clone())?;
    let start = Instant::now();
    let ledger = Ledger::new(Scene::Fanout.concerns(), plan.clients, 1, plan.events);
    let mut audience = Audience::new(ledger, start);
    let writing =
        |events| writers::Plan { scene: Scene::Fanout, writers: 1, pace: Pace::Closed, token: String::new(), events };

    let mut writers = Writers::open(&crowd, writing((0, plan.events / 2)), start)?;
    while !writers.are_done() {
        step(&mut crowd, &mut audience, &mut writers)?;
    }
    drop(writers);
    server.kill()?;
    // Some have what was sent to them, others have not; all notice that the server is gone.
    let killed = Instant::now();
    let mut ready = Vec::new();
    while crowd.lost() < crowd.len() {
        crowd.epoll.wait(Duration::from_millis(100), &mut ready)?;
        ready.iter().filter(|ready| ready.token < REQUESTS).for_each(|&ready| audience.serve(&mut crowd, ready));
        if killed.elapsed() > LIMIT {
            return Err(format!("{} clients have not noticed", crowd.len() - crowd.lost()).into());
        }
    }
    crowd.first_loss = None;

    let starting = Instant::now();
    server.restart()?;
    let listening = Instant::now();
    let starting = listening - starting;
    if plan.protocol == Protocol::Sse {
        drop(crowd);
        let connected = Crowd::open(&server.target, guests)?.opening;
        return Ok(Report { clients: plan.clients, starting, connected, complete: None, ledger: None, resets: 0 });
    }
    let mut writers = Writers::open(&crowd, writing((plan.events / 2, plan.events)), start)?;
    let (mut begun, mut connected) = (0, None);
    while connected.is_none() || !audience.ledger.is_complete() || !writers.are_done() {
        while begun < crowd.len() && begun - crowd.subscribed.min(begun) < OPENING {
            crowd.reopen(begun)?;
            begun += 1;
        }
        step(&mut crowd, &mut audience, &mut writers)?;
        if connected.is_none() && crowd.subscribed == crowd.len() {
            connected = Some(listening.elapsed());
        }
        if let Some(loss) = &crowd.first_loss {
            return Err(format!("a client was lost when it came back: {loss}").into());
        }
        if listening.elapsed() > LIMIT {
            break;
        }
    }
    drop(writers);
    let complete = listening.elapsed();
    audience.linger(&mut crowd)?;
    Ok(Report {
        clients: plan.clients,
        starting,
        connected: connected.unwrap_or(LIMIT),
        complete: Some(complete),
        ledger: Some(audience.ledger),
        resets: audience.resets,
    })
}

fn step(crowd: &mut Crowd, audience: &mut Audience, writers: &mut Writers) -> Result<()> {
    let mut ready = Vec::new();
    let wait = writers.write(&crowd.epoll);
    crowd.epoll.wait(wait, &mut ready)?;
    for &ready in &ready {
        if ready.token >= REQUESTS {
            writers.serve(ready, &crowd.epoll)?;
        } else {
            audience.serve(crowd, ready);
        }
    }
    Ok(())
}
