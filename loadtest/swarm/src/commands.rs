//! The commands against a server that is already running. `compare` starts its own.

use crate::api::Api;
use crate::crowd::Crowd;
use crate::fanout::{self, Pace};
use crate::fixture::{self, EVENTS};
use crate::operation::{Operation, Requests};
use crate::options::Options;
use crate::request::Target;
use crate::{Result, compare, http, process};
use serde_json::{Value, json};
use std::time::Duration;

const USAGE: &str = "\
usage: swarm COMMAND --option value …

  prepare --url URL --email EMAIL --password PASSWORD [--rows 10000] [--users 0 --tokens FILE]
  http    --url URL --op create|update|get|list|list-skiptotal|list-expand
          [--token TOKEN | --tokens FILE] [--connections 64] [--seconds 4] [--warmup 1] [--rows 10000] [--pid PID]
  hold    --url URL [--collection swarm_events] [--clients 1000] [--seconds 5] [--tokens FILE] [--pid PID]
  fanout  --url URL [--clients 1000] [--events 100] [--mode closed|paced] [--writers 4] [--interval-ms 200]
          [--token TOKEN] [--tokens FILE] [--limit 120] [--pid PID]
  compare --headwater BINARY --reference BINARY [--rounds 5] [--seconds 4] [--connections 64] [--clients 10000]
          [--events 5] [--interval-ms 2000] [--rows 10000] [--as user|superuser] [--pin] [--dir target/swarm]

--url is http://HOST:PORT, --pid that of the server: with it, CPU time and memory are measured. See loadtest/README.md.";

pub(crate) fn run(arguments: Vec<String>) -> Result<()> {
    let Some((command, rest)) = arguments.split_first() else { return Err(USAGE.into()) };
    process::raise_file_limit()?;
    let options = Options::parse(rest)?;
    match command.as_str() {
        "prepare" => prepare(options),
        "http" => http(options),
        "hold" => hold(options),
        "fanout" => fanout(options),
        "compare" => compare::run(options),
        _ => Err(USAGE.into()),
    }
}

/// The JSON line for programs, the other one for people.
fn print(json: &Value, line: &str) {
    println!("{json}");
    eprintln!("{line}");
}

fn tokens(options: &mut Options) -> Result<Vec<String>> {
    match options.optional::<String>("tokens")? {
        Some(file) => Ok(std::fs::read_to_string(file)?.lines().map(str::to_owned).collect()),
        None => Ok(Vec::new()),
    }
}

fn prepare(mut options: Options) -> Result<()> {
    let target: Target = options.required("url")?;
    let email: String = options.required("email")?;
    let password: String = options.required("password")?;
    let rows = options.value("rows", 10_000)?;
    let users = options.value("users", 0)?;
    let file: Option<String> = options.optional("tokens")?;
    options.finish()?;
    let api = Api::log_in(target, &email, &password)?;
    let tokens = fixture::prepare(&api, rows, users)?;
    if let Some(file) = &file {
        std::fs::write(file, tokens.join("\n"))?;
    }
    let json = json!({"command": "prepare", "rows": rows, "users": users, "tokens": file, "token": api.token});
    print(&json, &format!("{rows} rows and {users} users are there"));
    Ok(())
}

fn http(mut options: Options) -> Result<()> {
    let target: Target = options.required("url")?;
    let name: String = options.required("op")?;
    let mut callers = tokens(&mut options)?;
    callers.extend(options.optional("token")?);
    let plan = http::Plan {
        connections: options.value("connections", 64)?,
        warmup: options.seconds("warmup", 1.0)?,
        window: options.seconds("seconds", 4.0)?,
        pid: options.optional("pid")?,
    };
    let rows = options.value("rows", 10_000)?;
    options.finish()?;
    let operation: Operation = name.parse()?;
    let mut requests = Requests::new(target.clone(), operation, callers, rows);
    let tally = http::run(&target, &plan, &mut requests)?;
    let mut json = tally.to_json();
    json["command"] = json!("http");
    json["op"] = json!(name);
    json["connections"] = json!(plan.connections);
    let cpu = tally.cpu_micros_per_request().map_or(String::new(), |cpu| format!(", {cpu:.0} us of CPU each"));
    print(
        &json,
        &format!(
            "{name}: {:.0} requests/s, p50 {:.2} ms, p99 {:.2} ms{cpu}, generator {:.0} % busy, {} errors{}",
            tally.rate(),
            tally.latency.p50,
            tally.latency.p99,
            tally.own_cpu_share() * 100.0,
            tally.errors,
            tally.first_error.map_or(String::new(), |error| format!(" (first: {error})")),
        ),
    );
    Ok(())
}

fn hold(mut options: Options) -> Result<()> {
    let target: Target = options.required("url")?;
    let collection = options.value("collection", EVENTS.0.to_owned())?;
    let clients = options.value("clients", 1000)?;
    let time = options.seconds("seconds", 5.0)?;
    let tokens = tokens(&mut options)?;
    let pid: Option<u32> = options.optional("pid")?;
    options.finish()?;
    let held = Held::open(&target, &format!("{collection}/*"), &tokens, clients, pid, time)?;
    let mut json = held.to_json();
    json["command"] = json!("hold");
    let memory = held.kilobytes_per_client().map_or(String::new(), |kilobytes| format!(", {kilobytes:.2} KB each"));
    print(&json, &format!("{clients} clients{memory}, {:.0} connects/s, {} lost", held.connect_rate(), held.lost));
    Ok(())
}

fn fanout(mut options: Options) -> Result<()> {
    let target: Target = options.required("url")?;
    let clients = options.value("clients", 1000)?;
    let interval = Duration::from_millis(options.value("interval-ms", 200)?);
    let pace = match options.value("mode", "closed".to_owned())?.as_str() {
        "closed" => Pace::Closed,
        "paced" => Pace::Every(interval),
        other => return Err(format!("--mode: closed or paced, not {other}").into()),
    };
    let plan = fanout::Plan {
        events: options.value("events", 100)?,
        writers: options.value("writers", 4)?,
        pace,
        token: options.value("token", String::new())?,
        pid: options.optional("pid")?,
        limit: options.seconds("limit", 120.0)?,
    };
    let tokens = tokens(&mut options)?;
    options.finish()?;
    let mut crowd = Crowd::open(&target, &format!("{}/*", EVENTS.0), &tokens, clients)?;
    let report = fanout::run(&mut crowd, &plan)?;
    let mut json = report.to_json();
    json["command"] = json!("fanout");
    let cpu = report.cpu_micros_per_delivery().map_or(String::new(), |cpu| format!(", {cpu:.1} us of CPU each"));
    print(
        &json,
        &format!(
            "{:.0} deliveries/s to {clients} clients, p50 {:.1} ms, p99 {:.1} ms{cpu}; {} lost, {} repeated, {} late, {} orders",
            report.deliveries_per_second(),
            report.delivery.p50,
            report.delivery.p99,
            report.ledger.lost(),
            report.ledger.repeated,
            report.ledger.late,
            report.ledger.orders(),
        ),
    );
    Ok(())
}

/// A crowd that has been idle for a while, and the memory that it takes in the server.
pub(crate) struct Held {
    pub(crate) crowd: Crowd,
    pub(crate) lost: usize,
    /// Of the server, in bytes, before the first and after the last client.
    resident: Option<(u64, u64)>,
    cpu: Option<Duration>,
}

impl Held {
    pub(crate) fn open(
        target: &Target,
        topic: &str,
        tokens: &[String],
        clients: usize,
        pid: Option<u32>,
        time: Duration,
    ) -> Result<Held> {
        let before = pid.map(process::resident).transpose()?;
        let cpu_before = pid.map(process::cpu_time).transpose()?;
        let mut crowd = Crowd::open(target, topic, tokens, clients)?;
        let cpu_after = pid.map(process::cpu_time).transpose()?;
        crowd.listen(time, |_, _| {})?;
        let resident = before.zip(pid.map(process::resident).transpose()?);
        let cpu = cpu_before.zip(cpu_after).map(|(before, after)| after.saturating_sub(before));
        Ok(Held { lost: crowd.lost(), crowd, resident, cpu })
    }

    pub(crate) fn kilobytes_per_client(&self) -> Option<f64> {
        let (before, after) = self.resident?;
        Some((after as f64 - before as f64) / 1024.0 / self.crowd.len().max(1) as f64)
    }

    pub(crate) fn connect_rate(&self) -> f64 {
        self.crowd.len() as f64 / self.crowd.opening.as_secs_f64()
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({
            "clients": self.crowd.len(), "lost": self.lost, "first_loss": self.crowd.first_loss,
            "rss_before_kb": self.resident.map(|(before, _)| before / 1024),
            "rss_after_kb": self.resident.map(|(_, after)| after / 1024),
            "kb_per_client": self.kilobytes_per_client(), "connects_per_second": self.connect_rate(),
            "cpu_us_per_connect": self.cpu.map(|cpu| cpu.as_secs_f64() * 1e6 / self.crowd.len().max(1) as f64),
        })
    }
}
