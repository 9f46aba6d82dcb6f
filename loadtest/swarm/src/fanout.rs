//! Writers make events, and everyone in the crowd whom an event concerns must receive it: once, in order, soon. Nobody
//! else may.

use crate::audience::Audience;
use crate::crowd::{Crowd, REQUESTS};
use crate::fixture::EVENTS;
use crate::latency::Percentiles;
use crate::ledger::Ledger;
use crate::scene::Scene;
use crate::writers::{self, Pace, Writers};
use crate::{Result, process};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// After the last answer and the last delivery, how long to wait for what is still missing.
pub(crate) const QUIET: Duration = Duration::from_secs(8);

pub(crate) struct Plan {
    pub(crate) scene: Scene,
    pub(crate) events: usize,
    pub(crate) writers: usize,
    pub(crate) pace: Pace,
    pub(crate) token: String,
    /// The server's, for its CPU time.
    pub(crate) pid: Option<u32>,
    /// After so long nothing more is written.
    pub(crate) limit: Duration,
}

pub(crate) struct Report {
    pub(crate) clients: usize,
    pub(crate) clients_lost: usize,
    pub(crate) ledger: Ledger,
    /// From when an event was due to when a client had read it.
    pub(crate) delivery: Percentiles,
    /// From when an event was sent to its answer.
    pub(crate) write: Percentiles,
    /// How many were written.
    pub(crate) events: usize,
    /// From the start to the last delivery.
    pub(crate) seconds: f64,
    pub(crate) server_cpu: Option<Duration>,
    pub(crate) own_cpu: Duration,
}

impl Report {
    pub(crate) fn deliveries_per_second(&self) -> f64 {
        self.ledger.received as f64 / self.seconds
    }

    pub(crate) fn events_per_second(&self) -> f64 {
        self.events as f64 / self.seconds
    }

    pub(crate) fn cpu_micros_per_delivery(&self) -> Option<f64> {
        let cpu = self.server_cpu.filter(|_| self.ledger.received > 0)?;
        Some(cpu.as_secs_f64() * 1e6 / self.ledger.received as f64)
    }

    pub(crate) fn cpu_millis_per_event(&self) -> Option<f64> {
        let cpu = self.server_cpu.filter(|_| self.events > 0)?;
        Some(cpu.as_secs_f64() * 1e3 / self.events as f64)
    }

    pub(crate) fn own_cpu_share(&self) -> f64 {
        self.own_cpu.as_secs_f64() / self.seconds
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({
            "clients": self.clients, "clients_lost": self.clients_lost, "ledger": self.ledger.to_json(),
            "events": self.events, "seconds": self.seconds,
            "deliveries_per_second": self.deliveries_per_second(), "events_per_second": self.events_per_second(),
            "p50_ms": self.delivery.p50, "p99_ms": self.delivery.p99, "max_ms": self.delivery.max,
            "write_p50_ms": self.write.p50, "write_p99_ms": self.write.p99,
            "cpu_us_per_delivery": self.cpu_micros_per_delivery(), "cpu_ms_per_event": self.cpu_millis_per_event(),
            "own_cpu_share": self.own_cpu_share(),
        })
    }
}

pub(crate) fn run(crowd: &mut Crowd, plan: &Plan) -> Result<Report> {
    if plan.writers == 0 || plan.writers > EVENTS.1 {
        return Err(format!("there can be 1 to {} writers", EVENTS.1).into());
    }
    let start = Instant::now();
    let ledger = Ledger::new(plan.scene.concerns(), crowd.len(), plan.writers, plan.events);
    let mut audience = Audience::new(ledger, start);
    let writing = writers::Plan {
        scene: plan.scene,
        writers: plan.writers,
        pace: plan.pace,
        token: plan.token.clone(),
        events: (0, plan.events),
    };
    let mut writers = Writers::open(crowd, writing, start)?;
    let mut ready = Vec::new();
    let server_cpu = plan.pid.map(process::cpu_time).transpose()?;
    let own_cpu = process::own_cpu_time();
    while !audience.ledger.is_complete() || !writers.are_done() {
        let wait = writers.write(&crowd.epoll);
        crowd.epoll.wait(wait, &mut ready)?;
        for &ready in &ready {
            if ready.token >= REQUESTS {
                writers.serve(ready, &crowd.epoll)?;
            } else {
                audience.serve(crowd, ready);
            }
        }
        if start.elapsed() > plan.limit {
            audience.ledger.ends_with(writers.stop());
            if start.elapsed() > plan.limit + 2 * QUIET {
                break;
            }
        }
        let last_sign = audience.last_delivery.max(writers.last_answer);
        if writers.are_done() && last_sign.elapsed() > QUIET {
            break;
        }
    }
    let server_cpu = match (plan.pid, server_cpu) {
        (Some(pid), Some(before)) => Some(process::cpu_time(pid)?.saturating_sub(before)),
        _ => None,
    };
    let own_cpu = process::own_cpu_time().saturating_sub(own_cpu);
    let events = writers.stop();
    let write = std::mem::take(&mut writers.latencies).percentiles();
    drop(writers);
    audience.linger(crowd)?;
    Ok(Report {
        clients: crowd.len(),
        clients_lost: crowd.lost(),
        seconds: (audience.last_delivery - start).as_secs_f64().max(1e-6),
        ledger: audience.ledger,
        delivery: audience.deliveries.percentiles(),
        write,
        events,
        server_cpu,
        own_cpu,
    })
}
