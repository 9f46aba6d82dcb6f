//! The comparison as a Markdown table: medians of all rounds with their range, how much better, and the goal.

use crate::latency::median;
use serde_json::{Value, json};

/// What has to be true of a measure.
#[derive(Clone, Copy)]
pub(crate) enum Goal {
    /// Headwater better than the reference by this factor.
    Better(f64),
    /// Headwater at or below this value, whatever the reference does.
    AtMost(f64),
    /// The same at or above.
    AtLeast(f64),
    None,
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Good {
    High,
    Low,
}

/// One line: a value for each round, from both servers. None from one that cannot do such a thing.
pub(crate) struct Measure {
    pub(crate) name: String,
    pub(crate) unit: &'static str,
    pub(crate) good: Good,
    pub(crate) goal: Goal,
    pub(crate) reference: Vec<f64>,
    pub(crate) headwater: Vec<f64>,
}

impl Measure {
    pub(crate) fn new(name: String, unit: &'static str, good: Good, goal: Goal) -> Measure {
        Measure { name, unit, good, goal, reference: Vec::new(), headwater: Vec::new() }
    }

    /// Above 1: Headwater is better. The ratio of the medians.
    pub(crate) fn better_by(&self) -> f64 {
        let (reference, headwater) = (median(&self.reference), median(&self.headwater));
        let (over, under) = if self.good == Good::High { (headwater, reference) } else { (reference, headwater) };
        if self.reference.is_empty() || self.headwater.is_empty() {
            return f64::NAN;
        }
        // Below what can be measured, nothing is better than anything.
        if under.abs() < 1e-9 { f64::NAN } else { over / under }
    }

    fn is_met(&self) -> Option<bool> {
        if self.headwater.is_empty() {
            return None;
        }
        match self.goal {
            Goal::Better(factor) => Some(self.better_by() >= factor),
            Goal::AtMost(bound) => Some(median(&self.headwater) <= bound),
            Goal::AtLeast(bound) => Some(median(&self.headwater) >= bound),
            Goal::None => None,
        }
    }

    fn row(&self) -> String {
        let goal = match self.goal {
            Goal::Better(factor) => format!(">= {factor}x"),
            Goal::AtMost(bound) => format!("<= {bound} {}", self.unit),
            Goal::AtLeast(bound) => format!(">= {bound} {}", self.unit),
            Goal::None => String::new(),
        };
        let met = self.is_met().map_or("", |met| if met { "yes" } else { "NO" });
        let better = self.better_by();
        let better = if better.is_nan() { "-".to_owned() } else { format!("{better:.2}x") };
        let (reference, headwater) = (range(&self.reference), range(&self.headwater));
        format!("| {}, {} | {reference} | {headwater} | {better} | {goal} | {met} |", self.name, self.unit)
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({
            "name": self.name, "unit": self.unit, "reference": self.reference, "headwater": self.headwater,
            "better_by": self.better_by(), "met": self.is_met(),
        })
    }
}

pub(crate) fn markdown(measures: &[Measure]) -> String {
    let mut text =
        "| measure | reference | Headwater | better by | goal | met |\n|---|---:|---:|---:|---:|---|\n".to_owned();
    for measure in measures {
        text.push_str(&measure.row());
        text.push('\n');
    }
    text
}

fn range(values: &[f64]) -> String {
    let lowest = values.iter().copied().fold(f64::INFINITY, f64::min);
    let highest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    match values.len() {
        0 => "-".to_owned(),
        1 => figure(highest),
        _ => format!("{} ({} to {})", figure(median(values)), figure(lowest), figure(highest)),
    }
}

/// Three digits are all that such measurements carry.
fn figure(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measure(good: Good, goal: Goal) -> Measure {
        let (reference, headwater) = (vec![90.0, 110.0, 100.0], vec![500.0, 30.0, 40.0]);
        Measure { name: "a".into(), unit: "ms", good, goal, reference, headwater }
    }

    #[test]
    fn better_by_is_above_one_when_headwater_is_better() {
        assert_eq!(measure(Good::Low, Goal::None).better_by(), 2.5);
        assert_eq!(measure(Good::High, Goal::None).better_by(), 0.4);
        assert_eq!(measure(Good::Low, Goal::Better(2.5)).is_met(), Some(true));
        assert_eq!(measure(Good::Low, Goal::Better(3.0)).is_met(), Some(false));
        assert_eq!(measure(Good::Low, Goal::AtMost(40.0)).is_met(), Some(true));
        assert_eq!(measure(Good::Low, Goal::AtMost(39.0)).is_met(), Some(false));
    }

    #[test]
    fn what_the_reference_cannot_do_is_left_open() {
        let mut measure = measure(Good::High, Goal::AtLeast(40.0));
        measure.reference.clear();
        assert_eq!(measure.row(), "| a, ms | - | 40.0 (30.0 to 500) | - | >= 40 ms | yes |");
        measure.headwater.clear();
        assert_eq!(measure.row(), "| a, ms | - | - | - | >= 40 ms |  |");
    }

    #[test]
    fn rows_show_median_and_range() {
        let row = measure(Good::Low, Goal::AtMost(12.0)).row();
        assert_eq!(row, "| a, ms | 100 (90.0 to 110) | 40.0 (30.0 to 500) | 2.50x | <= 12 ms | NO |");
    }
}
