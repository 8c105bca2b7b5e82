//! The folder where heartbeats wait that no agent took: it was not there, or had no room.
//!
//! In: beats of `hawsepipe heartbeat run`. Out: a file each, which the agent takes, the oldest first. Always: a file is whole
//! (written under another name, synced, renamed); the folder has a bound, the oldest go first, and the newer one says how many.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use hawsepipe_collect::{Report, Said};
use jiff::Timestamp;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tempfile::Builder;

/// Its name in the spool's folder.
const NAME: &str = "heartbeats";
/// Files that wait at most.
const MAX_FILES: usize = 1000;
/// Largest file, in bytes: a request's body, and what JSON makes of it.
const MAX_FILE: u64 = 256 << 10;
const SUFFIX: &str = ".json";
/// Everyone may put something in and see what is there, and remove what is his: jobs run as any user.
const MODE: u32 = 0o1777;
/// Everyone may read it: the agent is any user too.
const FILE_MODE: u32 = 0o644;

/// A beat that waits.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Waiting {
    pub(crate) job: String,
    pub(crate) report: Report,
    pub(crate) said: Said,
    /// Older ones that went for it.
    #[serde(default)]
    pub(crate) dropped: u64,
}

/// The folder.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    /// Files that were taken and cannot be removed: another user's, in most cases.
    stuck: Mutex<Vec<PathBuf>>,
}

/// A file of it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Found(PathBuf);

impl Found {
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Reads a file; everyone may have put it there.
    ///
    /// # Errors
    /// Why it is no beat, for a person.
    pub(crate) fn read(&self) -> Result<Waiting, String> {
        let path = self.path();
        // Neither a link to elsewhere nor a pipe, whose reading would wait.
        let meta = fs::symlink_metadata(path).map_err(|error| error.to_string())?;
        if !meta.is_file() || meta.len() > MAX_FILE {
            return Err(format!("it is no file of at most {MAX_FILE} bytes"));
        }
        let mut bytes = Vec::new();
        let file = fs::File::open(path).map_err(|error| error.to_string())?;
        file.take(MAX_FILE).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
        // What is in it stays in it: it may be anyone's.
        serde_json::from_slice(&bytes).map_err(|error| {
            format!("no heartbeat at line {} column {}", error.line(), error.column())
        })
    }
}

// === impl Folder ===

impl Folder {
    /// The folder below a spool's.
    pub(crate) fn of(spool: &Path) -> Self {
        Self { path: spool.join(NAME), stuck: Mutex::default() }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes it if need be, for everyone.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) fn make(&self) -> io::Result<()> {
        fs::create_dir_all(&self.path)?;
        let mode = fs::metadata(&self.path)?.permissions().mode();
        if mode & MODE == MODE {
            return Ok(());
        }
        match fs::set_permissions(&self.path, Permissions::from_mode(MODE)) {
            // Another user made it: it is his to say.
            Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok(()),
            other => other,
        }
    }

    /// Puts a beat in. How many older ones went for it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn put(&self, mut waiting: Waiting) -> io::Result<u64> {
        self.make()?;
        waiting.dropped += self.make_room();
        let time = waiting.said.time.unwrap_or_else(Timestamp::now).as_nanosecond();
        let mut file = Builder::new()
            .permissions(Permissions::from_mode(FILE_MODE))
            .prefix(".")
            .tempfile_in(&self.path)?;
        file.write_all(&serde_json::to_vec(&waiting)?)?;
        file.as_file().sync_all()?;
        let name = format!("{time:020}-{:08x}{SUFFIX}", fastrand::u32(..));
        file.persist(self.path.join(name))?;
        // The name too is to outlive a power cut.
        fs::File::open(&self.path)?.sync_all()?;
        Ok(waiting.dropped)
    }

    /// Lets go of the oldest, as many as there are too many.
    fn make_room(&self) -> u64 {
        let all = self.list();
        let over = (all.len() + 1).saturating_sub(MAX_FILES);
        let mut dropped = 0;
        for found in all.iter().take(over) {
            let before = found.read().map_or(0, |waiting| waiting.dropped);
            if fs::remove_file(found.path()).is_ok() {
                dropped += 1 + before;
            }
        }
        dropped
    }

    /// What waits, the oldest first.
    pub(crate) fn list(&self) -> Vec<Found> {
        let entries = fs::read_dir(&self.path).into_iter().flatten().flatten();
        let is_ours = |name: &str| !name.starts_with('.') && name.ends_with(SUFFIX);
        let files = entries.filter(|entry| entry.file_name().to_str().is_some_and(is_ours));
        let stuck = self.stuck.lock();
        let mut found: Vec<_> = files.map(|entry| entry.path()).collect();
        found.retain(|path| !stuck.contains(path));
        found.sort_unstable();
        found.into_iter().map(Found).collect()
    }

    /// Removes a file that was taken.
    pub(crate) fn remove(&self, found: &Found) {
        match fs::remove_file(found.path()) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                let path = found.path().display();
                tracing::warn!(%path, %error, "cannot remove a heartbeat that was taken; remove it, or it is taken again at the next start");
                self.stuck.lock().push(found.path().to_owned());
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(second: i64) -> Waiting {
        let time = Some(Timestamp::from_second(1_700_000_000 + second).unwrap());
        let said = Said { time, exit_code: Some(second), ..Said::default() };
        Waiting { job: "backup".to_owned(), report: Report::Fail, said, dropped: 0 }
    }

    fn seconds(folder: &Folder) -> Vec<i64> {
        let all = folder.list();
        all.iter().map(|found| found.read().unwrap().said.exit_code.unwrap()).collect()
    }

    #[test]
    fn beats_are_found_in_the_order_in_which_they_happened_and_are_gone_when_they_are_taken() {
        let spool = tempfile::tempdir().unwrap();
        let folder = Folder::of(spool.path());
        for second in [3, 1, 2] {
            folder.put(waiting(second)).unwrap();
        }
        assert_eq!(seconds(&folder), [1, 2, 3]);
        assert_eq!(folder.list()[0].read().unwrap(), waiting(1));
        folder.list().iter().for_each(|found| folder.remove(found));
        assert!(folder.list().is_empty());
    }

    #[test]
    fn the_oldest_go_for_newer_ones_and_the_newer_ones_say_how_many() {
        let spool = tempfile::tempdir().unwrap();
        let folder = Folder::of(spool.path());
        folder.make().unwrap();
        for second in 0..1000 {
            let bytes = serde_json::to_vec(&waiting(second)).unwrap();
            let name = format!("{second:020}-x.json");
            fs::write(folder.path.join(name), bytes).unwrap();
        }
        assert_eq!(folder.put(waiting(1000)).unwrap(), 1);
        assert_eq!(folder.put(waiting(1001)).unwrap(), 1);
        let found = seconds(&folder);
        assert_eq!((found.len(), found[0], found[999]), (1000, 2, 1001));
    }

    #[test]
    fn what_everyone_may_put_there_is_read_with_care() {
        let spool = tempfile::tempdir().unwrap();
        let folder = Folder::of(spool.path());
        folder.make().unwrap();
        let secret = spool.path().join("secret");
        fs::write(&secret, serde_json::to_vec(&waiting(1)).unwrap()).unwrap();
        std::os::unix::fs::symlink(&secret, folder.path.join("1.json")).unwrap();
        fs::create_dir(folder.path.join("2.json")).unwrap();
        fs::write(folder.path.join("3.json"), vec![b' '; (MAX_FILE + 1) as usize]).unwrap();
        fs::write(folder.path.join("4.json"), "root:x:0").unwrap();
        fs::write(folder.path.join(".5.json"), "half").unwrap();
        let all = folder.list();
        assert_eq!(all.len(), 4);
        for found in &all {
            let error = found.read().unwrap_err();
            assert!(!error.contains("root"), "{error}");
        }
        let mode = fs::metadata(&folder.path).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, MODE);
    }
}
