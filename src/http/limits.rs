//! Rate limits (operations.md §8). The pipeline asks for every request, before its route is.

use std::net::IpAddr;

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use percent_encoding::percent_decode_str;

use super::real_ip::real_ip;
use super::{ApiError, extract};
use crate::app::App;
use crate::ops::rate_limits::Place;
use crate::ops::subnet::Subnet;
use crate::request::Caller;
use crate::schema::Collection;

/// A request as rate limits see it.
pub(super) struct Visit<'a> {
    pub caller: &'a Caller,
    pub client: Option<IpAddr>,
    pub method: &'a str,
    pub path: &'a str,
    /// Where it goes to a route of a collection.
    pub route: Option<Route<'a>>,
}

/// A route of a collection. Each is counted apart, whatever rule covers it.
pub(super) struct Route<'a> {
    pub collection: &'a Collection,
    /// What rules call it, such as `create` or `authRefresh`.
    pub tags: &'a [&'a str],
    /// Items of batches are counted apart from requests.
    pub in_batch: bool,
}

/// 429 if the client has asked this too often.
pub(super) fn check(request: &HttpRequest) -> Result<(), ApiError> {
    let app = extract::app(request);
    if !app.settings.current().rate_limits.enabled {
        return Ok(());
    }
    // As the router reads it: otherwise another spelling of a path would be another place.
    let (method, path) = (request.method().as_str(), request.match_info().as_str());
    let schema = app.schema.current();
    let mut route = None;
    if let Some((name, tags)) = tagged(method, path) {
        let name = percent_decode_str(name).decode_utf8_lossy();
        match schema.find(&name) {
            Some(collection) if !(collection.is_view() && writes(tags)) => {
                route = Some(Route { collection, tags, in_batch: false });
            }
            // The route itself says first that there is no such collection, or that it is none to write to.
            _ => return Ok(()),
        }
    }
    let visit = Visit { caller: &extract::caller(request), client: client(request), method, path, route };
    if admits(app, &visit) { Ok(()) } else { Err(ApiError::new(StatusCode::TOO_MANY_REQUESTS, "")) }
}

/// The collection of a path, as it stands there, and what rules call the route.
fn tagged<'a>(method: &str, path: &'a str) -> Option<(&'a str, &'static [&'static str])> {
    let mut parts = path.strip_prefix("/api/collections/")?.split('/');
    let (collection, route, id, end) = (parts.next()?, parts.next()?, parts.next(), parts.next());
    if end.is_some() || id == Some("") {
        return None;
    }
    let tags: &[&str] = match (method, route, id) {
        ("GET" | "HEAD", "records", None) => &["list"],
        ("GET" | "HEAD", "records", Some(_)) => &["view"],
        ("POST", "records", None) => &["create"],
        ("PATCH", "records", Some(_)) => &["update"],
        ("DELETE", "records", Some(_)) => &["delete"],
        ("GET" | "HEAD", "auth-methods", None) => &["listAuthMethods"],
        ("POST", "auth-with-password", None) => &["authWithPassword", "auth"],
        ("POST", "auth-refresh", None) => &["authRefresh"],
        _ => return None,
    };
    Some((collection, tags))
}

fn writes(tags: &[&str]) -> bool {
    tags.iter().any(|tag| ["create", "update", "delete"].contains(tag))
}

/// Where the request comes from, if anybody knows.
pub(super) fn client(request: &HttpRequest) -> Option<IpAddr> {
    let settings = extract::app(request).settings.current();
    let peer = request.peer_addr().map(|address| address.ip());
    real_ip(request.headers(), peer, &settings.trusted_proxy)
}

/// True if the client may do this once more.
pub(super) fn admits(app: &App, visit: &Visit<'_>) -> bool {
    let settings = app.settings.current();
    let limits = &settings.rate_limits;
    let Some(client) = visit.client else { return true };
    let is_excluded = |ip: IpAddr| {
        limits.excluded_ips.iter().filter_map(|text| Subnet::parse(text)).any(|subnet| subnet.contains(ip))
    };
    if !limits.enabled || visit.caller.is_superuser() || is_excluded(client) {
        return true;
    }
    let Visit { method, path, route, .. } = visit;
    let mut labels: Vec<String> = Vec::new();
    if let Some(Route { collection, tags, .. }) = route {
        labels.extend(tags.iter().map(|tag| format!("{}:{tag}", collection.name)));
        labels.extend(tags.iter().map(|tag| format!("*:{tag}")));
    }
    labels.extend([format!("{method} {path}"), (*path).to_owned()]);
    let route = route.as_ref().map(|route| {
        let kind = if route.in_batch { "batch " } else { "" };
        format!("{kind}{} {}", route.collection.id, route.tags.concat())
    });
    let place = Place { route: route.as_deref(), labels: &labels };
    app.rate_limiter.admits(&settings, &place, visit.caller.is_guest(), client)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_of_collections_have_tags() {
        let cases: [(&str, &str, Option<&[&str]>); 14] = [
            ("GET", "posts/records", Some(&["list"])),
            ("HEAD", "posts/records", Some(&["list"])),
            ("GET", "posts/records/x", Some(&["view"])),
            ("POST", "posts/records", Some(&["create"])),
            ("PATCH", "posts/records/x", Some(&["update"])),
            ("DELETE", "posts/records/x", Some(&["delete"])),
            ("GET", "users/auth-methods", Some(&["listAuthMethods"])),
            ("POST", "users/auth-with-password", Some(&["authWithPassword", "auth"])),
            ("POST", "users/auth-refresh", Some(&["authRefresh"])),
            ("POST", "users/impersonate/x", None),
            ("GET", "posts/records/", None),
            ("GET", "posts/records/x/y", None),
            ("GET", "posts", None),
            ("DELETE", "posts/truncate", None),
        ];
        for (method, rest, tags) in cases {
            let path = format!("/api/collections/{rest}");
            assert_eq!(tagged(method, &path).map(|(_, tags)| tags), tags, "{method} {rest}");
        }
        assert_eq!(tagged("GET", "/api/health"), None);
    }
}
