//! What a server has to hold before it is measured: a few collections and their rows, made through the API by concurrent
//! single creates. All ids are known beforehand, so that nothing has to be listed or remembered.

use crate::Result;
use crate::api::Api;
use crate::http::{self, Plan, Work};
use crate::request::Target;
use serde_json::{Value, json};
use std::io::Write;
use std::time::Duration;

/// The measured rows: text, number, bool, json, date, relation and two autodates; for callers who are logged in.
pub(crate) const ITEMS: &str = "swarm_items";
/// What items relate to, and how many there are.
pub(crate) const GROUPS: (&str, usize) = ("swarm_groups", 100);
/// What fan-outs are about; open to guests. A row per writer, at most so many.
pub(crate) const EVENTS: (&str, usize) = ("swarm_events", 64);
/// Callers. Their passwords are hashed as cheaply as is allowed, because nobody logs in with them.
pub(crate) const USERS: &str = "swarm_users";

const CONNECTIONS: usize = 32;
const PATIENCE: Duration = Duration::from_secs(300);
const PADDING: usize = 200;

/// 15 characters, as record ids are.
pub(crate) fn id(kind: &str, index: usize) -> String {
    format!("{kind}{index:0width$}", width = 15 - kind.len())
}

/// The body of a create; without an id the server chooses one.
pub(crate) fn write_item(out: &mut Vec<u8>, id: Option<&str>, index: usize) {
    out.push(b'{');
    if let Some(id) = id {
        let _ = write!(out, r#""id":"{id}","#);
    }
    let _ = write!(
        out,
        r#""title":"Item {index}: a title of about the usual length","number":{},"active":{},"data":{{"tags":["red","green"],"level":{}}},"due":"2025-{:02}-{:02} 10:00:00.000Z","group":"{}"}}"#,
        // 7919 is prime, so the numbers are spread and all different up to a million.
        index * 7919 % 1_000_003 % 10_000,
        index.is_multiple_of(2),
        index % 10,
        1 + index % 12,
        1 + index % 28,
        self::id("group", index % GROUPS.1),
    );
}

/// Makes collections and rows, and returns a token for each user.
pub(crate) fn prepare(api: &Api, rows: usize, users: usize) -> Result<Vec<String>> {
    const LOGGED_IN: &str = "@request.auth.id != \"\"";
    let groups = collection(api, GROUPS.0, LOGGED_IN, json!([{"name": "name", "type": "text"}]), &[])?;
    let autodate = |name: &str, on_update: bool| json!({"name": name, "type": "autodate", "onCreate": true, "onUpdate": on_update});
    let fields = json!([
        {"name": "title", "type": "text"},
        {"name": "number", "type": "number"},
        {"name": "active", "type": "bool"},
        {"name": "data", "type": "json"},
        {"name": "due", "type": "date"},
        {"name": "group", "type": "relation", "collectionId": groups, "maxSelect": 1},
        autodate("created", false),
        autodate("updated", true),
    ]);
    // What lists are sorted by has an index, as it would in a real application.
    let index = format!("CREATE INDEX `idx_{ITEMS}_number` ON `{ITEMS}` (`number`)");
    collection(api, ITEMS, LOGGED_IN, fields, &[index])?;
    let fields = json!([
        {"name": "mark", "type": "text"},
        {"name": "padding", "type": "text"},
        autodate("created", false),
        autodate("updated", true),
    ]);
    collection(api, EVENTS.0, "", fields, &[])?;
    let password = json!([{"name": "password", "type": "password", "cost": 4}]);
    api.call("POST", "/api/collections", Some(&json!({"name": USERS, "type": "auth", "fields": password})))?;

    fill(api, GROUPS.0, GROUPS.1, |body, index| {
        let _ = write!(body, r#"{{"id":"{}","name":"Group {index}"}}"#, id("group", index));
    })?;
    fill(api, ITEMS, rows, |body, index| write_item(body, Some(&id("item", index)), index))?;
    fill(api, EVENTS.0, EVENTS.1, |body, index| {
        let _ = write!(body, r#"{{"id":"{}","padding":"{}"}}"#, id("event", index), "x".repeat(PADDING));
    })?;
    fill(api, USERS, users, |body, index| {
        let id = id("user", index);
        let _ = write!(
            body,
            r#"{{"id":"{id}","email":"{id}@example.com","password":"a swarm password","passwordConfirm":"a swarm password"}}"#
        );
    })?;
    tokens(api, users)
}

/// Returns its id. One rule for everything.
fn collection(api: &Api, name: &str, rule: &str, fields: Value, indexes: &[String]) -> Result<String> {
    let body = json!({
        "name": name, "type": "base", "fields": fields, "indexes": indexes,
        "listRule": rule, "viewRule": rule, "createRule": rule, "updateRule": rule, "deleteRule": rule,
    });
    let answer = api.call("POST", "/api/collections", Some(&body))?;
    Ok(answer["id"].as_str().ok_or("a collection without an id")?.to_owned())
}

fn fill(api: &Api, name: &str, count: usize, body: impl Fn(&mut Vec<u8>, usize)) -> Result<()> {
    let path = format!("/api/collections/{name}/records");
    post_all(api, count, |_| path.clone(), body).map(drop)
}

/// A token for each of the users that `prepare` has made.
fn tokens(api: &Api, users: usize) -> Result<Vec<String>> {
    let path = |index| format!("/api/collections/{USERS}/impersonate/{}", id("user", index));
    let answers = post_all(api, users, path, |body, _| body.extend_from_slice(b"{}"))?;
    answers
        .iter()
        .map(|answer| {
            let answer: Value = serde_json::from_slice(answer)?;
            Ok(answer["token"].as_str().ok_or("an impersonation without a token")?.to_owned())
        })
        .collect()
}

/// So many POSTs, as fast as the server takes them; the answers as they came. One that fails fails all.
fn post_all(
    api: &Api,
    count: usize,
    path: impl Fn(usize) -> String,
    body: impl Fn(&mut Vec<u8>, usize),
) -> Result<Vec<Vec<u8>>> {
    let mut posts = Posts { target: &api.target, token: &api.token, path, body, count, sent: 0, answers: Vec::new() };
    let connections = CONNECTIONS.min(count.max(1));
    let plan = Plan { connections, warmup: Duration::ZERO, window: PATIENCE, pid: None };
    let tally = http::run(&api.target, &plan, &mut posts)?;
    match tally.first_error {
        Some(error) => Err(error.into()),
        None if posts.answers.len() < count => Err("filling the server takes too long".into()),
        None => Ok(posts.answers),
    }
}

struct Posts<'a, P, B> {
    target: &'a Target,
    token: &'a str,
    path: P,
    body: B,
    count: usize,
    sent: usize,
    answers: Vec<Vec<u8>>,
}

impl<P: Fn(usize) -> String, B: Fn(&mut Vec<u8>, usize)> Work for Posts<'_, P, B> {
    fn next(&mut self, out: &mut Vec<u8>) -> bool {
        if self.sent == self.count {
            return false;
        }
        let mut body = Vec::new();
        (self.body)(&mut body, self.sent);
        self.target.write(out, "POST", &(self.path)(self.sent), self.token, Some(&body));
        self.sent += 1;
        true
    }

    fn answered(&mut self, body: &[u8]) {
        self.answers.push(body.to_vec());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_fifteen_characters_and_items_are_json() {
        let mut body = Vec::new();
        write_item(&mut body, Some(&id("item", 7)), 7);
        let item: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(item["id"], "item00000000007");
        assert_eq!(item["group"], "group0000000007");
        body.clear();
        write_item(&mut body, None, 9_999);
        assert!(serde_json::from_slice::<Value>(&body).unwrap().get("id").is_none());
    }
}
