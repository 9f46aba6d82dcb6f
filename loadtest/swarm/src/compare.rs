//! Headwater beside the reference, on this machine, now: both start from a data directory filled in the same way, and
//! take turns, because a machine shared with others is not the same machine a minute later.

use crate::Result;
use crate::fixture::{self, Counts};
use crate::operation::Operation;
use crate::options::Options;
use crate::process::{self, Cores};
use crate::scenario::{self, Scenario, Turn};
use crate::server::{self, OWN_CORE, SERVER_CORE, Server};
use crate::table::{Measure, markdown};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;

/// As many different callers as there are connections by default.
const CALLERS: usize = 64;
/// The load average above which others are at work on this machine.
const QUIET: f64 = 0.7;
/// More than this, in percent of the time that was wanted, should the hypervisor not have taken.
const STOLEN: f64 = 2.0;
/// Answers of the two that differ more than this in size are not the same answers.
const SAME_SIZE: f64 = 0.05;

pub(crate) struct Setting {
    scenarios: Vec<Scenario>,
    rounds: usize,
    pub(crate) window: Duration,
    pub(crate) connections: usize,
    pub(crate) clients: usize,
    pub(crate) events: usize,
    pub(crate) interval: Duration,
    pub(crate) rows: usize,
    pub(crate) superuser: bool,
    pin: bool,
}

/// One of the two.
pub(crate) struct Side {
    pub(crate) name: &'static str,
    pub(crate) is_reference: bool,
    binary: PathBuf,
    /// Filled once, copied for every scenario.
    template: PathBuf,
    work: PathBuf,
    /// The tokens of those who send HTTP requests, and of all users.
    pub(crate) callers: Vec<String>,
    pub(crate) users: Vec<String>,
    /// Mean size of an answer to each operation, in the last turn.
    pub(crate) answers: Vec<f64>,
    /// What the machine's cores did in all turns.
    cores: Cores,
}

pub(crate) fn run(mut options: Options) -> Result<()> {
    let headwater: PathBuf = options.required("headwater")?;
    let reference: PathBuf = options.required("reference")?;
    let directory: PathBuf = options.value("dir", PathBuf::from("target/swarm"))?;
    let setting = Setting {
        scenarios: scenario::parse(&options.value("scenarios", "http,fanout".to_owned())?)?,
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
    let clients = setting.scenarios.iter().map(|scenario| scenario.clients(&setting)).max().unwrap_or_default();
    if limit < clients as u64 + 1000 {
        return Err(format!("{clients} clients do not fit into {limit} file descriptors").into());
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
        is_reference: name == "reference",
        binary,
        template: directory.join(name).join("template"),
        work: directory.join(name).join("turn"),
        callers: Vec::new(),
        users: Vec::new(),
        answers: Vec::new(),
        cores: Cores::default(),
    };
    let mut sides = [side("reference", reference), side("headwater", headwater)];
    let counts = counts(&setting);
    for side in &mut sides {
        eprintln!("{}: {} rows, {} cells, {} users", side.name, counts.rows, counts.cells, counts.users);
        side.prepare(&setting, counts).map_err(|error| format!("{}: {error}", side.name))?;
    }
    let mut measures: Vec<Vec<Measure>> =
        setting.scenarios.iter().map(|scenario| scenario.measures(&setting)).collect();
    for round in 0..setting.rounds {
        for (scenario, measures) in setting.scenarios.iter().zip(&mut measures) {
            // Who begins takes turns, too.
            for which in [round % 2, 1 - round % 2] {
                let side = &mut sides[which];
                let before = Cores::read()?;
                let values = side.turn(*scenario, &setting, &mut faults);
                let values = values.map_err(|error| format!("{}, {}: {error}", side.name, scenario.name()))?;
                let round = format!("round {} of {}", round + 1, setting.rounds);
                let shown: Vec<f64> = values.iter().flatten().copied().collect();
                let cores = Cores::read()?.since(before);
                side.cores.add(cores);
                let stolen = cores.stolen();
                eprintln!("{round}, {}, {}: {shown:.2?}; {stolen:.1} % stolen", scenario.name(), side.name);
                for (measure, value) in measures.iter_mut().zip(values) {
                    if which == 0 { &mut measure.reference } else { &mut measure.headwater }.extend(value);
                }
            }
        }
    }
    for ((_, name, _), (a, b)) in Operation::ALL.iter().zip(sides[0].answers.iter().zip(&sides[1].answers)) {
        if (a - b).abs() > SAME_SIZE * a.max(*b) {
            faults.push(format!("{name}: answers of {a:.0} bytes from the reference, of {b:.0} from Headwater"));
        }
    }
    for side in sides.iter().filter(|side| side.cores.stolen() > STOLEN) {
        let stolen = side.cores.stolen();
        faults.push(format!("{}: the hypervisor gave {stolen:.1} % of the time that was wanted to others", side.name));
    }
    let measures: Vec<Measure> = measures.into_iter().flatten().collect();
    println!("{}", markdown(&measures));
    for fault in &faults {
        println!("- {fault}");
    }
    let measures: Vec<Value> = measures.iter().map(Measure::to_json).collect();
    println!("{}", json!({"command": "compare", "rounds": setting.rounds, "measures": measures, "faults": faults}));
    Ok(())
}

/// What all scenarios of a run need.
fn counts(setting: &Setting) -> Counts {
    let callers = if setting.superuser { 0 } else { CALLERS };
    setting.scenarios.iter().fold(Counts { users: callers, ..Counts::default() }, |sum, scenario| {
        let needs = scenario.needs(setting);
        Counts { rows: sum.rows.max(needs.rows), cells: sum.cells.max(needs.cells), users: sum.users.max(needs.users) }
    })
}

impl Side {
    fn prepare(&mut self, setting: &Setting, counts: Counts) -> Result<()> {
        if self.template.exists() {
            std::fs::remove_dir_all(&self.template)?;
        }
        server::create_data(&self.binary, &self.template)?;
        if !self.is_reference {
            server::use_bcrypt(&self.binary, &self.template)?;
        }
        let server = Server::start(&self.binary, &self.template, None)?;
        let api = server.log_in()?;
        self.users = fixture::prepare(&api, counts)?;
        self.callers = if setting.superuser { vec![api.token] } else { fixture::log_in(&api, CALLERS)? };
        Ok(())
    }

    fn turn(&mut self, scenario: Scenario, setting: &Setting, faults: &mut Vec<String>) -> Result<Vec<Option<f64>>> {
        server::copy_data(&self.template, &self.work)?;
        let mut server = Server::start(&self.binary, &self.work, setting.pin.then_some(SERVER_CORE))?;
        scenario.run(&mut Turn { side: self, setting, faults }, &mut server)
    }
}
