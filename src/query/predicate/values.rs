//! How SQLite compares, converts and searches values, for the values where that is certain.
//!
//! `None` stands for "not certain here": odd numbers whose text depends on SQLite's own rounding, bytes, texts with a NUL in
//! them. Whoever asks then leaves the question to SQLite. Figures are those of SQLite 3.53.

use std::borrow::Cow;
use std::cmp::Ordering;

use headwater_actors::Value;

/// A stored or bound value, without bytes.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Scalar<'a> {
    Null,
    Integer(i64),
    Real(f64),
    Text(Cow<'a, str>),
}

/// What a column, or a cast in its place, does to the value that it is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Affinity {
    None,
    Text,
    Numeric,
}

/// Decimal digits up to which a float's text is its shortest form, whatever way it was rounded.
const SAFE_DIGITS: usize = 13;
/// Decimal digits up to which a text is read as the same float by everybody.
const SAFE_INPUT: usize = 15;

impl<'a> Scalar<'a> {
    pub(super) fn of(value: &'a Value) -> Option<Scalar<'a>> {
        Some(match value {
            Value::Null => Scalar::Null,
            Value::Integer(number) => Scalar::Integer(*number),
            // SQLite has no NaN.
            Value::Real(number) if number.is_nan() => Scalar::Null,
            Value::Real(number) => Scalar::Real(*number),
            Value::Text(text) => Scalar::Text(Cow::Borrowed(text)),
            Value::Blob(_) => return None,
        })
    }

    pub(super) fn owned(value: Value) -> Option<Scalar<'static>> {
        Some(match value {
            Value::Text(text) => Scalar::Text(Cow::Owned(text)),
            Value::Null => Scalar::Null,
            Value::Integer(number) => Scalar::Integer(number),
            Value::Real(number) if number.is_nan() => Scalar::Null,
            Value::Real(number) => Scalar::Real(number),
            Value::Blob(_) => return None,
        })
    }

    pub(super) fn detached(self) -> Scalar<'static> {
        match self {
            Scalar::Null => Scalar::Null,
            Scalar::Integer(number) => Scalar::Integer(number),
            Scalar::Real(number) => Scalar::Real(number),
            Scalar::Text(text) => Scalar::Text(Cow::Owned(text.into_owned())),
        }
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(self, Scalar::Null)
    }

    /// `CAST(value AS TEXT)`, with NULL as the inner none.
    pub(super) fn as_text(&self) -> Option<Option<Cow<'_, str>>> {
        Some(Some(match self {
            Scalar::Null => return Some(None),
            Scalar::Text(text) => Cow::Borrowed(text),
            Scalar::Integer(number) => Cow::Owned(number.to_string()),
            Scalar::Real(number) => Cow::Owned(real_as_text(*number)?),
        }))
    }
}

/// The text of a float: `%!.17g`.
fn real_as_text(number: f64) -> Option<String> {
    if number == 0.0 {
        return Some("0.0".to_owned());
    }
    let magnitude = number.abs();
    if !(1e-4..1e15).contains(&magnitude) {
        return None;
    }
    let mut text = number.to_string();
    if text.bytes().filter(u8::is_ascii_digit).count() > SAFE_DIGITS {
        return None;
    }
    if !text.contains('.') {
        text.push_str(".0");
    }
    Some(text)
}

/// What a text is where a number is asked for.
enum Reading {
    Number(Scalar<'static>),
    /// No number; it stays a text.
    Text,
}

fn read_number(text: &str) -> Option<Reading> {
    const SPACE: [char; 6] = [' ', '\t', '\n', '\x0b', '\x0c', '\r'];
    if text.contains('\0') {
        return None;
    }
    let trimmed = text.trim_matches(SPACE);
    let digits = trimmed.strip_prefix(['-', '+']).unwrap_or(trimmed);
    let (mantissa, exponent) = match digits.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (digits, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let count = whole.len() + fraction.unwrap_or("").len();
    let is_mantissa = all_digits(whole) && all_digits(fraction.unwrap_or("")) && count > 0;
    let is_exponent = exponent.is_none_or(|exponent| {
        let digits = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        !digits.is_empty() && all_digits(digits)
    });
    if !is_mantissa || !is_exponent {
        return Some(Reading::Text);
    }
    if exponent.is_some() {
        return None;
    }
    let number = match fraction {
        None if count <= 18 => Scalar::Integer(trimmed.parse().ok()?),
        Some(_) if count <= SAFE_INPUT => Scalar::Real(trimmed.parse().ok()?),
        _ => return None,
    };
    Some(Reading::Number(number))
}

/// The order of two values that are not NULL, after what their affinities do to each other.
pub(super) fn order(left: (&Scalar<'_>, Affinity), right: (&Scalar<'_>, Affinity)) -> Option<Ordering> {
    let affinity = match (left.1, right.1) {
        (Affinity::None, other) | (other, Affinity::None) => other,
        (Affinity::Text, Affinity::Text) => Affinity::None,
        _ => Affinity::Numeric,
    };
    let (left, right) = (left.0, right.0);
    let any_text = matches!(left, Scalar::Text(_)) || matches!(right, Scalar::Text(_));
    let convert = match affinity {
        Affinity::Numeric if any_text => as_number,
        Affinity::Text if any_text => as_text,
        _ => return Some(bare_order(left, right)),
    };
    Some(bare_order(&*convert(left)?, &*convert(right)?))
}

fn as_number<'s, 'a>(value: &'s Scalar<'a>) -> Option<Cow<'s, Scalar<'a>>> {
    match value {
        Scalar::Text(text) => match read_number(text)? {
            Reading::Number(number) => Some(Cow::Owned(number)),
            Reading::Text => Some(Cow::Borrowed(value)),
        },
        _ => Some(Cow::Borrowed(value)),
    }
}

fn as_text<'s, 'a>(value: &'s Scalar<'a>) -> Option<Cow<'s, Scalar<'a>>> {
    match value {
        Scalar::Text(_) => Some(Cow::Borrowed(value)),
        _ => {
            let text = value.as_text()?.map(|text| Scalar::Text(Cow::Owned(text.into_owned())));
            Some(Cow::Owned(text.unwrap_or(Scalar::Null)))
        }
    }
}

/// NULL before numbers before texts.
fn bare_order(left: &Scalar<'_>, right: &Scalar<'_>) -> Ordering {
    let class = |value: &Scalar<'_>| match value {
        Scalar::Null => 0,
        Scalar::Integer(_) | Scalar::Real(_) => 1,
        Scalar::Text(_) => 2,
    };
    match (left, right) {
        (Scalar::Integer(left), Scalar::Integer(right)) => left.cmp(right),
        (Scalar::Real(left), Scalar::Real(right)) => left.partial_cmp(right).unwrap_or(Ordering::Equal),
        (Scalar::Integer(left), Scalar::Real(right)) => integer_and_real(*left, *right),
        (Scalar::Real(left), Scalar::Integer(right)) => integer_and_real(*right, *left).reverse(),
        (Scalar::Text(left), Scalar::Text(right)) => left.as_bytes().cmp(right.as_bytes()),
        _ => class(left).cmp(&class(right)),
    }
}

/// Exact also where the float cannot hold the integer.
fn integer_and_real(integer: i64, real: f64) -> Ordering {
    // 2^63, which is a float.
    const END: f64 = 9_223_372_036_854_775_808.0;
    if real < -END {
        return Ordering::Greater;
    }
    if real >= END {
        return Ordering::Less;
    }
    let whole = real.trunc();
    integer.cmp(&(whole as i64)).then_with(|| whole.partial_cmp(&real).unwrap_or(Ordering::Equal))
}

/// The number of items of a list column; the empty text and NULL have none, another scalar is one.
pub(super) fn length(value: &Scalar<'_>) -> Option<i64> {
    let Scalar::Text(text) = value else { return Some(if value.is_null() { 0 } else { 1 }) };
    if text.is_empty() {
        return Some(0);
    }
    let may_be_list = text.trim_start_matches([' ', '\t', '\n', '\r']).starts_with('[');
    if !may_be_list {
        return Some(1);
    }
    // What serde takes for a list without escapes is one to SQLite too; what it does not may still be.
    let items: Vec<serde::de::IgnoredAny> = serde_json::from_str(text).ok().filter(|_| !text.contains('\\'))?;
    Some(items.len() as i64)
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    #[test]
    fn numbers_and_texts_agree_with_sqlite() {
        let conn = Connection::open_in_memory().unwrap();
        let mut certain = 0;
        for number in [0.0, -0.0, 1.0, 2.5, -3.75, 0.1, 1e14, 123456.789, 1e15, 1e300, 0.00012, 1.0 / 3.0, 4.35, 49.47]
        {
            let judge: String = conn.query_row("SELECT CAST(?1 AS TEXT)", [number], |row| row.get(0)).unwrap();
            if let Some(text) = real_as_text(number) {
                assert_eq!(text, judge);
                certain += 1;
            }
        }
        assert!(certain >= 10);
        let texts = [
            "1",
            " 1 ",
            "1.",
            ".5",
            "-.5",
            "+7",
            "1e2",
            "1e",
            "e1",
            "",
            " ",
            "-",
            ".",
            "0x10",
            "1 2",
            "1_0",
            "007",
            "1.50",
            "123456789012345678",
            "1234567890123456789012",
            "nan",
            "inf",
            "1\u{a0}",
            "\u{b}1\u{c}",
            "--1",
            "1.2.3",
        ];
        for text in texts {
            let sql = "SELECT typeof(CAST(?1 AS NUMERIC)), ?1 = CAST(?1 AS NUMERIC) FROM (SELECT 1)";
            let (kind, equal): (String, bool) =
                conn.query_row(sql, [text], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
            match read_number(text) {
                None => {}
                Some(Reading::Text) => assert!(!equal, "{text:?}"),
                Some(Reading::Number(Scalar::Integer(_))) => assert_eq!((kind.as_str(), equal), ("integer", true)),
                Some(Reading::Number(_)) => assert!(equal, "{text:?}"),
            }
        }
    }
}
