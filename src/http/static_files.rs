//! The pages below `/_/`, which the binary carries with it.

use actix_web::http::header;
use actix_web::{HttpResponse, web};

use super::ApiError;

/// Name, content type and content. The first is the page of `/_/` itself.
const FILES: [(&str, &str, &str); 7] = [
    ("", "text/html; charset=utf-8", include_str!("../../static/index.html")),
    ("style.css", "text/css; charset=utf-8", include_str!("../../static/style.css")),
    ("install.js", "text/javascript; charset=utf-8", include_str!("../../static/install.js")),
    ("example.html", "text/html; charset=utf-8", include_str!("../../static/example.html")),
    ("example.js", "text/javascript; charset=utf-8", include_str!("../../static/example.js")),
    ("headwater.js", "text/javascript; charset=utf-8", include_str!("../../static/headwater.js")),
    // No browser asks for the types: they are read by a person, or fetched into a project.
    ("headwater.d.ts", "text/plain; charset=utf-8", include_str!("../../static/headwater.d.ts")),
];

/// Nothing from elsewhere runs in these pages, and no other page frames them.
const POLICY: &str =
    "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

pub fn configure(config: &mut web::ServiceConfig) {
    config.route("/_/{file:.*}", web::get().to(file));
}

async fn file(name: web::Path<String>) -> Result<HttpResponse, ApiError> {
    let found = FILES.iter().find(|(known, _, _)| *known == name.as_str());
    let (_, content_type, content) = found.ok_or_else(|| ApiError::not_found("File not found."))?;
    let response = HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, *content_type))
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        // The names do not change with the content, so browsers ask each time.
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .body(*content);
    Ok(response)
}
