//! The history of every client, through anything: writers that never rest, clients of both protocols that are cut off at
//! any byte, stall and come back, and a server that is killed (RTX-1, RTX-4, RTX-9, RTX-12, RTX-20, DEF-6).
//!
//! What each client was told, over all its connections, must be exactly what the change log says and its rule lets it
//! see, in order, once; or it must have been told to read anew.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex};
use std::thread;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rusqlite::Connection;
use serde_json::{Value as Json, json};

use crate::harness::{Client, Directory, Server, Socket, Stream, query};

const WRITERS: usize = 4;
const CLIENTS: usize = 24;
/// The records that are written; whose they are changes all the time.
const RECORDS: usize = 20;
/// How often the server is killed.
const KILLS: usize = 3;
/// Seen by all; by the owner, which memory can tell; by the owner too, but only the database can tell who he is.
const COLLECTIONS: [(&str, &str); 3] =
    [("open", ""), ("owned", "owner = @request.auth.id"), ("seated", "seat.user = @request.auth.id")];
/// On each worker more of them than would be asked about one by one.
const USERS: usize = 12;

/// What nobody writes before the end.
const LAST: i64 = -1;

/// How often clients come back, all together. A release is checked with 1,000.
fn returns() -> usize {
    let text = std::env::var("HEADWATER_HISTORY_RETURNS");
    text.map_or(250, |text| text.parse().expect("HEADWATER_HISTORY_RETURNS is a number"))
}

/// One event, or one row of the log: its number, collection, action, record and the number that was written.
type Told = (u64, String, String, String, i64);

/// What everybody in the test shares.
struct Scene {
    /// None while the server is down.
    server: Mutex<Option<Client>>,
    up: Condvar,
    users: Vec<(String, String)>,
    returns: AtomicUsize,
    writes: AtomicUsize,
    /// No more writes; clients read what is left and end.
    over: AtomicBool,
}

impl Scene {
    /// The server's client, when there is a server.
    fn server(&self) -> Client {
        let server = self.up.wait_while(self.server.lock().unwrap(), |server| server.is_none()).unwrap();
        server.clone().unwrap()
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }
}

/// What one client has been told.
struct History {
    user: String,
    /// Where it began, and where it was told to read anew.
    begins: Vec<u64>,
    told: Vec<Told>,
}

enum Line {
    Sse(Stream),
    WebSocket(Socket),
}

enum Message {
    Event(Told),
    Reset(u64),
    /// A sign of life or an answer.
    Nothing,
}

fn number(position: &str) -> u64 {
    position.split_once(':').expect("a position").1.parse().expect("a number")
}

fn told(position: &str, topic: &str, data: &Json) -> Message {
    let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
    let record = &data["record"];
    let collection = topic.trim_end_matches("/*").to_owned();
    Message::Event((
        number(position),
        collection,
        text(&data["action"]),
        text(&record["id"]),
        record["n"].as_i64().unwrap(),
    ))
}

impl Line {
    /// Comes back to where the client was; none if the server is gone.
    fn open(scene: &Scene, token: &str, since: &str, web_socket: bool) -> Option<Line> {
        let client = scene.server();
        let topics = COLLECTIONS.map(|(name, _)| format!("{name}/*"));
        if web_socket {
            let mut socket = Socket::try_open_at(&client, "/api/realtime", &[])?.expect("an upgrade");
            let set = json!({ "id": 1, "subscriptions": topics, "since": since, "token": token });
            return socket.try_send(&set.to_string()).then_some(Line::WebSocket(socket));
        }
        let subscribed = topics.iter().map(|topic| ("subscribe", topic.as_str()));
        let parameters: Vec<_> = subscribed.chain([("token", token)]).collect();
        let path = format!("/api/realtime?{}", query(&parameters));
        Stream::try_open_at(&client, &path, &[("Last-Event-ID", since)]).map(Line::Sse)
    }

    /// None at the end of the connection.
    fn next(&mut self) -> Option<Message> {
        match self {
            Line::Sse(stream) => {
                let event = stream.next_or_end()?;
                if event.name == "HW_RESET" {
                    return Some(Message::Reset(number(&event.id)));
                }
                Some(told(&event.id, &event.name, &event.data))
            }
            Line::WebSocket(socket) => {
                let message: Json = serde_json::from_str(&socket.frame().ok()?).expect("JSON");
                let seq = message["seq"].as_str().unwrap_or_default();
                Some(match message["type"].as_str() {
                    Some("event") => told(seq, message["topic"].as_str().unwrap(), &message),
                    Some("reset") => Message::Reset(number(seq)),
                    Some("error") => panic!("{message}"),
                    _ => Message::Nothing,
                })
            }
        }
    }
}

/// A client that comes back until it has been told the last change.
fn listen(scene: &Scene, mut rng: StdRng, web_socket: bool, start: &str) -> History {
    let (user, token) = scene.users[rng.random_range(0..scene.users.len())].clone();
    let epoch = start.split_once(':').unwrap().0;
    let mut history = History { user, begins: vec![number(start)], told: Vec::new() };
    let mut at = number(start);
    loop {
        let Some(mut line) = Line::open(scene, &token, &format!("{epoch}:{at}"), web_socket) else { continue };
        scene.returns.fetch_add(1, Ordering::SeqCst);
        // Sometimes it is cut off before it has read anything, or in the middle of what it has before it.
        let mut left = if scene.is_over() { usize::MAX } else { rng.random_range(0..60) };
        let stalls_at = if rng.random_bool(0.2) { rng.random_range(0..60) } else { usize::MAX };
        while left > 0 {
            if left == stalls_at {
                // Reads nothing while others write.
                let until = scene.writes.load(Ordering::SeqCst) + 40;
                while scene.writes.load(Ordering::SeqCst) < until && !scene.is_over() {
                    thread::sleep(Duration::from_millis(1));
                }
            }
            if scene.is_over() {
                left = usize::MAX;
            }
            left -= 1;
            match line.next() {
                None => break,
                Some(Message::Nothing) => {}
                Some(Message::Reset(seq)) => {
                    history.begins.push(seq);
                    at = seq;
                }
                Some(Message::Event(event)) => {
                    at = event.0;
                    let last = event.4 == LAST;
                    history.told.push(event);
                    if last {
                        return history;
                    }
                }
            }
        }
    }
}

/// Creates, changes and deletes records of all collections.
fn write(scene: &Scene, mut rng: StdRng) {
    let mut session = None;
    while !scene.is_over() {
        let open = match &mut session {
            Some(session) => session,
            None => match scene.server().try_session() {
                Some(new) => session.insert(new),
                None => continue,
            },
        };
        let (collection, _) = COLLECTIONS[rng.random_range(0..COLLECTIONS.len())];
        let path = format!("/api/collections/{collection}/records");
        let record = format!("record{:09}", rng.random_range(0..RECORDS));
        let owner = &scene.users[rng.random_range(0..scene.users.len())].0;
        let text = "x".repeat(rng.random_range(0..3000));
        let n = rng.random_range(0..1_000_000);
        let values = json!({ "id": record, "n": n, "owner": owner, "seat": owner, "text": text });
        let one = format!("{path}/{record}");
        let sent = match rng.random_range(0..10) {
            0..4 => open.send("POST", &path, &values),
            4..9 => open.send("PATCH", &one, &values),
            _ => open.send("DELETE", &one, &json!({})),
        };
        match sent {
            // What is not there, or there already, is refused.
            Some(answer) => assert!(matches!(answer.status, 200 | 204 | 400 | 404), "{}", answer.text()),
            None => session = None,
        }
        scene.writes.fetch_add(1, Ordering::SeqCst);
    }
}

/// The log: what there was to be told, each with whose it was.
fn log(directory: &Directory, collections: &[(String, &str)]) -> Vec<(Told, String)> {
    let conn = Connection::open(directory.database()).unwrap();
    let sql = "SELECT seq, collection, action, record, ifnull(after, before) FROM _hw_changes ORDER BY seq";
    let mut statement = conn.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| {
        let (seq, id, action): (i64, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok((seq as u64, id, action, row.get::<_, String>(3)?, row.get::<_, String>(4)?))
    });
    let of = |(seq, id, action, record, values): (u64, String, String, String, String)| {
        let name = collections.iter().find(|(own, _)| *own == id)?.1;
        let values: Json = serde_json::from_str(&values).unwrap();
        let n = values["n"].as_f64().unwrap() as i64;
        Some(((seq, name.to_owned(), action, record, n), values["owner"].as_str().unwrap().to_owned()))
    };
    rows.unwrap().map(Result::unwrap).filter_map(of).collect()
}

fn check(history: &History, log: &[(Told, String)]) {
    assert!(history.told.is_sorted_by(|a, b| a.0 < b.0), "out of order, or twice");
    let visible = log.iter().filter(|((_, collection, ..), owner)| collection == "open" || *owner == history.user);
    let visible: Vec<&Told> = visible.map(|(told, _)| told).collect();
    let seen: BTreeSet<u64> = history.told.iter().map(|told| told.0).collect();
    // Before a reset something may be missing; what there is must be right all the same.
    let last_begin = history.begins.iter().max().copied().unwrap_or_default();
    let expected: Vec<&Told> =
        visible.into_iter().filter(|told| told.0 > last_begin || seen.contains(&told.0)).collect();
    let expected: Vec<&Told> = expected.into_iter().filter(|told| told.0 > history.begins[0]).collect();
    let got: Vec<&Told> = history.told.iter().collect();
    if got != expected {
        let wrong = got.iter().zip(&expected).position(|(got, expected)| got != expected);
        let place = wrong.unwrap_or(got.len().min(expected.len()));
        panic!("event {place}: {:?}, and not {:?}; {:?}", got.get(place), expected.get(place), history.begins);
    }
}

#[test]
fn every_client_is_told_what_it_may_see_in_order_and_once() {
    let seed = std::env::var("HEADWATER_SEED").map_or_else(|_| rand::rng().random(), |seed| seed.parse().unwrap());
    println!("HEADWATER_SEED={seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let mut server = Some(Server::start());
    let first = server.as_ref().unwrap();
    let seats = first.collection(json!({ "name": "seats", "fields": [{ "name": "user", "type": "text" }] }));
    let fields = json!([
        { "name": "n", "type": "number" },
        { "name": "owner", "type": "text" },
        { "name": "seat", "type": "relation", "collectionId": seats["id"], "maxSelect": 1 },
        { "name": "text", "type": "text" },
    ]);
    let collections = COLLECTIONS.map(|(name, rule)| {
        let made = first.collection(json!({ "name": name, "fields": fields, "listRule": rule }));
        (made["id"].as_str().unwrap().to_owned(), name)
    });
    let users = (0..USERS).map(|n| {
        let email = format!("user{n}@example.com");
        let body = json!({ "email": email, "password": "1234567890", "passwordConfirm": "1234567890" });
        let record = first.superuser().post("/api/collections/users/records", body).ok();
        let seat = json!({ "id": record["id"], "user": record["id"] });
        first.superuser().post("/api/collections/seats/records", seat).ok();
        let token = first.login("users", &email, "1234567890").token().unwrap().to_owned();
        (record["id"].as_str().unwrap().to_owned(), token)
    });
    let scene = Scene {
        users: users.collect(),
        server: Mutex::new(Some(first.guest())),
        up: Condvar::new(),
        returns: AtomicUsize::new(0),
        writes: AtomicUsize::new(0),
        over: AtomicBool::new(false),
    };
    let start = Socket::open(&first.guest()).connect["seq"].as_str().unwrap().to_owned();
    let histories = thread::scope(|scope| {
        let (scene, start) = (&scene, &start);
        let mut seeds = (0..).map(|n| StdRng::seed_from_u64(seed.wrapping_add(1 + n)));
        let clients: Vec<_> = (0..CLIENTS)
            .map(|n| {
                let rng = seeds.next().unwrap();
                scope.spawn(move || listen(scene, rng, n % 2 == 0, start))
            })
            .collect();
        let writers: Vec<_> = (0..WRITERS)
            .map(|_| {
                let rng = seeds.next().unwrap();
                scope.spawn(move || write(scene, rng))
            })
            .collect();
        // A client that failed would leave the others waiting for it.
        let alive = || clients.iter().all(|client| !client.is_finished());
        for kill in 1..=KILLS + 1 {
            let until = returns() * kill / (KILLS + 1);
            while scene.returns.load(Ordering::SeqCst) < until && alive() {
                thread::sleep(Duration::from_millis(1));
            }
            if kill <= KILLS && alive() {
                *scene.server.lock().unwrap() = None;
                let directory = server.take().unwrap().kill();
                // Some restarts are fast, others not.
                thread::sleep(Duration::from_millis(rng.random_range(0..200)));
                let again = Server::open(directory);
                *scene.server.lock().unwrap() = Some(again.guest());
                scene.up.notify_all();
                server = Some(again);
            }
        }
        scene.over.store(true, Ordering::SeqCst);
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        // One last change for all, so that nobody waits for another one.
        let values = json!({ "n": LAST, "owner": "", "text": "" });
        scene.server().post("/api/collections/open/records", values).ok();
        clients.into_iter().map(|client| client.join().unwrap()).collect::<Vec<History>>()
    });
    let (directory, _) = server.unwrap().stop();
    let log = log(&directory, &collections);
    for history in &histories {
        check(history, &log);
    }
    let told: usize = histories.iter().map(|history| history.told.len()).sum();
    let resets: usize = histories.iter().map(|history| history.begins.len() - 1).sum();
    println!("{} returns, {told} events, {resets} resets", scene.returns.load(Ordering::SeqCst));
    assert!(told > returns(), "the test must have reached what it is about");
}
