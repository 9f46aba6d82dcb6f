//! Text to tokens. Called by the parser alone; it knows characters and quotes, not what a name means.

use std::borrow::Cow;

use super::QueryError;
use super::tree::{Op, Sign};

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token<'a> {
    /// A field path, macro, `null` and the like.
    Name(&'a str),
    /// A name with `(` directly behind it; the parenthesis is consumed.
    Call(&'a str),
    Number(f64),
    /// A quoted text without its quotes, escapes resolved.
    Text(Cow<'a, str>),
    Sign(Sign),
    And,
    Or,
    Open,
    Close,
    Comma,
}

pub(super) struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Lexer<'a> {
        Lexer { text, at: 0 }
    }

    /// The next token; none at the end of the text.
    pub(super) fn next(&mut self) -> Result<Option<Token<'a>>, QueryError> {
        self.skip_blanks()?;
        let Some(&first) = self.text.as_bytes().get(self.at) else { return Ok(None) };
        let token = match first {
            b'(' => self.single(Token::Open),
            b')' => self.single(Token::Close),
            b',' => self.single(Token::Comma),
            b'\'' | b'"' => self.quoted(first)?,
            b'-' | b'.' | b'0'..=b'9' => self.number()?,
            b'=' | b'!' | b'>' | b'<' | b'~' | b'?' => self.sign()?,
            b'&' | b'|' => self.join()?,
            b'@' | b'#' | b'_' => self.name()?,
            letter if letter.is_ascii_alphabetic() => self.name()?,
            _ => {
                let unexpected = self.text[self.at..].chars().next().unwrap_or_default();
                return Err(invalid(format!("unexpected character {unexpected:?}")));
            }
        };
        Ok(Some(token))
    }

    /// Blanks, tabs, newlines and `// comments`. A carriage return is not space.
    fn skip_blanks(&mut self) -> Result<(), QueryError> {
        loop {
            self.take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n'));
            let rest = &self.text.as_bytes()[self.at..];
            match rest {
                [b'/', b'/', ..] => {
                    self.at += rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
                }
                [b'/', ..] => return Err(invalid("invalid comment")),
                _ => return Ok(()),
            }
        }
    }

    fn single(&mut self, token: Token<'a>) -> Token<'a> {
        self.at += 1;
        token
    }

    /// Consumes the bytes that `belongs` accepts. They are ASCII, so the slice ends on a character boundary.
    fn take_while(&mut self, belongs: impl Fn(u8) -> bool) -> &'a str {
        let start = self.at;
        let rest = &self.text.as_bytes()[start..];
        self.at += rest.iter().position(|byte| !belongs(*byte)).unwrap_or(rest.len());
        &self.text[start..self.at]
    }

    fn name(&mut self) -> Result<Token<'a>, QueryError> {
        let start = self.at;
        self.at += 1;
        self.take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b':'));
        let name = &self.text[start..self.at];
        if matches!(name, "@" | "_" | "#") || name.ends_with(['.', ':']) {
            return Err(invalid(format!("invalid identifier {name:?}")));
        }
        if self.text.as_bytes().get(self.at) == Some(&b'(') {
            self.at += 1;
            return Ok(Token::Call(name));
        }
        Ok(Token::Name(name))
    }

    /// `-12.5`: no exponent, no leading or trailing dot, no plus.
    fn number(&mut self) -> Result<Token<'a>, QueryError> {
        let start = self.at;
        if self.text.as_bytes()[start] == b'-' {
            self.at += 1;
        }
        let whole = self.take_while(|byte| byte.is_ascii_digit());
        let mut complete = !whole.is_empty();
        if self.text.as_bytes().get(self.at) == Some(&b'.') {
            self.at += 1;
            complete &= !self.take_while(|byte| byte.is_ascii_digit()).is_empty();
        }
        let text = &self.text[start..self.at];
        match text.parse::<f64>() {
            Ok(number) if complete && number.is_finite() => Ok(Token::Number(number)),
            _ => Err(invalid(format!("invalid number {text:?}"))),
        }
    }

    fn quoted(&mut self, quote: u8) -> Result<Token<'a>, QueryError> {
        let start = self.at + 1;
        let bytes = self.text.as_bytes();
        let mut end = start;
        let mut escaped = false;
        loop {
            match bytes.get(end) {
                None => return Err(invalid(format!("invalid quoted text {:?}", &self.text[self.at..]))),
                Some(byte) if *byte == quote => break,
                Some(b'\\') => {
                    escaped = true;
                    end += 2;
                }
                Some(_) => end += 1,
            }
        }
        self.at = end + 1;
        let raw = &self.text[start..end];
        Ok(Token::Text(if escaped { Cow::Owned(unescape(raw)) } else { Cow::Borrowed(raw) }))
    }

    /// Sign characters are read greedily, so that `==` is one wrong sign and not two right ones.
    fn sign(&mut self) -> Result<Token<'a>, QueryError> {
        let text = self.take_while(|byte| matches!(byte, b'=' | b'!' | b'>' | b'<' | b'~' | b'?'));
        let (any, bare) = match text.strip_prefix('?') {
            Some(bare) => (true, bare),
            None => (false, text),
        };
        let op = match bare {
            "=" => Op::Equal,
            "!=" => Op::NotEqual,
            ">" => Op::Greater,
            ">=" => Op::GreaterOrEqual,
            "<" => Op::Less,
            "<=" => Op::LessOrEqual,
            "~" => Op::Like,
            "!~" => Op::NotLike,
            _ => return Err(invalid(format!("invalid sign operator {text:?}"))),
        };
        Ok(Token::Sign(Sign { op, any }))
    }

    fn join(&mut self) -> Result<Token<'a>, QueryError> {
        match self.take_while(|byte| matches!(byte, b'&' | b'|')) {
            "&&" => Ok(Token::And),
            "||" => Ok(Token::Or),
            text => Err(invalid(format!("invalid join operator {text:?}"))),
        }
    }
}

/// Resolves `\n \t \r \\ \' \"`; any other backslash stays with the character behind it.
fn unescape(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut chars = raw.chars();
    while let Some(char) = chars.next() {
        if char != '\\' {
            out.push(char);
            continue;
        }
        match chars.next() {
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some('r') => out.push('\r'),
            Some(literal @ ('\\' | '\'' | '"')) => out.push(literal),
            other => {
                out.push('\\');
                out.extend(other);
            }
        }
    }
    out
}

fn invalid(message: impl Into<String>) -> QueryError {
    QueryError::Invalid(message.into())
}
