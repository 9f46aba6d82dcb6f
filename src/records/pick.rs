//! The `fields` parameter: which keys of an answer the client wants (records.md §12).
//!
//! Works on any JSON, so that every endpoint can apply it to what it is about to answer.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::excerpt::Excerpt;

/// Names of a path that are told apart: JSON nests no deeper where it is parsed.
const LEVELS: usize = 128;

/// A parsed `fields` parameter.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fields(Level);

/// What is wanted of an object: of each key everything, or some of it.
#[derive(Clone, Debug, Default, PartialEq)]
struct Level(BTreeMap<String, Wanted>);

#[derive(Clone, Debug, Default, PartialEq)]
struct Wanted {
    /// The key was named itself: its whole value is kept, after the modifier if it has one.
    whole: Option<Option<Excerpt>>,
    inner: Level,
}

/// An unknown modifier, or one with wrong arguments. Clients get status 200 with an empty body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the fields parameter has an unknown modifier or wrong arguments")]
pub struct InvalidModifier;

impl Fields {
    pub fn parse(text: &str) -> Result<Fields, InvalidModifier> {
        let mut fields = Fields::default();
        for part in split(text)? {
            let (path, modifier) = match part.split_once(':') {
                Some((path, modifier)) => (path.trim_end(), Some(Excerpt::parse(modifier).ok_or(InvalidModifier)?)),
                None => (part, None),
            };
            let path: Vec<&str> = path.splitn(LEVELS, '.').collect();
            fields.0.want(&path, modifier);
        }
        Ok(fields)
    }

    /// True if nothing was named: everything is wanted.
    pub fn is_empty(&self) -> bool {
        self.0.0.is_empty()
    }

    /// Keeps what is wanted of an object, or of each object of an array.
    pub fn apply(&self, json: Json) -> Json {
        self.0.apply(json)
    }

    /// As [`Fields::apply`], for an answer that is a page: only its items are concerned.
    pub fn apply_to_items(&self, mut page: Json) -> Json {
        if let Some(items) = page.get_mut("items") {
            *items = self.apply(items.take());
        }
        page
    }
}

impl Level {
    fn want(&mut self, path: &[&str], modifier: Option<Excerpt>) {
        let Some((key, rest)) = path.split_first() else { return };
        let wanted = self.0.entry((*key).to_owned()).or_default();
        match rest {
            [] => wanted.whole = Some(modifier),
            rest => wanted.inner.want(rest, modifier),
        }
    }

    fn apply(&self, json: Json) -> Json {
        match json {
            Json::Object(object) if !self.0.is_empty() => {
                let kept = object.into_iter().filter_map(|(key, value)| {
                    let wanted = self.0.get(&key).or_else(|| self.0.get("*").filter(|all| all.whole.is_some()))?;
                    let value = match &wanted.whole {
                        Some(Some(excerpt)) => excerpt.apply(value),
                        Some(None) => value,
                        None => wanted.inner.apply(value),
                    };
                    Some((key, value))
                });
                Json::Object(kept.collect())
            }
            Json::Array(items) if items.first().is_some_and(Json::is_object) => {
                Json::Array(items.into_iter().map(|item| self.apply(item)).collect())
            }
            other => other,
        }
    }
}

/// The parts between commas that stand outside parentheses, without blanks and empty ones.
fn split(text: &str) -> Result<Vec<&str>, InvalidModifier> {
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0_usize, 0);
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            b'(' => depth += 1,
            b')' => depth = depth.checked_sub(1).ok_or(InvalidModifier)?,
            b',' if depth == 0 => {
                parts.push(text[start..index].trim());
                start = index + 1;
            }
            _ => {}
        }
    }
    if depth > 0 {
        return Err(InvalidModifier);
    }
    parts.push(text[start..].trim());
    parts.retain(|part| !part.is_empty());
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pick(fields: &str, from: Json) -> Json {
        Fields::parse(fields).unwrap().apply(from)
    }

    #[test]
    fn keys_paths_and_the_star() {
        let record = json!({"a": 1, "b": {"c": 2, "d": [{"e": 3, "f": 4}]}, "g": null});
        let cases = [
            ("", record.clone()),
            (" , ", record.clone()),
            ("a", json!({"a": 1})),
            ("a , g", json!({"a": 1, "g": null})),
            ("none", json!({})),
            ("b", json!({"b": {"c": 2, "d": [{"e": 3, "f": 4}]}})),
            ("b.c", json!({"b": {"c": 2}})),
            ("b,b.c", json!({"b": {"c": 2, "d": [{"e": 3, "f": 4}]}})),
            ("b.d.e", json!({"b": {"d": [{"e": 3}]}})),
            ("*,b.c", json!({"a": 1, "b": {"c": 2}, "g": null})),
            ("b.*", json!({"b": {"c": 2, "d": [{"e": 3, "f": 4}]}})),
            ("b.*,b.d.f", json!({"b": {"c": 2, "d": [{"f": 4}]}})),
            ("a.x", json!({"a": 1})),
        ];
        for (fields, expected) in cases {
            assert_eq!(pick(fields, record.clone()), expected, "{fields}");
        }
        assert_eq!(pick("a", json!([record.clone(), record])), json!([{"a": 1}, {"a": 1}]));
    }

    #[test]
    fn a_path_may_be_as_long_as_it_likes() {
        let record = json!({"a": {"b": 1}});
        assert_eq!(pick(&"a.".repeat(100_000), record.clone()), json!({"a": {}}));
        assert_eq!(pick(&".".repeat(100_000), record), json!({}));
    }

    #[test]
    fn a_page_keeps_its_own_keys() {
        let page = json!({"items": [{"id": "x", "t": 1}], "page": 1});
        let apply = |fields: &str| Fields::parse(fields).unwrap().apply_to_items(page.clone());
        assert_eq!(apply("id"), json!({"items": [{"id": "x"}], "page": 1}));
        assert_eq!(apply("items.id"), json!({"items": [{}], "page": 1}));
    }

    #[test]
    fn excerpts_and_modifiers_that_are_refused() {
        let record = json!({"body": "<p>Hi <b>there</b></p>", "n": 5});
        assert_eq!(pick("body:excerpt(5,true),n:excerpt(1)", record), json!({"body": "Hi th...", "n": 5}));
        for wrong in [
            "a:",
            "a:other",
            "a:excerpt",
            "a:excerpt()",
            "a:excerpt(x)",
            "a:excerpt(0)",
            "a:excerpt(1,true,2)",
            "a:excerpt(1",
            "a)",
        ] {
            assert_eq!(Fields::parse(wrong), Err(InvalidModifier), "{wrong}");
        }
    }
}
