//! Tokens to a tree.
//!
//! ```text
//! filter   = group { ("&&" | "||") group }           && binds tighter than ||
//! group    = "(" filter ")" | operand sign operand
//! operand  = path | macro | number | text | function
//! function = name "(" [ argument { "," argument } ] ")"
//! ```
//!
//! Depth and size are bounded here, so that neither what walks a tree nor SQLite's own parser can be driven too deep.

use super::QueryError;
use super::lexer::{Lexer, Token};
use super::macros::Macro;
use super::path::Path;
use super::tree::{Comparison, Filter, Operand, Strftime};

/// Comparisons in one text, over all nesting.
pub const MAX_COMPARISONS: usize = 200;
/// Parentheses within parentheses.
pub const MAX_DEPTH: usize = 100;
/// Arguments of `strftime`.
const MAX_STRFTIME_ARGUMENTS: usize = 10;

/// Parses the text of a filter or rule. An empty text is an error: no filter is the absence of a text.
pub fn parse(text: &str) -> Result<Filter, QueryError> {
    let mut parser = Parser { lexer: Lexer::new(text), ahead: None, comparisons: 0, depth: 0 };
    if parser.peek()?.is_none() {
        return Err(invalid("empty filter expression"));
    }
    let filter = parser.filter()?;
    match parser.next()? {
        None => Ok(filter),
        Some(token) => Err(expected("&& or ||", Some(&token))),
    }
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    ahead: Option<Token<'a>>,
    comparisons: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn peek(&mut self) -> Result<Option<&Token<'a>>, QueryError> {
        if self.ahead.is_none() {
            self.ahead = self.lexer.next()?;
        }
        Ok(self.ahead.as_ref())
    }

    fn next(&mut self) -> Result<Option<Token<'a>>, QueryError> {
        match self.ahead.take() {
            Some(token) => Ok(Some(token)),
            None => self.lexer.next(),
        }
    }

    /// Consumes the next token if it is this one.
    fn accept(&mut self, token: &Token<'_>) -> Result<bool, QueryError> {
        let found = self.peek()?.is_some_and(|ahead| ahead == token);
        if found {
            self.ahead = None;
        }
        Ok(found)
    }

    fn filter(&mut self) -> Result<Filter, QueryError> {
        let mut members = vec![self.conjunction()?];
        while self.accept(&Token::Or)? {
            members.push(self.conjunction()?);
        }
        Ok(joined(members, Filter::Any))
    }

    fn conjunction(&mut self) -> Result<Filter, QueryError> {
        let mut members = vec![self.group()?];
        while self.accept(&Token::And)? {
            members.push(self.group()?);
        }
        Ok(joined(members, Filter::All))
    }

    fn group(&mut self) -> Result<Filter, QueryError> {
        if !self.accept(&Token::Open)? {
            return self.comparison();
        }
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(invalid(format!("parentheses may nest {MAX_DEPTH} deep at most")));
        }
        let filter = self.filter()?;
        match self.next()? {
            Some(Token::Close) => {}
            other => return Err(expected("a closing parenthesis", other.as_ref())),
        }
        self.depth -= 1;
        Ok(filter)
    }

    fn comparison(&mut self) -> Result<Filter, QueryError> {
        self.comparisons += 1;
        if self.comparisons > MAX_COMPARISONS {
            return Err(invalid(format!("more than {MAX_COMPARISONS} comparisons")));
        }
        let left = self.operand("left")?;
        let sign = match self.next()? {
            Some(Token::Sign(sign)) => sign,
            other => return Err(expected("a sign operator", other.as_ref())),
        };
        let right = self.operand("right")?;
        Ok(Filter::Compare(Comparison { left, sign, right }))
    }

    fn operand(&mut self, side: &'static str) -> Result<Operand, QueryError> {
        let wrong = |name: &str, reason: String| invalid(format!("invalid {side} operand {name:?} - {reason}"));
        match self.next()? {
            Some(Token::Name(name)) => named(name).map_err(|reason| wrong(name, reason)),
            Some(Token::Number(number)) => Ok(Operand::Number(number)),
            Some(Token::Text(text)) => Ok(Operand::Text(text.into())),
            Some(Token::Call(name)) => {
                let arguments = self.arguments(name)?;
                call(name, arguments).map_err(|reason| wrong(name, reason))
            }
            other => Err(expected("an identifier, number, text or function", other.as_ref())),
        }
    }

    /// The arguments of a function, up to and with the closing parenthesis. No function takes another as an argument.
    fn arguments(&mut self, function: &str) -> Result<Vec<Operand>, QueryError> {
        let mut arguments = Vec::new();
        if self.accept(&Token::Close)? {
            return Ok(arguments);
        }
        loop {
            let argument = match self.next()? {
                Some(Token::Name(name)) => named(name).map_err(|reason| invalid(format!("{function}: {reason}")))?,
                Some(Token::Number(number)) => Operand::Number(number),
                Some(Token::Text(text)) => Operand::Text(text.into()),
                other => return Err(expected("an argument of a function", other.as_ref())),
            };
            arguments.push(argument);
            match self.next()? {
                Some(Token::Comma) => {}
                Some(Token::Close) => return Ok(arguments),
                other => return Err(expected("a comma or a closing parenthesis", other.as_ref())),
            }
        }
    }
}

fn joined(mut members: Vec<Filter>, join: fn(Vec<Filter>) -> Filter) -> Filter {
    match members.len() {
        1 => members.remove(0),
        _ => join(members),
    }
}

fn named(name: &str) -> Result<Operand, String> {
    match Macro::find(name) {
        Some(found) => Ok(Operand::Macro(found)),
        None => Path::parse(name).map(Operand::Path),
    }
}

fn call(name: &str, arguments: Vec<Operand>) -> Result<Operand, String> {
    match name {
        "geoDistance" => geo_distance(arguments),
        "strftime" => strftime(arguments),
        _ => Err(format!("unknown function {name:?}")),
    }
}

fn geo_distance(arguments: Vec<Operand>) -> Result<Operand, String> {
    if let Some(index) = arguments.iter().position(|argument| matches!(argument, Operand::Text(_))) {
        return Err(format!("[geoDistance] argument {index} must be an identifier or a number"));
    }
    match <[Operand; 4]>::try_from(arguments) {
        Ok(four) => Ok(Operand::GeoDistance(Box::new(four))),
        Err(other) => Err(format!("[geoDistance] takes 4 arguments, got {}", other.len())),
    }
}

fn strftime(arguments: Vec<Operand>) -> Result<Operand, String> {
    if !(1..=MAX_STRFTIME_ARGUMENTS).contains(&arguments.len()) {
        return Err(format!("[strftime] takes 1 to {MAX_STRFTIME_ARGUMENTS} arguments, got {}", arguments.len()));
    }
    let mut arguments = arguments.into_iter();
    let Some(Operand::Text(format)) = arguments.next() else {
        return Err("[strftime] the format must be a text".to_owned());
    };
    let time = arguments.next();
    let mut modifiers = Vec::new();
    for argument in arguments {
        let Operand::Text(modifier) = argument else {
            return Err("[strftime] a modifier must be a text".to_owned());
        };
        modifiers.push(modifier);
    }
    Ok(Operand::Strftime(Box::new(Strftime { format, time, modifiers })))
}

fn invalid(message: impl Into<String>) -> QueryError {
    QueryError::Invalid(message.into())
}

fn expected(what: &str, found: Option<&Token<'_>>) -> QueryError {
    let found = match found {
        None => return invalid(format!("invalid or incomplete filter expression: expected {what}")),
        Some(Token::Name(name) | Token::Call(name)) => format!("{name:?}"),
        Some(Token::Number(number)) => number.to_string(),
        Some(Token::Text(text)) => format!("{text:?}"),
        Some(Token::Sign(sign)) => format!("{}{}", if sign.any { "?" } else { "" }, sign.op.as_str()),
        Some(Token::And) => "&&".to_owned(),
        Some(Token::Or) => "||".to_owned(),
        Some(Token::Open) => "(".to_owned(),
        Some(Token::Close) => ")".to_owned(),
        Some(Token::Comma) => ",".to_owned(),
    };
    invalid(format!("expected {what}, got {found}"))
}

#[cfg(test)]
#[path = "tests/parser.rs"]
mod tests;
