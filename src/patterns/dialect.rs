//! From RE2's dialect, in which owners write patterns, to that of the `regex` crate.
//!
//! The two are siblings. What differs: `\d \s \w \b` know ASCII only in RE2; `[`, `&&`, `~~` and `--` mean nothing
//! special within its brackets; a brace that begins no count is a brace; `\<` is just `<`; `\Q...\E` quotes; octal
//! escapes exist. What neither knows (look-around, back-references) stays as it is, and is refused by the engine.

use regex_syntax::ast::{self, Ast, RepetitionKind, RepetitionRange};

/// The same pattern for the `regex` crate. Broken patterns come out broken.
pub(super) fn translate(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut rest = pattern;
    while let Some(first) = rest.chars().next() {
        rest = match first {
            '\\' => escape(rest, false, &mut out),
            '[' => brackets(rest, &mut out),
            '{' if !begins_count(rest) => {
                out.push_str(r"\{");
                &rest[1..]
            }
            _ => {
                out.push(first);
                &rest[first.len_utf8()..]
            }
        };
    }
    out
}

/// Finds what RE2 refuses although the `regex` crate takes it: repetitions of repetitions, and of more than 1000. Other
/// mistakes are left to the engine.
pub(super) fn check(translated: &str) -> Result<(), String> {
    match ast::parse::Parser::new().parse(translated) {
        Ok(tree) => ast::visit(&tree, Repetitions),
        Err(_) => Ok(()),
    }
}

struct Repetitions;

impl ast::Visitor for Repetitions {
    type Output = ();
    type Err = String;

    fn finish(self) -> Result<(), String> {
        Ok(())
    }

    fn visit_pre(&mut self, node: &Ast) -> Result<(), String> {
        let Ast::Repetition(repetition) = node else { return Ok(()) };
        if matches!(*repetition.ast, Ast::Repetition(_)) {
            return Err("error parsing regexp: invalid nested repetition operator".to_owned());
        }
        let count = match &repetition.op.kind {
            RepetitionKind::Range(RepetitionRange::Exactly(count) | RepetitionRange::AtLeast(count)) => *count,
            RepetitionKind::Range(RepetitionRange::Bounded(_, count)) => *count,
            _ => 0,
        };
        if count > 1000 { Err("error parsing regexp: invalid repeat count".to_owned()) } else { Ok(()) }
    }
}

/// `{2}`, `{2,}` or `{2,5}`.
fn begins_count(rest: &str) -> bool {
    let Some((count, _)) = rest[1..].split_once('}') else { return false };
    let (min, max) = count.split_once(',').unwrap_or((count, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    !min.is_empty() && digits(min) && digits(max)
}

/// An escape sequence at the start of `rest`; returns what follows it.
fn escape<'a>(rest: &'a str, within_brackets: bool, out: &mut String) -> &'a str {
    let Some(letter) = rest[1..].chars().next() else {
        out.push('\\');
        return "";
    };
    let after = &rest[1 + letter.len_utf8()..];
    let (negated, ascii) = match letter.to_ascii_lowercase() {
        'd' => (letter == 'D', "0-9"),
        'w' => (letter == 'W', "0-9A-Za-z_"),
        's' => (letter == 'S', r"\t\n\x0C\r "),
        _ => (false, ""),
    };
    if !ascii.is_empty() {
        match (negated, within_brackets) {
            (false, true) => out.push_str(ascii),
            (false, false) => out.extend(["[", ascii, "]"]),
            (true, _) => out.extend(["[^", ascii, "]"]),
        }
        return after;
    }
    match letter {
        'b' if !within_brackets => out.push_str(r"(?-u:\b)"),
        '<' | '>' => out.push(letter),
        'Q' if !within_brackets => {
            let (quoted, after) = after.split_once(r"\E").unwrap_or((after, ""));
            out.push_str(&regex::escape(quoted));
            return after;
        }
        '0'..='7' => {
            let len = 1 + after.bytes().take(2).take_while(|byte| matches!(byte, b'0'..=b'7')).count();
            if letter != '0' && len == 1 {
                // A back-reference; the engine says that it knows none.
                out.extend(['\\', letter]);
                return after;
            }
            let code = u32::from_str_radix(&rest[1..1 + len], 8).unwrap_or_default();
            out.push_str(&format!("\\x{{{code:x}}}"));
            return &rest[1 + len..];
        }
        'p' | 'P' | 'x' if after.starts_with('{') => {
            let end = after.find('}').map_or(after.len(), |end| end + 1);
            out.extend(['\\', letter]);
            out.push_str(&after[..end]);
            return &after[end..];
        }
        _ => out.extend(['\\', letter]),
    }
    after
}

/// A bracket expression at the start of `rest`; returns what follows it.
fn brackets<'a>(rest: &'a str, out: &mut String) -> &'a str {
    out.push('[');
    let mut rest = &rest[1..];
    if let Some(after) = rest.strip_prefix('^') {
        out.push('^');
        rest = after;
    }
    // A bracket that closes nothing yet is one of the characters.
    if let Some(after) = rest.strip_prefix(']') {
        out.push_str(r"\]");
        rest = after;
    }
    while let Some(first) = rest.chars().next() {
        rest = match first {
            ']' => {
                out.push(']');
                return &rest[1..];
            }
            '\\' => escape(rest, true, out),
            '[' => match rest.strip_prefix("[:").and_then(|class| class.split_once(":]")) {
                Some((class, after)) if class.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'^') => {
                    out.extend(["[:", class, ":]"]);
                    after
                }
                _ => {
                    out.push_str(r"\[");
                    &rest[1..]
                }
            },
            '-' if rest.starts_with("--") => {
                out.push_str(r"-\-");
                &rest[2..]
            }
            '&' | '~' => {
                out.extend(['\\', first]);
                &rest[1..]
            }
            _ => {
                out.push(first);
                &rest[first.len_utf8()..]
            }
        };
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::super::compile;

    #[test]
    fn patterns_mean_what_they_mean_in_re2() {
        let cases: &[(&str, &str, bool)] = &[
            (r"^\d$", "5", true),
            (r"^\d$", "٥", false),
            (r"^\w+$", "a_Z9", true),
            (r"^\w+$", "é", false),
            (r"^\W$", "é", true),
            (r"^[\W]$", "é", true),
            (r"^[^\W]$", "a", true),
            (r"^\s$", "\u{a0}", false),
            (r"^[\s\d-]+$", "1- 2", true),
            (r"\bfoo\b", "a foo b", true),
            (r"\bfoo\b", "éfoo", true),
            (r"^\<a\>$", "<a>", true),
            (r"^a{,2}$", "a{,2}", true),
            (r"^{$", "{", true),
            (r"^a{2}$", "aa", true),
            (r"^[[]$", "[", true),
            (r"^[a&&b]+$", "a&b", true),
            (r"^[]a]+$", "]a", true),
            (r"^[^]a]$", "b", true),
            (r"^[+--]+$", "+,-", true),
            (r"^[[:alpha:]]+$", "abc", true),
            (r"^[[:^alpha:]]+$", "123", true),
            (r"^\Q.*\E$", ".*", true),
            (r"^\Q.*\E$", "aa", false),
            (r"^\101$", "A", true),
            (r"^\x41\x{42}$", "AB", true),
            (r"^\p{Greek}\pL$", "αb", true),
            (r"^(?i)straße$", "STRAßE", true),
            (r"^(?P<year>\d{4})$", "2026", true),
            (r"^a\.b\-c\_d\/$", "a.b-c_d/", true),
            (r"^.$", "\n", false),
            (r"^a$", "a\n", false),
        ];
        for (pattern, text, matches) in cases {
            assert_eq!(compile(pattern).unwrap().is_match(text), *matches, "{pattern} {text:?}");
        }
    }

    #[test]
    fn what_re2_refuses_is_refused() {
        for pattern in [
            "(a",
            "a)",
            "[a",
            "a**b(",
            r"\1",
            "a**",
            "a{2}{3}",
            "(a+){1001}",
            "(?=a)",
            "(?<!a)b",
            "[b-a]",
            "*",
            r"\",
            r"\y",
        ] {
            assert!(compile(pattern).is_err(), "{pattern}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_either_a_pattern_or_an_error(pattern in r#"[\[\]\\{}()^$*+?&~|.a-c0-9,:QEdWxb-]{0,24}"#, text in ".{0,8}") {
            if let Ok(regex) = compile(&pattern) {
                regex.is_match(&text);
                let _ = super::super::generate(&pattern);
            }
        }
    }
}
