//! A long time with many clients, some of which leave and come back all the while, and writes: nothing may be lost, come
//! twice or late, and the server's memory must not grow.

use crate::audience::Audience;
use crate::client::Protocol;
use crate::crowd::{Crowd, Guests, REQUESTS};
use crate::fanout::QUIET;
use crate::latency::{Percentiles, median};
use crate::ledger::Ledger;
use crate::operation::Random;
use crate::request::Target;
use crate::scene::Scene;
use crate::writers::{self, Pace, Writers};
use crate::{Result, process};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Two writers are enough for the modest rates of a soak.
const WRITERS: usize = 2;
/// Deliveries are many; one client in so many is timed.
const TIMED: usize = 100;
/// How often memory is read.
const SAMPLE: Duration = Duration::from_secs(1);
/// Memory at the end, above that in the middle by no more than this, is flat.
const FLAT: f64 = 0.05;

pub(crate) struct Plan {
    pub(crate) protocol: Protocol,
    pub(crate) clients: usize,
    pub(crate) time: Duration,
    /// Clients that leave and come back, per second.
    pub(crate) churn: f64,
    /// Events per second.
    pub(crate) writes: f64,
    /// The server's, for its memory.
    pub(crate) pid: Option<u32>,
}

pub(crate) struct Report {
    clients: usize,
    seconds: f64,
    ledger: Ledger,
    /// Clients that left and came back.
    returned: usize,
    /// Clients whom the server has cut, and the first reason. They came back, too.
    cut: usize,
    first_cut: Option<String>,
    resets: u64,
    delivery: Percentiles,
    write: Percentiles,
    /// In MB, medians of a tenth of the time each: at the start, in the middle, at the end.
    memory: Option<[f64; 3]>,
}

impl Report {
    fn is_flat(&self) -> Option<bool> {
        self.memory.map(|[_, middle, end]| end <= middle * (1.0 + FLAT))
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({
            "clients": self.clients, "seconds": self.seconds, "ledger": self.ledger.to_json(), "returned": self.returned,
            "cut": self.cut, "first_cut": self.first_cut, "resets": self.resets,
            "p50_ms": self.delivery.p50, "p99_ms": self.delivery.p99, "max_ms": self.delivery.max,
            "write_p50_ms": self.write.p50, "write_p99_ms": self.write.p99,
            "memory_mb": self.memory, "flat": self.is_flat(),
        })
    }

    pub(crate) fn summary(&self) -> String {
        let memory = self.memory.map_or(String::new(), |[start, middle, end]| {
            let flat = if self.is_flat() == Some(true) { "flat" } else { "NOT flat" };
            format!("; memory {start:.0}, {middle:.0}, {end:.0} MB: {flat}")
        });
        format!(
            "{:.0} s, {} clients, {} came back, {} cut, {} deliveries, p99 {:.1} ms; {}, {} resets{memory}",
            self.seconds,
            self.clients,
            self.returned,
            self.cut,
            self.ledger.received,
            self.delivery.p99,
            self.ledger.summary(),
            self.resets,
        )
    }
}

pub(crate) fn run(target: &Target, plan: &Plan) -> Result<Report> {
    if plan.protocol == Protocol::Sse {
        return Err("clients of the reference's protocol cannot resume".into());
    }
    let mut crowd = Crowd::open(target, Guests::new(plan.protocol, Scene::Fanout.topics(), Vec::new(), plan.clients))?;
    let start = Instant::now();
    let events = (plan.time.as_secs_f64() * plan.writes) as usize;
    let ledger = Ledger::new(Scene::Fanout.concerns(), plan.clients, WRITERS, events);
    let mut audience = Audience::new(ledger, start).timing(0..plan.clients, TIMED);
    let interval = Duration::try_from_secs_f64(1.0 / plan.writes)?;
    let writing = writers::Plan {
        scene: Scene::Fanout,
        writers: WRITERS,
        pace: Pace::Every(interval),
        token: String::new(),
        events: (0, events),
    };
    let mut writers = Writers::open(&crowd, writing, start)?;
    let mut random = Random::new();
    let (mut returned, mut cut) = (0, 0);
    let mut samples = Vec::new();
    let mut ready = Vec::new();
    while !writers.are_done() || !audience.ledger.is_complete() || crowd.subscribed < plan.clients {
        let elapsed = start.elapsed();
        while elapsed < plan.time && (returned as f64) < elapsed.as_secs_f64() * plan.churn {
            crowd.reopen(random.below(plan.clients))?;
            returned += 1;
        }
        if let Some(pid) = plan.pid
            && elapsed >= SAMPLE * samples.len() as u32
        {
            samples.push(process::resident(pid)? as f64 / 1e6);
        }
        let wait = writers.write(&crowd.epoll).min(Duration::from_millis(20));
        crowd.epoll.wait(wait, &mut ready)?;
        for &ready in &ready {
            if ready.token >= REQUESTS {
                writers.serve(ready, &crowd.epoll)?;
                continue;
            }
            let client = ready.token as usize;
            audience.serve(&mut crowd, ready);
            if crowd.is_lost(client) {
                crowd.reopen(client)?;
                cut += 1;
            }
        }
        if start.elapsed() > plan.time + 2 * QUIET {
            audience.ledger.ends_with(writers.stop());
            break;
        }
    }
    let write = std::mem::take(&mut writers.latencies).percentiles();
    drop(writers);
    let seconds = start.elapsed().as_secs_f64();
    audience.linger(&mut crowd)?;
    Ok(Report {
        clients: plan.clients,
        seconds,
        ledger: audience.ledger,
        returned,
        cut,
        first_cut: crowd.first_loss,
        resets: audience.resets,
        delivery: audience.deliveries.percentiles(),
        write,
        memory: tenths(&samples),
    })
}

/// The medians of the first, the middle and the last tenth.
fn tenths(samples: &[f64]) -> Option<[f64; 3]> {
    let tenth = samples.len().div_ceil(10);
    let from = [0, (samples.len().saturating_sub(tenth)) / 2, samples.len() - tenth];
    (tenth > 0).then(|| from.map(|from| median(&samples[from..from + tenth])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_that_of_the_start_the_middle_and_the_end() {
        let samples: Vec<f64> = (0..100).map(f64::from).collect();
        assert_eq!(tenths(&samples), Some([4.5, 49.5, 94.5]));
        assert_eq!(tenths(&[7.0]), Some([7.0; 3]));
        assert_eq!(tenths(&[]), None);
    }
}
