//! Input that no honest client sends: each is refused in the form of an error, the server goes on, and nothing is stored.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde_json::{Value as Json, json};

use crate::harness::{Answer, Client, Multipart, Server, Stream, query, raw};

const RECORDS: &str = "/api/collections/posts/records";
const RECORD: &str = "/api/collections/posts/records/post00000000001";

/// Texts that would do harm where a text becomes SQL.
const SQL: [&str; 8] = [
    "'; DROP TABLE posts; --",
    "\" OR 1=1 --",
    "1); DELETE FROM posts; --",
    "id) UNION SELECT password FROM _superusers --",
    "(SELECT group_concat(password) FROM _superusers)",
    "`posts`",
    "id\0; ATTACH DATABASE 'x' AS y",
    "[[id]] {{posts}}",
];

/// A server with an open collection of one record, and what it holds.
struct Scene {
    server: Server,
    superuser: Client,
    before: Json,
}

impl Scene {
    fn new() -> Scene {
        let server = Server::start();
        server.collection(json!({
            "name": "posts",
            "fields": [
                { "name": "title", "type": "text" },
                { "name": "rank", "type": "number" },
                { "name": "extra", "type": "json" },
                { "name": "tags", "type": "select", "values": ["a", "b"], "maxSelect": 2 },
            ],
        }));
        server.guest().post(RECORDS, json!({ "id": "post00000000001", "title": "kept" })).ok();
        let superuser = server.superuser();
        let before = Scene::stored(&superuser);
        Scene { server, superuser, before }
    }

    fn stored(superuser: &Client) -> Json {
        let paths = [RECORDS, "/api/collections?sort=name&perPage=1000", "/api/settings"];
        let more = ["/api/collections/_superusers/records", "/api/collections/users/records"];
        paths.iter().chain(&more).map(|path| superuser.get(path).ok()).collect()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert!(self.server.is_alive());
            assert_eq!(Scene::stored(&self.superuser), self.before);
        }
    }
}

#[test]
fn bodies_that_are_not_what_they_say_are_refused() {
    let scene = Scene::new();
    let guest = scene.server.guest();
    let deep = [b"{\"extra\":".as_slice(), &b"[".repeat(200_000), &b"]".repeat(200_000), b"}"].concat();
    let json = "application/json";
    let cases: &[(&str, &str, &[u8])] = &[
        ("half an object", json, b"{\"title\": \"x\""),
        ("no object", json, b"[1, 2]"),
        ("a lone text", json, b"\"title\""),
        ("a number", json, b"12"),
        ("no JSON at all", json, b"title=x"),
        ("a comment", json, b"/* */ {\"title\": \"x\"}"),
        ("a trailing comma", json, b"{\"title\": \"x\",}"),
        ("single quotes", json, b"{'title': 'x'}"),
        ("NaN", json, b"{\"rank\": NaN}"),
        ("a raw control character", json, b"{\"title\": \"a\nb\"}"),
        ("half an escape", json, b"{\"title\": \"\\u12\"}"),
        ("deep nesting", json, &deep),
        ("another type", "text/plain", b"{\"title\": \"x\"}"),
        ("an unknown type", "application/x-nothing", b"\x00\x01"),
        ("multipart without a boundary", "multipart/form-data", b"--x\r\n\r\n"),
        ("multipart that never begins", "multipart/form-data; boundary=x", b"nothing of the kind"),
        (
            "multipart that never ends",
            "multipart/form-data; boundary=x",
            b"--x\r\nContent-Disposition: form-data; name=\"title\"\r\n\r\nabc",
        ),
        ("@jsonPayload that is not JSON", "application/x-www-form-urlencoded", b"@jsonPayload=%7B%22title"),
    ];
    for (name, content_type, body) in cases {
        for (method, path) in [("POST", RECORDS), ("PATCH", RECORD)] {
            let answer = guest.request(method, path).body(content_type, *body).send();
            assert_eq!(answer.error()["status"], 400, "{name}: {method}");
        }
    }
}

#[test]
fn values_of_wrong_types_are_refused_where_they_cannot_be_cast() {
    let scene = Scene::new();
    let superuser = &scene.superuser;
    let login = "/api/collections/users/auth-with-password";
    let cases = [
        ("POST", login, json!({ "identity": ["a"], "password": {} }), 400),
        ("POST", login, json!({ "identity": 1, "password": true }), 400),
        ("POST", login, json!({}), 400),
        ("POST", login, json!({ "identity": "a".repeat(100_000), "password": "b".repeat(100_000) }), 400),
        ("POST", "/api/realtime", json!({ "clientId": 1, "subscriptions": [] }), 400),
        ("POST", "/api/realtime", json!({ "clientId": "x".repeat(300), "subscriptions": [] }), 400),
        ("POST", "/api/realtime", json!({ "clientId": "nobody", "subscriptions": [] }), 404),
        ("POST", "/api/realtime", json!({ "clientId": "nobody", "subscriptions": vec!["a"; 1001] }), 400),
        ("POST", "/api/realtime", json!({ "clientId": "nobody", "subscriptions": ["x".repeat(2501)] }), 400),
        ("POST", "/api/collections", json!({ "name": 1, "type": {}, "fields": "x" }), 400),
        ("POST", "/api/collections", json!({ "name": "new", "fields": [{ "name": "x", "type": "nothing" }] }), 400),
        ("POST", "/api/collections", json!({ "name": "new", "fields": [1, null, "x"] }), 400),
        ("POST", "/api/collections", json!({ "name": "new", "listRule": 1 }), 400),
        ("PATCH", "/api/collections/posts", json!({ "fields": null, "indexes": {} }), 400),
        ("PATCH", "/api/settings", json!({ "logs": [], "smtp": 1 }), 400),
        ("PATCH", "/api/settings", json!({ "meta": { "appName": "" } }), 400),
        ("POST", RECORDS, json!({ "tags": ["c"] }), 400),
        ("POST", RECORDS, json!({ "id": "../../etc/passwd" }), 400),
        ("POST", RECORDS, json!({ "id": "short" }), 400),
        ("POST", RECORDS, json!({ "id": "post00000000001" }), 400),
        ("POST", RECORDS, json!({ "title": "x".repeat(5001) }), 400),
        ("POST", RECORDS, json!({ "rank": "Inf" }), 400),
        ("PATCH", RECORD, json!({ "id": "post00000000002" }), 400),
        ("POST", "/api/batch", json!({ "requests": "x" }), 403),
    ];
    for (method, path, body, status) in cases {
        let answer = superuser.request(method, path).json(&body).send();
        let shown: String = body.to_string().chars().take(100).collect();
        assert_eq!(answer.error()["status"], status, "{method} {path} {shown}: {}", answer.text());
    }
}

#[test]
fn more_than_may_be_sent_is_refused_before_it_is_read() {
    let scene = Scene::new();
    for (method, path) in [("POST", RECORDS), ("PATCH", RECORD)] {
        for length in ["99999999", "99999999999999"] {
            let head = format!(
                "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
            );
            let answer = raw(scene.server.address(), head.as_bytes()).expect("an answer");
            assert_eq!(answer.error()["status"], 413, "{method} {length}");
        }
    }
}

#[test]
fn heads_that_are_not_http_do_not_stop_the_server() {
    let scene = Scene::new();
    let huge = "x".repeat(4 << 20);
    let many: String = (0..100_000).map(|number| format!("X-{number}: 1\r\n")).collect();
    let heads: Vec<Vec<u8>> = vec![
        b"\r\n\r\n".into(),
        b"GET\r\n\r\n".into(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".into(),
        b"GET / HTTP/9.9\r\nHost: x\r\n\r\n".into(),
        b"GET /api/health HTTP/1.1\r\nHost: x\r\nBad Header\r\n\r\n".into(),
        b"GET /api/health\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n".into(),
        format!("GET /api/health HTTP/1.1\r\nHost: x\r\nX-Huge: {huge}\r\n\r\n").into(),
        format!("GET /{huge} HTTP/1.1\r\nHost: x\r\n\r\n").into(),
        format!("GET /api/health HTTP/1.1\r\nHost: x\r\n{many}\r\n").into(),
        format!("POST {RECORDS} HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n").into(),
        format!("POST {RECORDS} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n{{}}").into(),
        format!("POST {RECORDS} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n").into(),
        format!("POST {RECORDS} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{{\"ti").into(),
    ];
    for head in heads {
        // Some of these are answered, and some only end the connection.
        if let Some(answer) = raw(scene.server.address(), &head) {
            let shown = String::from_utf8_lossy(&head[..head.len().min(60)]).into_owned();
            assert!((400..600).contains(&answer.status) && answer.status != 500, "{shown}: {}", answer.status);
        }
    }
}

#[test]
fn bytes_that_are_not_utf8_are_refused_or_replaced() {
    let scene = Scene::new();
    let guest = scene.server.guest();
    let answers: Vec<Answer> = vec![
        guest.get(&format!("{RECORDS}?filter=title%3D'%ff%fe'")),
        guest.get(&format!("{RECORDS}?sort=%ff")),
        guest.get("/api/collections/%ff%fe/records"),
        guest.get("/api/collections/posts/records/%ff%00%fe"),
        guest.get(&format!("{RECORDS}?page=%ff")),
        guest.get("/api/files/posts/%ff/%00"),
    ];
    for (number, answer) in answers.iter().enumerate() {
        if answer.status != 200 {
            let status = answer.error()["status"].as_u64().unwrap();
            assert!((400..500).contains(&status), "{number}: {status}");
        }
    }
}

#[test]
fn a_filter_or_a_sort_beyond_the_limits_is_refused() {
    let scene = Scene::new();
    let guest = scene.server.guest();
    // So long that it need not even be read as a request.
    let terms = vec!["rank=1"; 10_000].join("||");
    assert!(matches!(guest.get(&format!("{RECORDS}?{}", query(&[("filter", &terms)]))).status, 400 | 431));
    let terms = vec!["rank=1"; 2000].join("||");
    let short_terms = vec!["id=1"; 400].join("||");
    let filters = [
        terms.as_str(),
        &short_terms,
        &"(".repeat(3000),
        "title = 'open",
        "title =",
        "title",
        "= 1",
        "()",
        "title = 1 &&",
        "title == 'x'",
        "nobody = 1",
        "title.x = 1",
        "title:nothing = 1",
        "@nothing = 1",
        "geoDistance(1,2) < 1",
        "strftime(id) = 1",
        "a".repeat(3400).as_str(),
    ]
    .map(str::to_owned);
    for filter in filters {
        let answer = guest.get(&format!("{RECORDS}?{}", query(&[("filter", &filter)])));
        assert_eq!(answer.status, 400, "{filter:.60}");
        answer.error();
    }
    // Deep, but not wrong: what matters is that the server is still there.
    let groups = format!("{}id=1{}", "(".repeat(1500), ")".repeat(1500));
    assert_ne!(guest.get(&format!("{RECORDS}?{}", query(&[("filter", &groups)]))).status, 500);
    let many = vec!["-title"; 100].join(",");
    for sort in [many.as_str(), "nobody", "title.x", "@nothing", "--title", "title desc"] {
        let answer = guest.get(&format!("{RECORDS}?{}", query(&[("sort", sort)])));
        assert_eq!(answer.error()["status"], 400, "{sort:.60}");
    }
    for (name, value) in [("page", "x"), ("perPage", "1e3"), ("page", "99999999999999999999"), ("skipTotal", "maybe")] {
        let answer = guest.get(&format!("{RECORDS}?{}", query(&[(name, value)])));
        assert_eq!(answer.error()["status"], 400, "{name}={value}");
    }
}

#[test]
fn names_nested_as_deep_as_a_request_can_hold_lead_nowhere() {
    let scene = Scene::new();
    let guest = scene.server.guest();
    let (dots, names) = (".".repeat(60_000), "a.".repeat(30_000));
    for deep in [dots.as_str(), names.as_str()] {
        assert_eq!(guest.get(&format!("/api/health?fields={deep}")).ok(), json!({}));
        assert_eq!(guest.get(&format!("{RECORD}?fields=id,{deep}")).ok(), json!({ "id": "post00000000001" }));
        assert_eq!(guest.get(&format!("{RECORD}?expand={deep}")).status, 200);
        assert_eq!(guest.get(&format!("{RECORDS}?sort={deep}")).status, 400);
        assert_eq!(guest.get(&format!("{RECORDS}?filter={deep}")).status, 400);
    }
}

#[test]
fn sql_in_a_parameter_stays_a_text() {
    let scene = Scene::new();
    let guest = scene.server.guest();
    for sql in SQL {
        for name in ["filter", "sort", "page", "perPage", "skipTotal"] {
            let answer = guest.get(&format!("{RECORDS}?{}", query(&[(name, sql)])));
            assert_eq!(answer.error()["status"], 400, "{name}={sql}");
        }
        // Names that nobody knows are passed over, and a quoted text is a text.
        let quoted = format!("title = '{}'", sql.replace('\\', "\\\\").replace('\'', "\\'"));
        for (name, value) in [("expand", sql), ("fields", sql), ("filter", quoted.as_str())] {
            let answer = guest.get(&format!("{RECORDS}?{}", query(&[(name, value)])));
            assert!(matches!(answer.status, 200 | 400), "{name}={value}: {}", answer.text());
        }
        let encoded = &query(&[("", sql)])[1..].replace('+', "%20");
        for path in [format!("/api/collections/{encoded}/records"), format!("{RECORDS}/{encoded}")] {
            assert_eq!(guest.get(&path).error()["status"], 404, "{path}");
        }
        let login = json!({ "identity": sql, "password": sql, "identityField": sql });
        guest.post("/api/collections/_superusers/auth-with-password", login).refused(400);
        let collection = json!({ "name": sql, "fields": [{ "name": sql, "type": "text" }] });
        scene.superuser.post("/api/collections", collection).refused(400);
        let index = json!({ "indexes": [format!("CREATE INDEX {sql} ON posts ({sql})")] });
        scene.superuser.patch("/api/collections/posts", index).refused(400);
        scene.superuser.patch("/api/collections/posts", json!({ "listRule": sql })).refused(400);
        let record = json!({ "title": "x", "id": sql, "tags": [sql] });
        guest.post(RECORDS, record).refused(400);
        // As a value it is stored and read like any other.
        let made = guest.post(RECORDS, json!({ "title": sql })).ok();
        assert_eq!(made["title"], sql);
        guest.delete(&format!("{RECORDS}/{}", made["id"].as_str().unwrap())).ok();
    }
    let mut stream =
        Stream::subscribed(&guest, &["posts/*", "posts/*?options={\"query\":{\"filter\":\"'; DROP TABLE posts\"}}"]);
    scene.superuser.patch(RECORD, json!({ "title": "kept" })).ok();
    assert_eq!(stream.next().name, "posts/*");
}

#[test]
fn tokens_that_we_did_not_sign_are_nobodys() {
    let scene = Scene::new();
    let good = scene.superuser.token().unwrap();
    let [head, claims, signature]: [&str; 3] = good.split('.').collect::<Vec<_>>().try_into().unwrap();
    let part = |value: Json| BASE64.encode(value.to_string());
    let none = part(json!({ "alg": "none", "typ": "JWT" }));
    let mut later: Json = serde_json::from_slice(&BASE64.decode(claims).unwrap()).unwrap();
    later["exp"] = json!(99_999_999_999_u64);
    let other_key = {
        let key = jsonwebtoken::EncodingKey::from_secret(b"another key");
        jsonwebtoken::encode(&jsonwebtoken::Header::default(), &later, &key).unwrap()
    };
    let empty_key = {
        let key = jsonwebtoken::EncodingKey::from_secret(b"");
        jsonwebtoken::encode(&jsonwebtoken::Header::default(), &later, &key).unwrap()
    };
    let tokens = [
        format!("{none}.{claims}."),
        format!("{none}.{claims}.{signature}"),
        format!("{head}.{claims}."),
        format!("{head}.{claims}"),
        format!("{head}.{}.{signature}", part(later.clone())),
        format!("{}.{claims}.{signature}", part(json!({ "alg": "HS512", "typ": "JWT" }))),
        format!("{}.{claims}.{signature}", part(json!({ "alg": "RS256", "typ": "JWT" }))),
        other_key,
        empty_key,
        "x".repeat(60_000),
        "....".to_owned(),
        "\u{fe0f}.é.☂".to_owned(),
        "null".to_owned(),
    ];
    scene.superuser.get("/api/settings").ok();
    for token in tokens {
        for header in [token.clone(), format!("Bearer {token}")] {
            let answer = scene.server.guest().with_token(&header).get("/api/settings");
            assert_eq!(answer.error()["status"], 401, "{header:.80}");
        }
    }
}

#[test]
fn uploads_that_are_not_asked_for_are_passed_over() {
    let scene = Scene::new();
    let parts =
        Multipart::new().text("tags", "c").file("../../x", "../../../etc/passwd", b"x").file("title", "a", b"b");
    scene.server.guest().request("POST", RECORDS).multipart(parts).send().refused(400);
}
