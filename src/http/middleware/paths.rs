//! Paths in one spelling: what has empty or dotted segments is sent to the clean form.

/// The clean form of a path, if it is another one than the path itself. Never leads to another host.
pub(super) fn cleaned(path: &str) -> Option<String> {
    if path == "/_" {
        return Some("/_/".to_owned());
    }
    // Nearly all paths end here.
    if !path.contains("//") && !path.contains("/.") {
        return None;
    }
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            segment => segments.push(segment),
        }
    }
    // Browsers read a backslash as a slash, and two of them in front as another host.
    let mut clean = format!("/{}", segments.join("/")).replace('\\', "%5C");
    if clean != "/" && (path.ends_with('/') || path.ends_with("/.") || path.ends_with("/..")) {
        clean.push('/');
    }
    (clean != path).then_some(clean)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned() {
        let cases = [
            ("//api//health", Some("/api/health")),
            ("/api/./health", Some("/api/health")),
            ("/a/../../b/", Some("/b/")),
            ("/..", Some("/")),
            ("//evil.example", Some("/evil.example")),
            ("//\\evil.example", Some("/%5Cevil.example")),
            ("/./\\evil.example", Some("/%5Cevil.example")),
            ("/_", Some("/_/")),
            ("/", None),
            ("/api/health", None),
            ("/api/health/", None),
            ("/.well-known/x", None),
        ];
        for (path, expected) in cases {
            assert_eq!(cleaned(path).as_deref(), expected, "{path}");
        }
    }
}
