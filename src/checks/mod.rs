//! The checks that values, options and settings share: ranges, lengths, addresses.
//!
//! Each takes a value and returns what is wrong with it, in the codes that clients compare. None of them refuses an
//! empty value; that is [`required`]'s part.

mod addresses;

pub use addresses::{domain, email, url, url_host};

use crate::errors::Invalid;
use crate::patterns;

/// The largest integer that every JSON reader keeps.
pub const MAX_SAFE_INTEGER: i64 = (1 << 53) - 1;

pub fn required(text: &str) -> Result<(), Invalid> {
    if text.is_empty() { Err(Invalid::required()) } else { Ok(()) }
}

/// `required` for numbers: 0 counts as not given.
pub fn required_number(number: i64) -> Result<(), Invalid> {
    if number == 0 { Err(Invalid::required()) } else { Ok(()) }
}

/// At least `threshold`; 0 counts as not given.
pub fn min(number: i64, threshold: i64) -> Result<(), Invalid> {
    if number != 0 && number < threshold { Err(too_small(threshold)) } else { Ok(()) }
}

/// At most `threshold`; 0 counts as not given.
pub fn max(number: i64, threshold: i64) -> Result<(), Invalid> {
    if number != 0 && number > threshold { Err(too_large(threshold)) } else { Ok(()) }
}

pub fn between(number: i64, least: i64, most: i64) -> Result<(), Invalid> {
    min(number, least).and_then(|()| max(number, most))
}

pub(crate) fn too_small(threshold: i64) -> Invalid {
    Invalid::new("validation_min_greater_equal_than_required", format!("must be no less than {threshold}"))
        .with("threshold", threshold)
}

pub(crate) fn too_large(threshold: i64) -> Invalid {
    Invalid::new("validation_max_less_equal_than_required", format!("must be no greater than {threshold}"))
        .with("threshold", threshold)
}

/// A length in bytes; a `min` of 0 sets no lower limit.
pub fn length(text: &str, min: usize, max: usize) -> Result<(), Invalid> {
    if text.is_empty() || (min..=max).contains(&text.len()) {
        return Ok(());
    }
    let invalid = if min == 0 {
        Invalid::new("validation_length_too_long", format!("the length must be no more than {max}"))
    } else if min == max {
        Invalid::new("validation_length_invalid", format!("the length must be exactly {min}"))
    } else {
        Invalid::new("validation_length_out_of_range", format!("the length must be between {min} and {max}"))
    };
    Err(invalid.with("min", min).with("max", max))
}

/// Letters, digits and `_`: what may name a collection or a field.
pub fn word(text: &str) -> Result<(), Invalid> {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if text.bytes().all(word) { Ok(()) } else { Err(bad_format()) }
}

pub fn bad_format() -> Invalid {
    Invalid::new("validation_match_invalid", "must be in a valid format")
}

/// A regular expression that compiles.
pub fn pattern(text: &str) -> Result<(), Invalid> {
    if text.is_empty() {
        return Ok(());
    }
    patterns::compile(text).map(drop).map_err(|reason| Invalid::new("validation_invalid_regex", reason))
}
