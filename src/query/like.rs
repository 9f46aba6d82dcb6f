//! `LIKE`, in memory and as a function of SQL: in steps that are counted.
//!
//! SQLite's own goes back to the beginning of the pattern for each character of the text, and cannot be interrupted
//! meanwhile: a long pattern against a long text holds a thread for minutes. What honest texts need is far below
//! [`allowed`], whatever their length.

use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::{Connection, Error, Result, ffi};

/// Longer patterns are an error to SQLite (SQLITE_MAX_LIKE_PATTERN_LENGTH).
const MAX_PATTERN: usize = 50_000;

/// Patterns up to so many bytes are left to SQLite's operator, which is faster.
pub(super) const SHORT: usize = 64;

/// Texts up to so many bytes are left to SQLite's operator too, if the pattern is short.
pub(super) const SHORT_TEXT: usize = 1 << 16;

/// Characters that are looked at between two looks at the clock.
const CLOCKED: usize = 10_000;

/// The name of [`like`] in SQL: `hw_like(text, pattern)`.
pub(super) const FUNCTION: &str = "hw_like";

/// `text LIKE pattern ESCAPE '\'`: ASCII in any case, everything else exactly. None: SQLite may see it differently, or it
/// takes too long.
pub(super) fn like(text: &str, pattern: &str) -> Option<bool> {
    if pattern.len() > MAX_PATTERN || text.contains('\0') || pattern.contains('\0') {
        return None;
    }
    search(text, pattern)
}

fn search(text: &str, pattern: &str) -> Option<bool> {
    let mut steps = Vec::with_capacity(pattern.len());
    let mut chars = pattern.chars();
    while let Some(char) = chars.next() {
        steps.push(match char {
            '%' => Step::Any,
            '_' => Step::One,
            '\\' => match chars.next() {
                Some(escaped) => Step::Char(folded(escaped)),
                // An escape of nothing matches nothing.
                None => return Some(false),
            },
            char => Step::Char(folded(char)),
        });
    }
    matches(text, &steps, allowed(text, pattern))
}

/// How many characters may be looked at.
fn allowed(text: &str, pattern: &str) -> usize {
    100_000 + 16 * (text.len() + pattern.len())
}

#[derive(Clone, Copy, PartialEq)]
enum Step {
    Any,
    One,
    Char(char),
}

/// Goes back to the last `%` only: an earlier one could do no better.
fn matches(text: &str, steps: &[Step], allowed: usize) -> Option<bool> {
    let mut rest = text.chars();
    let mut at = 0;
    let mut retry: Option<(usize, std::str::Chars<'_>)> = None;
    for count in 1..=allowed {
        if count % CLOCKED == 0 && headwater_actors::is_overdue() {
            return None;
        }
        match steps.get(at) {
            Some(Step::Any) => {
                at += 1;
                if at == steps.len() {
                    return Some(true);
                }
                retry = Some((at, rest.clone()));
                continue;
            }
            None if rest.as_str().is_empty() => return Some(true),
            Some(step) => {
                let mut ahead = rest.clone();
                if let Some(char) = ahead.next()
                    && (*step == Step::One || *step == Step::Char(folded(char)))
                {
                    rest = ahead;
                    at += 1;
                    continue;
                }
            }
            None => {}
        }
        let Some((back, from)) = &mut retry else { return Some(false) };
        if from.next().is_none() {
            return Some(false);
        }
        (at, rest) = (*back, from.clone());
    }
    None
}

/// A character as LIKE sees it. SQLite reads the two noncharacters at the end of each plane as the replacement character.
fn folded(char: char) -> char {
    match char {
        '\u{fffe}' | '\u{ffff}' => '\u{fffd}',
        char => char.to_ascii_lowercase(),
    }
}

/// Registers [`FUNCTION`].
pub(super) fn register(conn: &Connection) -> Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_INNOCUOUS;
    conn.create_scalar_function(FUNCTION, 2, flags, |call| {
        let (Some(text), Some(pattern)) = (text(call, 0)?, text(call, 1)?) else { return Ok(None) };
        if pattern.len() > MAX_PATTERN {
            return Err(too_complex());
        }
        let stopped = || if headwater_actors::is_overdue() { interrupted() } else { too_complex() };
        search(&text, &pattern).map(Some).ok_or_else(stopped)
    })
}

/// An argument of the function; a NUL ends a text as it does for SQLite.
fn text(call: &Context<'_>, index: usize) -> Result<Option<String>> {
    let bytes = match call.get_raw(index) {
        rusqlite::types::ValueRef::Null => return Ok(None),
        rusqlite::types::ValueRef::Text(bytes) | rusqlite::types::ValueRef::Blob(bytes) => bytes,
        other => return Err(Error::InvalidFunctionParameterType(index, other.data_type())),
    };
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    Ok(Some(String::from_utf8_lossy(&bytes[..end]).into_owned()))
}

fn interrupted() -> Error {
    Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_INTERRUPT), None)
}

fn too_complex() -> Error {
    Error::UserFunctionError("the pattern is too complex".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn likes_agree_with_sqlite() {
        let conn = Connection::open_in_memory().unwrap();
        register(&conn).unwrap();
        let texts = ["", "a", "A", "ab", "a%b", "a_b", r"a\b", "É", "é", "aab", "abab", "\u{ffff}", "ÄbC%"];
        let patterns = [
            "", "%", "_", "%%", "a", "A%", "%b", "%a%b%", r"a\%b", r"a\_b", r"a\\b", r"\", r"%\", r"a\", "_%_", "é",
            "%É%", "\u{fffd}", "ab%ab", "%ab_b", r"%\%%", "a_b", r"\a\B", "%_",
        ];
        for text in texts {
            for pattern in patterns {
                let judge: bool =
                    conn.query_row(r"SELECT ?1 LIKE ?2 ESCAPE '\'", [text, pattern], |row| row.get(0)).unwrap();
                assert_eq!(like(text, pattern), Some(judge), "{text:?} LIKE {pattern:?}");
                let ours: bool = conn.query_row("SELECT hw_like(?1, ?2)", [text, pattern], |row| row.get(0)).unwrap();
                assert_eq!(ours, judge, "{text:?} LIKE {pattern:?}");
            }
        }
    }

    #[test]
    fn what_would_take_too_long_is_left_open() {
        let text = "a".repeat(5_000_000);
        assert_eq!(like(&text, &format!("%{}b%", "a".repeat(2000))), None);
        assert_eq!(like(&text, &format!("%{}%", "a".repeat(2000))), Some(true));
        assert_eq!(like(&"lorem ipsum dolor sit amet, ".repeat(100_000), "%sit amet; consectetur%"), Some(false));
        let conn = Connection::open_in_memory().unwrap();
        register(&conn).unwrap();
        let ask = |text: &str, pattern: &str| -> Result<Option<bool>> {
            conn.query_row("SELECT hw_like(CAST(?1 AS TEXT), ?2)", [Some(text), Some(pattern)], |row| row.get(0))
        };
        assert!(ask(&text, &format!("%{}b%", "a".repeat(2000))).is_err());
        assert!(ask("a", &"a".repeat(MAX_PATTERN + 1)).is_err());
        assert_eq!(ask("a\0b", "a"), Ok(Some(true)));
        assert_eq!(conn.query_row("SELECT hw_like(NULL, 'a')", [], |row| row.get::<_, Option<bool>>(0)), Ok(None));
    }
}
