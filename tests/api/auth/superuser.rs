//! The superuser command and the first superuser.

use serde_json::json;

use crate::harness::{Directory, Program, SUPERUSER, Server};

#[test]
fn the_command_says_what_it_did_and_its_exit_code_tells() {
    let directory = Directory::fresh();
    let run = |arguments: &[&str]| {
        let (status, text) = Program::headwater().run(&directory, &[&["superuser"], arguments].concat());
        (status.success(), text)
    };
    let said =
        |arguments: &[&str], text: &str| assert_eq!(run(arguments), (true, format!("{text}\n")), "{arguments:?}");
    let failed = |arguments: &[&str], text: &str| {
        let (success, said) = run(arguments);
        assert!(!success && said.contains(text), "{arguments:?}: {said}");
    };
    said(&["create", "b@example.com", "1234567890"], "Successfully created new superuser \"b@example.com\"!");
    failed(&["create", "b@example.com", "1234567890"], "email: Value must be unique.");
    failed(&["create", "nobody", "1234567890"], "missing or invalid email address");
    failed(&["create", "c@example.com", "123"], "password: Must be at least 8 character(s).");
    said(&["update", "b@example.com", "abcdefgh"], "Successfully changed superuser \"b@example.com\" password!");
    failed(&["update", "c@example.com", "abcdefgh"], "superuser with email \"c@example.com\" doesn't exist");
    failed(&["update", "b@example.com", ""], "password");
    said(&["upsert", "b@example.com", "1234567890"], "Successfully saved superuser \"b@example.com\"!");
    said(&["upsert", "c@example.com", "1234567890"], "Successfully saved superuser \"c@example.com\"!");
    said(&["delete", "c@example.com"], "Successfully deleted superuser \"c@example.com\"!");
    assert!(run(&["delete", "c@example.com"]).0, "one who is not there needs no deletion");
    said(&["delete", SUPERUSER.0], &format!("Successfully deleted superuser \"{}\"!", SUPERUSER.0));
    failed(&["delete", "b@example.com"], "You can't delete the only existing superuser.");
    failed(&["create", "d@example.com"], "");
    failed(&["nothing"], "");
    failed(&["ips", "127.0.0.1", "nowhere"], "Invalid IP or CIDR subnet");

    let server = Server::open(directory);
    server.login("_superusers", "b@example.com", "1234567890");
    let (success, text) = {
        let (status, text) =
            Program::headwater().run(server.directory(), &["superuser", "create", "e@example.com", "1234567890"]);
        (status.success(), text)
    };
    assert!(!success && text.contains("another headwater process uses this directory"), "{text}");
}

#[test]
fn the_last_superuser_stays_and_others_change_themselves() {
    let server = Server::start();
    let superuser = server.superuser();
    let records = "/api/collections/_superusers/records";
    let own = superuser.get(records).ok()["items"][0]["id"].as_str().unwrap().to_owned();
    let refused = superuser.delete(&format!("{records}/{own}")).refused(400);
    assert_eq!(refused["message"], "You can't delete the only existing superuser.");
    let new = json!({ "email": "b@example.com", "password": "1234567890", "passwordConfirm": "1234567890" });
    let created = superuser.post(records, new).ok();
    assert_eq!(created["verified"], true);
    superuser.patch(&format!("{records}/{own}"), json!({ "email": "c@example.com" })).ok();
    // With the address the key of its tokens changed.
    superuser.get("/api/settings").refused(401);
}

#[test]
fn hashes_are_renewed_at_the_next_login_and_nothing_else_changes() {
    let run = |directory: &Directory, scheme: &str| {
        let (status, text) = Program::headwater().run(directory, &["passwords", scheme]);
        assert!(status.success() && text.contains(scheme), "{text}");
    };
    let hash = |directory: &Directory| -> [String; 3] {
        let conn = rusqlite::Connection::open(directory.database()).unwrap();
        let sql = "SELECT password, tokenKey, updated FROM _superusers";
        conn.query_row(sql, [], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?])).unwrap()
    };
    let mut directory = Directory::fresh();
    let [_, token_key, updated] = hash(&directory);
    for (scheme, prefix) in [("bcrypt", "$2a$10$"), ("argon2id", "$argon2id$"), ("bcrypt", "$2a$10$")] {
        run(&directory, scheme);
        let server = Server::open(directory);
        let first = server.superuser();
        first.get("/api/settings").ok();
        // The renewal follows the login's answer; another login shows that the old hash is still good meanwhile.
        let started = std::time::Instant::now();
        while !hash(server.directory())[0].starts_with(prefix) {
            assert!(started.elapsed().as_secs() < 20, "the hash was not renewed");
            server.superuser();
        }
        server.superuser();
        first.get("/api/settings").ok();
        directory = server.stop().0;
        let [stored, key, changed] = hash(&directory);
        assert!(stored.starts_with(prefix), "{stored}");
        assert_eq!((key, changed), (token_key.clone(), updated.clone()), "{scheme}");
    }
}
