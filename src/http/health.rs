//! `GET /api/health`: the server answers. Superusers also learn what the dashboard warns about.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use serde_json::{Value as Json, json};

use super::{ApiError, answer, extract};

/// Headers by which well-known proxies say where a request comes from.
const PROXY_HEADERS: [&str; 3] = ["CF-Connecting-IP", "Fly-Client-IP", "X-Forwarded-For"];

pub fn configure(config: &mut web::ServiceConfig) {
    config.route("/api/health", web::get().to(health));
}

#[derive(Serialize)]
struct Health {
    message: &'static str,
    code: u16,
    data: Json,
}

async fn health(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let data = if extract::caller(&request).is_superuser() {
        let settings = extract::app(&request).settings.current();
        let configured = settings.trusted_proxy.headers.iter().map(String::as_str);
        let present = |name: &&str| request.headers().get(*name).is_some_and(|value| !value.is_empty());
        let proxy = configured.chain(PROXY_HEADERS).find(present).unwrap_or_default();
        json!({ "canBackup": true, "possibleProxyHeader": proxy, "realIP": extract::real_ip(&request) })
    } else {
        json!({})
    };
    let fields = extract::query(&request).remove("fields");
    answer::picked(&Health { message: "API is healthy.", code: 200, data }, fields.as_deref())
}
