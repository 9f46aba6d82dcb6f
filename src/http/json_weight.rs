//! How many values a JSON text holds, counted without keeping any: a value costs many times its two bytes on the wire,
//! so the length of a body alone does not bound what parsing it takes.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// How much of `limit` the first JSON value of the text leaves, itself and keys included; an error if it holds more.
pub(super) fn within(text: &[u8], limit: usize) -> Result<usize, serde_json::Error> {
    let mut left = limit;
    Count(&mut left).deserialize(&mut serde_json::Deserializer::from_slice(text))?;
    Ok(left)
}

/// Takes every value off what is left.
struct Count<'a>(&'a mut usize);

impl Count<'_> {
    fn one<E: Error>(&mut self) -> Result<(), E> {
        *self.0 = self.0.checked_sub(1).ok_or_else(|| E::custom("too many values"))?;
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Count<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Count<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E: Error>(mut self, _: bool) -> Result<(), E> {
        self.one()
    }

    fn visit_i64<E: Error>(mut self, _: i64) -> Result<(), E> {
        self.one()
    }

    fn visit_u64<E: Error>(mut self, _: u64) -> Result<(), E> {
        self.one()
    }

    fn visit_f64<E: Error>(mut self, _: f64) -> Result<(), E> {
        self.one()
    }

    fn visit_str<E: Error>(mut self, _: &str) -> Result<(), E> {
        self.one()
    }

    fn visit_unit<E: Error>(mut self) -> Result<(), E> {
        self.one()
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        self.one()?;
        while items.next_element_seed(Count(self.0))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut entries: A) -> Result<(), A::Error> {
        self.one()?;
        while entries.next_key_seed(Count(self.0))?.is_some() {
            entries.next_value_seed(Count(self.0))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::within;

    #[test]
    fn values_are_counted() {
        let cases = [("1", 1), ("[]", 1), ("[1,\"a,b\",null]", 4), ("{\"a\":{\"b\":[true]}}", 6), ("1.5 trailing", 1)];
        for (text, count) in cases {
            assert_eq!(within(text.as_bytes(), count + 2).ok(), Some(2), "{text}");
            assert!(within(text.as_bytes(), count).is_ok(), "{text}");
            assert!(within(text.as_bytes(), count - 1).is_err(), "{text}");
        }
        assert!(within(b"[1", 10).is_err());
    }
}
