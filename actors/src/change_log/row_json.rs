//! A row as the change log keeps it: a JSON object of its columns, in their order.

use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

use crate::{Row, Value};

/// What stands for a secret text. Whether there is one is no secret: rules may ask for it.
const MASK: &str = "***";

/// Texts, numbers and nulls keep their type; blobs do not occur in record tables.
pub(super) fn encode(row: &Row, is_secret: impl Fn(&str) -> bool) -> String {
    let mut out = Vec::with_capacity(64 + row.values.len() * 24);
    out.push(b'{');
    for (index, (column, value)) in row.columns.iter().zip(row.values.iter()).enumerate() {
        if index > 0 {
            out.push(b',');
        }
        // Writing into a Vec cannot fail, and neither texts nor numbers can fail to serialise.
        let _ = serde_json::to_writer(&mut out, &**column);
        out.push(b':');
        let _ = match value {
            Value::Null | Value::Blob(_) => serde_json::to_writer(&mut out, &()),
            Value::Integer(number) => serde_json::to_writer(&mut out, number),
            Value::Real(number) => serde_json::to_writer(&mut out, number),
            Value::Text(text) if !text.is_empty() && is_secret(column) => serde_json::to_writer(&mut out, MASK),
            Value::Text(text) => serde_json::to_writer(&mut out, text),
        };
    }
    out.push(b'}');
    String::from_utf8(out).unwrap_or_default()
}

/// The inverse of [`encode`], but for secrets. Rows with the columns of the one decoded before share them with it.
pub(super) fn decode(text: &str, columns: &mut Arc<[Arc<str>]>) -> Result<Row, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let Decoded { names, values } = deserializer.deserialize_map(Columns(columns))?;
    deserializer.end()?;
    if let Some(names) = names {
        *columns = names.into();
    }
    Ok(Row { columns: columns.clone(), values: values.into() })
}

struct Decoded {
    /// None if they are the known ones.
    names: Option<Vec<Arc<str>>>,
    values: Vec<Value>,
}

/// The columns that are known.
struct Columns<'a>(&'a [Arc<str>]);

impl<'de> Visitor<'de> for Columns<'_> {
    type Value = Decoded;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object of columns")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Decoded, M::Error> {
        let mut names: Option<Vec<Arc<str>>> = None;
        let mut values = Vec::with_capacity(self.0.len());
        while let Some(Name(name)) = map.next_key()? {
            match (&mut names, self.0.get(values.len())) {
                (None, Some(known)) if **known == *name => {}
                (Some(names), _) => names.push((&*name).into()),
                // The first that differs: those before it are the known ones.
                (None, _) => {
                    let same = self.0.iter().take(values.len()).cloned();
                    names = Some(same.chain([(&*name).into()]).collect());
                }
            }
            let Stored(value) = map.next_value()?;
            values.push(value);
        }
        if names.is_none() && values.len() < self.0.len() {
            names = Some(self.0[..values.len()].to_vec());
        }
        Ok(Decoded { names, values })
    }
}

/// A column's name, borrowed from the text where it needs no unescaping.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] std::borrow::Cow<'a, str>);

/// A value as SQLite stores it.
struct Stored(Value);

impl<'de> Deserialize<'de> for Stored {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Stored, D::Error> {
        struct Scalar;

        impl Visitor<'_> for Scalar {
            type Value = Stored;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a text, a number or null")
            }

            fn visit_unit<E: Error>(self) -> Result<Stored, E> {
                Ok(Stored(Value::Null))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Stored, E> {
                Ok(Stored(Value::Integer(number)))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Stored, E> {
                Ok(Stored(i64::try_from(number).map_or(Value::Real(number as f64), Value::Integer)))
            }

            fn visit_f64<E: Error>(self, number: f64) -> Result<Stored, E> {
                Ok(Stored(Value::Real(number)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Stored, E> {
                Ok(Stored(Value::Text(text.to_owned())))
            }

            fn visit_string<E: Error>(self, text: String) -> Result<Stored, E> {
                Ok(Stored(Value::Text(text)))
            }
        }

        deserializer.deserialize_any(Scalar)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(row: &Row, columns: &mut Arc<[Arc<str>]>) -> Row {
        decode(&encode(row, |_| false), columns).unwrap()
    }

    #[test]
    fn a_row_reads_back_what_the_log_wrote() {
        let row = Row {
            columns: ["z", "a", "quote \" and \u{2028}", "d", "e"].map(Into::into).into(),
            values: [
                Value::Text("quote \" and \u{2028}".into()),
                Value::Integer(i64::MAX),
                Value::Real(0.1),
                Value::Null,
                Value::Real(1e300),
            ]
            .into(),
        };
        assert_eq!(decoded(&row, &mut [].into()), row);
    }

    #[test]
    fn secrets_are_masked_where_there_are_any() {
        let row = Row {
            columns: ["id", "key", "other"].map(Into::into).into(),
            values: [Value::Text("r1".into()), Value::Text("k".into()), Value::Text(String::new())].into(),
        };
        let encoded = encode(&row, |column| column != "id");
        assert_eq!(encoded, r#"{"id":"r1","key":"***","other":""}"#);
    }

    #[test]
    fn rows_of_the_same_columns_share_them() {
        let row = |columns: &[&str]| Row {
            columns: columns.iter().map(|name| (*name).into()).collect(),
            values: columns.iter().map(|_| Value::Integer(1)).collect(),
        };
        let mut columns = [].into();
        let first = decoded(&row(&["a", "b"]), &mut columns);
        let second = decoded(&row(&["a", "b"]), &mut columns);
        assert!(Arc::ptr_eq(&first.columns, &second.columns));
        for other in [&["a"][..], &["a", "c"], &["a", "b", "c"], &["b", "a"], &[], &["a", "b"]] {
            assert_eq!(decoded(&row(other), &mut columns), row(other), "{other:?}");
        }
    }

    #[test]
    fn what_the_log_never_wrote_is_refused() {
        for text in ["", "[]", "{\"a\":[1]}", "{\"a\":1} x", "{\"a\":true}"] {
            assert!(decode(text, &mut [].into()).is_err(), "{text}");
        }
    }
}
