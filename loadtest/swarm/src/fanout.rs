//! Writers update records, and every client of a crowd must receive every update: once, in order, soon.

use crate::Result;
use crate::connection::Connection;
use crate::crowd::{Crowd, REQUESTS};
use crate::fixture::{self, EVENTS};
use crate::latency::{Latencies, Percentiles};
use crate::ledger::{Ledger, Mark};
use crate::process;
use crate::socket;
use serde_json::{Value, json};
use std::io::Write;
use std::time::{Duration, Instant};

/// After the last answer and the last delivery, how long to wait for what is still missing.
const QUIET: Duration = Duration::from_secs(8);

#[derive(Clone, Copy)]
pub(crate) enum Pace {
    /// A writer goes on as soon as its last update has been answered.
    Closed,
    /// An update is due at every interval, whoever is free writes it. It is late from the moment that it is due.
    Every(Duration),
}

pub(crate) struct Plan {
    pub(crate) events: usize,
    pub(crate) writers: usize,
    pub(crate) pace: Pace,
    pub(crate) token: String,
    /// The server's, for its CPU time.
    pub(crate) pid: Option<u32>,
    /// The whole run ends after this, with losses if need be.
    pub(crate) limit: Duration,
}

pub(crate) struct Report {
    pub(crate) clients: usize,
    pub(crate) clients_lost: usize,
    pub(crate) ledger: Ledger,
    /// From when an update was due to when a client had read it.
    pub(crate) delivery: Percentiles,
    /// From when an update was sent to its answer.
    pub(crate) write: Percentiles,
    /// From the start to the last delivery.
    pub(crate) seconds: f64,
    pub(crate) server_cpu: Option<Duration>,
    pub(crate) own_cpu: Duration,
}

impl Report {
    pub(crate) fn deliveries_per_second(&self) -> f64 {
        self.ledger.received as f64 / self.seconds
    }

    pub(crate) fn cpu_micros_per_delivery(&self) -> Option<f64> {
        let cpu = self.server_cpu.filter(|_| self.ledger.received > 0)?;
        Some(cpu.as_secs_f64() * 1e6 / self.ledger.received as f64)
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({
            "clients": self.clients, "clients_lost": self.clients_lost,
            "expected": self.ledger.expected(), "received": self.ledger.received, "lost": self.ledger.lost(),
            "repeated": self.ledger.repeated, "late": self.ledger.late, "foreign": self.ledger.foreign,
            "orders": self.ledger.orders(), "seconds": self.seconds,
            "deliveries_per_second": self.deliveries_per_second(),
            "p50_ms": self.delivery.p50, "p99_ms": self.delivery.p99, "max_ms": self.delivery.max,
            "write_p50_ms": self.write.p50, "write_p99_ms": self.write.p99,
            "cpu_us_per_delivery": self.cpu_micros_per_delivery(),
            "own_cpu_share": self.own_cpu.as_secs_f64() / self.seconds,
        })
    }
}

pub(crate) fn run(crowd: &mut Crowd, plan: &Plan) -> Result<Report> {
    if plan.writers == 0 || plan.writers > EVENTS.1 {
        return Err(format!("there can be 1 to {} writers", EVENTS.1).into());
    }
    let target = crowd.target.clone();
    let address = target.address;
    let open = |writer: usize| {
        let from = socket::source(*address.ip(), writer);
        Connection::open(&crowd.epoll, address, from, REQUESTS + writer as u64)
    };
    let mut writers = (0..plan.writers).map(open).collect::<Result<Vec<_>>>()?;
    let paths: Vec<_> = (0..plan.writers)
        .map(|writer| format!("/api/collections/{}/records/{}", EVENTS.0, fixture::id("event", writer)))
        .collect();
    let mut ledger = Ledger::new(crowd.len(), plan.writers, plan.events);
    let mut deliveries = Latencies::default();
    let mut writes = Latencies::default();
    let mut idle: Vec<usize> = (0..plan.writers).rev().collect();
    let mut written = 0;
    let mut buffer = vec![0; 64 * 1024];
    let mut body = Vec::new();
    let mut ready = Vec::new();
    let server_cpu = plan.pid.map(process::cpu_time).transpose()?;
    let own_cpu = process::own_cpu_time();
    let start = Instant::now();
    let due = |event: usize| match plan.pace {
        Pace::Closed => start.elapsed(),
        Pace::Every(interval) => interval * event as u32,
    };
    let mut last_delivery = start;
    let mut last_sign = start;
    while ledger.received < ledger.expected() || idle.len() < plan.writers {
        let mut wait = Duration::from_millis(100);
        while written < plan.events
            && let Some(&writer) = idle.last()
        {
            let due = due(written);
            let elapsed = start.elapsed();
            if due > elapsed {
                wait = wait.min(due - elapsed);
                break;
            }
            idle.pop();
            let mark = Mark { writer, event: written, due_micros: due.as_micros() as u64 };
            body.clear();
            // Writing to a Vec cannot fail.
            let _ = write!(body, r#"{{"mark":"{mark}"}}"#);
            writers[writer].ask(&crowd.epoll, |out| {
                target.write(out, "PATCH", &paths[writer], &plan.token, Some(&body));
                true
            });
            written += 1;
            last_sign = Instant::now();
        }
        crowd.epoll.wait(wait, &mut ready)?;
        for &ready in &ready {
            if ready.token >= REQUESTS {
                let writer = (ready.token - REQUESTS) as usize;
                if let Some(answer) = writers[writer].serve(ready, &crowd.epoll, &mut buffer)? {
                    if answer.status != 200 {
                        let body = String::from_utf8_lossy(answer.body);
                        return Err(format!("an update was answered with {} {body}", answer.status).into());
                    }
                    writes.push(answer.asked.elapsed());
                    last_sign = Instant::now();
                    idle.push(writer);
                }
                continue;
            }
            let client = ready.token as usize;
            crowd.serve(ready, |frame| match Mark::find(frame.data) {
                Some(mark) if ledger.note(client, mark) => {
                    let now = Instant::now();
                    deliveries.push((now - start).saturating_sub(Duration::from_micros(mark.due_micros)));
                    (last_delivery, last_sign) = (now, now);
                }
                Some(_) => {}
                None => ledger.foreign += 1,
            });
        }
        let all_written = written == plan.events && idle.len() == plan.writers;
        if start.elapsed() > plan.limit || (all_written && last_sign.elapsed() > QUIET) {
            break;
        }
    }
    let server_cpu = match (plan.pid, server_cpu) {
        (Some(pid), Some(before)) => Some(process::cpu_time(pid)?.saturating_sub(before)),
        _ => None,
    };
    let own_cpu = process::own_cpu_time().saturating_sub(own_cpu);
    // What comes after the last expected delivery can only be a repetition: give it a moment to show.
    drop(writers);
    crowd.listen(Duration::from_millis(200), |client, frame| {
        if let Some(mark) = Mark::find(frame.data) {
            ledger.note(client, mark);
        }
    })?;
    Ok(Report {
        clients: crowd.len(),
        clients_lost: crowd.lost(),
        ledger,
        delivery: deliveries.percentiles(),
        write: writes.percentiles(),
        seconds: (last_delivery - start).as_secs_f64().max(1e-6),
        server_cpu,
        own_cpu,
    })
}
