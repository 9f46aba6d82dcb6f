//! Those who make the events: a connection each, one request at a time.

use crate::Result;
use crate::connection::Connection;
use crate::crowd::{Crowd, REQUESTS};
use crate::latency::Latencies;
use crate::ledger::Mark;
use crate::request::Target;
use crate::scene::Scene;
use crate::socket::{self, Epoll, Ready};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

#[derive(Clone, Copy)]
pub(crate) enum Pace {
    /// A writer goes on as soon as its last event has been answered.
    Closed,
    /// An event is due at every interval, whoever is free writes it. It is late from the moment that it is due.
    Every(Duration),
}

pub(crate) struct Plan {
    pub(crate) scene: Scene,
    pub(crate) writers: usize,
    pub(crate) pace: Pace,
    /// Who writes; empty for guests.
    pub(crate) token: String,
    /// How the events are numbered: from, to.
    pub(crate) events: (usize, usize),
}

pub(crate) struct Writers {
    plan: Plan,
    target: Target,
    /// Clients in the crowd.
    clients: usize,
    start: Instant,
    connections: Vec<Connection>,
    /// In turn: a connection that never asks anything is not kept for ever.
    idle: VecDeque<usize>,
    /// The number of the next event.
    next: usize,
    /// From when an event was sent to its answer.
    pub(crate) latencies: Latencies,
    pub(crate) last_answer: Instant,
    buffer: Vec<u8>,
}

impl Writers {
    /// Events are due counted from `start`.
    pub(crate) fn open(crowd: &Crowd, plan: Plan, start: Instant) -> Result<Writers> {
        let address = crowd.target.address;
        let open = |writer: usize| {
            let from = socket::source(*address.ip(), writer);
            Connection::open(&crowd.epoll, address, from, REQUESTS + writer as u64)
        };
        Ok(Writers {
            target: crowd.target.clone(),
            clients: crowd.len(),
            start,
            connections: (0..plan.writers).map(open).collect::<Result<_>>()?,
            idle: (0..plan.writers).collect(),
            next: plan.events.0,
            latencies: Latencies::default(),
            last_answer: start,
            buffer: vec![0; 64 * 1024],
            plan,
        })
    }

    /// Sends what is due, and says how long nothing will be.
    pub(crate) fn write(&mut self, epoll: &Epoll) -> Duration {
        while self.next < self.plan.events.1
            && let Some(&writer) = self.idle.front()
        {
            let elapsed = self.start.elapsed();
            let due = match self.plan.pace {
                Pace::Closed => elapsed,
                Pace::Every(interval) => interval * self.next as u32,
            };
            if due > elapsed {
                return (due - elapsed).min(Duration::from_millis(100));
            }
            self.idle.pop_front();
            let mark = Mark { writer, event: self.next, due_micros: due.as_micros() as u64 };
            self.connections[writer].ask(epoll, |out| {
                self.plan.scene.write(&self.target, out, mark, self.clients, &self.plan.token);
                true
            });
            self.next += 1;
        }
        Duration::from_millis(100)
    }

    pub(crate) fn serve(&mut self, ready: Ready, epoll: &Epoll) -> Result<()> {
        let writer = (ready.token - REQUESTS) as usize;
        let Some(connection) = self.connections.get_mut(writer) else { return Ok(()) };
        if let Some(answer) = connection.serve(ready, epoll, &mut self.buffer)? {
            if answer.status != 200 {
                let body = String::from_utf8_lossy(answer.body);
                return Err(format!("a write was answered with {} {body}", answer.status).into());
            }
            self.last_answer = Instant::now();
            self.latencies.push(answer.asked.elapsed());
            self.idle.push_back(writer);
        }
        Ok(())
    }

    /// The number of the event that would come next.
    pub(crate) fn next_event(&self) -> usize {
        self.next
    }

    /// Nothing more is written. How many events there are now.
    pub(crate) fn stop(&mut self) -> usize {
        self.plan.events.1 = self.next;
        self.next
    }

    /// Whether everything is written and answered.
    pub(crate) fn are_done(&self) -> bool {
        self.next >= self.plan.events.1 && self.idle.len() == self.connections.len()
    }
}
