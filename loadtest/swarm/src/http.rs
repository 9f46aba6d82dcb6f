//! The closed loop: every connection sends its next request as soon as it has the answer to the last one. Used for the
//! measured operations and, without a window, to fill a server.
//!
//! A closed loop slows down with the server, so its latencies say how long a request took, not how long a user would
//! have waited at a given rate.

use crate::Result;
use crate::connection::Connection;
use crate::latency::{Latencies, Percentiles};
use crate::process;
use crate::request::Target;
use crate::socket::{self, Epoll};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// How long to wait for slow answers: before the window opens, and for those still under way when it closes.
const DRAIN: Duration = Duration::from_secs(10);

pub(crate) trait Work {
    /// Appends the next request to `out`. False: there is none.
    fn next(&mut self, out: &mut Vec<u8>) -> bool;

    /// Sees every answer of the 2xx kind.
    fn answered(&mut self, _body: &[u8]) {}
}

pub(crate) struct Plan {
    pub(crate) connections: usize,
    /// Not counted.
    pub(crate) warmup: Duration,
    pub(crate) window: Duration,
    /// The server's, for its CPU time.
    pub(crate) pid: Option<u32>,
}

pub(crate) struct Tally {
    pub(crate) requests: usize,
    /// Answers outside 2xx and broken connections, over the whole run.
    pub(crate) errors: usize,
    pub(crate) first_error: Option<String>,
    pub(crate) seconds: f64,
    pub(crate) latency: Percentiles,
    /// Mean size of a body: a server that answers less does less.
    pub(crate) body_bytes: f64,
    pub(crate) server_cpu: Option<Duration>,
    pub(crate) own_cpu: Duration,
}

impl Tally {
    pub(crate) fn rate(&self) -> f64 {
        self.requests as f64 / self.seconds
    }

    pub(crate) fn cpu_micros_per_request(&self) -> Option<f64> {
        let cpu = self.server_cpu.filter(|_| self.requests > 0)?;
        Some(cpu.as_secs_f64() * 1e6 / self.requests as f64)
    }

    /// Of one core. Near 1, it is the generator that has been measured.
    pub(crate) fn own_cpu_share(&self) -> f64 {
        self.own_cpu.as_secs_f64() / self.seconds
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({
            "requests": self.requests, "errors": self.errors, "first_error": self.first_error,
            "seconds": self.seconds, "requests_per_second": self.rate(),
            "p50_ms": self.latency.p50, "p99_ms": self.latency.p99, "max_ms": self.latency.max,
            "body_bytes": self.body_bytes, "cpu_us_per_request": self.cpu_micros_per_request(),
            "own_cpu_share": self.own_cpu_share(),
        })
    }
}

/// What is counted between the end of the warm-up and the end of the window.
struct Window {
    opened: Instant,
    server_cpu: Option<Duration>,
    own_cpu: Duration,
    latencies: Latencies,
    body_bytes: u64,
}

impl Window {
    fn open(pid: Option<u32>) -> Result<Window> {
        Ok(Window {
            opened: Instant::now(),
            server_cpu: pid.map(process::cpu_time).transpose()?,
            own_cpu: process::own_cpu_time(),
            latencies: Latencies::default(),
            body_bytes: 0,
        })
    }
}

/// Runs until the window has passed or the work has ended, whichever comes first.
pub(crate) fn run(target: &Target, plan: &Plan, work: &mut dyn Work) -> Result<Tally> {
    let epoll = Epoll::new()?;
    let open = |index: usize| {
        let from = socket::source(*target.address.ip(), index);
        Connection::open(&epoll, target.address, from, index as u64)
    };
    let mut connections = (0..plan.connections).map(open).collect::<Result<Vec<_>>>()?;
    let mut under_way = 0;
    for connection in &mut connections {
        under_way += usize::from(connection.ask(&epoll, |out| work.next(out)));
    }

    let mut buffer = vec![0; 64 * 1024];
    let mut ready = Vec::new();
    let mut answers = 0;
    let mut errors = 0;
    let mut first_error = None;
    let warm = Instant::now() + plan.warmup;
    let mut window = plan.warmup.is_zero().then(|| Window::open(plan.pid)).transpose()?;
    let mut result: Option<Tally> = None;
    let mut drained = None;
    while under_way > 0 {
        epoll.wait(Duration::from_millis(20), &mut ready)?;
        let now = Instant::now();
        // Slow requests that all began together also end together: the window waits until each could have been answered
        // once, or else it would see the work of the first ones and not their answers.
        let settled = answers >= plan.connections || now >= warm + DRAIN;
        if window.is_none() && result.is_none() && now >= warm && settled {
            window = Some(Window::open(plan.pid)?);
        }
        if window.as_ref().is_some_and(|window| now >= window.opened + plan.window) {
            result = window.take().map(|window| close(window, plan.pid)).transpose()?;
            drained = Some(now + DRAIN);
        }
        if drained.is_some_and(|drained| now >= drained) {
            errors += under_way;
            first_error.get_or_insert_with(|| "no answer within the time for it".to_owned());
            break;
        }
        for &ready in &ready {
            let index = ready.token as usize;
            let connection = &mut connections[index];
            let reopen = match connection.serve(ready, &epoll, &mut buffer) {
                Ok(None) => continue,
                Ok(Some(answer)) => {
                    under_way -= 1;
                    answers += 1;
                    let succeeded = (200..300).contains(&answer.status);
                    if succeeded {
                        if let Some(window) = &mut window {
                            window.latencies.push(answer.asked.elapsed());
                            window.body_bytes += answer.body.len() as u64;
                        }
                        work.answered(answer.body);
                    } else {
                        errors += 1;
                        let body = String::from_utf8_lossy(answer.body);
                        first_error.get_or_insert_with(|| format!("{} {body}", answer.status));
                    }
                    answer.closes
                }
                Err(error) => {
                    under_way -= usize::from(connection.asked.is_some());
                    errors += 1;
                    first_error.get_or_insert_with(|| error.to_string());
                    true
                }
            };
            if reopen {
                if answers == 0 && errors > 2 * plan.connections {
                    return Err(first_error.unwrap_or_default().into());
                }
                *connection = open(index)?;
            }
            if drained.is_none() {
                under_way += usize::from(connection.ask(&epoll, |out| work.next(out)));
            }
        }
    }
    let mut tally = match (result, window) {
        (Some(tally), _) => tally,
        (None, Some(window)) => close(window, plan.pid)?,
        (None, None) => return Err("the work has ended before the warm-up".into()),
    };
    (tally.errors, tally.first_error) = (errors, first_error);
    Ok(tally)
}

fn close(window: Window, pid: Option<u32>) -> Result<Tally> {
    let seconds = window.opened.elapsed().as_secs_f64();
    let server_cpu = match (pid, window.server_cpu) {
        (Some(pid), Some(before)) => Some(process::cpu_time(pid)?.saturating_sub(before)),
        _ => None,
    };
    let requests = window.latencies.len();
    Ok(Tally {
        requests,
        errors: 0,
        first_error: None,
        seconds,
        latency: window.latencies.percentiles(),
        body_bytes: window.body_bytes as f64 / requests.max(1) as f64,
        server_cpu,
        own_cpu: process::own_cpu_time().saturating_sub(window.own_cpu),
    })
}
