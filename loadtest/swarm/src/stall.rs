//! Half of the clients stop reading while large events come. The others must not suffer, the server may keep only so much,
//! and whoever misses something must be told: by the end of the stream.

use crate::audience::Audience;
use crate::client::Protocol;
use crate::crowd::{Crowd, Guests, REQUESTS};
use crate::fanout::QUIET;
use crate::fixture;
use crate::latency::Percentiles;
use crate::ledger::Ledger;
use crate::request::Target;
use crate::scene::Scene;
use crate::writers::{self, Pace, Writers};
use crate::{Result, process};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// How many of those that were cut come back, to see what they missed.
const RETURNING: usize = 50;
const RETURN_LIMIT: Duration = Duration::from_secs(60);

pub(crate) struct Plan {
    pub(crate) protocol: Protocol,
    /// The first half of them stalls.
    pub(crate) clients: usize,
    pub(crate) events: usize,
    pub(crate) interval: Duration,
    pub(crate) pid: Option<u32>,
    /// After so long nothing more is written.
    pub(crate) limit: Duration,
}

pub(crate) struct Report {
    pub(crate) stalled: usize,
    pub(crate) healthy: usize,
    pub(crate) events: usize,
    /// Of those who read, from when an event was due.
    pub(crate) delivery: Percentiles,
    /// From when an event was sent to its answer.
    pub(crate) write: Percentiles,
    /// CPU time of the server while it wrote, over that time.
    pub(crate) server_cpu_share: Option<f64>,
    pub(crate) healthy_cut: usize,
    /// Events that those who read have not received.
    pub(crate) healthy_lost: usize,
    /// Stalled clients whose connection the server has ended.
    pub(crate) cut: usize,
    /// Events that a stalled client has not received although nobody told it so.
    pub(crate) unsaid: usize,
    /// Clients that were cut, came back and then had everything; of how many.
    pub(crate) complete: Option<(usize, usize)>,
    pub(crate) ledger: Ledger,
    pub(crate) resets: u64,
    /// Of the server, in bytes, with all clients and before the first event; and the most that it was.
    resident: Option<(u64, u64)>,
}

impl Report {
    fn growth(&self) -> Option<f64> {
        self.resident.map(|(before, peak)| (peak.saturating_sub(before)) as f64 / 1024.0)
    }

    pub(crate) fn kilobytes_per_stalled(&self) -> Option<f64> {
        Some(self.growth()? / self.stalled.max(1) as f64)
    }

    pub(crate) fn kilobytes_per_event(&self) -> Option<f64> {
        Some(self.kilobytes_per_stalled()? / self.events.max(1) as f64)
    }

    /// Of those who read: all received, nobody cut; and nothing came twice or late to anybody.
    pub(crate) fn is_clean(&self) -> bool {
        let Ledger { repeated, late, foreign, .. } = self.ledger;
        self.healthy_cut + self.healthy_lost == 0 && repeated + late + foreign == 0
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({
            "stalled": self.stalled, "healthy": self.healthy, "events": self.events,
            "p50_ms": self.delivery.p50, "p99_ms": self.delivery.p99, "max_ms": self.delivery.max,
            "write_p50_ms": self.write.p50, "write_p99_ms": self.write.p99, "server_cpu_share": self.server_cpu_share,
            "healthy_cut": self.healthy_cut, "healthy_lost": self.healthy_lost, "cut": self.cut, "unsaid": self.unsaid,
            "returned": self.complete.map(|(_, all)| all), "complete": self.complete.map(|(complete, _)| complete),
            "repeated": self.ledger.repeated, "late": self.ledger.late, "foreign": self.ledger.foreign,
            "resets": self.resets, "rss_before_kb": self.resident.map(|(before, _)| before / 1024),
            "rss_peak_kb": self.resident.map(|(_, peak)| peak / 1024),
            "kb_per_stalled": self.kilobytes_per_stalled(), "kb_per_stalled_and_event": self.kilobytes_per_event(),
        })
    }

    pub(crate) fn summary(&self) -> String {
        let memory = self
            .kilobytes_per_stalled()
            .map_or(String::new(), |kilobytes| format!("; {kilobytes:.0} KB kept per stalled client"));
        let back = self
            .complete
            .map_or(String::new(), |(complete, all)| format!("; {complete} of {all} that came back have everything"));
        format!(
            "{} events: {} of {} stalled clients cut, {} events missed unsaid; the {} others: {} cut, {} lost, p99 {:.1} ms; \
             {} repeated, {} late{memory}{back}",
            self.events,
            self.cut,
            self.stalled,
            self.unsaid,
            self.healthy,
            self.healthy_cut,
            self.healthy_lost,
            self.delivery.p99,
            self.ledger.repeated,
            self.ledger.late,
        )
    }
}

pub(crate) fn run(target: &Target, plan: &Plan) -> Result<Report> {
    fixture::enlarge_events(target, 1)?;
    let stalled = plan.clients / 2;
    let guests = Guests { stalled, ..Guests::new(plan.protocol, Scene::Fanout.topics(), Vec::new(), plan.clients) };
    let mut crowd = Crowd::open(target, guests)?;
    (0..stalled).try_for_each(|client| crowd.stall(client, true))?;
    let before = plan.pid.map(process::resident).transpose()?;
    let cpu_before = plan.pid.map(process::cpu_time).transpose()?;

    let start = Instant::now();
    let ledger = Ledger::new(Scene::Fanout.concerns(), plan.clients, 1, plan.events);
    let mut audience = Audience::new(ledger, start).timing(stalled..plan.clients, 1);
    let writing = writers::Plan {
        scene: Scene::Fanout,
        writers: 1,
        pace: Pace::Every(plan.interval),
        token: String::new(),
        events: (0, plan.events),
    };
    let mut writers = Writers::open(&crowd, writing, start)?;
    let expected = |events: usize| (plan.clients - stalled) * events;
    let mut ready = Vec::new();
    while !writers.are_done() || audience.deliveries.len() < expected(writers.next_event()) {
        let wait = writers.write(&crowd.epoll);
        crowd.epoll.wait(wait, &mut ready)?;
        for &ready in &ready {
            if ready.token >= REQUESTS {
                writers.serve(ready, &crowd.epoll)?;
            } else {
                audience.serve(&mut crowd, ready);
            }
        }
        if start.elapsed() > plan.limit {
            writers.stop();
        }
        if writers.are_done() && audience.last_delivery.max(writers.last_answer).elapsed() > QUIET {
            break;
        }
    }
    let resident = before.zip(plan.pid.map(process::peak_resident).transpose()?);
    let cpu = cpu_before.zip(plan.pid.map(process::cpu_time).transpose()?);
    let server_cpu_share = cpu.map(|(before, after)| (after - before).as_secs_f64() / start.elapsed().as_secs_f64());
    let events = writers.stop();
    let write = std::mem::take(&mut writers.latencies).percentiles();
    drop(writers);
    audience.ledger.ends_with(events);
    let delivery = std::mem::take(&mut audience.deliveries).percentiles();
    let healthy_cut = (stalled..plan.clients).filter(|&client| crowd.is_lost(client)).count();
    let healthy_lost =
        expected(events) - (stalled..plan.clients).map(|client| audience.ledger.received_by(client)).sum::<usize>();

    wake(&mut crowd, &mut audience, stalled, events)?;
    let cut: Vec<usize> = (0..stalled).filter(|&client| crowd.is_lost(client)).collect();
    let there = (0..stalled).filter(|&client| !crowd.is_lost(client));
    let unsaid = there.map(|client| events - audience.ledger.received_by(client)).sum();
    let complete = match plan.protocol {
        Protocol::Sse => None,
        _ => Some(come_back(&mut crowd, &mut audience, &cut[..cut.len().min(RETURNING)], events)?),
    };
    Ok(Report {
        stalled,
        healthy: plan.clients - stalled,
        events,
        delivery,
        write,
        server_cpu_share,
        healthy_cut,
        healthy_lost,
        cut: cut.len(),
        unsaid,
        complete,
        ledger: audience.ledger,
        resets: audience.resets,
        resident,
    })
}

/// The stalled ones read again: until they have everything, are told that they do not, or nothing comes any more.
fn wake(crowd: &mut Crowd, audience: &mut Audience, stalled: usize, events: usize) -> Result<()> {
    (0..stalled).try_for_each(|client| crowd.stall(client, false))?;
    let mut last_sign = Instant::now();
    let mut ready = Vec::new();
    let waits = |crowd: &Crowd, audience: &Audience| {
        (0..stalled).any(|client| !crowd.is_lost(client) && audience.ledger.received_by(client) < events)
    };
    while last_sign.elapsed() < QUIET {
        crowd.epoll.wait(Duration::from_millis(100), &mut ready)?;
        if ready.is_empty() && !waits(crowd, audience) {
            break;
        }
        for &ready in ready.iter().filter(|ready| ready.token < REQUESTS) {
            audience.serve(crowd, ready);
            last_sign = Instant::now();
        }
    }
    Ok(())
}

/// Some of those that were cut resume. How many have everything then, of how many.
fn come_back(crowd: &mut Crowd, audience: &mut Audience, who: &[usize], events: usize) -> Result<(usize, usize)> {
    who.iter().try_for_each(|&client| crowd.reopen(client))?;
    let complete =
        |audience: &Audience| who.iter().filter(|&&client| audience.ledger.received_by(client) == events).count();
    let start = Instant::now();
    let mut ready = Vec::new();
    while complete(audience) < who.len() && start.elapsed() < RETURN_LIMIT {
        crowd.epoll.wait(Duration::from_millis(100), &mut ready)?;
        for &ready in ready.iter().filter(|ready| ready.token < REQUESTS) {
            audience.serve(crowd, ready);
        }
    }
    audience.linger(crowd)?;
    Ok((complete(audience), who.len()))
}
