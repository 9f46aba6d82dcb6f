//! Numbers and texts as JSON, in the one form that is stored and answered.
//!
//! Numbers are doubles: integers stand without a fraction, others in their shortest form. Written straight into bytes,
//! because list answers and event frames consist of little else.

use std::io::Write;

use headwater_actors::Value;
use serde_json::Value as Json;

/// The largest integer up to which every integer is a double.
const MAX_SAFE: f64 = 9_007_199_254_740_992.0;

/// A double as a JSON number: an integer without a fraction. JSON has no infinities; they become `null`.
pub fn number(number: f64) -> Json {
    match as_integer(number) {
        Some(integer) => Json::from(integer),
        None => Json::from(number),
    }
}

/// The integer that a double stands for, if it is one that JSON readers agree on.
fn as_integer(number: f64) -> Option<i64> {
    (number.fract() == 0.0 && number.abs() <= MAX_SAFE).then_some(number as i64)
}

/// Writes a double as [`number`] has it; very large and very small ones with an exponent.
pub fn write_number(number: f64, out: &mut Vec<u8>) {
    let written = if let Some(integer) = as_integer(number) {
        write!(out, "{integer}")
    } else if !number.is_finite() {
        out.write_all(b"null")
    } else if number.abs() >= 1e21 {
        // "1e21" is JSON too, but files hold the sign, and texts are compared.
        write!(out, "{}", format!("{number:e}").replace('e', "e+"))
    } else if number.abs() < 1e-6 {
        write!(out, "{number:e}")
    } else {
        write!(out, "{number}")
    };
    debug_assert!(written.is_ok(), "a Vec takes any bytes");
}

/// Writes a text in quotes. Characters that matter in HTML are escaped, so that JSON can stand in a page.
pub fn write_text(text: &str, out: &mut Vec<u8>) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut start = 0;
    for (index, byte) in bytes.iter().enumerate() {
        // Nearly all are plain.
        if !SPECIAL[usize::from(*byte)] {
            continue;
        }
        let escape: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            b'<' => b"\\u003c",
            b'>' => b"\\u003e",
            b'&' => b"\\u0026",
            0x08 => b"\\b",
            0x0c => b"\\f",
            0x00..0x20 => &[b'\\', b'u', b'0', b'0', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]],
            // U+2028 and U+2029 end a line in older JavaScript.
            0xe2 if bytes.get(index + 1) == Some(&0x80) && matches!(bytes.get(index + 2), Some(0xa8 | 0xa9)) => {
                out.extend_from_slice(&bytes[start..index]);
                out.extend_from_slice(if bytes[index + 2] == 0xa8 { b"\\u2028" } else { b"\\u2029" });
                start = index + 3;
                continue;
            }
            _ => continue,
        };
        out.extend_from_slice(&bytes[start..index]);
        out.extend_from_slice(escape);
        start = index + 1;
    }
    out.extend_from_slice(&bytes[start..]);
    out.push(b'"');
}

/// Bytes that [`write_text`] does not simply copy.
static SPECIAL: [bool; 256] = {
    let mut special = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        special[byte] = byte < 0x20 || matches!(byte as u8, b'"' | b'\\' | b'<' | b'>' | b'&' | 0xe2);
        byte += 1;
    }
    special
};

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Writes a document in the stored form: minified, keys in alphabetical order, numbers as doubles.
pub fn write(json: &Json, out: &mut Vec<u8>) {
    match json {
        Json::Null => out.extend_from_slice(b"null"),
        Json::Bool(true) => out.extend_from_slice(b"true"),
        Json::Bool(false) => out.extend_from_slice(b"false"),
        Json::Number(number) => write_number(number.as_f64().unwrap_or_default(), out),
        Json::String(text) => write_text(text, out),
        Json::Array(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write(item, out);
            }
            out.push(b']');
        }
        Json::Object(members) => {
            out.push(b'{');
            for (index, (key, value)) in members.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_text(key, out);
                out.push(b':');
                write(value, out);
            }
            out.push(b'}');
        }
    }
}

/// A document in the stored form, as text.
pub fn text(json: &Json) -> String {
    let mut out = Vec::new();
    write(json, &mut out);
    into_text(out)
}

/// What was written by this module, as text.
pub(crate) fn into_text(written: Vec<u8>) -> String {
    // Only whole texts and ASCII are ever written, so nothing is lost here.
    String::from_utf8(written).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// What SQLite makes of a text in a column of NUMERIC affinity (JSON, BOOLEAN and NUMERIC columns): a text that is a
/// number becomes one.
pub(crate) fn numeric_affinity(text: String) -> Value {
    let trimmed = text.trim_matches([' ', '\t', '\n', '\r', '\x0b', '\x0c']);
    if !trimmed.starts_with(|first: char| first.is_ascii_digit() || matches!(first, '+' | '-' | '.')) {
        return Value::Text(text);
    }
    if let Ok(integer) = trimmed.parse::<i64>() {
        return Value::Integer(integer);
    }
    let digits = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E');
    match trimmed.parse::<f64>() {
        Ok(number) if trimmed.bytes().all(digits) => real(number),
        _ => Value::Text(text),
    }
}

/// A double as a NUMERIC column holds it: an integer where nothing is lost by it.
pub(crate) fn real(number: f64) -> Value {
    let integer = number as i64;
    if integer as f64 == number && integer != i64::MAX && integer != i64::MIN {
        Value::Integer(integer)
    } else {
        Value::Real(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(number: f64) -> String {
        let mut out = Vec::new();
        write_number(number, &mut out);
        into_text(out)
    }

    #[test]
    fn numbers() {
        let cases = [
            (0.0, "0"),
            (-0.0, "0"),
            (5.0, "5"),
            (-1.5, "-1.5"),
            (0.1, "0.1"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (-2.5e22, "-2.5e+22"),
            (1e-6, "0.000001"),
            (1.5e-7, "1.5e-7"),
            (12345678901234567890.0, "12345678901234567000"),
            (f64::NAN, "null"),
            (f64::INFINITY, "null"),
        ];
        for (number, expected) in cases {
            assert_eq!(written(number), expected);
        }
        assert_eq!(number(5.0).to_string(), "5");
        assert_eq!(number(0.25).to_string(), "0.25");
    }

    /// SQLite keeps the two ends of its integers as doubles.
    #[test]
    fn doubles_become_integers_where_nothing_is_lost() {
        let (end, inner) = (9_223_372_036_854_775_808.0, 9_223_372_036_854_774_784.0);
        for (number, stored) in [
            (inner, Value::Integer(inner as i64)),
            (-inner, Value::Integer(-inner as i64)),
            (end, Value::Real(end)),
            (-end, Value::Real(-end)),
            (0.5, Value::Real(0.5)),
            (-0.0, Value::Integer(0)),
        ] {
            assert_eq!(real(number), stored, "{number}");
            assert_eq!(kept(&number), stored, "{number}");
        }
    }

    fn kept(value: &dyn rusqlite::ToSql) -> Value {
        let db = rusqlite::Connection::open_in_memory().unwrap();
        db.execute_batch("CREATE TABLE t (v JSON)").unwrap();
        db.execute("INSERT INTO t VALUES (?)", [value]).unwrap();
        db.query_row("SELECT v FROM t", [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn texts() {
        let mut out = Vec::new();
        write_text("a\"\\\n\u{1}<é&>\u{2028}\u{2029}\u{2030}z", &mut out);
        assert_eq!(into_text(out), r#""a\"\\\n\u0001\u003cé\u0026\u003e\u2028\u2029‰z""#);
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_reads_back(text in ".*", number in proptest::num::f64::NORMAL) {
            let document = serde_json::json!({ "text": text, "number": super::number(number), "list": [text, null] });
            let back: Json = serde_json::from_str(&super::text(&document)).unwrap();
            proptest::prop_assert_eq!(back["number"].as_f64(), document["number"].as_f64());
            proptest::prop_assert_eq!(&back["text"], &document["text"]);
            proptest::prop_assert_eq!(&back["list"], &document["list"]);
        }

        /// SQLite is the judge of what its columns hold.
        #[test]
        fn affinity_is_that_of_sqlite(text in r#"[ \t]?[-+]?[0-9]{0,20}(\.[0-9]{0,4})?([eE][-+]?[0-9]{1,2})?[ ]?"#, number: f64) {
            match (kept(&text), numeric_affinity(text.clone())) {
                // The last digit of a double may differ: SQLite rounds by its own arithmetic.
                (Value::Real(a), Value::Real(b)) => proptest::prop_assert!((a - b).abs() <= a.abs() * 1e-15),
                (a, b) => proptest::prop_assert_eq!(a, b, "{:?}", text),
            }
            if number.is_finite() {
                proptest::prop_assert_eq!(kept(&number), real(number));
            }
        }
    }
}
