//! `GET /api/metrics`: figures for Prometheus. For superusers, and for whoever shows the token of the settings.

use actix_web::{HttpRequest, HttpResponse, web};

use super::middleware::bearer;
use super::{ApiError, extract};
use crate::ops::metrics;

pub fn configure(config: &mut web::ServiceConfig) {
    config.route("/api/metrics", web::get().to(show));
}

async fn show(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let app = extract::app(&request);
    let settings = app.own_settings.current();
    let shown = bearer(request.headers()).unwrap_or_default();
    if !same(shown.as_bytes(), settings.metrics_token().as_bytes()) {
        extract::require_superuser(&request)?;
    }
    Ok(HttpResponse::Ok().content_type(metrics::CONTENT_TYPE).body(metrics::text(app).await))
}

/// True for the same text, which must not be empty. Takes as long whatever the first difference is.
fn same(shown: &[u8], token: &[u8]) -> bool {
    !token.is_empty()
        && shown.len() == token.len()
        && shown.iter().zip(token).fold(0, |differences, (a, b)| differences | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::same;

    #[test]
    fn only_the_token_itself_is_the_token() {
        assert!(same(b"secret", b"secret"));
        for shown in ["", "secre", "secrets", "Secret"] {
            assert!(!same(shown.as_bytes(), b"secret"), "{shown}");
        }
        assert!(!same(b"", b""), "no token is no way in");
    }
}
