//! The tree of a parsed filter: what was written, checked for form, not yet looked up in any schema.
//!
//! It is the one meaning that all back ends share. Printing a tree gives a text that parses to the same tree.

use std::fmt;

use super::macros::Macro;
use super::path::Path;

/// A condition. Groups have at least two members and never nest in a group of their own kind unless parentheses did so.
#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    Compare(Comparison),
    /// `a && b && …`
    All(Vec<Filter>),
    /// `a || b || …`
    Any(Vec<Filter>),
}

/// `left sign right`
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    pub left: Operand,
    pub sign: Sign,
    pub right: Operand,
}

/// An operator, and whether one row of a multi-valued path is enough (`?=`) or all must do (`=`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sign {
    pub op: Op,
    pub any: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Equal,
    NotEqual,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    Like,
    NotLike,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Operand {
    /// A path; also `null`, `true` and `false`, which mean themselves only where no field has that name.
    Path(Path),
    Macro(Macro),
    Number(f64),
    Text(Box<str>),
    /// `geoDistance(lonA, latA, lonB, latB)` in kilometres. The arguments are paths, macros or numbers.
    GeoDistance(Box<[Operand; 4]>),
    /// `strftime(format, time, modifier…)`
    Strftime(Box<Strftime>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Strftime {
    pub format: Box<str>,
    /// A path, macro, number or text; now if absent.
    pub time: Option<Operand>,
    /// Only where there is a time.
    pub modifiers: Vec<Box<str>>,
}

impl Op {
    pub fn as_str(self) -> &'static str {
        match self {
            Op::Equal => "=",
            Op::NotEqual => "!=",
            Op::Greater => ">",
            Op::GreaterOrEqual => ">=",
            Op::Less => "<",
            Op::LessOrEqual => "<=",
            Op::Like => "~",
            Op::NotLike => "!~",
        }
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (members, join) = match self {
            Filter::Compare(comparison) => return comparison.fmt(out),
            Filter::All(members) => (members, " && "),
            Filter::Any(members) => (members, " || "),
        };
        for (index, member) in members.iter().enumerate() {
            if index > 0 {
                out.write_str(join)?;
            }
            // `&&` binds tighter: only a conjunction within a disjunction can do without parentheses.
            match (self, member) {
                (_, Filter::Compare(_)) | (Filter::Any(_), Filter::All(_)) => member.fmt(out)?,
                _ => write!(out, "({member})")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let any = if self.sign.any { "?" } else { "" };
        write!(out, "{} {any}{} {}", self.left, self.sign.op.as_str(), self.right)
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Operand::Path(path) => path.fmt(out),
            Operand::Macro(name) => out.write_str(name.as_str()),
            Operand::Number(number) => number.fmt(out),
            Operand::Text(text) => quoted(text, out),
            Operand::GeoDistance(arguments) => {
                let [lon_a, lat_a, lon_b, lat_b] = &**arguments;
                write!(out, "geoDistance({lon_a}, {lat_a}, {lon_b}, {lat_b})")
            }
            Operand::Strftime(call) => {
                out.write_str("strftime(")?;
                quoted(&call.format, out)?;
                if let Some(time) = &call.time {
                    write!(out, ", {time}")?;
                }
                for modifier in &call.modifiers {
                    out.write_str(", ")?;
                    quoted(modifier, out)?;
                }
                out.write_str(")")
            }
        }
    }
}

fn quoted(text: &str, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(out, "'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}
