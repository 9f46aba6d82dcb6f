//! SQLite's mathematical functions (`acos`, `pow`, `ceil` …), for a library that is built without them.
//!
//! Filters (`geoDistance`), views and indexes of existing data directories use them. They are registered on every
//! connection instead of switched on by a compiler flag, because the flag would be lost wherever the crate is built
//! as a dependency. Semantics: <https://www.sqlite.org/lang_mathfunc.html>; what has no number is NULL.

use headwater_actors::Value;
use rusqlite::Connection;
use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::ValueRef;

/// Functions of one and of two numbers, by their SQL names.
type Unary = (&'static str, fn(f64) -> f64);
type Binary = (&'static str, fn(f64, f64) -> f64);

/// Registers the functions. `INNOCUOUS` lets views and indexes use them.
pub fn register(conn: &Connection) -> rusqlite::Result<()> {
    const UNARY: &[Unary] = &[
        ("acos", f64::acos),
        ("acosh", f64::acosh),
        ("asin", f64::asin),
        ("asinh", f64::asinh),
        ("atan", f64::atan),
        ("atanh", f64::atanh),
        ("cos", f64::cos),
        ("cosh", f64::cosh),
        ("degrees", f64::to_degrees),
        ("exp", f64::exp),
        ("ln", logarithm),
        ("log", |x| logarithm(x) / std::f64::consts::LN_10),
        ("log10", |x| logarithm(x) / std::f64::consts::LN_10),
        ("log2", |x| logarithm(x) / std::f64::consts::LN_2),
        ("radians", f64::to_radians),
        ("sin", f64::sin),
        ("sinh", f64::sinh),
        ("sqrt", f64::sqrt),
        ("tan", f64::tan),
        ("tanh", f64::tanh),
    ];
    const BINARY: &[Binary] = &[
        ("atan2", f64::atan2),
        ("log", |base, x| logarithm(x) / logarithm(base)),
        ("mod", |x, y| x % y),
        ("pow", f64::powf),
        ("power", f64::powf),
    ];
    const ROUNDING: &[Unary] =
        &[("ceil", f64::ceil), ("ceiling", f64::ceil), ("floor", f64::floor), ("trunc", f64::trunc)];

    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_INNOCUOUS;
    for &(name, function) in UNARY {
        conn.create_scalar_function(name, 1, flags, move |ctx| Ok(number(ctx, 0).map(function).and_then(real)))?;
    }
    for &(name, function) in BINARY {
        conn.create_scalar_function(name, 2, flags, move |ctx| {
            let arguments = number(ctx, 0).zip(number(ctx, 1));
            Ok(arguments.map(|(x, y)| function(x, y)).and_then(real))
        })?;
    }
    for &(name, function) in ROUNDING {
        conn.create_scalar_function(name, 1, flags, move |ctx| {
            Ok(match ctx.get_raw(0) {
                ValueRef::Integer(integer) => Value::Integer(integer),
                _ => number(ctx, 0).map(function).and_then(real).map_or(Value::Null, Value::Real),
            })
        })?;
    }
    conn.create_scalar_function("pi", 0, flags, |_| Ok(std::f64::consts::PI))
}

/// Zero and negative numbers have no logarithm.
fn logarithm(x: f64) -> f64 {
    if x > 0.0 { x.ln() } else { f64::NAN }
}

/// What SQLite can store: it knows no NaN.
fn real(x: f64) -> Option<f64> {
    (!x.is_nan()).then_some(x)
}

/// An argument as a number, also where it is a text that looks like one.
fn number(ctx: &Context<'_>, index: usize) -> Option<f64> {
    match ctx.get_raw(index) {
        ValueRef::Integer(integer) => Some(integer as f64),
        ValueRef::Real(real) => Some(real),
        ValueRef::Text(text) => {
            let text = std::str::from_utf8(text).ok()?.trim();
            let plain = text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'e' | b'E'));
            if plain { text.parse().ok() } else { None }
        }
        ValueRef::Null | ValueRef::Blob(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_answer_as_sqlite_documents_them() {
        let conn = Connection::open_in_memory().unwrap();
        register(&conn).unwrap();
        for (expression, expected) in [
            ("ceil(5)", Value::Integer(5)),
            ("ceil(4.2)", Value::Real(5.0)),
            ("floor(-4.2)", Value::Real(-5.0)),
            ("trunc('-4.7')", Value::Real(-4.0)),
            ("pow(2, 10)", Value::Real(1024.0)),
            ("mod(7.5, 2)", Value::Real(1.5)),
            ("mod(7, 0)", Value::Null),
            ("log(2, 8)", Value::Real(3.0)),
            ("log10(0)", Value::Null),
            ("sqrt(-1)", Value::Null),
            ("sqrt(null)", Value::Null),
            ("acos(x'00')", Value::Null),
            ("sin('abc')", Value::Null),
            ("degrees(pi())", Value::Real(180.0)),
        ] {
            let found: Value = conn.query_row(&format!("SELECT {expression}"), [], |row| row.get(0)).unwrap();
            assert_eq!(found, expected, "{expression}");
        }
    }
}
