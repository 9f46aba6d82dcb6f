//! A view's query under a new name of one of the tables that it reads.
//!
//! The query is the owner's text, so it is changed only where there can be no doubt: every place where the old name
//! stands must be a table in FROM or JOIN, or the table in front of a column. Otherwise nothing is changed, and the
//! owner has to do it.

/// The query with another table name; none where the old name stands for something else too.
pub fn rename_table(query: &str, old: &str, new: &str) -> Option<String> {
    let tokens = tokens(query);
    let mut out = String::with_capacity(query.len() + 16);
    let mut written = 0;
    // For each open parenthesis whether a table may stand next to a comma.
    let mut in_from = vec![false];
    for (index, token) in tokens.iter().enumerate() {
        let before = index.checked_sub(1).map(|index| &tokens[index]);
        let after = tokens.get(index + 1);
        let is = |token: Option<&Token<'_>>, text: &str| token.is_some_and(|token| token.text == text);
        match token.text {
            "(" => in_from.push(before.is_some_and(|token| token.is_word(&["from", "join"]))),
            ")" if in_from.len() > 1 => drop(in_from.pop()),
            _ => {}
        }
        let Some(inside) = in_from.last_mut() else { continue };
        if token.is_word(&["from", "join"]) {
            *inside = true;
        } else if token.is_word(&["select", "where", "group", "having", "order", "limit", "window", "union"]) {
            *inside = false;
        }
        if !token.names(old) {
            continue;
        }
        let after_comma = *inside && (is(before, ",") || is(before, "("));
        let is_table = before.is_some_and(|token| token.is_word(&["from", "join"])) || after_comma;
        let is_qualifier = is(after, ".") && !is(before, ".");
        if !is_table && !is_qualifier {
            return None;
        }
        out.push_str(&query[written..token.start]);
        out.push_str(&super::indexes::quoted(new));
        written = token.start + token.text.len();
    }
    out.push_str(&query[written..]);
    Some(out)
}

struct Token<'a> {
    start: usize,
    text: &'a str,
}

impl Token<'_> {
    fn is_word(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.text.eq_ignore_ascii_case(word))
    }

    /// True for the name, bare or quoted. Single quotes may be a name too, but then nobody can tell.
    fn names(&self, name: &str) -> bool {
        let text = match self.text.as_bytes() {
            [b'`' | b'"' | b'[' | b'\'', .., b'`' | b'"' | b']' | b'\''] => &self.text[1..self.text.len() - 1],
            _ => self.text,
        };
        text.eq_ignore_ascii_case(name) && !self.text.starts_with('\'')
    }
}

/// Words, quoted texts and single signs; blanks and comments are left out.
fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
        let length = match first {
            _ if rest.starts_with("--") => rest.find('\n').unwrap_or(rest.len()),
            _ if rest.starts_with("/*") => rest[2..].find("*/").map_or(rest.len(), |end| end + 4),
            '`' | '"' | '\'' => rest[1..].find(first).map_or(rest.len(), |end| end + 2),
            '[' => rest.find(']').map_or(rest.len(), |end| end + 1),
            c if is_word(c) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
            c => c.len_utf8(),
        };
        let token = &rest[..length];
        if !first.is_whitespace() && !token.starts_with("--") && !token.starts_with("/*") {
            tokens.push(Token { start: at, text: token });
        }
        at += length;
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_changed_where_it_is_a_table() {
        for (query, expected) in [
            ("select id from posts", Some("select id from `articles`")),
            (
                "SELECT posts.id, 'posts' a -- posts\nFROM users u, Posts LEFT JOIN \"posts\" p ON p.id = posts.id",
                Some(
                    "SELECT `articles`.id, 'posts' a -- posts\nFROM users u, `articles` LEFT JOIN `articles` p ON p.id = `articles`.id",
                ),
            ),
            (
                "select id, (select count(*) from posts) n from users",
                Some("select id, (select count(*) from `articles`) n from users"),
            ),
            ("select id from (posts join b)", Some("select id from (`articles` join b)")),
            ("select id from users", Some("select id from users")),
        ] {
            assert_eq!(rename_table(query, "posts", "articles").as_deref(), expected, "{query}");
        }
    }

    #[test]
    fn a_name_that_may_be_something_else_is_left_to_the_owner() {
        for query in [
            "select id, posts from posts",
            "with posts as (select 1 id) select id from posts",
            "select x.id as posts from posts x",
            "select id from posts where posts > 1",
            "select (id, posts) from posts",
        ] {
            assert_eq!(rename_table(query, "posts", "articles"), None, "{query}");
        }
    }
}
