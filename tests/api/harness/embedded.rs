//! A server in the test's own process, for what only code of the same process can do: attach to hooks, send messages.

use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use headwater::app::{App, Config};
use serde_json::{Value as Json, json};

use super::{Client, Directory, SUPERUSER};

/// A running server; it ends when it is dropped.
pub struct Embedded {
    pub app: App,
    client: Client,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    _directory: Directory,
}

impl Embedded {
    pub fn start() -> Embedded {
        let directory = Directory::fresh();
        let origins = vec!["*".to_owned()];
        let config = Config { dir: directory.data(), query_timeout: Duration::from_secs(10), origins };
        let (started, start) = mpsc::channel();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let run = async move {
            let app = App::open(config).unwrap();
            let (server, address) = headwater::http::server::bind(app.clone(), "127.0.0.1:0").unwrap();
            let handle = server.handle();
            let running = actix_web::rt::spawn(server);
            started.send((app.clone(), address)).unwrap();
            let _ = stopped.await;
            app.realtime.shutdown().await;
            handle.stop(true).await;
            running.await.unwrap().unwrap();
            app.close().await;
        };
        let thread = std::thread::spawn(move || actix_web::rt::System::new().block_on(run));
        let (app, address) = start.recv().expect("a server");
        let client = Client::new(address);
        Embedded { app, client, stop: Some(stop), thread: Some(thread), _directory: directory }
    }

    pub fn guest(&self) -> Client {
        self.client.clone()
    }

    pub fn superuser(&self) -> Client {
        self.login("_superusers", SUPERUSER.0, SUPERUSER.1)
    }

    pub fn login(&self, collection: &str, identity: &str, password: &str) -> Client {
        let path = format!("/api/collections/{collection}/auth-with-password");
        let answer = self.client.post(&path, json!({ "identity": identity, "password": password })).ok();
        self.client.with_token(answer["token"].as_str().expect("a token"))
    }

    /// A collection with these fields that is open to everyone.
    pub fn collection(&self, name: &str, fields: Json) {
        let mut definition = json!({ "name": name, "type": "base", "fields": fields });
        for rule in ["listRule", "viewRule", "createRule", "updateRule", "deleteRule"] {
            definition[rule] = json!("");
        }
        self.superuser().post("/api/collections", definition).ok();
    }

    /// Waits for something that the app does.
    pub fn wait<T>(&self, what: impl Future<Output = T>) -> T {
        actix_web::rt::System::new().block_on(what)
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.thread.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            ended.expect("a thread").expect("an end in peace");
        }
    }
}
