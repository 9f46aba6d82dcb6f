//! Filters evaluated as query-language.md §4 and §5 read: record by record and row by row, in plain Rust. Slow, and
//! without anything of the library's, so that the two can judge each other.
//!
//! The collections are fixed: posts, asked for, with tags (several), an author and comments that point back at them.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value as Json;

#[derive(Clone, Debug)]
pub enum Filter {
    Compare(Operand, Sign, Operand),
    All(Vec<Filter>),
    Any(Vec<Filter>),
}

#[derive(Clone, Copy, Debug)]
pub struct Sign {
    /// `?=` and the like.
    pub any: bool,
    pub op: &'static str,
}

#[derive(Clone, Copy, Debug)]
pub enum Operand {
    Path(&'static str),
    Number(f64),
    Text(&'static str),
    Null,
    True,
    False,
}

/// A value as SQLite holds it.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    Null,
    Int(i64),
    Real(f64),
    Text(String),
}

pub type Row = BTreeMap<&'static str, Cell>;

/// The rows of each collection.
#[derive(Clone, Debug)]
pub struct Data(pub BTreeMap<&'static str, Vec<Row>>);

/// What a column makes of a value that it is compared with.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Affinity {
    Text,
    Numeric,
    None,
}

enum Kind {
    Plain(Affinity),
    Json,
    /// Several values.
    List,
    One(&'static str),
    Many(&'static str),
}

fn kind(collection: &str, field: &str) -> Kind {
    match (collection, field) {
        ("posts", "n" | "pub") | ("tags", "w") => Kind::Plain(Affinity::Numeric),
        ("posts", "meta") => Kind::Json,
        ("posts", "cat") => Kind::List,
        ("posts", "tags") => Kind::Many("tags"),
        ("posts", "author") => Kind::One("people"),
        ("comments", "post") => Kind::One("posts"),
        ("comments", "posts2") => Kind::Many("posts"),
        _ => Kind::Plain(Affinity::Text),
    }
}

/// An operand in one row.
#[derive(Clone, Debug)]
struct Term {
    value: Cell,
    affinity: Affinity,
    form: Form,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    Literal,
    Column,
    /// JSON knows no empty text that is NULL.
    Json,
}

/// The row that was chosen behind each relation, by the path up to it: paths of one filter share it.
type Joined<'a> = BTreeMap<String, Choice<'a>>;

#[derive(Clone, Debug)]
enum Choice<'a> {
    /// An item of a list.
    Item(Cell),
    /// A record that refers here; none if there is none.
    Record(Option<&'a Row>),
}

/// Where a path has come to.
#[derive(Clone, Copy)]
struct At<'a> {
    collection: &'a str,
    row: Option<&'a Row>,
}

impl At<'_> {
    fn cell(&self, field: &str) -> Cell {
        self.row.and_then(|row| row.get(field)).cloned().unwrap_or(Cell::Null)
    }
}

impl Data {
    /// The ids of the posts that a filter finds: those for which it holds in some joined row.
    pub fn find(&self, filter: &Filter) -> Vec<String> {
        let finds = |post: &&Row| {
            let mut rows = vec![Joined::new()];
            for path in paths(filter) {
                let walked = rows.iter().flat_map(|joined| self.walk(post, path, joined));
                rows = walked.map(|(joined, _)| joined).collect();
            }
            rows.iter().any(|joined| self.truth(filter, post, joined) == Some(true))
        };
        self.0["posts"].iter().filter(finds).map(|post| text(&post["id"]).unwrap_or_default()).collect()
    }

    /// True, false, or neither (NULL).
    fn truth(&self, filter: &Filter, post: &Row, joined: &Joined<'_>) -> Option<bool> {
        match filter {
            Filter::All(members) => members.iter().map(|m| self.truth(m, post, joined)).fold(Some(true), and),
            Filter::Any(members) => {
                members.iter().map(|m| self.truth(m, post, joined).map(|t| !t)).fold(Some(true), and).map(|t| !t)
            }
            Filter::Compare(left, sign, right) => {
                let [l, r] = [left, right].map(|operand| self.terms(operand, post, joined).remove(0));
                let holds = compare(&l, sign.op, &r);
                if sign.any {
                    return holds;
                }
                // §5.2: and no row of the path fails it; with two such paths, no pair.
                let none = Joined::new();
                let all =
                    |operand: &Operand| self.terms(operand, post, if operand.is_multiple() { &none } else { joined });
                let (lefts, rights) = (all(left), all(right));
                let fails = lefts.iter().any(|l| rights.iter().any(|r| compare(l, sign.op, r) == Some(false)));
                and(holds, Some(!fails))
            }
        }
    }

    /// The values of an operand over all rows that are not chosen yet.
    fn terms(&self, operand: &Operand, post: &Row, joined: &Joined<'_>) -> Vec<Term> {
        let literal = |value| vec![Term { value, affinity: Affinity::None, form: Form::Literal }];
        match operand {
            Operand::Path(path) => self.walk(post, path, joined).into_iter().map(|(_, term)| term).collect(),
            Operand::Number(number) => literal(Cell::Real(*number)),
            Operand::Text(text) => literal(Cell::Text((*text).to_owned())),
            Operand::Null => literal(Cell::Null),
            Operand::True => literal(Cell::Int(1)),
            Operand::False => literal(Cell::Int(0)),
        }
    }

    /// Follows a path from a post over all rows that are not chosen yet (§4).
    fn walk<'a>(&'a self, post: &'a Row, path: &str, joined: &Joined<'a>) -> Vec<(Joined<'a>, Term)> {
        let (path, modifier) = path.split_once(':').unwrap_or((path, ""));
        let parts: Vec<&str> = path.split('.').collect();
        let mut ends = vec![(joined.clone(), At { collection: "posts", row: Some(post) })];
        for (index, part) in parts[..parts.len() - 1].iter().enumerate() {
            let here = ends[0].1.collection;
            let is_last = index + 2 == parts.len();
            match kind(here, part) {
                Kind::Json => {
                    let of = |at: At<'_>| json_part(&at.cell(part), &parts[index + 1..]);
                    return ends.into_iter().map(|(joined, at)| (joined, json(of(at)))).collect();
                }
                // `rel.id` is `rel`.
                Kind::One(_) if is_last && parts[index + 1] == "id" && modifier.is_empty() => {
                    return ends
                        .into_iter()
                        .map(|(joined, at)| (joined, column(at.cell(part), Affinity::Text)))
                        .collect();
                }
                _ => {}
            }
            let key = parts[..=index].join(".");
            ends = ends.into_iter().flat_map(|(joined, at)| self.step(joined, at, part, &key)).collect();
        }
        let field = parts[parts.len() - 1];
        let end = |(joined, at): (Joined<'a>, At<'a>)| {
            let cell = at.cell(field);
            let plain = |term| vec![(joined.clone(), term)];
            match (kind(at.collection, field), modifier) {
                (Kind::Json, _) => plain(json(json_part(&cell, &[]))),
                (Kind::List | Kind::Many(_), "each") => {
                    let each = |(joined, choice)| match choice {
                        Choice::Item(item) => (joined, column(item, Affinity::None)),
                        Choice::Record(_) => unreachable!("items are chosen from lists"),
                    };
                    choose(&joined, path, || items(&cell)).into_iter().map(each).collect()
                }
                (Kind::List | Kind::Many(_), "length") => {
                    let filled = items(&cell).into_iter().filter(|item| !matches!(item, Choice::Item(Cell::Null)));
                    plain(column(Cell::Int(filled.count() as i64), Affinity::None))
                }
                (Kind::One(_), "length") => {
                    let is_empty = text(&cell).unwrap_or_default().is_empty();
                    plain(column(Cell::Int((!is_empty).into()), Affinity::None))
                }
                (_, "lower") => {
                    let lower = text(&cell).map_or(Cell::Null, |text| Cell::Text(text.to_ascii_lowercase()));
                    plain(column(lower, Affinity::None))
                }
                (Kind::Plain(affinity), _) => plain(column(cell, affinity)),
                (Kind::One(_), _) => plain(column(cell, Affinity::Text)),
                // Lists are kept in columns declared as JSON.
                (Kind::List | Kind::Many(_), _) => plain(column(cell, Affinity::Numeric)),
            }
        };
        ends.into_iter().flat_map(end).collect()
    }

    /// Passes through one relation.
    fn step<'a>(&'a self, joined: Joined<'a>, at: At<'a>, part: &str, key: &str) -> Vec<(Joined<'a>, At<'a>)> {
        let find = |collection: &'static str, id: &Cell| {
            let row = self.0[collection].iter().find(|row| row["id"] == *id);
            At { collection, row }
        };
        if let Some((name, field)) = part.split_once("_via_") {
            let (&collection, rows) = self.0.get_key_value(name).expect("a collection");
            let refers = |row: &&Row| match (&row[field], at.cell("id")) {
                (_, Cell::Null) => false,
                (cell, id) => *cell == id || items(cell).iter().any(|i| matches!(i, Choice::Item(item) if *item == id)),
            };
            let referring = || match rows.iter().filter(refers).collect::<Vec<_>>() {
                none if none.is_empty() => vec![Choice::Record(None)],
                some => some.into_iter().map(|row| Choice::Record(Some(row))).collect(),
            };
            let to = |(joined, choice)| match choice {
                Choice::Record(row) => (joined, At { collection, row }),
                Choice::Item(_) => unreachable!("records refer back"),
            };
            return choose(&joined, key, referring).into_iter().map(to).collect();
        }
        match kind(at.collection, part) {
            Kind::One(to) => vec![(joined, find(to, &at.cell(part)))],
            Kind::Many(to) => {
                let record = |(joined, choice)| match choice {
                    Choice::Item(id) => (joined, find(to, &id)),
                    Choice::Record(_) => unreachable!("items are chosen from lists"),
                };
                choose(&joined, key, || items(&at.cell(part))).into_iter().map(record).collect()
            }
            _ => unreachable!("{part} is a relation"),
        }
    }
}

/// The rows behind a path, or the one that was chosen before.
fn choose<'a>(
    joined: &Joined<'a>,
    key: &str,
    choices: impl FnOnce() -> Vec<Choice<'a>>,
) -> Vec<(Joined<'a>, Choice<'a>)> {
    if let Some(choice) = joined.get(key) {
        return vec![(joined.clone(), choice.clone())];
    }
    let with = |choice: Choice<'a>| {
        let mut joined = joined.clone();
        joined.insert(key.to_owned(), choice.clone());
        (joined, choice)
    };
    choices().into_iter().map(with).collect()
}

/// The items of a list; one of NULL where there is none.
fn items<'a>(cell: &Cell) -> Vec<Choice<'a>> {
    let items: Vec<String> = match cell {
        Cell::Text(text) => serde_json::from_str(text).unwrap_or_default(),
        _ => Vec::new(),
    };
    match items.is_empty() {
        true => vec![Choice::Item(Cell::Null)],
        false => items.into_iter().map(|item| Choice::Item(Cell::Text(item))).collect(),
    }
}

fn column(value: Cell, affinity: Affinity) -> Term {
    Term { value, affinity, form: Form::Column }
}

fn json(value: Cell) -> Term {
    Term { value, affinity: Affinity::None, form: Form::Json }
}

/// A part of a document: scalars as values, lists and objects as minified text.
fn json_part(cell: &Cell, path: &[&str]) -> Cell {
    let document = match cell {
        Cell::Null => Json::Null,
        Cell::Int(number) => Json::from(*number),
        Cell::Real(number) => Json::from(*number),
        Cell::Text(text) => serde_json::from_str(text).expect("a document"),
    };
    let step = |json: &Json, part: &&str| match json {
        Json::Array(items) => items.get(part.parse::<usize>().ok()?).cloned(),
        Json::Object(members) => members.get(*part).filter(|_| part.parse::<usize>().is_err()).cloned(),
        _ => None,
    };
    match path.iter().try_fold(document, |json, part| step(&json, part)) {
        None | Some(Json::Null) => Cell::Null,
        Some(Json::Bool(flag)) => Cell::Int(flag.into()),
        Some(Json::Number(number)) => {
            number.as_i64().map_or_else(|| Cell::Real(number.as_f64().expect("a double")), Cell::Int)
        }
        Some(Json::String(text)) => Cell::Text(text),
        Some(other) => Cell::Text(other.to_string()),
    }
}

impl Term {
    fn is_empty_literal(&self) -> bool {
        self.form == Form::Literal && is_empty(&self.value)
    }

    fn is_known(&self) -> bool {
        self.form == Form::Literal && !is_empty(&self.value)
    }

    /// Without NULL, and without what the column says about comparisons.
    fn or_empty(&self) -> Term {
        let value = if self.value == Cell::Null { Cell::Text(String::new()) } else { self.value.clone() };
        Term { value, affinity: Affinity::None, form: self.form }
    }
}

fn is_empty(cell: &Cell) -> bool {
    match cell {
        Cell::Null => true,
        Cell::Text(text) => text.is_empty(),
        _ => false,
    }
}

/// The table of §5.
fn compare(l: &Term, op: &str, r: &Term) -> Option<bool> {
    match op {
        "=" => equal(l, r),
        "!=" => Some(not_equal(l, r)),
        ">" => order(l, r).map(Ordering::is_gt),
        ">=" => order(l, r).map(Ordering::is_ge),
        "<" => order(l, r).map(Ordering::is_lt),
        "<=" => order(l, r).map(Ordering::is_le),
        "~" => like(l, r),
        "!~" => like(l, r).map(|matches| !matches),
        _ => unreachable!("{op} is no sign"),
    }
}

fn equal(l: &Term, r: &Term) -> Option<bool> {
    if l.form == Form::Json || r.form == Form::Json {
        return Some(is(l, r));
    }
    if l.is_empty_literal() && r.is_empty_literal() {
        return Some(true);
    }
    if l.is_known() || r.is_known() {
        let [l, r] = [l, r].map(|term| if term.is_empty_literal() { term.or_empty() } else { term.clone() });
        return order(&l, &r).map(Ordering::is_eq);
    }
    if l.is_empty_literal() || r.is_empty_literal() {
        return Some(is_empty(&l.value) && is_empty(&r.value));
    }
    Some(is(&l.or_empty(), &r.or_empty()))
}

fn not_equal(l: &Term, r: &Term) -> bool {
    if (l.is_known() || r.is_known()) && l.form != Form::Json && r.form != Form::Json {
        let [l, r] = [l, r].map(|term| if term.is_empty_literal() { term.or_empty() } else { term.clone() });
        return !is(&l, &r);
    }
    equal(l, r) != Some(true)
}

/// IS: two NULLs are equal, one is not.
fn is(l: &Term, r: &Term) -> bool {
    match (&l.value, &r.value) {
        (Cell::Null, Cell::Null) => true,
        _ => order(l, r).is_some_and(Ordering::is_eq),
    }
}

/// SQLite's order after affinities were applied: numbers, then texts by their bytes. None with NULL.
fn order(l: &Term, r: &Term) -> Option<Ordering> {
    use Affinity::*;
    let (left, right) = match (l.affinity, r.affinity) {
        (Numeric, Text | None) => (l.value.clone(), numeric(&r.value)),
        (Text | None, Numeric) => (numeric(&l.value), r.value.clone()),
        (Text, None) => (l.value.clone(), textual(&r.value)),
        (None, Text) => (textual(&l.value), r.value.clone()),
        _ => (l.value.clone(), r.value.clone()),
    };
    let number = |cell: &Cell| match cell {
        Cell::Int(number) => Some(*number as f64),
        Cell::Real(number) => Some(*number),
        _ => Option::None,
    };
    match (&left, &right) {
        (Cell::Null, _) | (_, Cell::Null) => Option::None,
        (Cell::Text(l), Cell::Text(r)) => Some(l.as_bytes().cmp(r.as_bytes())),
        (Cell::Text(_), _) => Some(Ordering::Greater),
        (_, Cell::Text(_)) => Some(Ordering::Less),
        (l, r) => number(l)?.partial_cmp(&number(r)?),
    }
}

fn numeric(cell: &Cell) -> Cell {
    match cell {
        Cell::Text(text) if text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'-' | b'.')) => {
            text.parse().map_or_else(|_| cell.clone(), Cell::Real)
        }
        other => other.clone(),
    }
}

fn textual(cell: &Cell) -> Cell {
    text(cell).map_or(Cell::Null, Cell::Text)
}

/// The text form of a value.
fn text(cell: &Cell) -> Option<String> {
    match cell {
        Cell::Null => None,
        Cell::Int(number) => Some(number.to_string()),
        // `5.0` and not `5`.
        Cell::Real(number) => Some(format!("{number:?}")),
        Cell::Text(text) => Some(text.clone()),
    }
}

fn like(l: &Term, r: &Term) -> Option<bool> {
    let pattern = match (&r.form, &r.value) {
        (Form::Literal, Cell::Real(number)) => searched(&number.to_string()),
        (Form::Literal, value) => searched(&text(value)?),
        (_, value) => format!("%{}%", text(value)?),
    };
    let [text, pattern] = [text(&l.value)?, pattern].map(|text| text.chars().collect::<Vec<_>>());
    Some(matches(&text, &pattern))
}

/// A literal with a `%` is a pattern as it is, another one a text to search for. (No test has a `\` in one.)
fn searched(text: &str) -> String {
    if text.contains('%') { text.to_owned() } else { format!("%{}%", text.replace('_', "\\_")) }
}

fn matches(text: &[char], pattern: &[char]) -> bool {
    match (pattern, text) {
        ([], _) => text.is_empty(),
        (['%', rest @ ..], _) => (0..=text.len()).any(|skipped| matches(&text[skipped..], rest)),
        (['_', pattern @ ..], [_, text @ ..]) => matches(text, pattern),
        (['\\', meant, pattern @ ..], [first, text @ ..]) => meant == first && matches(text, pattern),
        ([meant, pattern @ ..], [first, text @ ..]) => meant.eq_ignore_ascii_case(first) && matches(text, pattern),
        (_, []) => false,
    }
}

fn and(a: Option<bool>, b: Option<bool>) -> Option<bool> {
    match (a, b) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        _ => None,
    }
}

fn paths(filter: &Filter) -> Vec<&'static str> {
    match filter {
        Filter::All(members) | Filter::Any(members) => members.iter().flat_map(paths).collect(),
        Filter::Compare(left, _, right) => [left, right]
            .into_iter()
            .filter_map(|o| if let Operand::Path(path) = o { Some(*path) } else { None })
            .collect(),
    }
}

impl Operand {
    /// True for a path of which a record may have several rows.
    pub fn is_multiple(&self) -> bool {
        let Operand::Path(path) = self else { return false };
        let (path, modifier) = path.split_once(':').unwrap_or((path, ""));
        let several = |part: &str| part.contains("_via_") || matches!(part, "tags" | "posts2");
        let mut parts = path.split('.').rev();
        let last = parts.next().expect("a part");
        parts.any(several) || modifier == "each" && matches!(last, "tags" | "posts2" | "cat")
    }

    pub fn is_json(&self) -> bool {
        matches!(self, Operand::Path(path) if path.contains("meta"))
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (members, join) = match self {
            Filter::Compare(left, sign, right) => {
                return write!(out, "{left} {}{} {right}", if sign.any { "?" } else { "" }, sign.op);
            }
            Filter::All(members) => (members, " && "),
            Filter::Any(members) => (members, " || "),
        };
        let members: Vec<String> = members.iter().map(Filter::to_string).collect();
        write!(out, "({})", members.join(join))
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Operand::Path(path) => out.write_str(path),
            Operand::Number(number) => number.fmt(out),
            Operand::Text(text) => write!(out, "'{text}'"),
            Operand::Null => out.write_str("null"),
            Operand::True => out.write_str("true"),
            Operand::False => out.write_str("false"),
        }
    }
}
