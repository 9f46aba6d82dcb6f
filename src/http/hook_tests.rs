//! What handlers of auth and read hooks do to requests, in one process.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix_web::test::{TestRequest, call_service, init_service, read_body};
use serde_json::{Value as Json, json};

use super::{ApiError, service};
use crate::app::{App, Config};
use crate::auth::hooks::{AuthEvent, PasswordEvent, RefreshEvent, Stopped};
use crate::hooks::{Handler, Next};
use crate::records::RecordError;
use crate::records::hooks::{EnrichEvent, ListEvent, ViewEvent};
use crate::schema;

const USERS: &str = "/api/collections/users";

/// Runs a test with an app in which `a@example.com` has a password.
fn with_user<F: Future<Output = ()>>(test: impl FnOnce(App) -> F) {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("headwater-hooks-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let dir: PathBuf = std::env::temp_dir().join(name);
    actix::System::new().block_on(async {
        let config = Config { dir: dir.clone(), query_timeout: Duration::from_secs(10), origins: Vec::new() };
        let app = App::open(config).unwrap();
        let user = json!({ "email": "a@example.com", "password": "12345678", "passwordConfirm": "12345678" });
        let request = TestRequest::post().uri(&format!("{USERS}/records")).set_json(user);
        assert_eq!(send(&app, request).await.0, 200);
        test(app.clone()).await;
        app.close().await;
    });
    let _ = std::fs::remove_dir_all(dir);
}

async fn send(app: &App, request: TestRequest) -> (u16, Json) {
    let service = init_service(service(app.clone())).await;
    let response = call_service(&service, request.to_request()).await;
    let status = response.status().as_u16();
    (status, serde_json::from_slice(&read_body(response).await).unwrap_or_default())
}

async fn log_in(app: &App, identity: &str, password: &str) -> (u16, Json) {
    let body = json!({ "identity": identity, "password": password });
    send(app, TestRequest::post().uri(&format!("{USERS}/auth-with-password")).set_json(body)).await
}

#[test]
fn a_handler_refuses_a_login_with_its_own_answer() {
    with_user(|app| async move {
        let refuse = |_: &mut AuthEvent, _: Next<'_, AuthEvent, Stopped>| Err(ApiError::forbidden("Not today").into());
        app.auth_hooks.auth_request.bind(Handler::new(refuse).tags(["users"]).id("refuse"));
        let (status, body) = log_in(&app, "a@example.com", "12345678").await;
        assert_eq!((status, &body["message"]), (403, &json!("Not today.")));
        // The password is looked at before.
        assert_eq!(log_in(&app, "a@example.com", "wrong").await.0, 400);
        app.auth_hooks.auth_request.unbind("refuse");
        assert_eq!(log_in(&app, "a@example.com", "12345678").await.0, 200);
    });
}

#[test]
fn a_handler_sees_who_tries_a_password_and_may_name_somebody_else() {
    with_user(|app| async move {
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let (tries, logins) = (seen.clone(), seen.clone());
        let known = Mutex::new(None);
        app.auth_hooks.password_request.bind(Handler::new(
            move |event: &mut PasswordEvent, next: Next<'_, PasswordEvent, Stopped>| {
                let is_known = event.record.is_some();
                tries.lock().unwrap().push(format!("{} {} {is_known}", event.identity, event.password));
                let mut known = known.lock().unwrap();
                match &event.record {
                    Some(record) => *known = Some(record.clone()),
                    None => event.record = known.clone(),
                }
                next(event)
            },
        ));
        app.auth_hooks.auth_request.bind(Handler::new(
            move |event: &mut AuthEvent, next: Next<'_, AuthEvent, Stopped>| {
                logins.lock().unwrap().push(format!("{} {}", event.method, event.record.text("email")));
                event.meta = Some(json!({ "a": 1 }));
                next(event)
            },
        ));
        assert_eq!(log_in(&app, "nobody", "12345678").await.0, 400);
        let (status, body) = log_in(&app, "a@example.com", "12345678").await;
        assert_eq!((status, &body["meta"]), (200, &json!({ "a": 1 })));
        assert_eq!(log_in(&app, "alias", "12345678").await.0, 200);
        assert_eq!(log_in(&app, "alias", "wrong").await.0, 400);
        let expected = [
            "nobody 12345678 false",
            "a@example.com 12345678 true",
            "password a@example.com",
            "alias 12345678 false",
            "password a@example.com",
            "alias wrong false",
        ];
        assert_eq!(*seen.lock().unwrap(), expected);
    });
}

#[test]
fn a_renewed_token_passes_both_hooks() {
    with_user(|app| async move {
        let (_, body) = log_in(&app, "a@example.com", "12345678").await;
        let token = body["token"].as_str().unwrap().to_owned();
        app.auth_hooks.refresh_request.bind(Handler::new(
            |event: &mut RefreshEvent, next: Next<'_, RefreshEvent, Stopped>| {
                assert_eq!(event.record.text("email"), "a@example.com");
                next(event)
            },
        ));
        app.auth_hooks.auth_request.bind(Handler::new(|event: &mut AuthEvent, next: Next<'_, AuthEvent, Stopped>| {
            assert_eq!(event.method, "");
            event.token = "another".to_owned();
            next(event)
        }));
        let request = TestRequest::post().uri(&format!("{USERS}/auth-refresh")).insert_header(("Authorization", token));
        let (status, body) = send(&app, request).await;
        assert_eq!((status, &body["token"]), (200, &json!("another")));
    });
}

#[test]
fn handlers_change_what_is_listed_and_keep_a_record_from_being_viewed() {
    with_user(|app| async move {
        let (_, body) = log_in(&app, "a@example.com", "12345678").await;
        let (token, id) = (body["token"].as_str().unwrap().to_owned(), body["record"]["id"].as_str().unwrap());
        let get = |path: String| {
            let request = TestRequest::get().uri(&path).insert_header(("Authorization", token.clone()));
            let app = app.clone();
            async move { send(&app, request).await }
        };
        let (list, view) = (format!("{USERS}/records"), format!("{USERS}/records/{id}"));
        assert_eq!(get(list.clone()).await.1["items"].as_array().map(Vec::len), Some(1));
        app.record_hooks.list.bind(Handler::new(|event: &mut ListEvent, next: Next<'_, ListEvent, RecordError>| {
            event.records.clear();
            next(event)
        }));
        assert_eq!(
            get(list).await,
            (200, json!({ "items": [], "page": 1, "perPage": 30, "totalItems": 1, "totalPages": 1 }))
        );
        assert_eq!(get(view.clone()).await.0, 200);
        app.record_hooks
            .view
            .bind(Handler::new(|_: &mut ViewEvent, _: Next<'_, ViewEvent, RecordError>| Err(RecordError::NotFound)));
        assert_eq!(get(view).await.0, 404);
    });
}

#[test]
fn half_a_login_is_told_apart_and_a_whole_one_is_enriched() {
    with_user(|app| async move {
        let users = app.schema.current().find("users").unwrap().id.clone();
        app.record_hooks.enrich.bind(
            Handler::new(|event: &mut EnrichEvent, next: Next<'_, EnrichEvent, RecordError>| {
                assert_eq!(event.request.caller.record().map(|own| own.id()), Some(event.record.id()));
                event.record.set("name", "enriched".to_owned());
                next(event)
            })
            .tags([users]),
        );
        let noted: Arc<Mutex<u32>> = Arc::default();
        let notes = noted.clone();
        app.auth_hooks.auth_request.bind(Handler::new(
            move |event: &mut AuthEvent, next: Next<'_, AuthEvent, Stopped>| {
                next(event)?;
                *notes.lock().unwrap() += 1;
                Ok(())
            },
        ));
        let (status, body) = log_in(&app, "a@example.com", "12345678").await;
        assert_eq!((status, &body["record"]["name"]), (200, &json!("enriched")));
        assert_eq!(*noted.lock().unwrap(), 1);

        let change = json!({ "mfa": { "enabled": true }, "otp": { "enabled": true } });
        let Json::Object(change) = change else { unreachable!() };
        schema::save::update(&app, "users".to_owned(), change).await.map_err(|error| error.to_string()).unwrap();
        let (status, body) = log_in(&app, "a@example.com", "12345678").await;
        assert_eq!((status, body["mfaId"].is_string()), (401, true));
        assert_eq!(*noted.lock().unwrap(), 1);
    });
}
