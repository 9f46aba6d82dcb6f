//! Rate limits on the routes of collections. Handlers ask as soon as they know the collection.

use std::net::IpAddr;

use actix_web::HttpRequest;
use actix_web::http::StatusCode;

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
    /// The pattern of the route; its requests are counted together.
    pub route: &'a str,
}

/// 429 if the client has asked this too often. `tags` are what rules call the route, such as `create` or `authRefresh`.
pub fn check(request: &HttpRequest, collection: &Collection, tags: &[&str]) -> Result<(), ApiError> {
    let app = extract::app(request);
    if !app.settings.current().rate_limits.enabled {
        return Ok(());
    }
    let route = request.match_pattern().unwrap_or_default();
    let visit = Visit {
        caller: &extract::caller(request),
        client: client(request),
        method: request.method().as_str(),
        path: request.path(),
        route: &route,
    };
    if admits(app, &visit, collection, tags) {
        return Ok(());
    }
    Err(ApiError::new(StatusCode::TOO_MANY_REQUESTS, ""))
}

/// Where the request comes from, if anybody knows.
pub(super) fn client(request: &HttpRequest) -> Option<IpAddr> {
    let settings = extract::app(request).settings.current();
    let peer = request.peer_addr().map(|address| address.ip());
    real_ip(request.headers(), peer, &settings.trusted_proxy)
}

/// True if the client may do once more what the tags say.
pub(super) fn admits(app: &App, visit: &Visit<'_>, collection: &Collection, tags: &[&str]) -> bool {
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
    let mut labels: Vec<String> = tags.iter().map(|tag| format!("{}:{tag}", collection.name)).collect();
    labels.extend(tags.iter().map(|tag| format!("*:{tag}")));
    labels.extend([format!("{method} {path}"), (*path).to_owned()]);
    let key = format!("{}{route}{}", collection.id, tags.concat());
    let place = Place { key: &key, labels: &labels };
    app.rate_limiter.admits(&settings, &place, visit.caller.is_guest(), &client.to_string())
}
