//! Random texts from the tree of a pattern.

use rand::{Rng, RngExt};
use regex_syntax::hir::{Class, Hir, HirKind};

/// How often something is repeated at most where the pattern sets no limit, beyond its minimum.
const UNLIMITED: u32 = 6;

/// The longest text that a pattern may ask for, in characters.
const LONGEST: u64 = 100_000;

/// What to write, in order. A tree of its own because the engine's is made for matching.
pub(super) struct Generator(Part);

enum Part {
    Text(String),
    /// Ranges of characters, with the number of characters in all of them.
    OneOf(Vec<(u32, u32)>, u32),
    Repeat {
        part: Box<Part>,
        min: u32,
        max: u32,
    },
    All(Vec<Part>),
    Any(Vec<Part>),
}

impl Generator {
    pub(super) fn new(tree: &Hir) -> Result<Generator, String> {
        let part = part(tree)?;
        if part.longest() > LONGEST {
            return Err(format!("the pattern asks for more than {LONGEST} characters"));
        }
        Ok(Generator(part))
    }

    pub(super) fn make(&self, random: &mut impl Rng) -> String {
        let mut text = String::new();
        self.0.write(random, &mut text);
        text
    }
}

fn part(tree: &Hir) -> Result<Part, String> {
    Ok(match tree.kind() {
        HirKind::Empty | HirKind::Look(_) => Part::Text(String::new()),
        HirKind::Literal(literal) => Part::Text(String::from_utf8_lossy(&literal.0).into_owned()),
        HirKind::Class(class) => one_of(class)?,
        HirKind::Capture(capture) => part(&capture.sub)?,
        HirKind::Concat(parts) => Part::All(parts.iter().map(part).collect::<Result<_, _>>()?),
        HirKind::Alternation(parts) => Part::Any(parts.iter().map(part).collect::<Result<_, _>>()?),
        HirKind::Repetition(repetition) => Part::Repeat {
            part: Box::new(part(&repetition.sub)?),
            min: repetition.min,
            max: repetition.max.unwrap_or(repetition.min.saturating_add(UNLIMITED)),
        },
    })
}

/// The characters of a class: the printable ASCII ones where it has any, as in `.` or `[^a]`, so that people can type them.
fn one_of(class: &Class) -> Result<Part, String> {
    let all: Vec<(u32, u32)> = match class {
        Class::Unicode(class) => {
            class.ranges().iter().map(|range| (range.start().into(), range.end().into())).collect()
        }
        Class::Bytes(class) => class.ranges().iter().map(|range| (range.start().into(), range.end().into())).collect(),
    };
    let printable: Vec<(u32, u32)> = all
        .iter()
        .map(|(start, end)| ((*start).max(0x20), (*end).min(0x7e)))
        .filter(|(start, end)| start <= end)
        .collect();
    let ranges = if printable.is_empty() { all } else { printable };
    let size = |ranges: &[(u32, u32)]| ranges.iter().map(|(start, end)| end - start + 1).sum();
    match size(&ranges) {
        0 => Err("the pattern matches nothing".to_owned()),
        count => Ok(Part::OneOf(ranges, count)),
    }
}

impl Part {
    /// How many characters it writes at most.
    fn longest(&self) -> u64 {
        match self {
            Part::Text(text) => text.len() as u64,
            Part::OneOf(..) => 1,
            // An empty part repeated still takes its time.
            Part::Repeat { part, max, .. } => part.longest().max(1).saturating_mul(u64::from(*max)),
            Part::All(parts) => parts.iter().fold(0, |sum, part| sum.saturating_add(part.longest())),
            Part::Any(parts) => parts.iter().map(Part::longest).max().unwrap_or_default(),
        }
    }

    fn write(&self, random: &mut impl Rng, text: &mut String) {
        match self {
            Part::Text(literal) => text.push_str(literal),
            Part::OneOf(ranges, count) => {
                let mut index = random.random_range(0..*count);
                for (start, end) in ranges {
                    let size = end - start + 1;
                    if index < size {
                        // Ranges of characters leave out the surrogates, so this always is one.
                        text.extend(char::from_u32(start + index));
                        return;
                    }
                    index -= size;
                }
            }
            Part::Repeat { part, min, max } => {
                for _ in 0..random.random_range(*min..=*max) {
                    part.write(random, text);
                }
            }
            Part::All(parts) => parts.iter().for_each(|part| part.write(random, text)),
            Part::Any(parts) => parts[random.random_range(0..parts.len())].write(random, text),
        }
    }
}
