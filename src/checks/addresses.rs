//! E-mail addresses, URLs and domain names: whether a text looks like one. Nothing is looked up.

use std::net::Ipv6Addr;

use crate::errors::Invalid;

/// A domain name such as `example.com`.
pub fn domain(text: &str) -> Result<(), Invalid> {
    if text.is_empty() || is_domain(text) {
        Ok(())
    } else {
        Err(Invalid::new("validation_is_domain", "must be a valid domain"))
    }
}

/// An e-mail address with a dot in its domain; letters of any script.
pub fn email(text: &str) -> Result<(), Invalid> {
    if text.is_empty() || is_email(text) {
        Ok(())
    } else {
        Err(Invalid::new("validation_is_email", "must be a valid email address"))
    }
}

/// A URL whose scheme may be left out: `https://example.com/x`, `example.com:8080`.
pub fn url(text: &str) -> Result<(), Invalid> {
    if text.is_empty() || is_url(text) { Ok(()) } else { Err(Invalid::new("validation_is_url", "must be a valid URL")) }
}

/// The host of a URL with its port, as written; empty where the URL names no scheme.
pub fn url_host(text: &str) -> &str {
    let Some((_, rest)) = text.split_once("://") else { return "" };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    authority.rsplit('@').next().unwrap_or_default()
}

fn is_domain(text: &str) -> bool {
    let top = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(|byte| byte.is_ascii_alphabetic());
    let label = |label: &str| {
        let lower_or_digit = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        match label.as_bytes() {
            [only] => only.is_ascii_alphanumeric(),
            [first, inner @ .., last] => {
                inner.len() <= 61
                    && first.is_ascii_alphanumeric()
                    && inner.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
                    && lower_or_digit(*last)
            }
            [] => false,
        }
    };
    text.len() <= 255 && text.rsplit_once('.').is_some_and(|(labels, last)| top(last) && labels.split('.').all(label))
}

fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    let atom = |letter: char| is_letter(letter) || letter.is_ascii_digit() || "!#$%&'*+-/=?^_`{|}~".contains(letter);
    // Quoted names are left out: nobody has one, and what they may hold does no good in a mail header.
    let local_valid = local.split('.').all(|part| !part.is_empty() && part.chars().all(atom));
    let Some((labels, top)) = domain.strip_suffix('.').unwrap_or(domain).rsplit_once('.') else { return false };
    let inner = |letter: char| is_letter(letter) || letter.is_ascii_digit() || matches!(letter, '-' | '_' | '~');
    let edge = |letter: char| is_letter(letter) || letter.is_ascii_digit();
    local_valid
        && top.starts_with(is_letter)
        && top.ends_with(is_letter)
        && top.chars().all(inner)
        && labels.starts_with(edge)
        && labels.ends_with(edge)
        && labels.chars().all(|letter| letter == '.' || inner(letter))
}

/// Letters of ASCII, and all that is beyond Latin-1's control characters in the basic plane.
fn is_letter(letter: char) -> bool {
    letter.is_ascii_alphabetic()
        || matches!(letter, '\u{a0}'..='\u{d7ff}' | '\u{f900}'..='\u{fdcf}' | '\u{fdf0}'..='\u{ffef}')
}

const SCHEMES: [&str; 7] = ["http://", "https://", "ftp://", "ws://", "wss://", "tcp://", "udp://"];

fn is_url(text: &str) -> bool {
    let blank = |letter: char| matches!(letter, '\0'..=' ' | '\x7f');
    if text.len() <= 3 || text.chars().count() >= 2083 || text.starts_with('.') || text.contains(blank) {
        return false;
    }
    let scheme = SCHEMES.iter().find_map(|scheme| text.strip_prefix(scheme));
    if !text.contains(':') && !text.split(['?', '#']).next().unwrap_or_default().contains('.') {
        // A word alone is as likely anything else.
        return false;
    }
    let rest = scheme.unwrap_or(text);
    // An `@` may end the user's name or stand in the path.
    let user = |name: &str| scheme.is_none() || name.chars().all(is_user_character);
    is_place(rest) || rest.match_indices('@').any(|(at, _)| user(&rest[..at]) && is_place(&rest[at + 1..]))
}

fn is_user_character(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:%@".contains(letter)
}

/// `host[:port][/path][?query][#fragment]`
fn is_place(text: &str) -> bool {
    let end = text.find(['/', '?', '#']).unwrap_or(text.len());
    let (host, rest) = text.split_at(end);
    let (path, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let path = path.split('?').next().unwrap_or_default();
    if !escapes_valid(path) || !escapes_valid(fragment) {
        return false;
    }
    if let Some((address, port)) = host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return address.parse::<Ipv6Addr>().is_ok() && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port));
    }
    let (name, port) = match host.split_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (host, None),
    };
    port.is_none_or(is_port) && name.strip_suffix('.').unwrap_or(name).split('.').all(is_host_label)
}

fn is_port(text: &str) -> bool {
    (1..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_host_label(label: &str) -> bool {
    let edge = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '\u{a1}'..='\u{ffff}');
    label.starts_with(edge) && label.ends_with(edge) && label.chars().all(|l| edge(l) || matches!(l, '-' | '_'))
}

/// Every `%` is followed by two hexadecimal digits.
fn escapes_valid(text: &str) -> bool {
    let hex = |byte: &u8| byte.is_ascii_hexdigit();
    text.split('%').skip(1).all(|after| after.len() >= 2 && after.as_bytes()[..2].iter().all(hex))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn emails() {
        let valid = [
            "a@b.co",
            "a.b+c@example.com",
            "ä@müller.de",
            "a@b.c-d.ex",
            "用户@例子.公司",
            "a@b.co.",
            "A@B.COM",
            "!#$%&'*+-/=?^_`{|}~@x.yz",
            "a@1.com",
            "a@b..c.com",
        ];
        let invalid = [
            "a",
            "a@b",
            "@b.co",
            "a@",
            "a@b.",
            "a@.co",
            "a b@c.de",
            "a..b@c.de",
            ".a@c.de",
            "a.@c.de",
            "a@b_.co",
            "a@-b.co",
            "a@b.c1",
            "a@b@c.de",
            "\"a\"@x.com",
            "a@b.co..",
            " a@b.co",
            "a@b.co ",
        ];
        for text in valid {
            assert!(email(text).is_ok(), "{text}");
        }
        for text in invalid {
            assert_eq!(email(text).unwrap_err().code, "validation_is_email", "{text}");
        }
    }

    #[test]
    fn urls() {
        let valid = [
            "example.com",
            "http://localhost",
            "https://example.com/a?b=c#d",
            "ftp://x.org",
            "ws://a.b:8080/x",
            "mailto:a@b.com",
            "http://user:pw@example.com",
            "http://[::1]:80/",
            "http://münchen.de",
            "a.b/c",
            "example.com:8080",
            "localhost:8080",
            "http://1.2.3.4",
            "http://example.com.",
            "http://a.b/@c",
            "https://a_b.example.com",
            "http://a.b?x=%zz",
            "tcp://a.b",
            "udp://a.b",
            "wss://a.b",
        ];
        let invalid = [
            "a",
            "abcd",
            "a b.com",
            "HTTP://example.com",
            "http://",
            "://x.com",
            ".com.de",
            "http://a..b",
            "gopher://a.b",
            "http://-a.com",
            "http://a.com:123456",
            "http://a.b/%zz",
            "http://a.b:x",
            "http://a b",
            "javascript:alert(1)",
            "/a.b",
            "http:///x",
            "localhost",
            "http://a.b/\n",
        ];
        for text in valid {
            assert!(url(text).is_ok(), "{text}");
        }
        for text in invalid {
            assert_eq!(url(text).unwrap_err().code, "validation_is_url", "{text}");
        }
    }

    #[test]
    fn hosts_are_taken_as_written() {
        assert_eq!(url_host("https://u@Example.com:80/x?y"), "Example.com:80");
        assert_eq!(url_host("example.com/x"), "");
    }

    #[test]
    fn domains() {
        let valid = ["example.com", "a.b.c", "a-b.org", "A.com", "EXAMPLe.COM"];
        let invalid =
            ["com", "a..b", "-a.com", "a-.com", "EXAMPLE.com", "exa mple.com", "a.b1", "*.example.com", "a_b.com"];
        for text in valid {
            assert!(domain(text).is_ok(), "{text}");
        }
        for text in invalid {
            assert_eq!(domain(text).unwrap_err().code, "validation_is_domain", "{text}");
        }
    }
}
