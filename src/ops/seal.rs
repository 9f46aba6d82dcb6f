//! The seal of the database: how we left the file, so that the next start knows whether it is still ours.
//!
//! Positions that clients keep (`EPOCH:SEQ`) mean something only while every change of the file passes through the
//! Writer. While it runs it sees other programs' commits itself; the seal is for the time in between. It is a small
//! file beside the database, `.headwater.seal`, written at the start and at a clean close. It holds
//!
//! * after a clean close: the file's identity (inode), size and the time of its last change (ctime, which no copy and no
//!   archive can set). Whatever another program wrote, or a backup that was put in its place, changes one of them;
//! * while we run, and so after `kill -9`: the identity, and the boot of the machine. The write-ahead log is still there
//!   then. Another program that opened and closed the file meanwhile has removed it; a machine that went down may have
//!   lost commits that were answered;
//! * in both cases the epoch and the last number, which an older backup does not have.
//!
//! A seal that is missing or broken costs a new epoch: clients read anew once. What is not seen: a program that wrote
//! after a `kill -9` and did not close the file since (it was killed too, or a third one keeps the file open), and a
//! snapshot of the whole disk that was put back. What costs an epoch without need: `chown` or `chmod` on the file while
//! we were stopped, a program that only looked into it after a `kill -9`, and a copy of the whole directory.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use headwater_actors::{Position, Seq};
use serde::{Deserialize, Serialize};

/// The seal of one database.
#[derive(Clone, Debug)]
pub struct Seal {
    path: PathBuf,
    database: PathBuf,
}

/// What it says.
#[derive(Debug, Serialize, Deserialize)]
struct Content {
    epoch: String,
    last: u64,
    inode: u64,
    /// The machine's boot, where it is known.
    boot: String,
    /// None while we run.
    closed: Option<Closed>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Closed {
    size: u64,
    /// Seconds and nanoseconds.
    changed: (i64, i64),
}

/// A seal that is whole, as far as the file's outside tells: where the stream stood when it was written.
#[derive(Debug)]
pub struct Whole(pub Position);

impl Whole {
    /// True if the file's inside agrees. While we ran, numbers went on.
    pub fn fits(&self, found: &Position) -> bool {
        found.epoch == self.0.epoch && found.seq >= self.0.seq
    }
}

/// Why the file may not be as we left it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Doubt {
    #[error("nothing tells how it was left")]
    Unsealed,
    #[error("another file stands in its place")]
    Replaced,
    #[error("it was changed while the server was stopped")]
    Changed,
    #[error("another program had it open after the server was killed")]
    Opened,
    #[error("the machine went down while the server ran")]
    Lost,
    #[error("its content is that of another time")]
    OtherContent,
}

impl Seal {
    pub fn of(database: &Path) -> Seal {
        Seal { path: database.with_file_name(".headwater.seal"), database: database.to_owned() }
    }

    /// Looks whether the file is as we left it. To be called before anything of this process has opened it.
    pub fn examine(&self) -> Result<Whole, Doubt> {
        let text = fs::read(&self.path).map_err(|_| Doubt::Unsealed)?;
        let content: Content = serde_json::from_slice(&text).map_err(|_| Doubt::Unsealed)?;
        let epoch = content.epoch.parse().map_err(|_| Doubt::Unsealed)?;
        let file = fs::metadata(&self.database).map_err(|_| Doubt::Replaced)?;
        if file.ino() != content.inode {
            return Err(Doubt::Replaced);
        }
        match &content.closed {
            Some(closed) if *closed != Closed::of(&file) || self.log_length().unwrap_or_default() > 0 => {
                return Err(Doubt::Changed);
            }
            Some(_) => {}
            None if content.boot != boot() => return Err(Doubt::Lost),
            None if self.log_length().is_none() => return Err(Doubt::Opened),
            None => {}
        }
        Ok(Whole(Position { epoch, seq: Seq(content.last) }))
    }

    /// From here on the file changes. To be called before it does, at the latest when its epoch is committed.
    pub fn open(&self, position: &Position) -> io::Result<()> {
        self.write(position, |_| None)
    }

    /// The file stays as it is now. To be called when nothing of this process writes to it any more; leaves the seal of
    /// the running server where the write-ahead log could not be emptied.
    pub fn close(&self, position: &Position) -> io::Result<()> {
        match self.log_length() {
            Some(1..) => Ok(()),
            Some(0) | None => self.write(position, |file| Some(Closed::of(file))),
        }
    }

    /// Never seen half written, also if the machine goes down.
    fn write(&self, position: &Position, closed: impl FnOnce(&fs::Metadata) -> Option<Closed>) -> io::Result<()> {
        let file = fs::metadata(&self.database)?;
        let content = Content {
            epoch: position.epoch.to_string(),
            last: position.seq.0,
            inode: file.ino(),
            boot: boot(),
            closed: closed(&file),
        };
        let unfinished = self.path.with_extension("seal.new");
        let mut out = File::create(&unfinished)?;
        out.write_all(&serde_json::to_vec(&content)?)?;
        out.sync_all()?;
        fs::rename(&unfinished, &self.path)?;
        match self.path.parent() {
            Some(directory) => File::open(directory)?.sync_all(),
            None => Ok(()),
        }
    }

    /// The bytes of the write-ahead log; none if there is none.
    fn log_length(&self) -> Option<u64> {
        let mut log = self.database.as_os_str().to_owned();
        log.push("-wal");
        fs::metadata(PathBuf::from(log)).ok().map(|file| file.len())
    }
}

impl Closed {
    fn of(file: &fs::Metadata) -> Closed {
        Closed { size: file.len(), changed: (file.ctime(), file.ctime_nsec()) }
    }
}

/// Changes with every start of the machine; empty where the system does not tell.
fn boot() -> String {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use headwater_actors::Epoch;

    use super::*;

    struct Place(PathBuf);

    impl Place {
        fn new(name: &str) -> Place {
            let path = std::env::temp_dir().join(format!("headwater-seal-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            fs::create_dir_all(&path).unwrap();
            fs::write(path.join("data.db"), "the database").unwrap();
            Place(path)
        }

        fn file(&self, name: &str) -> PathBuf {
            self.0.join(name)
        }

        fn seal(&self) -> Seal {
            Seal::of(&self.file("data.db"))
        }

        /// Sets the file's times back, as those do who put a backup in place.
        fn backdate(&self) {
            let file = File::options().write(true).open(self.file("data.db")).unwrap();
            file.set_modified(std::time::UNIX_EPOCH).unwrap();
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn position(seq: u64) -> Position {
        Position { epoch: "k3f9xq2a".parse().unwrap(), seq: Seq(seq) }
    }

    #[test]
    fn a_closed_file_is_whole_until_somebody_touches_it() {
        let place = Place::new("closed");
        let seal = place.seal();
        assert_eq!(seal.examine().unwrap_err(), Doubt::Unsealed);
        fs::write(place.file("data.db-wal"), "").unwrap();
        seal.close(&position(7)).unwrap();
        let whole = seal.examine().unwrap();
        assert!(whole.fits(&position(7)) && !whole.fits(&Position { epoch: Epoch::random(), seq: Seq(7) }));

        fs::write(place.file("data.db-wal"), "a commit").unwrap();
        assert_eq!(seal.examine().unwrap_err(), Doubt::Changed);
        fs::remove_file(place.file("data.db-wal")).unwrap();
        assert!(seal.examine().is_ok());

        place.backdate();
        assert_eq!(seal.examine().unwrap_err(), Doubt::Changed, "the same bytes and size, at another time");
        seal.close(&position(7)).unwrap();
        fs::write(place.file("data.db"), "the database that was changed").unwrap();
        assert_eq!(seal.examine().unwrap_err(), Doubt::Changed);
    }

    #[test]
    fn a_killed_servers_file_is_whole_while_its_log_is_there() {
        let place = Place::new("killed");
        let seal = place.seal();
        seal.open(&position(7)).unwrap();
        assert_eq!(seal.examine().unwrap_err(), Doubt::Opened);
        fs::write(place.file("data.db-wal"), "commits").unwrap();
        fs::write(place.file("data.db"), "what a checkpoint copied").unwrap();
        let whole = seal.examine().unwrap();
        assert!(whole.fits(&position(7)) && whole.fits(&position(8)) && !whole.fits(&position(6)));

        seal.close(&position(9)).unwrap();
        assert!(seal.examine().unwrap().fits(&position(9)), "not closed while the log holds commits");
        let text = fs::read_to_string(&seal.path).unwrap();
        fs::write(&seal.path, text.replace(&boot(), "another boot")).unwrap();
        assert_eq!(seal.examine().unwrap_err(), Doubt::Lost);
    }

    #[test]
    fn another_file_in_its_place_is_seen() {
        let place = Place::new("replaced");
        let seal = place.seal();
        fs::write(place.file("backup"), "the database").unwrap();
        seal.close(&position(7)).unwrap();
        fs::rename(place.file("backup"), place.file("data.db")).unwrap();
        assert_eq!(seal.examine().unwrap_err(), Doubt::Replaced);
        fs::write(&seal.path, "{").unwrap();
        assert_eq!(seal.examine().unwrap_err(), Doubt::Unsealed);
    }
}
