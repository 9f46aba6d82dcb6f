//! `CREATE INDEX` texts: read loosely, written strictly.
//!
//! Owners write indexes by hand, so the reader takes every quoting that SQLite takes and ignores what follows the
//! statement. What runs is always the text that [`Index::to_sql`] builds. No database is touched here.

use std::fmt::Write;

/// A parsed index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Index {
    pub unique: bool,
    pub if_not_exists: bool,
    /// `main` in `main.idx_name`; mostly empty.
    pub database: String,
    pub name: String,
    pub table: String,
    pub columns: Vec<IndexColumn>,
    /// What follows WHERE; empty without.
    pub condition: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IndexColumn {
    /// An unquoted column name, or an expression as it was written.
    pub name: String,
    pub is_expression: bool,
    pub collation: String,
    /// `ASC`, `DESC` or empty.
    pub order: String,
}

impl Index {
    /// Reads a text; none if it is no `CREATE INDEX` with a name and a column.
    pub fn parse(text: &str) -> Option<Index> {
        let mut scanner = Scanner { rest: text };
        let mut index = Index::default();
        if !scanner.keyword("create") {
            return None;
        }
        index.unique = scanner.keyword("unique");
        if !scanner.keyword("index") {
            return None;
        }
        if scanner.keyword("if") {
            if !(scanner.keyword("not") && scanner.keyword("exists")) {
                return None;
            }
            index.if_not_exists = true;
        }
        index.name = scanner.identifier()?;
        if scanner.symbol('.') {
            index.database = std::mem::replace(&mut index.name, scanner.identifier()?);
        }
        if !scanner.keyword("on") {
            return None;
        }
        // May be left out: the collection knows its table.
        index.table = scanner.identifier_or_empty();
        index.columns = split_outside(scanner.parentheses()?, ',').into_iter().filter_map(IndexColumn::parse).collect();
        if scanner.keyword("where") {
            index.condition = scanner.rest.trim().trim_end_matches(';').trim_end().to_owned();
        }
        // PocketBase could not read such a name, and the directory shall stay one that it opens.
        let blank = |name: &str| name.contains(char::is_whitespace);
        (!index.columns.is_empty() && !blank(&index.name) && !blank(&index.table)).then_some(index)
    }

    /// A unique index of one column.
    pub fn unique(name: &str, table: &str, column: &str, condition: &str) -> Index {
        Index {
            unique: true,
            name: name.to_owned(),
            table: table.to_owned(),
            columns: vec![IndexColumn { name: column.to_owned(), ..IndexColumn::default() }],
            condition: condition.to_owned(),
            ..Index::default()
        }
    }

    /// The statement: one line for one column, a line for each of several.
    pub fn to_sql(&self) -> String {
        let mut sql = String::from("CREATE ");
        if self.unique {
            sql.push_str("UNIQUE ");
        }
        sql.push_str("INDEX ");
        if self.if_not_exists {
            sql.push_str("IF NOT EXISTS ");
        }
        if !self.database.is_empty() {
            let _ = write!(sql, "{}.", quoted(&self.database));
        }
        let _ = write!(sql, "{} ON {} (", quoted(&self.name), quoted(&self.table));
        let (open, between, close) = if self.columns.len() > 1 { ("\n  ", ",\n  ", "\n") } else { ("", "", "") };
        sql.push_str(open);
        for (position, column) in self.columns.iter().enumerate() {
            if position > 0 {
                sql.push_str(between);
            }
            if column.is_expression {
                sql.push_str(&column.name);
            } else {
                sql.push_str(&quoted(&column.name));
            }
            if !column.collation.is_empty() {
                let _ = write!(sql, " COLLATE {}", column.collation);
            }
            if !column.order.is_empty() {
                let _ = write!(sql, " {}", column.order);
            }
        }
        sql.push_str(close);
        sql.push(')');
        if !self.condition.is_empty() {
            let _ = write!(sql, " WHERE {}", self.condition);
        }
        sql
    }

    /// The definition without the name, to find the same index twice.
    pub fn definition(&self) -> String {
        Index { name: String::new(), database: String::new(), if_not_exists: false, ..self.clone() }.to_sql()
    }

    /// True if it alone makes values of this column unique.
    pub fn is_unique_on(&self, column: &str) -> bool {
        self.unique && self.columns.len() == 1 && self.columns[0].name.eq_ignore_ascii_case(column)
    }
}

impl IndexColumn {
    fn parse(text: &str) -> Option<IndexColumn> {
        let mut column = IndexColumn::default();
        let mut words = split_outside(text.trim(), ' ');
        words.retain(|word| !word.trim().is_empty());
        if words.len() > 1 && words.last().is_some_and(|w| is_word(w, "asc") || is_word(w, "desc")) {
            column.order = words.pop()?.trim().to_ascii_uppercase();
        }
        if words.len() > 2 && is_word(words[words.len() - 2], "collate") {
            column.collation = words.pop()?.trim().to_owned();
            words.pop();
        }
        let (first, last) = (words.first()?, words.last()?);
        // The words are slices of the text, so the expression is what lies from the first to the end of the last.
        let start = first.as_ptr() as usize - text.as_ptr() as usize;
        let end = last.as_ptr() as usize - text.as_ptr() as usize + last.len();
        let expression = text[start..end].trim();
        let mut scanner = Scanner { rest: expression };
        match scanner.identifier() {
            Some(name) if scanner.rest.trim().is_empty() => column.name = name,
            _ => {
                column.name = expression.to_owned();
                column.is_expression = true;
            }
        }
        (!column.name.is_empty()).then_some(column)
    }
}

/// The first index that alone makes values of this column unique.
pub fn single_unique(indexes: &[String], column: &str) -> Option<Index> {
    indexes.iter().filter_map(|text| Index::parse(text)).find(|index| index.is_unique_on(column))
}

/// A name between backticks.
pub fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

fn is_word(text: &str, word: &str) -> bool {
    text.trim().eq_ignore_ascii_case(word)
}

/// Splits at a separator that stands outside of parentheses, quotes and brackets. A blank stands for any white space.
pub fn split_outside(text: &str, separator: char) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut start = 0;
    let mut depth = 0usize;
    let mut closing: Option<char> = None;
    for (at, c) in text.char_indices() {
        if let Some(end) = closing {
            if c == end {
                closing = None;
            }
            continue;
        }
        match c {
            '`' | '"' | '\'' => closing = Some(c),
            '[' => closing = Some(']'),
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ if depth == 0 && (c == separator || (separator == ' ' && c.is_whitespace())) => {
                parts.push(&text[start..at]);
                start = at + c.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

/// Reads a statement from its beginning, skipping white space.
struct Scanner<'a> {
    rest: &'a str,
}

impl<'a> Scanner<'a> {
    /// Takes a word, in any case; leaves everything where it is if another one stands there.
    fn keyword(&mut self, word: &str) -> bool {
        let rest = self.rest.trim_start();
        let Some(head) = rest.get(..word.len()) else { return false };
        let ends = rest[word.len()..].chars().next().is_none_or(|c| !is_name_character(c));
        if !head.eq_ignore_ascii_case(word) || !ends {
            return false;
        }
        self.rest = &rest[word.len()..];
        true
    }

    fn symbol(&mut self, symbol: char) -> bool {
        match self.rest.trim_start().strip_prefix(symbol) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Takes a name that must not be empty.
    fn identifier(&mut self) -> Option<String> {
        self.name().filter(|name| !name.is_empty())
    }

    /// Takes a name if there is one.
    fn identifier_or_empty(&mut self) -> String {
        self.name().unwrap_or_default()
    }

    /// Takes a name, quoted in any of SQLite's ways or bare.
    fn name(&mut self) -> Option<String> {
        let rest = self.rest.trim_start();
        let first = rest.chars().next()?;
        let closing = match first {
            '`' | '"' | '\'' => Some(first),
            '[' => Some(']'),
            _ => None,
        };
        let (name, length) = match closing {
            Some(closing) => read_quoted(rest, closing)?,
            None => {
                let length = rest.find(|c| !is_name_character(c)).unwrap_or(rest.len());
                (rest[..length].to_owned(), length)
            }
        };
        self.rest = &rest[length..];
        Some(name)
    }

    /// Takes what stands between a pair of parentheses.
    fn parentheses(&mut self) -> Option<&'a str> {
        let inner = self.rest.trim_start().strip_prefix('(')?;
        let mut depth = 1usize;
        let mut closing: Option<char> = None;
        for (at, c) in inner.char_indices() {
            match (closing, c) {
                (Some(end), _) if c == end => closing = None,
                (Some(_), _) => {}
                (None, '`' | '"' | '\'') => closing = Some(c),
                (None, '[') => closing = Some(']'),
                (None, '(') => depth += 1,
                (None, ')') => {
                    depth -= 1;
                    if depth == 0 {
                        self.rest = &inner[at + 1..];
                        return Some(&inner[..at]);
                    }
                }
                _ => {}
            }
        }
        None
    }
}

/// A quoted name at the beginning of `text`, and how many bytes it takes with its quotes; a doubled quote is one.
fn read_quoted(text: &str, closing: char) -> Option<(String, usize)> {
    let mut name = String::new();
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c != closing {
            name.push(c);
        } else if closing != ']' && chars.peek().is_some_and(|(_, next)| *next == closing) {
            name.push(c);
            chars.next();
        } else {
            return Some((name, at + c.len_utf8()));
        }
    }
    None
}

fn is_name_character(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_quoting_is_understood_and_one_is_written() {
        for (text, expected) in [
            ("create index idx on tbl (a)", "CREATE INDEX `idx` ON `tbl` (`a`)"),
            (
                "CREATE UNIQUE INDEX IF NOT EXISTS [main].\"my_idx\"\non 'tbl'(`a` desc , [b c] COLLATE nocase asc)",
                "CREATE UNIQUE INDEX IF NOT EXISTS `main`.`my_idx` ON `tbl` (\n  `a` DESC,\n  `b c` COLLATE nocase ASC\n)",
            ),
            (
                "create index i on t (lower(a), json_extract(b, '$.x, y')) where  a != ') where' and b > 1;",
                "CREATE INDEX `i` ON `t` (\n  lower(a),\n  json_extract(b, '$.x, y')\n) WHERE a != ') where' and b > 1",
            ),
            ("create index i on t (a || 'x' desc)", "CREATE INDEX `i` ON `t` (a || 'x' DESC)"),
            ("create index i on t (collate)", "CREATE INDEX `i` ON `t` (`collate`)"),
        ] {
            let index = Index::parse(text).unwrap_or_else(|| panic!("not parsed: {text}"));
            assert_eq!(index.to_sql(), expected);
            assert_eq!(Index::parse(&index.to_sql()), Some(index), "the written form reads back: {text}");
        }
    }

    #[test]
    fn what_is_no_index_is_refused() {
        for text in [
            "",
            "invalid",
            "create index on t (a)",
            "create index i on t",
            "create index i on t ()",
            "create index `i i` on t (a)",
        ] {
            assert_eq!(Index::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_table_may_be_left_out() {
        for text in ["create index i on (a)", "create index `i` on `` (a)"] {
            assert_eq!(Index::parse(text).map(|index| index.table), Some(String::new()), "{text}");
        }
    }

    #[test]
    fn a_unique_column_is_found_in_any_case() {
        let indexes =
            vec!["create index a on t (email)".to_owned(), "create unique index b on t (`EMAIL`) where 1".into()];
        assert_eq!(single_unique(&indexes, "email").map(|index| index.name), Some("b".into()));
        assert_eq!(single_unique(&indexes, "name"), None);
    }
}
