//! `sort=-created,+title,author.name,@random,@rowid`

use super::QueryError;
use super::joins::{Source, alias_name};
use super::path::Path;
use super::to_sql::{Builder, Scope};

/// The order of `@random`.
pub(super) const RANDOM: &str = "RANDOM()";

const MAX_FIELDS: usize = 8;
/// Bytes.
const MAX_FIELD: usize = 255;

/// The terms of ORDER BY.
pub(super) fn terms<'a>(builder: &mut Builder<'a>, scope: &Scope<'a>, text: &str) -> Result<Vec<String>, QueryError> {
    let parts: Vec<&str> = text.split(',').collect();
    if parts.len() > MAX_FIELDS {
        return Err(QueryError::Invalid(format!("more than {MAX_FIELDS} sort fields")));
    }
    parts.into_iter().map(|part| term(builder, scope, part.trim())).collect()
}

fn term<'a>(builder: &mut Builder<'a>, scope: &Scope<'a>, part: &str) -> Result<String, QueryError> {
    let (name, direction) = match part.strip_prefix('-') {
        Some(name) => (name, "DESC"),
        None => (part.strip_prefix('+').unwrap_or(part), "ASC"),
    };
    let invalid = |reason: &str| QueryError::Invalid(format!("invalid sort field {name:?} - {reason}"));
    if name.len() > MAX_FIELD {
        return Err(QueryError::Invalid(format!("a sort field is longer than {MAX_FIELD} bytes")));
    }
    match (name, scope.source) {
        ("@random", _) => Ok(RANDOM.to_owned()),
        ("@rowid", Source::Table(alias)) if !scope.collection.is_view() => {
            Ok(format!("{}._rowid_ {direction}", alias_name(alias)))
        }
        ("@rowid", _) => Err(invalid("there are no row ids here")),
        _ => {
            let path = Path::parse(name).map_err(|reason| invalid(&reason))?;
            let term = builder.sort_term(scope, &path).map_err(|reason| invalid(&reason))?;
            Ok(format!("{term} {direction}"))
        }
    }
}
