//! Regular expressions that owners put into their fields: matching values, and making up random ones.
//!
//! Owners write RE2's dialect, as Go programs understand it; [`dialect`] says where ours differs. Compiled patterns are
//! kept, because the same few are asked for by every write.

mod dialect;
mod generate;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use rand::Rng;
use regex::Regex;

/// The letters and digits of generated secrets.
pub const ALPHANUMERIC: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

/// The letters and digits of record ids.
pub const LOWER_ALPHANUMERIC: &str = "abcdefghijklmnopqrstuvwxyz0123456789";

/// The pattern of the ids of nearly all collections.
pub const DEFAULT_ID: &str = "[a-z0-9]{15}";

/// How many patterns are kept compiled. Schemas have a few dozen; the limit is for whoever tries out thousands.
const KEPT: usize = 1_000;

type Kept<T> = LazyLock<RwLock<HashMap<String, Arc<T>>>>;

static COMPILED: Kept<Regex> = LazyLock::new(Default::default);
static GENERATORS: Kept<generate::Generator> = LazyLock::new(Default::default);

/// A pattern, ready to match. The error is a sentence for the owner.
pub fn compile(pattern: &str) -> Result<Arc<Regex>, String> {
    kept(&COMPILED, pattern, || {
        let translated = dialect::translate(pattern);
        dialect::check(&translated)?;
        regex::RegexBuilder::new(&translated).size_limit(4 << 20).build().map_err(|error| sentence(&error.to_string()))
    })
}

/// True if the text matches a pattern, which need not cover all of it. A broken pattern matches nothing.
pub fn matches(pattern: &str, text: &str) -> bool {
    if pattern == "^[a-z0-9]+$" {
        // The pattern of nearly all ids: no machinery for it.
        return !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    }
    compile(pattern).is_ok_and(|pattern| pattern.is_match(text))
}

/// A random text that matches a pattern. What the pattern repeats without a limit is repeated a few times; anchors and
/// word boundaries are taken to hold. The error is a sentence for the owner.
pub fn generate(pattern: &str) -> Result<String, String> {
    if pattern == DEFAULT_ID {
        return Ok(random_text(15, LOWER_ALPHANUMERIC));
    }
    let generator = kept(&GENERATORS, pattern, || {
        let translated = dialect::translate(pattern);
        dialect::check(&translated)?;
        let tree = regex_syntax::parse(&translated).map_err(|error| sentence(&error.to_string()))?;
        generate::Generator::new(&tree)
    })?;
    Ok(generator.make(&mut rand::rng()))
}

/// Random characters of an alphabet, each equally likely. Fit for secrets. An empty alphabet gives an empty text.
pub fn random_text(len: usize, alphabet: &str) -> String {
    if !alphabet.is_ascii() || alphabet.is_empty() {
        let alphabet: Vec<char> = alphabet.chars().collect();
        return (0..if alphabet.is_empty() { 0 } else { len }).map(|_| alphabet[below(alphabet.len())]).collect();
    }
    let letters = alphabet.as_bytes();
    // Bytes beyond the largest multiple are thrown away, else the first letters would be likelier.
    let fair = 256 - 256 % letters.len();
    let mut random = rand::rng();
    let mut text = String::with_capacity(len);
    let mut bytes = [0u8; 32];
    while text.len() < len {
        random.fill_bytes(&mut bytes);
        let picked = bytes.iter().map(|byte| usize::from(*byte)).filter(|byte| *byte < fair);
        text.extend(picked.take(len - text.len()).map(|byte| char::from(letters[byte % letters.len()])));
    }
    text
}

fn below(limit: usize) -> usize {
    rand::random_range(0..limit)
}

fn kept<T>(cache: &Kept<T>, pattern: &str, make: impl FnOnce() -> Result<T, String>) -> Result<Arc<T>, String> {
    if let Some(found) = cache.read().unwrap_or_else(PoisonError::into_inner).get(pattern) {
        return Ok(found.clone());
    }
    let made = Arc::new(make()?);
    let mut cache = cache.write().unwrap_or_else(PoisonError::into_inner);
    if cache.len() >= KEPT {
        cache.clear();
    }
    cache.insert(pattern.to_owned(), made.clone());
    Ok(made)
}

/// The last line of an error that draws the pattern above it.
fn sentence(error: &str) -> String {
    let reason = error.lines().last().unwrap_or(error);
    format!("error parsing regexp: {}", reason.strip_prefix("error: ").unwrap_or(reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_texts_match_their_pattern() {
        let patterns = [
            "[a-z0-9]{15}",
            "[a-zA-Z0-9]{50}",
            r"\w{3}-\d+",
            "(foo|bar)(baz)?",
            "^a*b+c?$",
            "[^a-z]{4}",
            r"\Qa.b\E[[:alpha:]]{2,3}",
            r"\S\s\D\W",
            "x.y",
            "(?i)héllo",
            r"[^\w]{2,}",
            "(a|b|[0-9]{2}){3}",
            "",
        ];
        for pattern in patterns {
            let whole = compile(&format!("^(?:{pattern})$")).unwrap();
            for _ in 0..50 {
                let text = generate(pattern).unwrap();
                assert!(whole.is_match(&text), "{pattern}: {text:?}");
            }
        }
    }

    #[test]
    fn generated_texts_differ() {
        assert_ne!(generate(DEFAULT_ID), generate(DEFAULT_ID));
        assert_ne!(generate("[a-z]{20}"), generate("[a-z]{20}"));
    }

    #[test]
    fn random_texts_use_the_whole_alphabet() {
        for alphabet in [ALPHANUMERIC, LOWER_ALPHANUMERIC, "äöü", "x"] {
            let text = random_text(5_000, alphabet);
            assert_eq!(text.chars().count(), 5_000);
            assert!(alphabet.chars().all(|letter| text.contains(letter)));
            assert!(text.chars().all(|letter| alphabet.contains(letter)));
        }
        assert_eq!(random_text(3, ""), "");
    }

    #[test]
    fn all_letters_are_equally_likely() {
        // 256 is no multiple of 36: taken modulo, the first four would come up 14 % more often.
        let text = random_text(100_000, LOWER_ALPHANUMERIC);
        let first = text.bytes().filter(|byte| (b'a'..=b'd').contains(byte)).count() as f64;
        assert!((first / 100_000.0 * 36.0 / 4.0 - 1.0).abs() < 0.07, "{first}");
    }

    #[test]
    fn broken_patterns_are_explained() {
        assert_eq!(compile("(a").unwrap_err(), "error parsing regexp: unclosed group");
        assert!(generate("(a").is_err());
        assert!(compile("a{1000}{1000}{1000}").is_err());
        assert!(generate("((a{1000}){1000}){1000}").is_err());
        assert!(generate(r"[^\x{0}-\x{10FFFF}]").is_err());
    }
}
