//! Rules that follow relations, answered for all who listen at once: ten thousand who listen by `members.id ?=
//! @request.auth.id` cost one query for the members and a look-up each of these, not a query for each listener.
//!
//! The queries of a commit are put to a Reader before the commit is decided. With what they found the hub knows whom a
//! change may concern, and need not look at anybody else.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use headwater_actors::is_overdue;

use super::options::Options;
use super::questions::RULES;
use super::topic;
use crate::app::App;
use crate::query::{Predicate, Solution};
use crate::records::Record;
use crate::schema::Schema;

/// Listeners of a topic up to which each is asked about on his own: one query for all has its price too.
pub(super) const FEW: usize = 3;
/// More than so many are not looked at to find out how many would have to be asked about.
pub(super) const SOME: usize = 64;
/// Values that the rules of one commit may let through; what comes after them is asked about each listener on his own.
const MAX_VALUES: usize = 200_000;

/// A rule to be solved for one change.
pub(super) struct Problem {
    /// The place of the change in its commit.
    pub change: usize,
    pub record: Record,
    pub rule: Arc<Predicate>,
    pub options: Option<Arc<Options>>,
}

/// The rule of a topic's listeners about a change; topics differ by what their options tell the rule.
type Key = (usize, *const Predicate, Option<*const Options>);

fn key(change: usize, rule: &Arc<Predicate>, options: Option<&Arc<Options>>) -> Key {
    (change, Arc::as_ptr(rule), options.map(Arc::as_ptr))
}

/// The rules to be solved before a commit can be decided.
#[derive(Default)]
pub(super) struct Problems(HashMap<Key, Problem>);

impl Problems {
    pub(super) fn add(&mut self, problem: Problem) {
        let key = key(problem.change, &problem.rule, problem.options.as_ref());
        self.0.entry(key).or_insert(problem);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) async fn solve(self, app: &App, schema: Arc<Schema>) -> Solutions {
        let begin = Instant::now();
        let problems: Vec<Problem> = self.0.into_values().collect();
        let job = move |conn: &rusqlite::Connection| -> Vec<(Problem, Solution)> {
            let mut left = MAX_VALUES;
            let solve = |problem: Problem| {
                if left == 0 || is_overdue() {
                    return None;
                }
                let request = topic::request(problem.options.as_deref());
                let solution = problem.rule.solve(conn, &schema, &problem.record, &request);
                if let Err(error) = &solution {
                    log::debug!("realtime: a rule was not solved for all at once: {error}");
                }
                let solution = solution.ok().flatten()?;
                left = left.saturating_sub(solution.size());
                Some((problem, solution))
            };
            problems.into_iter().filter_map(solve).collect()
        };
        let solved = app.readers.run_within(RULES.once, job).await.unwrap_or_else(|error| {
            log::warn!("realtime: rules were not solved for all at once: {error}");
            Vec::new()
        });
        let of = |(problem, solution): (Problem, Solution)| {
            let key = key(problem.change, &problem.rule, problem.options.as_ref());
            (key, (problem, solution))
        };
        Solutions { found: solved.into_iter().map(of).collect(), spent: begin.elapsed() }
    }
}

/// What was found. Whatever is missing is asked about each listener on his own. The problems are kept, so that nothing else
/// can come to stand at their addresses.
pub struct Solutions {
    found: HashMap<Key, (Problem, Solution)>,
    /// How long it took.
    pub(super) spent: Duration,
}

impl Solutions {
    pub(super) fn of(&self, change: usize, rule: &Arc<Predicate>, options: Option<&Arc<Options>>) -> Option<&Solution> {
        self.found.get(&key(change, rule, options)).map(|(_, solution)| solution)
    }
}
