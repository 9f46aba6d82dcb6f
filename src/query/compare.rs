//! What a comparison means in SQL (query-language §5): when the empty text and NULL are the same, when `!=` matches
//! NULL, how `~` searches, and how all rows of a multi-valued path are asked.

use headwater_actors::Value;

use super::like;
use super::literal::Literal;
use super::tree::{Op, Sign};

/// An operand as SQL.
#[derive(Clone, Debug)]
pub(super) struct Term {
    pub form: Form,
    pub nulls: Nulls,
    /// The same value once more over all rows of its path, where the path is multi-valued and all rows count.
    pub rows: Option<Rows>,
    /// A condition that any comparison with this operand needs beside itself.
    pub guard: Option<String>,
    /// It may be a text of megabytes.
    pub is_long: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Form {
    /// Known already; bound when it is written.
    Known { value: Literal, lower: bool },
    /// An expression. `given`: never empty as far as equality is concerned, so that no NULL handling is needed.
    Sql { text: String, given: bool },
    /// The result of `strftime`: on the right of `~` it is a whole pattern, not a text to search for.
    Pattern { text: String, given: bool },
}

/// What equality makes of NULL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nulls {
    /// The same as the empty text.
    Empty,
    /// A value of its own (JSON).
    Distinct,
}

/// The rows of a path as a subquery: always at least one, of NULL where there are no related records.
#[derive(Clone, Debug)]
pub(super) struct Rows {
    /// The private joins.
    pub joins: String,
    pub value: String,
}

impl Term {
    pub(super) fn known(value: Literal) -> Term {
        Term::of(Form::Known { value, lower: false })
    }

    pub(super) fn sql(text: String) -> Term {
        Term::of(Form::Sql { text, given: false })
    }

    pub(super) fn pattern(text: String) -> Term {
        Term::of(Form::Pattern { text, given: false })
    }

    pub(super) fn of(form: Form) -> Term {
        Term { form, nulls: Nulls::Empty, rows: None, guard: None, is_long: false }
    }

    /// An empty literal.
    fn is_empty(&self) -> bool {
        matches!(&self.form, Form::Known { value, .. } if value.is_empty())
    }

    /// Known not to be empty.
    fn is_given(&self) -> bool {
        match &self.form {
            Form::Known { value, .. } => !value.is_empty(),
            Form::Sql { given, .. } | Form::Pattern { given, .. } => *given,
        }
    }

    /// One row of a path in place of the path.
    fn row(&self, value: &str) -> Term {
        let text = value.to_owned();
        let form = match self.form {
            Form::Pattern { .. } => Form::Pattern { text, given: false },
            _ => Form::Sql { text, given: false },
        };
        Term { nulls: self.nulls, is_long: self.is_long, ..Term::of(form) }
    }

    /// The operand opposite to a path whose rows are asked: its bare value, without a say about NULL.
    fn opposite(&self) -> Term {
        let form = match &self.form {
            Form::Pattern { text, .. } => Form::Pattern { text: text.clone(), given: true },
            form => form.clone(),
        };
        Term { is_long: self.is_long, ..Term::of(form) }
    }
}

/// Takes a parameter and returns its name in the SQL text.
pub(super) trait Bind {
    fn bind(&mut self, value: Value) -> String;
}

/// The whole condition of a comparison. It can stand beside AND without parentheses.
pub(super) fn comparison(left: &Term, sign: Sign, right: &Term, binds: &mut impl Bind) -> String {
    let mut condition = simple(left, sign.op, right, binds);
    if !sign.any
        && let Some(all) = all_rows(left, sign.op, right, binds)
    {
        condition = format!("({condition} AND {all})");
    }
    for guard in [&left.guard, &right.guard].into_iter().flatten() {
        condition = format!("({condition} AND {guard})");
    }
    condition
}

/// No row of a multi-valued operand fails the comparison; with two of them, no pair does. A row fails where the
/// comparison is false: where it is NULL it neither holds nor fails.
fn all_rows(left: &Term, op: Op, right: &Term, binds: &mut impl Bind) -> Option<String> {
    let (joins, condition) = match (&left.rows, &right.rows) {
        (None, None) => return None,
        (Some(rows), None) => (rows.joins.clone(), simple(&left.row(&rows.value), op, &right.opposite(), binds)),
        (None, Some(rows)) => (rows.joins.clone(), simple(&left.opposite(), op, &right.row(&rows.value), binds)),
        (Some(l), Some(r)) => {
            let condition = simple(&left.row(&l.value), op, &right.row(&r.value), binds);
            (format!("{}{}", l.joins, r.joins), condition)
        }
    };
    Some(format!("NOT EXISTS (SELECT 1 FROM (SELECT 1){joins} WHERE NOT ({condition}))"))
}

/// The comparison of two values.
fn simple(left: &Term, op: Op, right: &Term, binds: &mut impl Bind) -> String {
    let sign = match op {
        Op::Equal => return equal(left, right, binds),
        Op::NotEqual => return not_equal(left, right, binds),
        Op::Like => return contains(left, false, right, binds),
        Op::NotLike => return contains(left, true, right, binds),
        Op::Greater => ">",
        Op::GreaterOrEqual => ">=",
        Op::Less => "<",
        Op::LessOrEqual => "<=",
    };
    format!("{} {sign} {}", written(left, binds), written(right, binds))
}

fn equal(left: &Term, right: &Term, binds: &mut impl Bind) -> String {
    if is_distinct(left, right) {
        return format!("{} IS {}", written(left, binds), written(right, binds));
    }
    if left.is_empty() && right.is_empty() {
        return "1".to_owned();
    }
    if left.is_given() || right.is_given() {
        return format!("{} = {}", written_or_empty(left, binds), written_or_empty(right, binds));
    }
    // `a = '' OR a IS NULL` can use an index; COALESCE cannot.
    match (left.is_empty(), right.is_empty()) {
        (true, _) => is_blank(&written(right, binds)),
        (_, true) => is_blank(&written(left, binds)),
        _ => format!("COALESCE({}, '') = COALESCE({}, '')", written(left, binds), written(right, binds)),
    }
}

/// `IS NOT` and never `<>`, which would not match NULL.
fn not_equal(left: &Term, right: &Term, binds: &mut impl Bind) -> String {
    if is_distinct(left, right) {
        return format!("{} IS NOT {}", written(left, binds), written(right, binds));
    }
    if left.is_empty() && right.is_empty() {
        return "0".to_owned();
    }
    if left.is_given() || right.is_given() {
        return format!("{} IS NOT {}", written_or_empty(left, binds), written_or_empty(right, binds));
    }
    match (left.is_empty(), right.is_empty()) {
        (true, _) => is_filled(&written(right, binds)),
        (_, true) => is_filled(&written(left, binds)),
        _ => format!("COALESCE({}, '') IS NOT COALESCE({}, '')", written(left, binds), written(right, binds)),
    }
}

/// `~` and `!~`.
fn contains(left: &Term, negated: bool, right: &Term, binds: &mut impl Bind) -> String {
    let text = written(left, binds);
    // Patterns out of rows may be of any length.
    let (pattern, is_short) = match &right.form {
        Form::Known { value: Literal::Null, .. } => ("NULL".to_owned(), true),
        Form::Known { value, lower } => {
            let pattern = value.to_pattern();
            let is_short = pattern.len() <= like::SHORT;
            let pattern = binds.bind(Value::Text(pattern));
            (if *lower { format!("LOWER({pattern})") } else { pattern }, is_short)
        }
        Form::Sql { text, .. } => (format!("('%' || {text} || '%')"), false),
        Form::Pattern { text, .. } => (text.clone(), false),
    };
    let operator = if negated { "NOT LIKE" } else { "LIKE" };
    let quick = format!("{text} {operator} {pattern} ESCAPE '\\'");
    let not = if negated { "NOT " } else { "" };
    let careful = format!("{not}{}(CAST({text} AS TEXT), CAST({pattern} AS TEXT))", like::FUNCTION);
    match (is_short, left.is_long) {
        (true, false) => quick,
        (true, true) => format!("IIF(octet_length({text}) > {}, {careful}, {quick})", like::SHORT_TEXT),
        (false, _) => careful,
    }
}

fn is_distinct(left: &Term, right: &Term) -> bool {
    left.nulls == Nulls::Distinct || right.nulls == Nulls::Distinct
}

fn is_blank(operand: &str) -> String {
    format!("({operand} = '' OR {operand} IS NULL)")
}

fn is_filled(operand: &str) -> String {
    format!("({operand} IS NOT '' AND {operand} IS NOT NULL)")
}

/// The operand as SQL text.
pub(super) fn written(term: &Term, binds: &mut impl Bind) -> String {
    match &term.form {
        Form::Known { value: Literal::Null, .. } => "NULL".to_owned(),
        Form::Known { value, lower: false } => binds.bind(value.to_value()),
        Form::Known { value, lower: true } => format!("LOWER({})", binds.bind(value.to_value())),
        Form::Sql { text, .. } | Form::Pattern { text, .. } => text.clone(),
    }
}

fn written_or_empty(term: &Term, binds: &mut impl Bind) -> String {
    if term.is_empty() { "''".to_owned() } else { written(term, binds) }
}
