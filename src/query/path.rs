//! Identifiers of the language, taken apart but not yet looked up: where a path starts, its parts, its modifier.
//!
//! Only the shape is checked here (query-language §4); whether such a field exists is asked when the path is resolved
//! against a schema.

use std::fmt;

/// A dotted identifier.
#[derive(Clone, Debug, PartialEq)]
pub struct Path {
    pub root: Root,
    /// The parts behind the root, without the modifier. Empty for `@request.method` and `@request.context` only.
    pub parts: Vec<Box<str>>,
    pub modifier: Option<Modifier>,
}

/// Where a path starts.
#[derive(Clone, Debug, PartialEq)]
pub enum Root {
    /// The record in question: a field of the collection being queried.
    Record,
    /// `@request.auth.`: who asks.
    Auth,
    /// `@request.body.`: what was sent.
    Body,
    /// `@request.query.`
    Query,
    /// `@request.headers.`
    Headers,
    /// `@request.method`
    Method,
    /// `@request.context`
    Context,
    /// `@collection.NAME[:alias].`: any record of another collection.
    Cross { name: Box<str>, alias: Option<Box<str>> },
}

/// What follows the colon of the last part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Modifier {
    Length,
    Each,
    Lower,
    IsSet,
    Changed,
}

const MODIFIERS: [(&str, Modifier); 5] = [
    ("length", Modifier::Length),
    ("each", Modifier::Each),
    ("lower", Modifier::Lower),
    ("isset", Modifier::IsSet),
    ("changed", Modifier::Changed),
];

impl Modifier {
    pub fn as_str(self) -> &'static str {
        MODIFIERS.iter().find(|(_, modifier)| *modifier == self).map_or("", |(name, _)| name)
    }
}

impl Path {
    /// Takes an identifier apart. `Err` says what is wrong with it.
    pub fn parse(text: &str) -> Result<Path, String> {
        let unknown = || format!("failed to resolve field {text:?}");
        let (root, rest) = match text.strip_prefix('@') {
            None => (Root::Record, text),
            Some("request.method") => return Ok(Path { root: Root::Method, parts: Vec::new(), modifier: None }),
            Some("request.context") => return Ok(Path { root: Root::Context, parts: Vec::new(), modifier: None }),
            Some(special) => {
                let (space, rest) = special.split_once('.').ok_or_else(unknown)?;
                let (name, rest) = rest.split_once('.').ok_or_else(unknown)?;
                let root = match (space, name) {
                    ("request", "auth") => Root::Auth,
                    ("request", "body") => Root::Body,
                    ("request", "query") => Root::Query,
                    ("request", "headers") => Root::Headers,
                    ("collection", name) => collection(name).ok_or_else(unknown)?,
                    _ => return Err(unknown()),
                };
                (root, rest)
            }
        };
        let (rest, modifier) = split_modifier(rest)?;
        let parts: Vec<Box<str>> = rest.split('.').map(Into::into).collect();
        if !parts.iter().all(|part| is_word(part)) {
            return Err(unknown());
        }
        Ok(Path { root, parts, modifier })
    }

    /// The word if the path is a single field name without anything else.
    pub fn as_word(&self) -> Option<&str> {
        match (&self.root, &*self.parts, self.modifier) {
            (Root::Record, [word], None) => Some(word),
            _ => None,
        }
    }
}

/// `NAME` or `NAME:alias`.
fn collection(text: &str) -> Option<Root> {
    let (name, alias) = match text.split_once(':') {
        None => (text, None),
        Some((name, alias)) => (name, Some(alias)),
    };
    let words = is_word(name) && alias.is_none_or(is_word);
    words.then(|| Root::Cross { name: name.into(), alias: alias.map(Into::into) })
}

fn split_modifier(text: &str) -> Result<(&str, Option<Modifier>), String> {
    let last = text.rfind('.').map_or(0, |dot| dot + 1);
    let Some(colon) = text[last..].find(':').map(|colon| last + colon) else { return Ok((text, None)) };
    let name = &text[colon + 1..];
    let known = MODIFIERS.iter().find(|(modifier, _)| *modifier == name);
    let (_, modifier) = known.ok_or_else(|| format!("unknown modifier in {:?}", &text[last..]))?;
    Ok((&text[..colon], Some(*modifier)))
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

impl fmt::Display for Path {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.root {
            Root::Record => {}
            Root::Auth => out.write_str("@request.auth.")?,
            Root::Body => out.write_str("@request.body.")?,
            Root::Query => out.write_str("@request.query.")?,
            Root::Headers => out.write_str("@request.headers.")?,
            Root::Method => out.write_str("@request.method")?,
            Root::Context => out.write_str("@request.context")?,
            Root::Cross { name, alias: None } => write!(out, "@collection.{name}.")?,
            Root::Cross { name, alias: Some(alias) } => write!(out, "@collection.{name}:{alias}.")?,
        }
        out.write_str(&self.parts.join("."))?;
        match self.modifier {
            Some(modifier) => write!(out, ":{}", modifier.as_str()),
            None => Ok(()),
        }
    }
}
