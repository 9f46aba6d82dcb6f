//! Headwater beside the reference, on this machine, now: both start from a data directory filled in the same way, and
//! take turns, because a machine shared with others is not the same machine a minute later.
//!
//! A turn is two starts of the server: one for the HTTP operations, and a fresh one for the realtime clients, so that
//! memory left from the former is not counted (or reused) for the latter. Every turn works on a new copy of the data.

use crate::commands::Held;
use crate::fanout::{self, Pace};
use crate::fixture::{self, EVENTS};
use crate::http;
use crate::operation::{Operation, Requests};
use crate::options::Options;
use crate::server::{self, Server};
use crate::table::{Goal, Good, Measure, markdown};
use crate::{Result, process};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;

/// As many different callers as there are connections by default.
const CALLERS: usize = 64;
/// With `--pin`.
const SERVER_CORE: usize = 0;
const OWN_CORE: usize = 1;
/// Busier than this share of a core, the generator may have been the limit.
const BUSY: f64 = 0.85;
/// The load average above which others are at work on this machine.
const QUIET: f64 = 0.7;
/// Answers of the two that differ more than this in size are not the same answers.
const SAME_SIZE: f64 = 0.05;
/// How long the clients are idle before memory is read.
const SETTLE: Duration = Duration::from_secs(2);

struct Setting {
    rounds: usize,
    window: Duration,
    connections: usize,
    clients: usize,
    events: usize,
    interval: Duration,
    rows: usize,
    superuser: bool,
    pin: bool,
}

/// One of the two.
struct Side {
    name: &'static str,
    binary: PathBuf,
    /// Filled once, copied for every turn.
    template: PathBuf,
    work: PathBuf,
    callers: Vec<String>,
    /// Mean size of an answer to each operation, in the last turn.
    answers: Vec<f64>,
}

pub(crate) fn run(mut options: Options) -> Result<()> {
    let headwater: PathBuf = options.required("headwater")?;
    let reference: PathBuf = options.required("reference")?;
    let directory: PathBuf = options.value("dir", PathBuf::from("target/swarm"))?;
    let setting = Setting {
        rounds: options.value("rounds", 5)?,
        window: options.seconds("seconds", 4.0)?,
        connections: options.value("connections", 64)?,
        clients: options.value("clients", 10_000)?,
        events: options.value("events", 5)?,
        interval: Duration::from_millis(options.value("interval-ms", 2000)?),
        rows: options.value("rows", 10_000)?,
        superuser: match options.value("as", "user".to_owned())?.as_str() {
            "user" => false,
            "superuser" => true,
            other => return Err(format!("--as: user or superuser, not {other}").into()),
        },
        pin: options.flag("pin")?,
    };
    options.finish()?;
    let limit = process::raise_file_limit()?;
    if limit < setting.clients as u64 + 1000 {
        return Err(format!("{} clients do not fit into {limit} file descriptors", setting.clients).into());
    }
    if let Some(missing) = [&reference, &headwater].into_iter().find(|binary| !binary.is_file()) {
        return Err(format!("{}: no such program", missing.display()).into());
    }
    if reference.starts_with(std::env::temp_dir()) {
        return Err("the reference takes itself for a development build in the directory for temporary files".into());
    }
    let directory = std::path::absolute(directory)?;
    if setting.pin {
        process::pin(OWN_CORE)?;
    }

    let mut faults = Vec::new();
    let load = process::load_average()?;
    if load > QUIET {
        faults.push(format!("load average {load} before the run: rates and latencies mean little, CPU times more"));
    }
    let side = |name: &'static str, binary: PathBuf| Side {
        name,
        binary,
        template: directory.join(name).join("template"),
        work: directory.join(name).join("turn"),
        callers: Vec::new(),
        answers: Vec::new(),
    };
    let mut sides = [side("reference", reference), side("headwater", headwater)];
    for side in &mut sides {
        eprintln!("{}: {} rows", side.name, setting.rows);
        side.prepare(&setting).map_err(|error| format!("{}: {error}", side.name))?;
    }
    let mut measures = measures(&setting);
    for round in 0..setting.rounds {
        // Who begins takes turns, too.
        for which in [round % 2, 1 - round % 2] {
            let side = &mut sides[which];
            let values = side.turn(&setting, &mut faults);
            let values = values.map_err(|error| format!("{}: {error}", side.name))?;
            eprintln!("round {} of {}, {}: {:.1?}", round + 1, setting.rounds, side.name, values);
            for (measure, value) in measures.iter_mut().zip(values) {
                if which == 0 { &mut measure.reference } else { &mut measure.headwater }.push(value);
            }
        }
    }
    for ((_, name, _), (a, b)) in Operation::ALL.iter().zip(sides[0].answers.iter().zip(&sides[1].answers)) {
        if (a - b).abs() > SAME_SIZE * a.max(*b) {
            faults.push(format!("{name}: answers of {a:.0} bytes from the reference, of {b:.0} from Headwater"));
        }
    }
    println!("{}", markdown(&measures));
    for fault in &faults {
        println!("- {fault}");
    }
    let measures: Vec<Value> = measures.iter().map(Measure::to_json).collect();
    println!("{}", json!({"command": "compare", "rounds": setting.rounds, "measures": measures, "faults": faults}));
    Ok(())
}

/// All lines of the table, in the order in which a turn yields their values.
fn measures(setting: &Setting) -> Vec<Measure> {
    let measure = |name: String, unit, good, goal| Measure {
        name,
        unit,
        good,
        goal,
        reference: Vec::new(),
        headwater: Vec::new(),
    };
    let mut measures = Vec::new();
    for (operation, _, name) in Operation::ALL {
        let goal = match operation {
            Operation::Create | Operation::Update => Goal::Better(5.0),
            Operation::Get => Goal::Better(6.0),
            Operation::List => Goal::Better(2.0),
            Operation::ListSkipTotal => Goal::Better(4.0),
            Operation::ListExpand => Goal::None,
        };
        let at = format!("{name}, {} connections", setting.connections);
        measures.push(measure(at.clone(), "requests/s", Good::High, goal));
        measures.push(measure(at.clone(), "p99 ms", Good::Low, Goal::None));
        measures.push(measure(at, "CPU us/request", Good::Low, Goal::None));
    }
    let to = |what: &str| format!("{what}, {} SSE clients", setting.clients);
    measures.push(measure(to("memory, idle"), "KB/client", Good::Low, Goal::AtMost(12.0)));
    measures.push(measure(to("opening"), "clients/s", Good::High, Goal::None));
    measures.push(measure(to("lone event"), "CPU us/delivery", Good::Low, Goal::Better(3.0)));
    measures.push(measure(to("lone event"), "p50 ms", Good::Low, Goal::None));
    measures.push(measure(to("lone event"), "p99 ms", Good::Low, Goal::None));
    measures
}

impl Side {
    fn prepare(&mut self, setting: &Setting) -> Result<()> {
        if self.template.exists() {
            std::fs::remove_dir_all(&self.template)?;
        }
        server::create_data(&self.binary, &self.template)?;
        let server = Server::start(&self.binary, &self.template, None)?;
        let api = server.log_in()?;
        let users = if setting.superuser { 0 } else { CALLERS };
        self.callers = fixture::prepare(&api, setting.rows, users)?;
        if setting.superuser {
            self.callers.push(api.token);
        }
        Ok(())
    }

    /// One value for each of `measures`.
    fn turn(&mut self, setting: &Setting, faults: &mut Vec<String>) -> Result<Vec<f64>> {
        server::copy_data(&self.template, &self.work)?;
        self.answers.clear();
        let mut values = Vec::new();
        let mut fault = |text: String| faults.push(format!("{}: {text}", self.name));
        let core = setting.pin.then_some(SERVER_CORE);

        let server = Server::start(&self.binary, &self.work, core)?;
        let plan = http::Plan {
            connections: setting.connections,
            warmup: Duration::from_secs(1),
            window: setting.window,
            pid: Some(server.pid()),
        };
        for (operation, name, _) in Operation::ALL {
            let callers = self.callers.clone();
            let mut requests = Requests::new(server.target.clone(), operation, callers, setting.rows);
            let tally = http::run(&server.target, &plan, &mut requests)?;
            if let Some(error) = &tally.first_error {
                fault(format!("{name}: {} errors, first {error}", tally.errors));
            }
            if tally.own_cpu_share() > BUSY {
                fault(format!("{name}: the generator was {:.0} % busy", tally.own_cpu_share() * 100.0));
            }
            self.answers.push(tally.body_bytes);
            values.extend([tally.rate(), tally.latency.p99, tally.cpu_micros_per_request().unwrap_or_default()]);
        }
        drop(server);

        let server = Server::start(&self.binary, &self.work, core)?;
        let pid = Some(server.pid());
        let topic = format!("{}/*", EVENTS.0);
        let mut held = Held::open(&server.target, &topic, &[], setting.clients, pid, SETTLE)?;
        if held.lost > 0 {
            fault(format!("{} idle clients lost", held.lost));
        }
        values.extend([held.kilobytes_per_client().unwrap_or_default(), held.connect_rate()]);
        let plan = fanout::Plan {
            events: setting.events,
            writers: 1,
            pace: Pace::Every(setting.interval),
            token: String::new(),
            pid,
            limit: setting.interval * setting.events as u32 + Duration::from_secs(30),
        };
        let report = fanout::run(&mut held.crowd, &plan)?;
        let ledger = &report.ledger;
        if ledger.lost() + ledger.repeated + ledger.late + ledger.foreign > 0 {
            let Value::Object(report) = report.to_json() else { return Err("a report is an object".into()) };
            fault(format!("fan-out: {}", Value::Object(report)));
        }
        let cpu = report.cpu_micros_per_delivery().unwrap_or_default();
        values.extend([cpu, report.delivery.p50, report.delivery.p99]);
        Ok(values)
    }
}
