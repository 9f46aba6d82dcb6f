//! Values that are known before a query runs: literals, macros, and what the request itself carries.

use headwater_actors::Value;
use serde_json::Value as Json;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Literal {
    Null,
    Bool(bool),
    Integer(i64),
    Number(f64),
    Text(String),
}

impl Literal {
    /// A value of a request. Lists and objects stand for their JSON text.
    pub(super) fn from_json(json: &Json) -> Literal {
        match json {
            Json::Null => Literal::Null,
            Json::Bool(value) => Literal::Bool(*value),
            Json::Number(number) => number.as_f64().map_or(Literal::Null, Literal::Number),
            Json::String(text) => Literal::Text(text.clone()),
            Json::Array(_) | Json::Object(_) => Literal::Text(json.to_string()),
        }
    }

    pub(super) fn from_value(value: &Value) -> Literal {
        match value {
            Value::Null | Value::Blob(_) => Literal::Null,
            Value::Integer(number) => Literal::Integer(*number),
            Value::Real(number) => Literal::Number(*number),
            Value::Text(text) => Literal::Text(text.clone()),
        }
    }

    /// NULL and the empty text, which equality does not tell apart.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Literal::Null => true,
            Literal::Text(text) => text.is_empty(),
            _ => false,
        }
    }

    pub(super) fn to_value(&self) -> Value {
        match self {
            Literal::Null => Value::Null,
            Literal::Bool(value) => Value::Integer((*value).into()),
            Literal::Integer(number) => Value::Integer(*number),
            Literal::Number(number) => Value::Real(*number),
            Literal::Text(text) => Value::Text(text.clone()),
        }
    }

    pub(super) fn to_text(&self) -> String {
        match self {
            Literal::Null => String::new(),
            Literal::Bool(value) => value.to_string(),
            Literal::Integer(number) => number.to_string(),
            Literal::Number(number) => number.to_string(),
            Literal::Text(text) => text.clone(),
        }
    }

    /// The value as a pattern of LIKE with `\` as escape: as it is if it has a `%` that is not escaped, else a search for
    /// the text anywhere.
    pub(super) fn to_pattern(&self) -> String {
        let text = self.to_text();
        if has_wildcard(&text) { text } else { format!("%{}%", escaped(&text)) }
    }
}

fn has_wildcard(text: &str) -> bool {
    let mut after_escape = false;
    for char in text.chars() {
        match char {
            '%' if !after_escape => return true,
            '\\' => after_escape = !after_escape,
            _ => after_escape = false,
        }
    }
    false
}

/// Puts an escape before each special character that has none yet. Read from the end, because there it shows whether a
/// backslash escapes or is meant itself.
fn escaped(text: &str) -> String {
    let mut reversed = Vec::with_capacity(text.len());
    let mut chars = text.chars().rev().peekable();
    while let Some(char) = chars.next() {
        reversed.push(char);
        if matches!(char, '%' | '_' | '\\') {
            chars.next_if_eq(&'\\');
            reversed.push('\\');
        }
    }
    reversed.into_iter().rev().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let cases = [
            ("", "%%"),
            ("abc", "%abc%"),
            ("a_b", r"%a\_b%"),
            (r"a\_b", r"%a\_b%"),
            (r"a\b", r"%a\\b%"),
            (r"a\\b", r"%a\\b%"),
            (r"a\\\b", r"%a\\\\b%"),
            (r"100\%", r"%100\%%"),
            ("a%", "a%"),
            ("%a_", "%a_"),
            (r"\\%", r"\\%"),
            (r"é_", r"%é\_%"),
        ];
        for (text, pattern) in cases {
            assert_eq!(Literal::Text(text.to_owned()).to_pattern(), pattern, "{text}");
        }
        assert_eq!(Literal::Number(2.0).to_pattern(), "%2%");
        assert_eq!(Literal::Number(-2.5).to_pattern(), "%-2.5%");
        assert_eq!(Literal::Bool(true).to_pattern(), "%true%");
    }
}
