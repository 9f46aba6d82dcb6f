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
/// A record for each client, open to guests.
pub(crate) const CELLS: &str = "swarm_cells";
/// Visible to their owner alone.
pub(crate) const NOTES: &str = "swarm_notes";
/// A team for each user, who is its member.
const TEAMS: &str = "swarm_teams";
/// Visible to the members of their team.
pub(crate) const MESSAGES: &str = "swarm_messages";
/// Callers. Their passwords are hashed as cheaply as is allowed: logins are not measured.
pub(crate) const USERS: &str = "swarm_users";
const PASSWORD: &str = "a swarm password";

const CONNECTIONS: usize = 32;
const PATIENCE: Duration = Duration::from_secs(300);
/// A text has 5,000 characters at most where the field does not say.
const LARGE_PADDING: usize = 4600;
/// With it, an event weighs about 400 bytes.
pub(crate) const PADDING: usize = 200;

/// How many of each.
#[derive(Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) rows: usize,
    pub(crate) cells: usize,
    pub(crate) users: usize,
}

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

/// Makes collections and rows, and returns a token for each user, in their order.
pub(crate) fn prepare(api: &Api, counts: Counts) -> Result<Vec<String>> {
    const LOGGED_IN: &str = "@request.auth.id != \"\"";
    let password = json!([{"name": "password", "type": "password", "cost": 4}]);
    let users =
        api.call("POST", "/api/collections", Some(&json!({"name": USERS, "type": "auth", "fields": password})))?;
    let users = users["id"].as_str().ok_or("a collection without an id")?;
    let groups = collection(api, GROUPS.0, Rules::same(LOGGED_IN), json!([{"name": "name", "type": "text"}]), &[])?;
    let fields = json!([
        {"name": "title", "type": "text"},
        {"name": "number", "type": "number"},
        {"name": "active", "type": "bool"},
        {"name": "data", "type": "json"},
        {"name": "due", "type": "date"},
        relation("group", &groups, 1),
        autodate("created", false),
        autodate("updated", true),
    ]);
    // What lists are sorted by has an index, as it would in a real application.
    let index = format!("CREATE INDEX `idx_{ITEMS}_number` ON `{ITEMS}` (`number`)");
    collection(api, ITEMS, Rules::same(LOGGED_IN), fields, &[index])?;
    for name in [EVENTS.0, CELLS] {
        collection(api, name, Rules::same(""), event_fields(None), &[])?;
    }
    let owner = Rules { read: "owner = @request.auth.id", write: "" };
    collection(api, NOTES, owner, event_fields(Some(relation("owner", users, 1))), &[])?;
    let teams = collection(api, TEAMS, Rules::same(LOGGED_IN), json!([relation("members", users, 10)]), &[])?;
    let member = Rules { read: "team.members.id ?= @request.auth.id", write: "" };
    collection(api, MESSAGES, member, event_fields(Some(relation("team", &teams, 1))), &[])?;

    fill(api, GROUPS.0, GROUPS.1, |body, index| {
        let _ = write!(body, r#"{{"id":"{}","name":"Group {index}"}}"#, id("group", index));
    })?;
    fill(api, ITEMS, counts.rows, |body, index| write_item(body, Some(&id("item", index)), index))?;
    for (name, count, kind) in [(EVENTS.0, EVENTS.1, "event"), (CELLS, counts.cells, "cell")] {
        fill(api, name, count, |body, index| {
            let _ = write!(body, r#"{{"id":"{}","padding":"{}"}}"#, id(kind, index), "x".repeat(PADDING));
        })?;
    }
    fill(api, USERS, counts.users, |body, index| {
        let id = id("user", index);
        let _ = write!(
            body,
            r#"{{"id":"{id}","email":"{id}@example.com","password":"{PASSWORD}","passwordConfirm":"{PASSWORD}"}}"#
        );
    })?;
    fill(api, TEAMS, counts.users, |body, index| {
        let _ = write!(body, r#"{{"id":"{}","members":["{}"]}}"#, id("team", index), id("user", index));
    })?;
    tokens(api, counts.users)
}

/// Makes the events of so many writers weigh about 5 kB.
pub(crate) fn enlarge_events(target: &Target, writers: usize) -> Result<()> {
    let api = Api { target: target.clone(), token: String::new() };
    let body = json!({"padding": "x".repeat(LARGE_PADDING)});
    (0..writers).try_for_each(|writer| {
        let path = format!("/api/collections/{}/records/{}", EVENTS.0, id("event", writer));
        api.call("PATCH", &path, Some(&body)).map(drop)
    })
}

#[derive(Clone, Copy)]
struct Rules<'a> {
    read: &'a str,
    write: &'a str,
}

impl<'a> Rules<'a> {
    /// One for everything.
    fn same(rule: &'a str) -> Rules<'a> {
        Rules { read: rule, write: rule }
    }
}

fn autodate(name: &str, on_update: bool) -> Value {
    json!({"name": name, "type": "autodate", "onCreate": true, "onUpdate": on_update})
}

fn relation(name: &str, collection: &str, at_most: usize) -> Value {
    json!({"name": name, "type": "relation", "collectionId": collection, "maxSelect": at_most})
}

fn event_fields(concerned: Option<Value>) -> Value {
    let mut fields = vec![json!({"name": "mark", "type": "text"}), json!({"name": "padding", "type": "text"})];
    fields.extend(concerned);
    fields.extend([autodate("created", false), autodate("updated", true)]);
    fields.into()
}

/// Returns its id.
fn collection(api: &Api, name: &str, rules: Rules<'_>, fields: Value, indexes: &[String]) -> Result<String> {
    let Rules { read, write } = rules;
    let body = json!({
        "name": name, "type": "base", "fields": fields, "indexes": indexes,
        "listRule": read, "viewRule": read, "createRule": write, "updateRule": write, "deleteRule": write,
    });
    let answer = api.call("POST", "/api/collections", Some(&body))?;
    Ok(answer["id"].as_str().ok_or("a collection without an id")?.to_owned())
}

fn fill(api: &Api, name: &str, count: usize, body: impl Fn(&mut Vec<u8>, usize)) -> Result<()> {
    let path = format!("/api/collections/{name}/records");
    post_all(api, count, |_| path.clone(), body).map(drop)
}

/// A token for each of the users that `prepare` has made, in their order.
fn tokens(api: &Api, users: usize) -> Result<Vec<String>> {
    let path = |index| format!("/api/collections/{USERS}/impersonate/{}", id("user", index));
    tokens_of(post_all(api, users, path, |body, _| body.extend_from_slice(b"{}"))?)
}

/// Tokens that may be refreshed, of the first so many users.
pub(crate) fn log_in(api: &Api, users: usize) -> Result<Vec<String>> {
    let path = |_| format!("/api/collections/{USERS}/auth-with-password");
    tokens_of(post_all(api, users, path, |body, index| {
        let _ = write!(body, r#"{{"identity":"{}@example.com","password":"{PASSWORD}"}}"#, id("user", index));
    })?)
}

/// The tokens in the answers, in the order of their users.
fn tokens_of(answers: Vec<Vec<u8>>) -> Result<Vec<String>> {
    let token_of = |answer: &Vec<u8>| {
        let answer: Value = serde_json::from_slice(answer)?;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let (user, token) = (text(&answer["record"]["id"]), text(&answer["token"]));
        user.zip(token).ok_or_else(|| "an impersonation without a token".into())
    };
    // Answers come as the server has them.
    let mut tokens = answers.iter().map(token_of).collect::<Result<Vec<_>>>()?;
    tokens.sort_unstable();
    Ok(tokens.into_iter().map(|(_, token)| token).collect())
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
