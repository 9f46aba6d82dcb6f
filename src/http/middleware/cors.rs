//! Which pages of other origins may call us (operations.md §1).

use actix_web::HttpResponse;
use actix_web::http::header::{self, HeaderMap, HeaderValue};

const METHODS: HeaderValue = HeaderValue::from_static("GET,HEAD,PUT,PATCH,POST,DELETE");
const VARY: HeaderValue = HeaderValue::from_static("Origin");
const VARY_PREFLIGHT: HeaderValue =
    HeaderValue::from_static("Origin, Access-Control-Request-Method, Access-Control-Request-Headers");
const ANY: HeaderValue = HeaderValue::from_static("*");

/// The origins of the configuration: texts in which `*` stands for any characters and `?` for one.
#[derive(Clone, Debug)]
pub struct Origins(Vec<String>);

impl Default for Origins {
    fn default() -> Origins {
        Origins(vec!["*".into()])
    }
}

impl Origins {
    /// An empty list admits every origin.
    pub fn new(patterns: impl IntoIterator<Item = String>) -> Origins {
        let patterns: Vec<String> =
            patterns.into_iter().map(|pattern| pattern.trim().to_lowercase()).filter(|p| !p.is_empty()).collect();
        if patterns.is_empty() { Origins::default() } else { Origins(patterns) }
    }

    /// What a page of this origin is told; none if it is told nothing and its browser will keep the answer from it.
    pub(in crate::http) fn admitted(&self, origin: Option<&HeaderValue>) -> Option<HeaderValue> {
        let origin = origin?;
        if self.0.iter().any(|pattern| pattern == "*") {
            return Some(ANY);
        }
        let text = origin.to_str().ok()?.to_lowercase();
        self.0.iter().any(|pattern| matches(pattern.as_bytes(), text.as_bytes())).then(|| origin.clone())
    }
}

/// Marks an answer: it depends on the origin, and who may read it.
pub(super) fn mark(headers: &mut HeaderMap, admitted: Option<HeaderValue>) {
    headers.append(header::VARY, VARY);
    if let Some(admitted) = admitted {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, admitted);
    }
}

/// The answer to an OPTIONS request, which a browser sends to ask whether it may send another one.
pub(super) fn preflight(request: &HeaderMap, admitted: Option<HeaderValue>) -> HttpResponse {
    let mut response = HttpResponse::NoContent().finish();
    let headers = response.headers_mut();
    headers.insert(header::VARY, if admitted.is_some() { VARY_PREFLIGHT } else { VARY });
    if let Some(admitted) = admitted {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, admitted);
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        if let Some(names) = request.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
        }
    }
    response
}

/// True if the whole text fits the pattern. Takes no more than length times length steps.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // The last `*`, and the place in the text up to which it has swallowed.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(&c) if c == b'?' || c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, swallowed)) => {
                    star = Some((at, swallowed + 1));
                    p = at + 1;
                    t = swallowed + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_fit_patterns() {
        let admitted = |patterns: &[&str], origin: &str| {
            let origins = Origins::new(patterns.iter().map(|pattern| pattern.to_string()));
            let origin = HeaderValue::from_str(origin).unwrap();
            origins.admitted(Some(&origin)).map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(admitted(&[], "http://a.io").as_deref(), Some("*"));
        assert_eq!(admitted(&["*"], "http://a.io").as_deref(), Some("*"));
        assert_eq!(admitted(&["https://*.a.io"], "https://b.a.io").as_deref(), Some("https://b.a.io"));
        assert_eq!(admitted(&["https://*.a.io"], "https://B.A.IO").as_deref(), Some("https://B.A.IO"));
        assert_eq!(admitted(&["https://*.a.io", "http://x:?0"], "http://x:80").as_deref(), Some("http://x:80"));
        for origin in ["https://a.io", "https://b.a.io.evil", "http://b.a.io", "https://b.a.iox"] {
            assert_eq!(admitted(&["https://*.a.io"], origin), None, "{origin}");
        }
        assert!(Origins::default().admitted(None).is_none());
        assert!(!matches(&b"*a".repeat(50), &b"a".repeat(5000)[..4999].iter().map(|_| b'b').collect::<Vec<_>>()));
    }
}
