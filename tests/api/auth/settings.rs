//! Settings, and the headers that all answers have.

use serde_json::{Value as Json, json};

use super::Scene;
use crate::harness::Server;

const SETTINGS: &str = "/api/settings";

#[test]
fn settings_are_for_superusers() {
    let scene = Scene::new();
    let missing = scene.server.guest().get(SETTINGS).refused(401);
    assert_eq!(missing["message"], "The request requires valid record authorization token.");
    let other = scene.ann().get(SETTINGS).refused(403);
    assert_eq!(other["message"], "The authorized record is not allowed to perform this action.");
    scene.ann().patch(SETTINGS, json!({})).refused(403);
    assert_eq!(
        scene.superuser.get(&format!("{SETTINGS}?fields=meta.appName")).ok(),
        json!({ "meta": { "appName": "Acme" } })
    );
}

#[test]
fn what_a_change_does_not_name_stays_and_secrets_are_never_told() {
    let scene = Scene::new();
    let change = |values: Json| scene.superuser.patch(SETTINGS, values).ok();
    let secrets = json!({
        "smtp": { "password": "p1" }, "s3": { "secret": "p2" }, "backups": { "s3": { "secret": "p3" } },
        "meta": { "appName": "Mine" }
    });
    let answer = change(secrets);
    assert_eq!(answer["meta"]["appName"], "Mine");
    assert_eq!(answer["meta"]["senderName"], "Support");
    for text in [answer.to_string(), scene.superuser.get(SETTINGS).text()] {
        assert!(!text.contains("p1") && !text.contains("p2") && !text.contains("p3"), "{text}");
    }
    let s3 = json!({ "enabled": true, "bucket": "b", "region": "r", "endpoint": "https://s3.example.com", "accessKey": "k" });
    // The secret that is required is the one that was given before.
    change(json!({ "s3": s3 }));
    let cleared = scene.superuser.patch(SETTINGS, json!({ "s3": { "secret": "" } })).refused(400);
    assert_eq!(cleared["data"]["s3"]["secret"]["code"], "validation_required");

    let (directory, _) = scene.server.stop();
    let server = Server::open(directory);
    let superuser = server.superuser();
    assert_eq!(superuser.get(SETTINGS).ok()["meta"]["appName"], "Mine");
    superuser.patch(SETTINGS, json!({ "s3": { "region": "x" } })).ok();
}

#[test]
fn refused_changes_change_nothing() {
    let scene = Scene::new();
    let before = scene.superuser.get(SETTINGS).ok();
    let invalid = json!({ "meta": { "appName": "x", "appURL": "" }, "logs": { "maxDays": -1 } });
    let refused = scene.superuser.patch(SETTINGS, invalid).refused(400);
    assert_eq!(refused["message"], "An error occurred while saving the new settings.");
    assert_eq!(refused["data"]["meta"]["appURL"]["code"], "validation_required");
    let wrong = scene.superuser.patch(SETTINGS, json!({ "meta": { "appName": 5 } })).refused(400);
    assert_eq!(wrong["message"], "An error occurred while loading the submitted data.");
    assert_eq!(scene.superuser.get(SETTINGS).ok(), before);
}

#[test]
fn superusers_come_from_where_they_may() {
    let scene = Scene::new();
    let allow = |ips: Json, headers: Json| json!({ "superuserIPs": ips, "trustedProxy": { "headers": headers } });
    scene.superuser.patch(SETTINGS, allow(json!(["127.0.0.0/8"]), json!(["X-Real"]))).ok();
    let from = |address: &str, path: &str| {
        let request = scene.superuser.request("GET", path).header("X-Real", address).send();
        request.status
    };
    assert_eq!(from("127.0.0.1", SETTINGS), 200);
    assert_eq!(from("9.9.9.9", SETTINGS), 403);
    assert_eq!(from("9.9.9.9", "/api/health"), 403);
    let login = |collection: &str, identity: &str, password: &str| {
        let body = json!({ "identity": identity, "password": password });
        let path = format!("/api/collections/{collection}/auth-with-password");
        scene.server.guest().request("POST", &path).header("X-Real", "9.9.9.9").json(&body).send().status
    };
    let (email, password) = crate::harness::SUPERUSER;
    assert_eq!(login("_superusers", email, password), 403);
    assert_eq!(login("members", "ann@example.com", super::PASSWORD), 200);
    let health = scene.superuser.request("GET", "/api/health").header("X-Real", "127.0.0.9").send().ok();
    assert_eq!(
        (&health["data"]["realIP"], &health["data"]["possibleProxyHeader"]),
        (&json!("127.0.0.9"), &json!("X-Real"))
    );
}

#[test]
fn every_answer_has_its_headers() {
    let server = Server::start();
    let guest = server.guest();
    for path in ["/api/health", "/api/nothing", "/nothing", "/api/settings"] {
        let answer = guest.request("GET", path).header("Origin", "https://a.example").send();
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(answer.header("x-frame-options"), Some("SAMEORIGIN"), "{path}");
        assert_eq!(answer.header("x-xss-protection"), Some("1; mode=block"), "{path}");
        assert_eq!(answer.header("vary"), Some("Origin"), "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{path}");
    }
    assert_eq!(guest.get("/api/health").header("access-control-allow-origin"), None);
    let asked = guest
        .request("OPTIONS", "/api/collections/x/records")
        .header("Origin", "https://a.example")
        .header("Access-Control-Request-Method", "PATCH")
        .header("Access-Control-Request-Headers", "authorization,content-type")
        .send();
    assert_eq!(asked.status, 204);
    assert_eq!(asked.header("access-control-allow-methods"), Some("GET,HEAD,PUT,PATCH,POST,DELETE"));
    assert_eq!(asked.header("access-control-allow-headers"), Some("authorization,content-type"));
    assert_eq!(asked.header("access-control-allow-origin"), Some("*"));
}

#[test]
fn origins_that_are_not_listed_are_told_nothing() {
    let directory = crate::harness::Directory::fresh();
    let program = crate::harness::Program::headwater();
    let server = Server::run(&program, directory, &["--origins", "https://*.example.com,http://x"]);
    let origin = |origin: &str| {
        let answer = server.guest().request("GET", "/api/health").header("Origin", origin).send();
        assert_eq!(answer.status, 200);
        answer.header("access-control-allow-origin").map(str::to_owned)
    };
    assert_eq!(origin("https://a.example.com").as_deref(), Some("https://a.example.com"));
    assert_eq!(origin("http://x").as_deref(), Some("http://x"));
    assert_eq!(origin("https://example.org"), None);
}

#[test]
fn paths_and_methods_that_lead_nowhere() {
    let server = Server::start();
    let guest = server.guest();
    for (method, path) in
        [("GET", "/api/nothing"), ("PUT", "/api/health"), ("DELETE", "/api/settings"), ("GET", "/api/health/")]
    {
        let error = guest.request(method, path).send().refused(404);
        assert_eq!(error["message"], "The requested resource wasn't found.", "{method} {path}");
    }
    let twisted = guest.get("//api//./health?a=1");
    assert_eq!((twisted.status, twisted.header("location")), (307, Some("/api/health?a=1")));
    let head = guest.request("HEAD", "/api/health").send();
    assert_eq!((head.status, head.body.len()), (200, 0));
    // The head of a request is bounded, and too large a one is refused without ending the server.
    let answer = guest.request("GET", "/api/health").header("X-Long", &"x".repeat(300_000)).send();
    assert!((400..500).contains(&answer.status), "{}", answer.status);
    assert_eq!(guest.get("/api/health").status, 200);
}
