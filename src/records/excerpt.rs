//! `:excerpt(max[,withEllipsis])`: the beginning of an HTML text without its markup.
//!
//! A small scanner, not a browser: it knows tags, comments and entities, and cares only for the text between them.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value as Json;

/// How much of a text is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Excerpt {
    /// Code points.
    max: usize,
    with_ellipsis: bool,
}

/// Elements that are dropped with all that is in them.
const DROPPED: [&str; 20] = [
    "head", "style", "script", "iframe", "embed", "applet", "object", "svg", "img", "picture", "dialog", "template",
    "button", "form", "textarea", "input", "select", "option", "title", "noscript",
];

/// Elements without content, so without an end tag.
const VOID: [&str; 14] =
    ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr"];

/// Elements that do not part words. All others do.
const INLINE: [&str; 20] = [
    "a", "abbr", "acronym", "b", "bdo", "big", "br", "cite", "code", "em", "i", "label", "q", "small", "span",
    "strong", "strike", "sub", "sup", "time",
];

impl Excerpt {
    /// Reads `excerpt(max[,withEllipsis])`.
    pub fn parse(text: &str) -> Option<Excerpt> {
        let mut parts = text.split(['(', ')', ',', ' ']).filter(|part| !part.is_empty());
        if parts.next() != Some("excerpt") {
            return None;
        }
        let max = parts.next()?.parse().ok().filter(|max| *max > 0)?;
        let with_ellipsis = parts.next().is_some_and(|flag| matches!(flag, "1" | "t" | "T" | "true" | "TRUE" | "True"));
        parts.next().is_none().then_some(Excerpt { max, with_ellipsis })
    }

    /// What is not a text stays as it is.
    pub fn apply(&self, value: Json) -> Json {
        match value {
            Json::String(text) => Json::String(self.cut(&text)),
            other => other,
        }
    }

    fn cut(&self, html: &str) -> String {
        let text = self.text(html);
        let text = text.trim();
        match text.char_indices().nth(self.max) {
            None => text.to_owned(),
            Some((end, _)) => {
                let cut = text[..end].trim();
                if self.with_ellipsis { format!("{cut}...") } else { cut.to_owned() }
            }
        }
    }

    /// The text between the tags, with single blanks, as far as it can matter.
    fn text(&self, html: &str) -> String {
        let mut out = Collected { text: String::new(), length: 0 };
        let mut rest = html;
        while !rest.is_empty() && out.length <= self.max.saturating_add(2) {
            let Some(open) = rest.find('<') else {
                out.push(rest);
                break;
            };
            let (before, markup) = rest.split_at(open);
            out.push(before);
            rest = match Markup::read(markup) {
                None => {
                    out.push("<");
                    &markup[1..]
                }
                Some((Markup::Comment, after)) => after,
                Some((Markup::End(name), after)) => {
                    out.part(&name);
                    after
                }
                Some((Markup::Start(name), after)) if DROPPED.contains(&name.as_str()) => {
                    if VOID.contains(&name.as_str()) { after } else { skip_element(after, &name) }
                }
                Some((Markup::Start(name), after)) => {
                    out.part(&name);
                    after
                }
            };
        }
        out.text
    }
}

/// The text found so far.
struct Collected {
    text: String,
    /// Code points.
    length: usize,
}

impl Collected {
    fn push(&mut self, raw: &str) {
        static ENTITY: LazyLock<Regex> = LazyLock::new(|| {
            Regex::new(r"&(#[0-9]+|#[xX][0-9a-fA-F]+|[A-Za-z][A-Za-z0-9]*);").expect("a valid pattern")
        });
        let decoded = ENTITY.replace_all(raw, |found: &regex::Captures<'_>| {
            entity(&found[1]).map_or_else(|| found[0].to_owned(), String::from)
        });
        for char in decoded.chars() {
            match char {
                ' ' | '\t' | '\n' | '\r' | '\u{c}' => self.blank(),
                _ => {
                    self.text.push(char);
                    self.length += 1;
                }
            }
        }
    }

    fn blank(&mut self) {
        if !self.text.ends_with(' ') {
            self.text.push(' ');
            self.length += 1;
        }
    }

    /// A tag stood here.
    fn part(&mut self, name: &str) {
        if !INLINE.contains(&name) {
            self.blank();
        }
    }
}

enum Markup {
    Start(String),
    End(String),
    Comment,
}

impl Markup {
    /// Reads what begins with `<`; none if that is just a character.
    fn read(text: &str) -> Option<(Markup, &str)> {
        if let Some(comment) = text.strip_prefix("<!--") {
            return Some((Markup::Comment, comment.split_once("-->").map_or("", |(_, after)| after)));
        }
        if text.starts_with("<!") || text.starts_with("<?") {
            return Some((Markup::Comment, text.split_once('>').map_or("", |(_, after)| after)));
        }
        let (is_end, tag) = match text.strip_prefix("</") {
            Some(tag) => (true, tag),
            None => (false, &text[1..]),
        };
        if !tag.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return None;
        }
        let length = tag.find(|c: char| c.is_ascii_whitespace() || c == '/' || c == '>').unwrap_or(tag.len());
        let name = tag[..length].to_ascii_lowercase();
        let after = after_attributes(&tag[length..]);
        Some((if is_end { Markup::End(name) } else { Markup::Start(name) }, after))
    }
}

/// What follows the `>` that ends a tag; quoted values may hold others.
fn after_attributes(text: &str) -> &str {
    let mut quote = None;
    for (index, byte) in text.bytes().enumerate() {
        match (quote, byte) {
            (None, b'>') => return &text[index + 1..],
            (None, b'"' | b'\'') => quote = Some(byte),
            (Some(open), byte) if open == byte => quote = None,
            _ => {}
        }
    }
    ""
}

/// What follows the end tag of an element that may hold others of its name.
fn skip_element<'a>(mut text: &'a str, name: &str) -> &'a str {
    if matches!(name, "style" | "script" | "textarea" | "iframe" | "title") {
        return skip_raw(text, name);
    }
    let mut depth = 1;
    while let Some(open) = text.find('<') {
        let markup = &text[open..];
        text = match Markup::read(markup) {
            Some((Markup::End(found), after)) if found == name => {
                depth -= 1;
                if depth == 0 {
                    return after;
                }
                after
            }
            Some((Markup::Start(found), after)) if found == name => {
                depth += 1;
                after
            }
            Some((_, after)) => after,
            None => &markup[1..],
        };
    }
    ""
}

/// What follows the end tag of an element whose content is no markup.
fn skip_raw<'a>(mut text: &'a str, name: &str) -> &'a str {
    while let Some(open) = text.find("</") {
        text = &text[open + 2..];
        let Some(after) = text.get(name.len()..).filter(|_| text[..name.len()].eq_ignore_ascii_case(name)) else {
            continue;
        };
        if after.is_empty() || after.starts_with(|c: char| c.is_ascii_whitespace() || c == '/' || c == '>') {
            return after_attributes(after);
        }
    }
    ""
}

/// The character that an entity stands for.
fn entity(name: &str) -> Option<char> {
    /// U+00A0 and on, in order.
    const LATIN_1: [&str; 96] = [
        "nbsp", "iexcl", "cent", "pound", "curren", "yen", "brvbar", "sect", "uml", "copy", "ordf", "laquo", "not",
        "shy", "reg", "macr", "deg", "plusmn", "sup2", "sup3", "acute", "micro", "para", "middot", "cedil", "sup1",
        "ordm", "raquo", "frac14", "frac12", "frac34", "iquest", "Agrave", "Aacute", "Acirc", "Atilde", "Auml",
        "Aring", "AElig", "Ccedil", "Egrave", "Eacute", "Ecirc", "Euml", "Igrave", "Iacute", "Icirc", "Iuml", "ETH",
        "Ntilde", "Ograve", "Oacute", "Ocirc", "Otilde", "Ouml", "times", "Oslash", "Ugrave", "Uacute", "Ucirc",
        "Uuml", "Yacute", "THORN", "szlig", "agrave", "aacute", "acirc", "atilde", "auml", "aring", "aelig", "ccedil",
        "egrave", "eacute", "ecirc", "euml", "igrave", "iacute", "icirc", "iuml", "eth", "ntilde", "ograve", "oacute",
        "ocirc", "otilde", "ouml", "divide", "oslash", "ugrave", "uacute", "ucirc", "uuml", "yacute", "thorn", "yuml",
    ];
    if let Some(hex) = name.strip_prefix("#x").or_else(|| name.strip_prefix("#X")) {
        return char::from_u32(u32::from_str_radix(hex, 16).ok()?);
    }
    if let Some(decimal) = name.strip_prefix('#') {
        return char::from_u32(decimal.parse().ok()?);
    }
    Some(match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "ndash" => '–',
        "mdash" => '—',
        "lsquo" => '‘',
        "rsquo" => '’',
        "sbquo" => '‚',
        "ldquo" => '“',
        "rdquo" => '”',
        "bdquo" => '„',
        "bull" => '•',
        "hellip" => '…',
        "lsaquo" => '‹',
        "rsaquo" => '›',
        "euro" => '€',
        "trade" => '™',
        _ => char::from_u32(0xA0 + LATIN_1.iter().position(|known| *known == name)? as u32)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_goes_and_text_stays() {
        let cases = [
            ("plain", "plain"),
            ("", ""),
            ("<p>Hi <b>the</b>re</p>", "Hi there"),
            ("<p>one</p><p>two</p>", "one two"),
            ("a<br>b<hr>c", "ab c"),
            ("  many \n\t blanks  ", "many blanks"),
            ("1 < 2 && 3 > 2", "1 < 2 && 3 > 2"),
            ("&lt;b&gt; &amp;amp; &eacute;&#33;&#x21; &unknown;", "<b> &amp; é!! &unknown;"),
            ("a<script>if (1 < 2) { '</b>' }</script>b", "ab"),
            ("a<form><form>x</form>y</form>b", "ab"),
            ("a<img src='x>y' alt=\">\">b<!-- c > d -->e", "abe"),
            ("a<style>unclosed", "a"),
            ("a<SCRIPT></scripts></ script></é</Script >b", "ab"),
            ("a<title></title", "a"),
            ("a<p unclosed", "a"),
            ("<", "<"),
        ];
        for (html, expected) in cases {
            assert_eq!(Excerpt { max: 100, with_ellipsis: true }.cut(html), expected, "{html}");
        }
    }

    /// Were every `<` to look for its end, this would take hours.
    #[test]
    fn long_nonsense_is_read_once() {
        let excerpt = Excerpt { max: usize::MAX, with_ellipsis: true };
        for begin in ["<script>", "<form>", "<p>", "&", "<a '"] {
            for piece in ["<a", "</", "<!--", "&", "<", "</script", "<script>"] {
                excerpt.cut(&format!("{begin}{}", piece.repeat(1_000_000)));
            }
        }
    }

    #[test]
    fn it_counts_code_points_and_trims_what_is_cut() {
        let cut = |max, with_ellipsis, text| Excerpt { max, with_ellipsis }.cut(text);
        assert_eq!(cut(3, false, "äöüß"), "äöü");
        assert_eq!(cut(4, true, "äöüß"), "äöüß");
        assert_eq!(cut(3, true, "<p>ab</p><p>cd</p>"), "ab...");
        assert_eq!(cut(5, true, "<p>Hi <b>there</b></p>"), "Hi th...");
    }
}
