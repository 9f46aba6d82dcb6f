//! Writes what waits to the sockets of a hub's clients, a few at a time.
//!
//! An event for 10,000 clients takes a tenth of a second to write. Between the pieces of that work the thread serves
//! requests and takes in further commits; what those put behind a frame that still waits goes out with it in one write.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use crate::subscription::Subscription;

/// Clients that are written to before others on the thread have their turn: about half a millisecond.
const CLIENTS: usize = 50;

/// Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Flusher(Rc<Queue>);

#[derive(Default)]
struct Queue {
    /// Subscriptions for which something waits, each once: it was put here when its queue was empty.
    waiting: RefCell<VecDeque<Rc<Subscription>>>,
    running: Cell<bool>,
}

impl Flusher {
    /// Writes to these, after those that wait already.
    pub(super) fn add(&self, subscriptions: Vec<Rc<Subscription>>) {
        if subscriptions.is_empty() {
            return;
        }
        self.0.waiting.borrow_mut().extend(subscriptions);
        if !self.0.running.replace(true) {
            let flusher = self.clone();
            actix_rt::spawn(async move {
                while flusher.some() {
                    // Not `wake` at once: the thread's other tasks and its sockets come first.
                    tokio::task::yield_now().await;
                }
            });
        }
    }

    /// Writes to some clients. False when none waits any more.
    fn some(&self) -> bool {
        let next: Vec<Rc<Subscription>> = {
            let mut waiting = self.0.waiting.borrow_mut();
            if waiting.is_empty() {
                *waiting = VecDeque::new();
                self.0.running.set(false);
                return false;
            }
            let count = waiting.len().min(CLIENTS);
            waiting.drain(..count).collect()
        };
        // What lies about in memory is fetched for all at a time, and not for each while everything waits for it.
        next.iter().for_each(|subscription| subscription.approach());
        next.iter().for_each(|subscription| subscription.wake());
        true
    }
}
