//! Validation errors: the tree that clients see under `data`.
//!
//! Every layer that checks input reports in this form, so that errors found in different places (a field, a nested
//! option, an item of a list) can be merged and answered together. The HTTP layer turns the tree into JSON in one place.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

/// One thing that is wrong with one value.
#[derive(Clone, Debug, PartialEq)]
pub struct Invalid {
    /// The code that clients compare, e.g. `validation_required`.
    pub code: &'static str,
    /// A sentence for people. Capital letter and final period are added when it is answered.
    pub message: String,
    /// The figures of the message, e.g. `{"min": 15}`; empty for most codes.
    pub params: Map<String, Json>,
}

impl Invalid {
    pub fn new(code: &'static str, message: impl Into<String>) -> Invalid {
        Invalid { code, message: message.into(), params: Map::new() }
    }

    pub fn with(mut self, name: &str, value: impl Into<Json>) -> Invalid {
        self.params.insert(name.to_owned(), value.into());
        self
    }

    /// `validation_required`: "Cannot be blank."
    pub fn required() -> Invalid {
        Invalid::new("validation_required", "Cannot be blank.")
    }

    /// `validation_invalid_value`: "Invalid value."
    pub fn value() -> Invalid {
        Invalid::new("validation_invalid_value", "Invalid value.")
    }
}

/// A tree of errors by key; lists use their index as the key.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Errors(BTreeMap<String, Node>);

#[derive(Clone, Debug, PartialEq)]
enum Node {
    Leaf(Invalid),
    Tree(Errors),
}

impl Errors {
    pub fn new() -> Errors {
        Errors::default()
    }

    /// A tree with a single error.
    pub fn one(key: impl Into<String>, invalid: Invalid) -> Errors {
        let mut errors = Errors::new();
        errors.add(key, invalid);
        errors
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn contains(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// Notes an error. The first error of a key stands.
    pub fn add(&mut self, key: impl Into<String>, invalid: Invalid) {
        self.0.entry(key.into()).or_insert(Node::Leaf(invalid));
    }

    /// Notes the error of a check, if it found one.
    pub fn check(&mut self, key: impl Into<String>, result: Result<(), Invalid>) {
        if let Err(invalid) = result {
            self.add(key, invalid);
        }
    }

    /// Puts a whole tree under a key; an empty one leaves no trace.
    pub fn nest(&mut self, key: impl Into<String>, errors: Errors) {
        if errors.is_empty() {
            return;
        }
        match self.0.entry(key.into()).or_insert_with(|| Node::Tree(Errors::new())) {
            Node::Leaf(_) => {}
            Node::Tree(tree) => tree.merge(errors),
        }
    }

    /// Takes over the errors of another tree; those already noted stand.
    pub fn merge(&mut self, other: Errors) {
        for (key, node) in other.0 {
            match node {
                Node::Leaf(invalid) => self.add(key, invalid),
                Node::Tree(errors) => self.nest(key, errors),
            }
        }
    }

    /// `Ok` if nothing was noted.
    pub fn into_result(self) -> Result<(), Errors> {
        if self.is_empty() { Ok(()) } else { Err(self) }
    }

    /// The messages alone, as JSON: for a text that names them.
    pub fn to_texts(&self) -> Json {
        let text = |node: &Node| match node {
            Node::Tree(errors) => errors.to_texts(),
            Node::Leaf(invalid) => Json::String(invalid.message.clone()),
        };
        Json::Object(self.0.iter().map(|(key, node)| (key.clone(), text(node))).collect())
    }

    /// The JSON under `data`.
    pub fn to_json(&self) -> Json {
        let object = self.0.iter().map(|(key, node)| {
            let value = match node {
                Node::Tree(errors) => errors.to_json(),
                Node::Leaf(invalid) => {
                    let mut leaf = json!({ "code": invalid.code, "message": sentence(&invalid.message) });
                    if !invalid.params.is_empty() {
                        leaf["params"] = Json::Object(invalid.params.clone());
                    }
                    leaf
                }
            };
            (key.clone(), value)
        });
        Json::Object(object.collect())
    }
}

/// `key: message; list: (0: message.).`
impl std::fmt::Display for Errors {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (position, (key, node)) in self.0.iter().enumerate() {
            let between = if position > 0 { "; " } else { "" };
            match node {
                Node::Leaf(invalid) => write!(out, "{between}{key}: {}", invalid.message)?,
                Node::Tree(errors) => write!(out, "{between}{key}: ({errors})")?,
            }
        }
        if self.0.is_empty() { Ok(()) } else { out.write_str(".") }
    }
}

/// A text as a sentence: first letter in upper case, a final period unless it ends in `.`, `?` or `!`.
pub fn sentence(text: &str) -> String {
    let text = text.trim();
    let mut out = String::with_capacity(text.len() + 1);
    let mut chars = text.chars();
    if let Some(first) = chars.next() {
        out.extend(first.to_uppercase());
        out.push_str(chars.as_str());
        if !out.ends_with(['.', '?', '!']) {
            out.push('.');
        }
    }
    out
}
