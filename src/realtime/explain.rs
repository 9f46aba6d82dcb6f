//! How a collection's rules are answered when a record has changed, for its owner to read.

use std::sync::Arc;

use serde::Serialize;

use crate::query::{Elsewhere, Predicate};
use crate::schema::{Collection, Rule, Schema};

/// All rules of a collection.
#[derive(Debug, Serialize)]
pub struct Explained {
    pub collection: String,
    pub rules: Explanations,
}

#[derive(Debug, Serialize)]
pub struct Explanations {
    pub list: Explanation,
    pub view: Explanation,
    pub create: Explanation,
    pub update: Explanation,
    pub delete: Explanation,
    /// Of auth collections.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manage: Option<Explanation>,
}

/// How one rule is answered.
#[derive(Debug, Serialize)]
pub struct Explanation {
    /// As it is stored.
    pub rule: Option<String>,
    pub answered: Answered,
    /// The parts for which SQL is needed.
    pub sql: Vec<Part>,
    /// Where SQL is needed for events: whether one query answers for all who listen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub together: Option<bool>,
    /// The comparisons by which a changed record finds the callers whom it may concern. Empty where all who listen are
    /// asked about, those whom the rule does not tell apart at once.
    pub index: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Answered {
    #[serde(rename = "superusers only")]
    SuperusersOnly,
    #[serde(rename = "open")]
    Open,
    #[serde(rename = "in memory")]
    InMemory,
    #[serde(rename = "by SQL")]
    BySql,
}

#[derive(Debug, Serialize)]
pub struct Part {
    pub part: String,
    pub reason: String,
}

pub fn explain(schema: &Schema, collection: &Arc<Collection>) -> Explained {
    let rules = &collection.rules;
    let asked_by_writes = |rule: &Rule| {
        let reason = "a write asks it within its own transaction; events do not".to_owned();
        constant(rule).unwrap_or_else(|text| Explanation {
            sql: vec![Part { part: text.to_owned(), reason }],
            ..Explanation::new(rule, Answered::BySql)
        })
    };
    Explained {
        collection: collection.name.clone(),
        rules: Explanations {
            list: asked_by_events(schema, collection, &rules.list),
            view: asked_by_events(schema, collection, &rules.view),
            create: asked_by_writes(&rules.create),
            update: asked_by_writes(&rules.update),
            delete: asked_by_writes(&rules.delete),
            manage: collection.auth().map(|auth| asked_by_events(schema, collection, &auth.manage_rule)),
        },
    }
}

fn asked_by_events(schema: &Schema, collection: &Arc<Collection>, rule: &Rule) -> Explanation {
    constant(rule).unwrap_or_else(|text| {
        let predicate = Predicate::rule(schema, collection, text);
        let answered = if predicate.elsewhere().is_empty() { Answered::InMemory } else { Answered::BySql };
        let part = |Elsewhere { part, reason }: &Elsewhere| Part { part: part.clone(), reason: reason.clone() };
        Explanation {
            sql: predicate.elsewhere().iter().map(part).collect(),
            together: (answered == Answered::BySql).then(|| predicate.is_solvable()),
            index: predicate.index().to_vec(),
            ..Explanation::new(rule, answered)
        }
    })
}

/// The answer of a rule that is no expression; the expression where it is one.
fn constant(rule: &Rule) -> Result<Explanation, &str> {
    match rule {
        Rule::Sealed => Ok(Explanation::new(rule, Answered::SuperusersOnly)),
        Rule::Open => Ok(Explanation::new(rule, Answered::Open)),
        Rule::When(text) => Err(text),
    }
}

impl Explanation {
    fn new(rule: &Rule, answered: Answered) -> Explanation {
        Explanation {
            rule: rule.as_text().map(str::to_owned),
            answered,
            sql: Vec::new(),
            together: None,
            index: Vec::new(),
        }
    }
}
