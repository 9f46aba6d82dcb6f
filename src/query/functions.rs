//! The SQL function behind `geoDistance`, and what else is registered on each connection.

use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Result};

use super::like;

/// The name of [`distance`] in SQL.
pub(super) const GEO_DISTANCE: &str = "geo_distance";

/// Kilometres.
const EARTH_RADIUS: f64 = 6371.0;

/// Registers what queries call.
pub fn register_functions(conn: &Connection) -> Result<()> {
    like::register(conn)?;
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_INNOCUOUS;
    conn.create_scalar_function(GEO_DISTANCE, 4, flags, |call| {
        let [lon_a, lat_a, lon_b, lat_b] = [number(call, 0), number(call, 1), number(call, 2), number(call, 3)];
        let points = (|| Some((lon_a?, lat_a?, lon_b?, lat_b?)))();
        Ok(points.map(|(lon_a, lat_a, lon_b, lat_b)| distance(lon_a, lat_a, lon_b, lat_b)))
    })
}

/// The distance of two points on a sphere, in kilometres, by the law of cosines.
fn distance(lon_a: f64, lat_a: f64, lon_b: f64, lat_b: f64) -> f64 {
    let (lat_a, lat_b) = (lat_a.to_radians(), lat_b.to_radians());
    let turn = lon_b.to_radians() - lon_a.to_radians();
    let cosine = lat_a.cos() * lat_b.cos() * turn.cos() + lat_a.sin() * lat_b.sin();
    // Rounding may carry the cosine of equal points past 1.
    EARTH_RADIUS * cosine.clamp(-1.0, 1.0).acos()
}

/// An argument as SQLite's own math functions read it: a number, or a text that is one.
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
        ];
        for (expression, expected) in cases {
            let sql = format!("SELECT CAST({expression} AS REAL)");
            let found: Option<f64> = conn.query_row(&sql, [], |row| row.get(0)).unwrap();
            assert_eq!(found, expected, "{expression}");
        }
    }
}
