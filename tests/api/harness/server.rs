//! A server process on a data directory of its own.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;

use serde_json::{Value as Json, json};

use super::{Client, SUPERUSER};

/// A program with PocketBase's command line.
#[derive(Clone, Debug)]
pub struct Program {
    path: PathBuf,
    /// Whether it tells the port that it was given for `--http 127.0.0.1:0`.
    tells_port: bool,
    /// How much it logs (`RUST_LOG`).
    log: Option<&'static str>,
}

impl Program {
    /// The binary under test. `HEADWATER_TEST_SERVER` names another one, to ask the reference what a test asks us.
    pub fn headwater() -> Program {
        match std::env::var_os("HEADWATER_TEST_SERVER") {
            Some(path) => Program::reference_at(path),
            None => Program { path: env!("CARGO_BIN_EXE_headwater").into(), tells_port: true, log: None },
        }
    }

    /// The reference, where `HEADWATER_REFERENCE` names its binary.
    pub fn reference() -> Option<Program> {
        std::env::var_os("HEADWATER_REFERENCE").map(Program::reference_at)
    }

    fn reference_at(path: impl Into<PathBuf>) -> Program {
        Program { path: path.into(), tells_port: false, log: None }
    }

    /// The same, with another level of its log.
    pub fn logging(self, level: &'static str) -> Program {
        Program { log: Some(level), ..self }
    }

    /// Runs a command of it on a directory, e.g. `superuser upsert …`, and returns its exit status and what it printed.
    pub fn run(&self, directory: &Directory, arguments: &[&str]) -> (ExitStatus, String) {
        let output = Command::new(&self.path).args(arguments).arg("--dir").arg(directory.data()).output();
        let output = output.unwrap_or_else(|error| panic!("{}: {error}", self.path.display()));
        let text = [output.stdout, output.stderr].concat();
        (output.status, String::from_utf8_lossy(&text).into_owned())
    }
}

/// A temporary directory with a `pb_data` in it; removed when it is dropped.
#[derive(Debug)]
pub struct Directory(PathBuf);

impl Directory {
    /// With nothing in it.
    pub fn empty() -> Directory {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(path.join("pb_data")).unwrap();
        Directory(path)
    }

    /// With a superuser, as the command line leaves it.
    pub fn fresh() -> Directory {
        static TEMPLATE: OnceLock<PathBuf> = OnceLock::new();
        let template = TEMPLATE.get_or_init(|| {
            let directory = Directory::empty();
            let (status, text) =
                Program::headwater().run(&directory, &["superuser", "upsert", SUPERUSER.0, SUPERUSER.1]);
            assert!(status.success(), "superuser upsert: {text}");
            // Kept for the whole run: its folder is the one thing below target/tmp that outlives its test.
            let path = directory.0.clone();
            std::mem::forget(directory);
            path
        });
        Directory::copy_of(&template.join("pb_data"))
    }

    /// With the files of another `pb_data`.
    pub fn copy_of(pb_data: &Path) -> Directory {
        let directory = Directory::empty();
        copy(pb_data, &directory.data());
        directory
    }

    pub fn data(&self) -> PathBuf {
        self.0.join("pb_data")
    }

    pub fn database(&self) -> PathBuf {
        self.data().join("data.db")
    }

    /// What servers printed on stderr, and on stdout once they had started.
    fn log(&self) -> PathBuf {
        self.0.join("server.log")
    }

    /// All that servers printed so far.
    pub fn printed(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A running server; killed when it is dropped.
pub struct Server {
    process: Child,
    address: SocketAddr,
    /// Notes what it prints.
    printed: Option<JoinHandle<()>>,
    /// None once it was handed back by [`Server::kill`] or [`Server::stop`].
    directory: Option<Directory>,
}

impl Server {
    /// On a fresh directory.
    pub fn start() -> Server {
        Server::open(Directory::fresh())
    }

    pub fn open(directory: Directory) -> Server {
        Server::run(&Program::headwater(), directory, &[])
    }

    /// Starts `serve` of a program with further arguments and waits until it says that it listens.
    pub fn run(program: &Program, directory: Directory, arguments: &[&str]) -> Server {
        let address = if program.tells_port { "127.0.0.1:0".to_owned() } else { free_address().to_string() };
        let mut log = fs::OpenOptions::new().create(true).append(true).open(directory.log()).unwrap();
        let mut process = Command::new(&program.path)
            .args(["serve", "--http", &address, "--dir"])
            .arg(directory.data())
            .args(arguments)
            .envs(program.log.map(|level| ("RUST_LOG", level)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log.try_clone().unwrap())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", program.path.display()));
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let address = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| line.split_once("Server started at http://")?.1.trim().parse().ok())
            .unwrap_or_else(|| {
                let _ = process.wait();
                panic!("the server did not start:\n{}", fs::read_to_string(directory.log()).unwrap_or_default())
            });
        // Whatever else it prints must not fill the pipe.
        let printed = std::thread::spawn(move || {
            lines.map_while(Result::ok).for_each(|line| drop(writeln!(log, "{line}")));
        });
        Server { process, address, printed: Some(printed), directory: Some(directory) }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn directory(&self) -> &Directory {
        self.directory.as_ref().expect("only a server that is gone gave its directory away")
    }

    pub fn guest(&self) -> Client {
        Client::new(self.address)
    }

    pub fn superuser(&self) -> Client {
        self.login("_superusers", SUPERUSER.0, SUPERUSER.1)
    }

    /// Logs in with a password.
    pub fn login(&self, collection: &str, identity: &str, password: &str) -> Client {
        let path = format!("/api/collections/{collection}/auth-with-password");
        let answer = self.guest().post(&path, json!({ "identity": identity, "password": password })).ok();
        self.guest().with_token(answer["token"].as_str().expect("a token"))
    }

    /// Creates a collection as a superuser and returns it. The rules that are not given are open to everyone.
    pub fn collection(&self, mut definition: Json) -> Json {
        if definition["type"].is_null() {
            definition["type"] = json!("base");
        }
        let rules: &[&str] = match definition["type"].as_str() {
            Some("view") => &["listRule", "viewRule"],
            _ => &["listRule", "viewRule", "createRule", "updateRule", "deleteRule"],
        };
        for rule in rules {
            if definition.get(rule).is_none() {
                definition[*rule] = json!("");
            }
        }
        self.superuser().post("/api/collections", definition).ok()
    }

    /// Ends it like `kill -9`.
    pub fn kill(mut self) -> Directory {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        self.directory.take().expect("the server was running")
    }

    /// Ends it like an operator (SIGTERM) and returns how it went.
    pub fn stop(mut self) -> (Directory, ExitStatus) {
        // SAFETY: a plain system call on a child that was not waited for yet.
        unsafe { libc::kill(self.process.id() as libc::pid_t, libc::SIGTERM) };
        let status = self.process.wait().unwrap();
        self.printed.take().map(JoinHandle::join).expect("the server was running").unwrap();
        (self.directory.take().expect("the server was running"), status)
    }

    /// Whether the process still runs.
    pub fn is_alive(&mut self) -> bool {
        self.process.try_wait().unwrap().is_none()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking()
            && let Some(directory) = &self.directory
        {
            eprintln!("the server's log:\n{}", fs::read_to_string(directory.log()).unwrap_or_default());
        }
    }
}

/// An address that nobody listens on just now, for programs that do not tell which port they got.
fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).unwrap()
}
