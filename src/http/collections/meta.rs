//! What the dashboard asks before a collection is saved: blank collections, known login providers, and what a view
//! would yield.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value as Json, json};

use crate::checks;
use crate::errors::Errors;
use crate::http::{ApiError, answer, extract};
use crate::records::output;
use crate::schema::{draft, views};

pub fn configure(config: &mut web::ServiceConfig) {
    config
        .service(web::resource("/api/collections/meta/scaffolds").route(web::get().to(scaffolds)))
        .service(web::resource("/api/collections/meta/oauth2-providers").route(web::get().to(oauth2_providers)))
        .service(web::resource("/api/collections/meta/dry-run-view").route(web::post().to(dry_run_view)));
}

async fn scaffolds(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    extract::require_superuser(&request)?;
    // The id is only there to give the indexes names that no other collection has.
    let id = crate::patterns::random_text(10, crate::patterns::LOWER_ALPHANUMERIC);
    let blank = |type_name: &str| {
        let mut collection = draft::blank(type_name, "", &id);
        collection.id.clear();
        serde_json::to_value(collection).map_err(ApiError::internal)
    };
    let all = json!({ "auth": blank("auth")?, "base": blank("base")?, "view": blank("view")? });
    answer::picked(&all, extract::query(&request).get("fields").map(String::as_str))
}

/// Names and titles of the login providers, in the order in which they are offered.
const PROVIDERS: [(&str, &str); 32] = [
    ("apple", "Apple"),
    ("google", "Google"),
    ("microsoft", "Microsoft"),
    ("yandex", "Yandex"),
    ("facebook", "Facebook"),
    ("instagram2", "Instagram"),
    ("github", "GitHub"),
    ("gitlab", "GitLab"),
    ("bitbucket", "Bitbucket"),
    ("gitee", "Gitee"),
    ("gitea", "Gitea/Forgejo"),
    ("discord", "Discord"),
    ("twitter", "X/Twitter"),
    ("kakao", "Kakao"),
    ("vk", "ВКонтакте"),
    ("linear", "Linear"),
    ("notion", "Notion"),
    ("monday", "monday.com"),
    ("lark", "Lark"),
    ("box", "Box"),
    ("spotify", "Spotify"),
    ("trakt", "Trakt"),
    ("twitch", "Twitch"),
    ("patreon", "Patreon"),
    ("strava", "Strava"),
    ("wakatime", "WakaTime"),
    ("livechat", "LiveChat"),
    ("mailcow", "mailcow"),
    ("planningcenter", "Planning Center"),
    ("oidc", "OIDC"),
    ("oidc2", "OIDC"),
    ("oidc3", "OIDC"),
];

async fn oauth2_providers(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    extract::require_superuser(&request)?;
    let item = |(name, title): &(&str, &str)| json!({ "name": name, "displayName": title, "logo": "" });
    let all = Json::Array(PROVIDERS.iter().map(item).collect());
    answer::picked(&all, extract::query(&request).get("fields").map(String::as_str))
}

async fn dry_run_view(request: HttpRequest, payload: web::Payload) -> Result<HttpResponse, ApiError> {
    extract::require_superuser(&request)?;
    let query = read_query(&request, payload).await?;
    let app = extract::app(&request);
    let schema = app.schema.current();
    let outcome = app.readers.run(move |conn| views::dry_run(conn, &schema, &query)).await?;
    let (collection, records) =
        outcome.map_err(|error| ApiError::bad_request(format!("Invalid view query. Raw error: \n{error}")))?;
    let fields: Vec<Json> = collection.fields.iter().map(crate::schema::Field::to_json).collect();
    let sample: Vec<Json> = records.iter().map(output::to_json).collect();
    let found = json!({ "fields": fields, "sample": sample });
    answer::picked(&found, extract::query(&request).get("fields").map(String::as_str))
}

/// The `query` of a body: 1 to 5000 bytes of SQL.
pub(in crate::http) async fn read_query(request: &HttpRequest, payload: web::Payload) -> Result<String, ApiError> {
    let malformed = "An error occurred while loading the submitted data.";
    let body = extract::body(request, payload, extract::DEFAULT_BODY_LIMIT).await;
    let query = body.and_then(|body| body.text("query")).map_err(|error| error.or_message(malformed))?;
    let mut errors = Errors::new();
    errors.check("query", checks::required(&query));
    errors.check("query", checks::length(&query, 0, 5000));
    if errors.is_empty() {
        return Ok(query);
    }
    Err(ApiError::bad_request("An error occurred while validating the submitted data.").with_errors(&errors))
}
