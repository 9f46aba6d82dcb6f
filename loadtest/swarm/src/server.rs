//! A server that we start ourselves, on a data directory of our own, and end by its process id. It does not outlive us.

use crate::Result;
use crate::api::Api;
use crate::process;
use crate::request::Target;
use std::fs::{self, OpenOptions};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub(crate) const EMAIL: &str = "swarm@example.com";
pub(crate) const PASSWORD: &str = "a swarm password";

/// Where processes run if they are pinned.
pub(crate) const SERVER_CORE: usize = 0;
pub(crate) const OWN_CORE: usize = 1;

/// How long a server may take to answer its first request.
const START: Duration = Duration::from_secs(20);
/// How long it may take to end by itself when asked to.
const STOP: Duration = Duration::from_secs(10);

pub(crate) struct Server {
    child: Child,
    binary: PathBuf,
    directory: PathBuf,
    core: Option<usize>,
    pub(crate) target: Target,
}

/// Makes a fresh data directory below `directory` with a superuser in it.
pub(crate) fn create_data(binary: &Path, directory: &Path) -> Result<()> {
    fs::create_dir_all(directory)?;
    command(binary, directory, &["superuser", "upsert", EMAIL, PASSWORD])
}

/// Headwater's hashes are then those of the reference, which may be cheap where many users are made.
pub(crate) fn use_bcrypt(binary: &Path, directory: &Path) -> Result<()> {
    command(binary, directory, &["passwords", "bcrypt"])
}

fn command(binary: &Path, directory: &Path, arguments: &[&str]) -> Result<()> {
    let mut command = Command::new(binary);
    command.args(arguments).arg("--dir").arg(data(directory)).stdin(Stdio::null());
    let output = command.output()?;
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        let (binary, said) = (binary.display(), String::from_utf8_lossy(&said));
        return Err(format!("{binary} {}: {said}", arguments.join(" ")).into());
    }
    Ok(())
}

/// Makes `to` a copy of `from`, whatever it was.
pub(crate) fn copy_data(from: &Path, to: &Path) -> Result<()> {
    if to.exists() {
        fs::remove_dir_all(to)?;
    }
    copy(from, to)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

fn data(directory: &Path) -> PathBuf {
    directory.join("pb_data")
}

fn spawn(binary: &Path, directory: &Path, core: Option<usize>, port: u16) -> Result<Child> {
    let log = OpenOptions::new().create(true).append(true).open(directory.join("server.log"))?;
    let mut command = Command::new(binary);
    command.arg("serve").arg("--dir").arg(data(directory)).args(["--http", &format!("127.0.0.1:{port}")]);
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    // SAFETY: between fork and exec only system calls are made, and nothing is allocated.
    unsafe {
        command.pre_exec(move || {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            core.map_or(Ok(()), process::pin)
        });
    }
    Ok(command.spawn()?)
}

impl Server {
    /// Starts it with all its defaults, on one core if so wished, and waits until it answers.
    pub(crate) fn start(binary: &Path, directory: &Path, core: Option<usize>) -> Result<Server> {
        // Free now, and nobody else on this machine is in such a hurry.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let (binary, directory) = (binary.to_owned(), directory.to_owned());
        let child = spawn(&binary, &directory, core, port)?;
        let mut server = Server { child, binary, directory, core, target: Target::local(port) };
        server.wait()?;
        Ok(server)
    }

    /// Ends it without a warning, as a crash or the lack of memory would.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Starts it again after `kill`, at the same place.
    pub(crate) fn restart(&mut self) -> Result<()> {
        self.child = spawn(&self.binary, &self.directory, self.core, self.target.address.port())?;
        self.wait()
    }

    fn wait(&mut self) -> Result<()> {
        let api = Api { target: self.target.clone(), token: String::new() };
        let (binary, directory) = (self.binary.display(), self.directory.display());
        let start = Instant::now();
        loop {
            if matches!(api.exchange("GET", "/api/health", None), Ok((200, _))) {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                return Err(format!("{binary} has ended: {status}; see {directory}").into());
            }
            if start.elapsed() > START {
                return Err(format!("{binary} does not answer; see {directory}").into());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn log_in(&self) -> Result<Api> {
        Api::log_in(self.target.clone(), EMAIL, PASSWORD)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        // SAFETY: a plain system call. The id is still ours, because the child has not been waited for.
        unsafe { libc::kill(self.child.id() as libc::pid_t, libc::SIGTERM) };
        let start = Instant::now();
        while start.elapsed() < STOP {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
