//! The commands against a server that is already running. `compare` and `restart` start their own.

use crate::api::Api;
use crate::client::Protocol;
use crate::crowd::{Crowd, Guests};
use crate::fanout;
use crate::fixture::{self, Counts, EVENTS};
use crate::floor;
use crate::hold::Held;
use crate::operation::{Operation, Requests};
use crate::options::Options;
use crate::request::Target;
use crate::restart;
use crate::scene::{Scene, Topics};
use crate::soak;
use crate::stall;
use crate::writers::Pace;
use crate::{Result, compare, http, process};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;

const USAGE: &str = "\
usage: swarm COMMAND --option value …

  prepare --url URL --email EMAIL --password PASSWORD [--rows 10000] [--cells 0] [--users 0 --tokens FILE]
  http    --url URL --op create|update|get|list|list-skiptotal|list-other|list-expand|
               list-update|auth-refresh
          [--token TOKEN | --tokens FILE] [--connections 64] [--seconds 4] [--warmup 1] [--rows 10000] [--pid PID]
  hold    --url URL [--collection swarm_events] [--clients 1000] [--seconds 5] [--protocol sse|sse-resuming|websocket]
          [--tokens FILE] [--pid PID]
  fanout, sparse, owners [--rule owner|join]
          --url URL [--clients 1000] [--events 100] [--mode closed|paced] [--writers 4] [--interval-ms 200]
          [--protocol sse|sse-resuming|websocket] [--token TOKEN] [--tokens FILE] [--limit 120] [--pid PID]
  stall   --url URL [--clients 1000] [--events 2000] [--interval-ms 40] [--protocol sse|sse-resuming|websocket]
          [--limit 120] [--pid PID]
  restart --binary BINARY [--clients 10000] [--events 10] [--protocol sse|sse-resuming|websocket] [--pin]
          [--dir target/swarm]
  soak    --url URL [--minutes 30] [--clients 10000] [--churn 10] [--writes 2] [--protocol sse-resuming|websocket]
          [--pid PID]
  floor   [--clients 10000] [--events 10] [--interval-ms 2000] [--bytes 420] [--pin]
  compare --headwater BINARY --reference BINARY [--scenarios http,fanout] [--rounds 5] [--seconds 4] [--connections 64]
          [--clients 10000] [--events 5] [--interval-ms 2000] [--rows 10000] [--as user|superuser] [--pin]
          [--dir target/swarm]

--url is http://HOST:PORT, --pid that of the server: with it, CPU time and memory are measured. See loadtest/README.md.";

pub(crate) fn run(arguments: Vec<String>) -> Result<()> {
    let Some((command, rest)) = arguments.split_first() else { return Err(USAGE.into()) };
    process::raise_file_limit()?;
    let mut options = Options::parse(rest)?;
    match command.as_str() {
        "prepare" => prepare(options),
        "http" => http(options),
        "hold" => hold(options),
        "fanout" => watch(options, Scene::Fanout),
        "sparse" => watch(options, Scene::Sparse),
        "owners" => match options.value("rule", "owner".to_owned())?.as_str() {
            "owner" => watch(options, Scene::Owners),
            "join" => watch(options, Scene::Join),
            other => Err(format!("--rule: owner or join, not {other}").into()),
        },
        "stall" => stall(options),
        "restart" => restart(options),
        "soak" => soak(options),
        "floor" => floor(options, rest),
        "floor-writer" => floor::write(options),
        "compare" => compare::run(options),
        _ => Err(USAGE.into()),
    }
}

fn floor(options: Options, arguments: &[String]) -> Result<()> {
    let json = floor::run(options, arguments)?;
    let of = |key: &str| json[key].as_f64().unwrap_or_default();
    let line = format!(
        "a bare write: {:.1} us of CPU, all written after {:.0} ms",
        of("cpu_us_per_write"),
        of("all_written_ms")
    );
    print("floor", json, &line);
    Ok(())
}

/// The JSON line for programs, the other one for people.
fn print(command: &str, mut json: Value, line: &str) {
    json["command"] = json!(command);
    println!("{json}");
    eprintln!("{line}");
}

fn tokens(options: &mut Options) -> Result<Vec<String>> {
    match options.optional::<String>("tokens")? {
        Some(file) => Ok(std::fs::read_to_string(file)?.lines().map(str::to_owned).collect()),
        None => Ok(Vec::new()),
    }
}

fn protocol(options: &mut Options, default: &str) -> Result<Protocol> {
    options.value("protocol", default.to_owned())?.parse()
}

fn prepare(mut options: Options) -> Result<()> {
    let target: Target = options.required("url")?;
    let email: String = options.required("email")?;
    let password: String = options.required("password")?;
    let counts = Counts {
        rows: options.value("rows", 10_000)?,
        cells: options.value("cells", 0)?,
        users: options.value("users", 0)?,
    };
    let file: Option<String> = options.optional("tokens")?;
    options.finish()?;
    let api = Api::log_in(target, &email, &password)?;
    let tokens = fixture::prepare(&api, counts)?;
    if let Some(file) = &file {
        std::fs::write(file, tokens.join("\n"))?;
    }
    let Counts { rows, cells, users } = counts;
    let json = json!({"rows": rows, "cells": cells, "users": users, "tokens": file, "token": api.token});
    print("prepare", json, &format!("{rows} rows, {cells} cells and {users} users are there"));
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
    json["op"] = json!(name);
    json["connections"] = json!(plan.connections);
    let cpu = tally.cpu_micros_per_request().map_or(String::new(), |cpu| format!(", {cpu:.0} us of CPU each"));
    print(
        "http",
        json,
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
    let protocol = protocol(&mut options, "sse")?;
    let tokens = tokens(&mut options)?;
    let pid: Option<u32> = options.optional("pid")?;
    options.finish()?;
    let guests = Guests::new(protocol, Topics::Same(format!("{collection}/*")), tokens, clients);
    let held = Held::open(&target, guests, pid, time)?;
    let memory = held.kilobytes_per_client().map_or(String::new(), |kilobytes| format!(", {kilobytes:.2} KB each"));
    let line = format!("{clients} clients{memory}, {:.0} connects/s, {} lost", held.connect_rate(), held.lost);
    print("hold", held.to_json(), &line);
    Ok(())
}

/// `fanout`, `sparse` and `owners`.
fn watch(mut options: Options, scene: Scene) -> Result<()> {
    let target: Target = options.required("url")?;
    let clients = options.value("clients", 1000)?;
    let interval = Duration::from_millis(options.value("interval-ms", 200)?);
    let pace = match options.value("mode", "closed".to_owned())?.as_str() {
        "closed" => Pace::Closed,
        "paced" => Pace::Every(interval),
        other => return Err(format!("--mode: closed or paced, not {other}").into()),
    };
    let plan = fanout::Plan {
        scene,
        events: options.value("events", 100)?,
        writers: options.value("writers", 4)?,
        pace,
        token: options.value("token", String::new())?,
        pid: options.optional("pid")?,
        limit: options.seconds("limit", 120.0)?,
    };
    let protocol = protocol(&mut options, "sse")?;
    let tokens = tokens(&mut options)?;
    options.finish()?;
    if scene.has_users() && tokens.len() < clients {
        return Err(format!("{clients} clients need as many --tokens, not {}", tokens.len()).into());
    }
    let mut crowd = Crowd::open(&target, Guests::new(protocol, scene.topics(), tokens, clients))?;
    let report = fanout::run(&mut crowd, &plan)?;
    let (rate, cpu) = match scene {
        Scene::Fanout => (
            format!("{:.0} deliveries/s to {clients} clients", report.deliveries_per_second()),
            report.cpu_micros_per_delivery().map(|cpu| format!(", {cpu:.1} us of CPU each")),
        ),
        _ => (
            format!("{:.0} events/s to one of {clients} clients", report.events_per_second()),
            report.cpu_millis_per_event().map(|cpu| format!(", {cpu:.3} ms of CPU each")),
        ),
    };
    let line = format!(
        "{rate}, p50 {:.1} ms, p99 {:.1} ms, write p50 {:.1} ms{}; generator {:.0} % busy; {}",
        report.delivery.p50,
        report.delivery.p99,
        report.write.p50,
        cpu.unwrap_or_default(),
        report.own_cpu_share() * 100.0,
        report.ledger.summary(),
    );
    print(&format!("{scene:?}").to_lowercase(), report.to_json(), &line);
    Ok(())
}

fn stall(mut options: Options) -> Result<()> {
    let target: Target = options.required("url")?;
    let plan = stall::Plan {
        protocol: protocol(&mut options, "sse")?,
        clients: options.value("clients", 1000)?,
        events: options.value("events", 2000)?,
        interval: Duration::from_millis(options.value("interval-ms", 40)?),
        pid: options.optional("pid")?,
        limit: options.seconds("limit", 120.0)?,
    };
    options.finish()?;
    let report = stall::run(&target, &plan)?;
    print("stall", report.to_json(), &report.summary());
    Ok(())
}

fn restart(mut options: Options) -> Result<()> {
    let binary: PathBuf = options.required("binary")?;
    let directory: PathBuf = options.value("dir", PathBuf::from("target/swarm"))?;
    let plan = restart::Plan {
        protocol: protocol(&mut options, "sse-resuming")?,
        clients: options.value("clients", 10_000)?,
        events: options.value("events", 10)?,
    };
    let pin = options.flag("pin")?;
    options.finish()?;
    let report = restart::run_alone(&binary, &directory, &plan, pin)?;
    print("restart", report.to_json(), &report.summary());
    Ok(())
}

fn soak(mut options: Options) -> Result<()> {
    let target: Target = options.required("url")?;
    let minutes: f64 = options.value("minutes", 30.0)?;
    let plan = soak::Plan {
        protocol: protocol(&mut options, "sse-resuming")?,
        clients: options.value("clients", 10_000)?,
        time: Duration::try_from_secs_f64(minutes * 60.0)?,
        churn: options.value("churn", 10.0)?,
        writes: options.value("writes", 2.0)?,
        pid: options.optional("pid")?,
    };
    options.finish()?;
    let report = soak::run(&target, &plan)?;
    print("soak", report.to_json(), &report.summary());
    Ok(())
}
