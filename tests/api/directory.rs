//! A data directory made by PocketBase: opened, read, written, and handed back to it.

use std::path::Path;

use rusqlite::Connection;
use serde_json::{Value as Json, json};

use crate::harness::{Client, Directory, Program, SUPERUSER, Server, Stream, query};

const ONE: (&str, &str) = ("one@example.com", "the first password");
const TWO: (&str, &str) = ("two@example.com", "pässwörd ☂ two");

fn data() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/pocketbase_v0_39"))
}

fn directory() -> Directory {
    Directory::copy_of(&data().join("directory"))
}

/// What the reference answered about this very directory.
fn expected() -> Json {
    serde_json::from_slice(&std::fs::read(data().join("expected.json")).unwrap()).unwrap()
}

/// The reference, or a line that says what is not tested without it.
fn reference() -> Option<Program> {
    let reference = Program::reference();
    if reference.is_none() {
        eprintln!("skipped: HEADWATER_REFERENCE names no PocketBase");
    }
    reference
}

fn assert_answers(client: &Client, answers: &Json) {
    for (path, answer) in answers.as_object().unwrap() {
        assert_eq!(&client.get(path).json(), answer, "{path}");
    }
}

#[test]
fn everyone_reads_what_pocketbase_would_have_answered() {
    let server = Server::open(directory());
    let expected = expected();
    assert_answers(&server.superuser(), &expected["superuser"]);
    assert_answers(&server.login("users", ONE.0, ONE.1), &expected["one"]);
    assert_answers(&server.guest(), &expected["guest"]);
}

#[test]
fn a_fresh_directory_has_the_table_of_logs_that_pocketbase_has() {
    let schema = |directory: &Directory| -> Vec<(String, String)> {
        let conn = Connection::open(directory.data().join("auxiliary.db")).unwrap();
        let mut tables = conn
            .prepare("SELECT name, sql FROM sqlite_master WHERE tbl_name = '_logs' AND sql IS NOT NULL ORDER BY name")
            .unwrap();
        let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get::<_, String>(1)?));
        let rows = tables.query_map([], row).unwrap().map(Result::unwrap);
        rows.map(|(name, sql): (String, String)| (name, sql.replace('"', "'").split_whitespace().collect())).collect()
    };
    let (fresh, _) = Server::start().stop();
    assert_eq!(schema(&fresh), schema(&directory()));
    assert!(schema(&fresh).len() > 1);
}

#[test]
fn collections_and_settings_are_those_of_pocketbase() {
    let server = Server::open(directory());
    let expected = expected();
    let superuser = server.superuser();
    let collections = superuser.get("/api/collections?sort=name&perPage=1000").ok();
    let (ours, theirs) = (collections["items"].as_array().unwrap(), expected["collections"].as_array().unwrap());
    for (ours, theirs) in ours.iter().zip(theirs) {
        assert_eq!(ours, theirs, "{}", theirs["name"]);
    }
    assert_eq!(ours.len(), theirs.len());
    assert_eq!(settings(&superuser), expected["settings"]);
}

/// The reference's settings, without what we add to them.
fn settings(superuser: &Client) -> Json {
    let mut settings = superuser.get("/api/settings").ok();
    settings.as_object_mut().unwrap().remove("headwater");
    settings
}

#[test]
fn wrong_passwords_are_refused() {
    let server = Server::open(directory());
    for (collection, identity, password) in
        [("users", ONE.0, TWO.1), ("users", TWO.0, "pässwörd ☂ tw"), ("_superusers", "a@example.com", "123456789")]
    {
        let path = format!("/api/collections/{collection}/auth-with-password");
        let answer = server.guest().post(&path, json!({ "identity": identity, "password": password }));
        assert_eq!(answer.refused(400)["message"], "Failed to authenticate.", "{identity}");
    }
}

#[test]
fn a_user_of_it_hears_of_changes() {
    let server = Server::open(directory());
    let user = server.login("users", TWO.0, TWO.1);
    let mut stream = Stream::subscribed(&user, &["everything/*"]);
    // Not theirs, then theirs: only the second may arrive.
    let path = |number| format!("/api/collections/everything/records/record00000000{number}");
    server.superuser().patch(&path(3), json!({ "title": "not heard" })).ok();
    let changed = user.patch(&path(4), json!({ "title": "heard", "count+": 2 })).ok();
    assert_eq!(changed["count"], 1);
    let event = stream.next();
    assert_eq!((event.action(), event.record()), ("update", &changed));
}

/// Ids, users and collections that our server writes into a directory of PocketBase.
fn write_all_kinds(server: &Server) {
    let superuser = server.superuser();
    let one = server.login("users", ONE.0, ONE.1);
    let records = "/api/collections/everything/records";

    let user = json!({ "email": "three@example.com", "password": "a third one", "passwordConfirm": "a third one" });
    server.guest().post("/api/collections/users/records", user).ok();
    let password = json!({ "oldPassword": ONE.1, "password": "a new password", "passwordConfirm": "a new password" });
    one.patch("/api/collections/users/records/user00000000001", password).ok();

    superuser
        .post(records, json!({ "title": "made by headwater", "extra": { "a": [1, "b", null] }, "state": "live" }))
        .ok();
    let changes =
        json!({ "ratio": 2.5, "colours+": "green", "tags-": "tag000000000001", "place": { "lon": 1, "lat": -2 } });
    superuser.patch(&format!("{records}/record000000002"), changes).ok();
    superuser.delete(&format!("{records}/record000000005")).ok();

    let tags = &superuser.get("/api/collections/tags").ok()["id"];
    server.collection(json!({
        "name": "made_here",
        "fields": [
            { "name": "name", "type": "text", "required": true },
            { "name": "tag", "type": "relation", "collectionId": tags, "maxSelect": 1 },
        ],
        "indexes": ["CREATE UNIQUE INDEX idx_made_here_name ON made_here (name)"],
    }));
    superuser.post("/api/collections/made_here/records", json!({ "name": "n", "tag": "tag000000000002" })).ok();
    let mut everything = superuser.get("/api/collections/everything").ok();
    everything["fields"].as_array_mut().unwrap().push(json!({ "name": "added", "type": "number" }));
    superuser.patch("/api/collections/everything", json!({ "fields": everything["fields"] })).ok();
}

/// Everything that both programs answer about a directory, in a form to compare.
fn told_by(server: &Server) -> Vec<(String, Json)> {
    let superuser = server.superuser();
    let filter = query(&[("filter", "tags.name ?= 'sql' || added = 0"), ("sort", "-title")]);
    let paths = [
        "/api/collections?sort=name".to_owned(),
        "/api/settings".to_owned(),
        "/api/collections/users/records?sort=email".to_owned(),
        "/api/collections/everything/records?sort=title&expand=owner,tags".to_owned(),
        format!("/api/collections/everything/records?{filter}"),
        "/api/collections/live_titles/records?sort=title".to_owned(),
        "/api/collections/made_here/records?expand=tag.everything_via_tags".to_owned(),
    ];
    let answer = |path: &str| {
        let mut answer = superuser.get(path).ok();
        // What is Headwater's alone has a key of its own.
        if path == "/api/settings" {
            answer.as_object_mut().unwrap().remove("headwater");
        }
        answer
    };
    paths.into_iter().map(|path| (path.clone(), answer(&path))).collect()
}

#[test]
fn pocketbase_opens_the_directory_again_and_reads_what_we_wrote() {
    let Some(reference) = reference() else { return };
    let server = Server::open(directory());
    write_all_kinds(&server);
    let ours = told_by(&server);
    let our_token = server.login("users", TWO.0, TWO.1).token().unwrap().to_owned();
    let (directory, _) = server.stop();

    let server = Server::run(&reference, directory, &[]);
    for ((path, ours), (_, theirs)) in ours.iter().zip(told_by(&server)) {
        assert_eq!(ours, &theirs, "{path}");
    }
    server.login("users", ONE.0, "a new password");
    server.login("users", TWO.0, TWO.1);
    server.login("users", "three@example.com", "a third one");
    let two = server.guest().with_token(&our_token);
    two.patch("/api/collections/users/records/user00000000002", json!({ "name": "with our token" })).ok();
    server.superuser().post("/api/collections/made_here/records", json!({ "name": "by pocketbase" })).ok();

    // And back again: tokens, passwords and records of theirs are good here.
    let theirs = told_by(&server);
    let their_token = server.login("users", TWO.0, TWO.1).token().unwrap().to_owned();
    let (directory, _) = server.stop();
    let server = Server::open(directory);
    for ((path, theirs), (_, ours)) in theirs.iter().zip(told_by(&server)) {
        assert_eq!(theirs, &ours, "{path}");
    }
    let two = server.guest().with_token(&their_token);
    two.patch("/api/collections/users/records/user00000000002", json!({ "name": "with their token" })).ok();
}

#[test]
fn pocketbase_opens_a_directory_that_began_here() {
    let Some(reference) = reference() else { return };
    // The way back for a directory that began here: its passwords are argon2id until this is said.
    let directory = Directory::empty();
    for arguments in [&["passwords", "bcrypt"][..], &["superuser", "upsert", SUPERUSER.0, SUPERUSER.1]] {
        let (status, text) = Program::headwater().run(&directory, arguments);
        assert!(status.success(), "{arguments:?}: {text}");
    }
    let server = Server::open(directory);
    server.collection(json!({ "name": "posts", "fields": [{ "name": "title", "type": "text" }] }));
    let made = server.guest().post("/api/collections/posts/records", json!({ "title": "ours" })).ok();
    let collections = server.superuser().get("/api/collections?sort=name").ok();
    let own = json!({ "headwater": { "realtime": { "keepAlive": 30 } } });
    server.superuser().patch("/api/settings", own).ok();
    let ours = settings(&server.superuser());
    let (directory, _) = server.stop();

    let server = Server::run(&reference, directory, &[]);
    let path = format!("/api/collections/posts/records/{}", made["id"].as_str().unwrap());
    assert_eq!(server.guest().get(&path).ok(), made);
    assert_eq!(server.superuser().get("/api/collections?sort=name").ok(), collections);
    assert_eq!(settings(&server.superuser()), ours);
}
