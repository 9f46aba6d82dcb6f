//! SQL functions that queries need and the SQLite build lacks, registered on each connection.

use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Result};

/// The name of [`distance`] in SQL.
pub(super) const GEO_DISTANCE: &str = "geo_distance";

/// Kilometres.
const EARTH_RADIUS: f64 = 6371.0;

/// Registers `geo_distance`, and SQLite's own math functions, which views of existing directories may use.
pub fn register_functions(conn: &Connection) -> Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_INNOCUOUS;
    conn.create_scalar_function(GEO_DISTANCE, 4, flags, |call| {
        let [lon_a, lat_a, lon_b, lat_b] = [number(call, 0), number(call, 1), number(call, 2), number(call, 3)];
        let points = (|| Some((lon_a?, lat_a?, lon_b?, lat_b?)))();
        Ok(points.map(|(lon_a, lat_a, lon_b, lat_b)| distance(lon_a, lat_a, lon_b, lat_b)))
    })?;
    conn.create_scalar_function("pi", 0, flags, |_| Ok(std::f64::consts::PI))?;
    let unary: [(&str, fn(f64) -> f64); 21] = [
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
        ("ln", f64::ln),
        ("log", f64::log10),
        ("log10", f64::log10),
        ("log2", f64::log2),
        ("radians", f64::to_radians),
        ("sin", f64::sin),
        ("sinh", f64::sinh),
        ("sqrt", f64::sqrt),
        ("tan", f64::tan),
        ("tanh", f64::tanh),
        ("trunc", f64::trunc),
    ];
    for (name, function) in unary {
        conn.create_scalar_function(name, 1, flags, move |call| Ok(number(call, 0).map(function)))?;
    }
    // These keep integers as they are.
    let rounding: [(&str, fn(f64) -> f64); 3] = [("ceil", f64::ceil), ("ceiling", f64::ceil), ("floor", f64::floor)];
    for (name, function) in rounding {
        conn.create_scalar_function(name, 1, flags, move |call| {
            Ok(match call.get_raw(0) {
                ValueRef::Integer(number) => rusqlite::types::Value::Integer(number),
                _ => number(call, 0).map(function).into(),
            })
        })?;
    }
    let binary: [(&str, fn(f64, f64) -> f64); 5] = [
        ("atan2", f64::atan2),
        ("log", |base, x| x.ln() / base.ln()),
        ("mod", |x, y| x % y),
        ("pow", f64::powf),
        ("power", f64::powf),
    ];
    for (name, function) in binary {
        conn.create_scalar_function(name, 2, flags, move |call| {
            Ok(number(call, 0).zip(number(call, 1)).map(|(a, b)| function(a, b)))
        })?;
    }
    Ok(())
}

/// The distance of two points on a sphere, in kilometres, by the law of cosines.
fn distance(lon_a: f64, lat_a: f64, lon_b: f64, lat_b: f64) -> f64 {
    let (lat_a, lat_b) = (lat_a.to_radians(), lat_b.to_radians());
    let turn = lon_b.to_radians() - lon_a.to_radians();
    let cosine = lat_a.cos() * lat_b.cos() * turn.cos() + lat_a.sin() * lat_b.sin();
    // Rounding may carry the cosine of equal points past 1.
    EARTH_RADIUS * cosine.clamp(-1.0, 1.0).acos()
}

/// An argument as SQLite's math functions read it: a number, or a text that is one.
fn number(call: &Context<'_>, index: usize) -> Option<f64> {
    match call.get_raw(index) {
        ValueRef::Integer(number) => Some(number as f64),
        ValueRef::Real(number) => Some(number),
        ValueRef::Text(text) => std::str::from_utf8(text).ok()?.trim().parse().ok().filter(|n: &f64| n.is_finite()),
        ValueRef::Null | ValueRef::Blob(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_of_sql() {
        let conn = Connection::open_in_memory().unwrap();
        register_functions(&conn).unwrap();
        let cases = [
            ("round(geo_distance(23.32, 42.69, 13.40, 52.52))", Some(1319.0)),
            ("geo_distance(13.123456, 52.654321, 13.123456, 52.654321)", Some(0.0)),
            ("geo_distance('1', 2, 1, '2')", Some(0.0)),
            ("geo_distance('x', 2, 1, 2)", None),
            ("geo_distance(NULL, 2, 1, 2)", None),
            ("acos(2)", None),
            ("pow(2, 10)", Some(1024.0)),
            ("log(2, 8)", Some(3.0)),
            ("floor(-1.5) + ceil(2)", Some(0.0)),
            ("round(degrees(pi()))", Some(180.0)),
        ];
        for (expression, expected) in cases {
            let sql = format!("SELECT CAST({expression} AS REAL)");
            let found: Option<f64> = conn.query_row(&sql, [], |row| row.get(0)).unwrap();
            assert_eq!(found, expected, "{expression}");
        }
    }
}
