//! Whom a record may concern: rules that compare a column with a value of the caller turn around into a look-up.
//!
//! The rule is spread into alternatives, each a list of comparisons that all have to hold. An alternative with
//! `column = @request.auth.X` concerns only callers whose X is what the record holds there. One that does not name the
//! caller concerns everybody or nobody. One that needs SQL concerns those whom its solution names, once there is one. Any
//! other concerns those for whom it could hold, who then cannot be looked up.

use std::sync::Arc;

use super::evaluate::At;
use super::solve::{self, Found, Solution};
use super::values::Scalar;
use super::{Class, Column, Compare, Node, Operand, Read};
use crate::query::tree::{Comparison, Op};
use crate::records::Record;

/// Alternatives that a rule may spread into.
const MAX_ALTERNATIVES: usize = 32;

#[derive(Debug)]
pub(super) struct Reach {
    /// The caller's path that values are looked up by.
    path: usize,
    alternatives: Vec<Alternative>,
    comparisons: Vec<String>,
}

#[derive(Debug)]
enum Alternative {
    /// Concerns those whose value is that of this column.
    Column(Column),
    /// Concerns those whom the solution names, by the place of the alternative in it.
    Solved(usize),
    /// Concerns all or none.
    Free(Vec<Arc<Compare>>),
    /// Concerns those of whom all this holds.
    Caller(Vec<Arc<Compare>>),
}

/// A part of an alternative.
#[derive(Clone)]
pub(super) enum Part {
    Compare(Arc<Compare>),
    Elsewhere(Arc<Comparison>),
}

impl Reach {
    /// None if every caller has to be asked. `solved`: the same alternatives, where SQL can solve them. `is_read`: whether a
    /// path of the caller is known in memory.
    pub(super) fn of(
        alternatives: &[Vec<Part>],
        solved: Option<&[solve::Alternative]>,
        is_read: impl Fn(usize) -> bool,
    ) -> Option<Reach> {
        let of_columns = alternatives.iter().flatten().filter_map(|part| Some(part.link()?.0));
        let of_solved = solved.into_iter().flatten().filter_map(|alternative| Some(alternative.link.as_ref()?.auth));
        let mut paths: Vec<usize> = Vec::new();
        for path in of_columns.chain(of_solved) {
            if !paths.contains(&path) && is_read(path) {
                paths.push(path);
            }
        }
        paths.into_iter().find_map(|path| Reach::by(path, alternatives, solved))
    }

    fn by(path: usize, alternatives: &[Vec<Part>], solved: Option<&[solve::Alternative]>) -> Option<Reach> {
        let mut reach = Reach { path, alternatives: Vec::new(), comparisons: Vec::new() };
        for (place, parts) in alternatives.iter().enumerate() {
            let link = parts.iter().find_map(|part| match part {
                Part::Compare(compare) => part.link().filter(|(own, _)| *own == path).map(|(_, c)| (compare, c)),
                Part::Elsewhere(_) => None,
            });
            if let Some((compare, column)) = link {
                reach.alternatives.push(Alternative::Column(column.clone()));
                if !reach.comparisons.contains(&compare.text) {
                    reach.comparisons.push(compare.text.clone());
                }
                continue;
            }
            let of_caller = |compare: &Arc<Compare>| compare.reads(|operand| matches!(operand, Operand::Auth(_)));
            let names_caller = parts.iter().filter_map(Part::compare).any(of_caller);
            if let Some(solved) = solved.and_then(|solved| solved.get(place)).filter(|solved| solved.asks_sql()) {
                let finds = solved.link.as_ref().map(|link| link.auth == path);
                // Without a link, what is known of the caller tells more.
                if finds.unwrap_or(!names_caller) {
                    reach.alternatives.push(Alternative::Solved(place));
                    reach.comparisons.extend(solved.link.as_ref().map(|link| link.text.clone()));
                    continue;
                }
            }
            let kept = |keep: fn(&Compare) -> bool| -> Vec<Arc<Compare>> {
                parts.iter().filter_map(Part::compare).filter(|compare| keep(compare)).cloned().collect()
            };
            let free = kept(|compare| !compare.reads(|operand| matches!(operand, Operand::Auth(_))));
            if free.len() == parts.len() {
                reach.alternatives.push(Alternative::Free(free));
                continue;
            }
            // What changes from one moment or subscription to the next does not say where a caller stands.
            let caller = kept(|compare| {
                let fixed = |operand: &Operand| matches!(operand, Operand::Auth(_) | Operand::Literal(_));
                fixed(&compare.left) && fixed(&compare.right)
            });
            if caller.is_empty() {
                return None;
            }
            reach.alternatives.push(Alternative::Caller(caller));
        }
        Some(reach)
    }

    pub(super) fn path(&self) -> usize {
        self.path
    }

    pub(super) fn comparisons(&self) -> &[String] {
        &self.comparisons
    }

    /// The distinct values of the callers whom a record concerns; none if it may concern any, or more than so many.
    pub(super) fn values<'r>(
        &self,
        record: &'r Record,
        at: &At<'_>,
        solution: Option<&'r Solution>,
        most: usize,
    ) -> Option<Vec<&'r str>> {
        let mut values = Vec::new();
        for alternative in &self.alternatives {
            match alternative {
                Alternative::Column(column) => match record.get(&column.name) {
                    Some(headwater_actors::Value::Text(text)) if !text.is_empty() => values.push(text.as_str()),
                    // Only callers without a value can be equal, and those are always asked.
                    Some(headwater_actors::Value::Text(_) | headwater_actors::Value::Null) => {}
                    _ => return None,
                },
                Alternative::Solved(place) => match solution?.0.get(*place)? {
                    Found::All(true) => return None,
                    Found::All(false) => {}
                    Found::Values(found) if found.len() > most => return None,
                    Found::Values(found) => values.extend(found.iter().map(|value| &**value)),
                },
                Alternative::Free(compares) => {
                    if compares.iter().all(|compare| at.compare(compare) != Some(false)) {
                        return None;
                    }
                }
                Alternative::Caller(_) => {}
            }
        }
        values.sort_unstable();
        values.dedup();
        Some(values)
    }

    /// The value by which a caller is found; none if he has to be asked each time.
    pub(super) fn value_of(&self, at: &At<'_>) -> Option<String> {
        let asked = self.alternatives.iter().any(|alternative| match alternative {
            Alternative::Caller(compares) => compares.iter().all(|compare| at.compare(compare) != Some(false)),
            _ => false,
        });
        if asked {
            return None;
        }
        let term = at.auth(self.path)?;
        let (value, _) = term.value()?;
        match &*value {
            Scalar::Text(text) if !text.is_empty() => Some(text.to_string()),
            _ => None,
        }
    }
}

impl Part {
    fn compare(&self) -> Option<&Arc<Compare>> {
        match self {
            Part::Compare(compare) => Some(compare),
            Part::Elsewhere(_) => None,
        }
    }

    /// `column = @request.auth.X`, where two texts are equal only byte by byte.
    fn link(&self) -> Option<(usize, &Column)> {
        let Part::Compare(compare) = self else { return None };
        match (&compare.left, compare.op, &compare.right) {
            (Operand::Column(column), Op::Equal, Operand::Auth(path))
            | (Operand::Auth(path), Op::Equal, Operand::Column(column)) => {
                (column.class == Class::Text && column.read == Read::Value).then_some((*path, column))
            }
            _ => None,
        }
    }
}

impl Compare {
    fn reads(&self, what: fn(&Operand) -> bool) -> bool {
        what(&self.left) || what(&self.right)
    }
}

/// The alternatives of a tree; none if there are too many.
pub(super) fn spread(node: &Node) -> Option<Vec<Vec<Part>>> {
    match node {
        Node::Elsewhere(comparison) => Some(vec![vec![Part::Elsewhere(comparison.clone())]]),
        Node::Compare(compare) => Some(vec![vec![Part::Compare(compare.clone())]]),
        Node::Any(members) => {
            let mut all = Vec::new();
            for member in members {
                all.extend(spread(member)?);
                if all.len() > MAX_ALTERNATIVES {
                    return None;
                }
            }
            Some(all)
        }
        Node::All(members) => {
            let mut all = vec![Vec::new()];
            for member in members {
                let choices = spread(member)?;
                if all.len() * choices.len() > MAX_ALTERNATIVES {
                    return None;
                }
                all = all
                    .iter()
                    .flat_map(|before| choices.iter().map(move |choice| [&before[..], &choice[..]].concat()))
                    .collect();
            }
            Some(all)
        }
    }
}
