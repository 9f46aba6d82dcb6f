//! Logging in and out of nothing: auth collections, tokens, settings and the accounts that may do everything.

mod login;
mod settings;
mod superuser;
mod tokens;

use serde_json::{Value as Json, json};

use crate::harness::{Client, Server};

const PASSWORD: &str = "1234567890";
const RECORDS: &str = "/api/collections/members/records";
const LOGIN: &str = "/api/collections/members/auth-with-password";

/// A server with an auth collection `members` that has two identity fields, and two members.
struct Scene {
    server: Server,
    superuser: Client,
}

impl Scene {
    fn new() -> Scene {
        let server = Server::start();
        server.collection(json!({
            "name": "members",
            "type": "auth",
            "fields": [{ "name": "username", "type": "text" }],
            "indexes": ["CREATE UNIQUE INDEX idx_members_username ON members (username COLLATE NOCASE)"],
            "passwordAuth": { "enabled": true, "identityFields": ["username", "email"] },
        }));
        let superuser = server.superuser();
        let scene = Scene { server, superuser };
        scene.member("member000000001", "ann@example.com", "Ann");
        scene.member("member000000002", "ben@example.com", "ann@example.com");
        scene
    }

    fn member(&self, id: &str, email: &str, username: &str) {
        let member = json!({
            "id": id, "email": email, "username": username, "password": PASSWORD, "passwordConfirm": PASSWORD
        });
        self.superuser.post(RECORDS, member).ok();
    }

    /// Changes options of the collection.
    fn configure(&self, options: Json) {
        self.superuser.patch("/api/collections/members", options).ok();
    }

    fn change(&self, id: &str, values: Json) {
        self.superuser.patch(&format!("{RECORDS}/{id}"), values).ok();
    }

    fn ann(&self) -> Client {
        self.server.login("members", "ann@example.com", PASSWORD)
    }

    /// Who a token stands for, by what it may refresh; none for a guest.
    fn is_member(&self, client: &Client) -> bool {
        match client.post("/api/collections/members/auth-refresh", json!({})).status {
            200 => true,
            401 => false,
            other => panic!("{other}"),
        }
    }
}
