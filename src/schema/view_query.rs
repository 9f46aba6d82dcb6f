//! What can be told from the text of a view's query without running it: which columns it yields, from which
//! collections, and so which fields the view has.
//!
//! The text is read loosely, as a list of words; whether it is valid SQL is for SQLite to say (`views`).

use std::collections::HashMap;
use std::sync::Arc;

use super::fields::{Bool, JsonField, Number, Relation, Text};
use super::indexes::split_outside;
use super::{Collection, Field, FieldKind, Schema};
use crate::patterns;

/// A selected column or a table: what it is, and the name that it goes by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    pub original: String,
    pub alias: String,
}

/// The parts of a query that matter.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ViewQuery {
    pub columns: Vec<Named>,
    /// The tables of FROM, then those of the joins.
    pub tables: Vec<Named>,
}

/// A field of a view, and where its values come from if that is a field of a collection.
pub struct ViewField {
    pub field: Field,
    pub source: Option<(Arc<Collection>, Field)>,
}

/// The query without blanks and semicolons around it; an error if it is more than one statement.
pub fn single_statement(query: &str) -> Result<&str, String> {
    let query = query.trim().trim_matches(';');
    let text = without_comments(query);
    if !is_balanced(&text) {
        return Err(format!("unbalanced parenthesis or quoted expression: {text:?}"));
    }
    let statements = split_outside(&text, ';').len();
    if statements > 1 { Err("multiple statements are not supported".into()) } else { Ok(query) }
}

impl ViewQuery {
    /// Reads a query. The errors are for the author of the view.
    pub fn parse(query: &str) -> Result<ViewQuery, String> {
        let text = without_comments(query.trim().trim_matches(';'));
        let mut selected = Vec::new();
        let mut from = Vec::new();
        let mut joined = Vec::new();
        let mut part = Part::Before;
        let mut skipping = false;
        let words = words(&text);
        let mut position = 0;
        while let Some(word) = words.get(position) {
            position += 1;
            let lower = word.to_ascii_lowercase();
            if let Some(length) = join_length(&words[position - 1..]) {
                position += length - 1;
                if part == Part::Join {
                    joined.push(",");
                }
                part = Part::Join;
                skipping = false;
                continue;
            }
            match lower.as_str() {
                "select" => (part, skipping) = (Part::Select, false),
                "from" => (part, skipping) = (Part::From, false),
                "distinct" => {}
                "where" | "group" | "having" | "order" | "limit" | "with" | "window" if part != Part::Before => {
                    skipping = true;
                }
                "on" | "using" if part == Part::Join => skipping = true,
                _ if skipping => {}
                _ => match part {
                    Part::Before => {}
                    Part::Select => selected.push(*word),
                    Part::From => from.push(*word),
                    Part::Join => joined.push(*word),
                },
            }
        }
        let columns = named(&selected)?;
        let mut tables = named(&from)?;
        tables.extend(named(&joined)?);
        Ok(ViewQuery { columns, tables })
    }

    /// The field of each named column. Columns that are missing here are of any kind: [`any`].
    pub fn fields(&self, schema: &Schema) -> Result<HashMap<String, ViewField>, String> {
        let collections: HashMap<&str, &Arc<Collection>> = self
            .tables
            .iter()
            .filter_map(|table| Some((table.alias.as_str(), schema.by_name(&table.original)?)))
            .collect();
        let main = self.tables.first().and_then(|table| collections.get(table.alias.as_str()));
        let mut fields = HashMap::with_capacity(self.columns.len());
        for column in &self.columns {
            if column.alias == "*" {
                return Err("wildcard columns (*) are not supported - manually type the collection field names \
                            you want the view query to have"
                    .into());
            }
            let field = field_of(column, main, &collections);
            fields.insert(column.alias.clone(), field);
        }
        Ok(fields)
    }
}

fn field_of(
    column: &Named,
    main: Option<&&Arc<Collection>>,
    collections: &HashMap<&str, &Arc<Collection>>,
) -> ViewField {
    let plain = |kind: FieldKind| ViewField { field: Field::new(&column.alias, kind), source: None };
    if column.alias == "id" {
        return ViewField { field: id(), source: None };
    }
    if let Some(kind) = kind_of_expression(&column.original.to_lowercase()) {
        return plain(kind);
    }
    let (collection, name) = match column.original.split('.').collect::<Vec<_>>()[..] {
        [table, name] => (collections.get(table), name),
        [name, ..] => (main, name),
        [] => (main, ""),
    };
    let Some(collection) = collection else { return ViewField { field: any(&column.alias), source: None } };
    let Some(field) = collection.fields.iter().find(|field| field.name.eq_ignore_ascii_case(name)) else {
        return ViewField { field: any(&column.alias), source: None };
    };
    if name.eq_ignore_ascii_case("id") {
        let relation = Relation { collection_id: collection.id.clone(), max_select: 1, ..Relation::default() };
        return plain(FieldKind::Relation(relation));
    }
    // The same field may be selected twice under two names, so a copy cannot keep its id.
    let id = format!("_clone_{}", patterns::random_text(4, patterns::ALPHANUMERIC));
    let copy = Field { id, name: column.alias.clone(), ..field.clone() };
    ViewField { field: copy, source: Some((Arc::clone(collection), field.clone())) }
}

/// What some expressions promise to yield. The text is in lower case.
fn kind_of_expression(text: &str) -> Option<FieldKind> {
    let number = |only_int| Some(FieldKind::Number(Number { only_int, ..Number::default() }));
    if text.starts_with("count(") {
        return number(true);
    }
    if text.starts_with("total(") {
        return number(false);
    }
    let inner = text.strip_prefix("cast")?.trim_start().strip_prefix('(')?.strip_suffix(')')?.trim_end();
    let type_name = inner.rsplit(char::is_whitespace).next()?;
    let before = inner[..inner.len() - type_name.len()].trim_end();
    if !before.ends_with("as") || !before[..before.len() - 2].ends_with(char::is_whitespace) {
        return None;
    }
    match type_name {
        "real" | "decimal" | "numeric" => number(false),
        "int" | "integer" => number(true),
        "text" => Some(FieldKind::Text(Text::default())),
        "bool" | "boolean" => Some(FieldKind::Bool(Bool::default())),
        _ => None,
    }
}

/// The `id` of a view.
pub fn id() -> Field {
    let kind = Text { pattern: "^[a-z0-9]+$".into(), primary_key: true, ..Text::default() };
    Field { system: true, required: true, ..Field::new("id", FieldKind::Text(kind)) }
}

/// A column of which nothing is known.
pub fn any(name: &str) -> Field {
    if name == "id" { id() } else { Field::new(name, FieldKind::Json(JsonField { max_size: 1 })) }
}

#[derive(Clone, Copy, PartialEq)]
enum Part {
    Before,
    Select,
    From,
    Join,
}

/// How many words the join takes that begins here, e.g. 3 for LEFT OUTER JOIN.
fn join_length(words: &[&str]) -> Option<usize> {
    let is = |word: &str, any: &[&str]| any.iter().any(|name| word.eq_ignore_ascii_case(name));
    let modifiers = words
        .iter()
        .take(3)
        .take_while(|word| is(word, &["natural", "full", "left", "right", "cross", "inner", "outer"]))
        .count();
    is(words.get(modifiers)?, &["join"]).then_some(modifiers + 1)
}

/// Words and commas: what stands in quotes or parentheses belongs to the word around it.
fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    for (position, item) in split_outside(text, ',').into_iter().enumerate() {
        if position > 0 {
            words.push(",");
        }
        words.extend(split_outside(item, ' ').into_iter().filter(|word| !word.is_empty()));
    }
    words
}

fn named(words: &[&str]) -> Result<Vec<Named>, String> {
    let items = words.split(|word| *word == ",").filter(|item| !item.is_empty());
    items.map(named_one).collect()
}

fn named_one(item: &[&str]) -> Result<Named, String> {
    let (original, alias) = match item {
        [original] => (*original, original.rsplit('.').next().unwrap_or(original)),
        [original, alias] => (*original, *alias),
        [original, word, alias] if word.eq_ignore_ascii_case("as") => (*original, *alias),
        [_, word, _] => return Err(format!("invalid identifier part - expected \"as\", got {word}")),
        parts => return Err(format!("invalid identifier parts [{}]", parts.join(" "))),
    };
    Ok(Named { original: unquoted(original, "`\"[];"), alias: unquoted(alias, "`\"[];'") })
}

fn unquoted(name: &str, quotes: &str) -> String {
    name.split('.').map(|part| part.trim_matches(|c| quotes.contains(c))).collect::<Vec<_>>().join(".")
}

/// True if every parenthesis and every quote is closed, and none closes what the text did not open.
fn is_balanced(text: &str) -> bool {
    let mut depth = 0usize;
    let mut quote: Option<char> = None;
    for c in text.chars() {
        match (quote, c) {
            (Some(open), _) if open == c => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"' | '`') => quote = Some(c),
            (None, '(') => depth += 1,
            (None, ')') if depth == 0 => return false,
            (None, ')') => depth -= 1,
            _ => {}
        }
    }
    depth == 0 && quote.is_none()
}

/// The text with a blank for each comment outside of quotes.
fn without_comments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut quote: Option<char> = None;
    while let Some(c) = rest.chars().next() {
        if quote.is_none() {
            let end = if rest.starts_with("--") {
                Some(rest.find('\n').unwrap_or(rest.len()))
            } else {
                let comment = rest.strip_prefix("/*");
                comment.map(|comment| comment.find("*/").map_or(rest.len(), |at| at + 4))
            };
            if let Some(end) = end {
                out.push(' ');
                rest = &rest[end..];
                continue;
            }
        }
        quote = match quote {
            Some(open) if open == c => None,
            None if matches!(c, '\'' | '"' | '`') => Some(c),
            other => other,
        };
        out.push(c);
        rest = &rest[c.len_utf8()..];
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(items: &[Named]) -> Vec<(&str, &str)> {
        items.iter().map(|item| (item.original.as_str(), item.alias.as_str())).collect()
    }

    #[test]
    fn columns_and_tables_are_found_by_their_names() {
        let query = ViewQuery::parse(
            "select distinct p.id, -- the key, of course
                    `p`.\"title\" as 'name', count(c.id, ',') total, (select max(x) from y) as z
             /* from here, join there */
             from posts as p
             left outer join comments c on c.post = p.id
             JOIN [users] u using (id), extra
             where p.title != 'from a, b' group by p.id;",
        )
        .unwrap();
        assert_eq!(
            names(&query.columns),
            [("p.id", "id"), ("p.title", "name"), ("count(c.id, ',')", "total"), ("(select max(x) from y)", "z")]
        );
        assert_eq!(names(&query.tables), [("posts", "p"), ("comments", "c"), ("users", "u")]);
    }

    #[test]
    fn what_cannot_be_told_apart_is_refused() {
        for (query, error) in [
            ("select case when a then b end as c from t", "invalid identifier parts [case when a then b end as c]"),
            ("select id from a union select id from b", "invalid identifier part - expected \"as\", got union"),
            ("select a + b from t", "invalid identifier part - expected \"as\", got +"),
        ] {
            assert_eq!(ViewQuery::parse(query), Err(error.to_owned()), "{query}");
        }
    }

    #[test]
    fn a_with_clause_in_front_is_passed_over() {
        let query = ViewQuery::parse("with t as (select 1 a) select (1) as id, t.a from t").unwrap();
        assert_eq!(names(&query.columns), [("(1)", "id"), ("t.a", "a")]);
    }

    #[test]
    fn only_one_statement_is_taken() {
        assert_eq!(single_statement(" ;select ';' as id -- ; \n;; "), Ok("select ';' as id -- ; \n"));
        for query in [
            "select 1; drop table x",
            "select id from a) union select (1",
            "select 'a from b",
            "select 1 id /*/ ' */); drop table x; -- '",
        ] {
            assert!(single_statement(query).is_err(), "{query}");
        }
    }

    #[test]
    fn casts_and_counts_have_types() {
        for (text, expected) in [
            ("count(*)", Some("number")),
            ("cast(a as  int )", Some("number")),
            ("cast (x as text)", Some("text")),
            ("cast(lower(a) as boolean)", Some("bool")),
            ("cast(a as blob)", None),
            ("sum(a)", None),
            ("castas(a)", None),
        ] {
            let kind = kind_of_expression(text);
            assert_eq!(kind.as_ref().map(|kind| kind.as_type().type_name()), expected, "{text}");
        }
    }
}
