//! The spool: a folder with a lane for each kind of what waits, and the thread that waits for the disk.
//!
//! In: [`Settings`]. Out: lanes to put frames into, a [`Source`] for each destination, and what the last process left
//! ([`Remembered`]). Always: one process has the folder; a lane of a newer version is set aside, not touched.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hawsepipe_model::{Cover, Ledger};
use tokio::sync::Notify;

use crate::disk::Folder;
use crate::journal::{
    self, CatchUp, DestinationSettings, Journal, MinFree, OpenError, Recovered, WhenFull,
};
use crate::lane::{Bell, Lane, now};
use crate::source::Source;

/// How often the disk is looked at.
const TICK: Duration = Duration::from_secs(1);
const LOCK: &str = "lock";
const FILES: &str = "files";
const PUSHED: &str = "pushed";
const SAMPLED: &str = "sampled";

/// How the spool is to work.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Its folder; it is made if need be.
    pub path: PathBuf,
    /// Bytes that logs which can be read again may take.
    pub files_max_bytes: u64,
    /// Bytes that what applications hand to us may take; when there are more, they are told to wait.
    pub pushed_max_bytes: u64,
    /// Bytes that metrics and the like may take; when there are more, the oldest go, counted.
    pub sampled_max_bytes: u64,
    /// What a lane may take, however little room there is on the disk: a few frames.
    pub working_set: u64,
    /// Below it the spool does not grow.
    pub min_free: MinFree,
    /// Each destination, as it is to be served from `files`. From the other lanes it is served in order, because most stores of metrics
    /// refuse a point that is older than its series' newest, and what is sampled is dropped.
    pub destinations: Vec<DestinationSettings>,
}

/// Why the spool cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// Another process has it.
    #[error(
        "{} is used by another hawsepipe; give each a folder of its own, or stop the other one",
        path.display()
    )]
    Used {
        /// The folder.
        path: PathBuf,
    },
    /// The file system refuses.
    #[error("cannot {what} {}: {source}; make it writable for this user, or give another folder", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The file system's word.
        source: io::Error,
    },
}

/// What the spool remembers from before this process.
#[derive(Debug, Clone, Default)]
pub struct Remembered {
    /// Where each log file is read on.
    pub positions: Vec<Cover>,
    /// When this node's first agent with this spool started, nanoseconds since the epoch; 0 where that is not known any
    /// more. `None`: this is the first one.
    pub first_start: Option<i64>,
    /// What a person should know.
    pub findings: Vec<String>,
}

/// The spool.
#[derive(Debug)]
pub struct Spool {
    files: Lane,
    pushed: Lane,
    sampled: Lane,
    filled: Arc<Notify>,
    bell: Arc<Bell>,
    keeper: Option<JoinHandle<()>>,
    /// It is held as long as this is open.
    _lock: File,
}

// === impl Spool ===

impl Spool {
    /// Opens the spool, and reads back what is in it.
    ///
    /// # Errors
    /// When another process has it, or the file system refuses.
    pub fn open(settings: &Settings) -> Result<(Self, Remembered), SpoolError> {
        let path = &settings.path;
        let lock = lock(path)?;
        let mut remembered = Remembered::default();
        let (filled, bell) = (Arc::<Notify>::default(), Arc::<Bell>::default());
        let pushed = |it: &DestinationSettings| DestinationSettings {
            name: Arc::clone(&it.name),
            when_full: it.when_full,
            catch_up: CatchUp::InOrder,
        };
        let pushed: Vec<_> = settings.destinations.iter().map(pushed).collect();
        let sampled = |it| DestinationSettings { when_full: WhenFull::Drop, ..it };
        let sampled = pushed.iter().cloned().map(sampled).collect();
        let mut open = |name, capacity, destinations| {
            let settings = journal::Settings {
                capacity,
                working_set: settings.working_set.min(capacity),
                min_free: settings.min_free,
                synced: name == PUSHED,
                destinations,
            };
            let (journal, first) = open_lane(path, name, &settings, &mut remembered.findings)?;
            Ok((Lane::new(journal, Arc::clone(&filled), Arc::clone(&bell)), first))
        };
        let (files, first_start) =
            open(FILES, settings.files_max_bytes, settings.destinations.clone())?;
        let (pushed, _) = open(PUSHED, settings.pushed_max_bytes, pushed)?;
        let (sampled, _) = open(SAMPLED, settings.sampled_max_bytes, sampled)?;
        remembered.positions = files.positions();
        remembered.first_start = first_start;
        let lanes = vec![files.clone(), pushed.clone(), sampled.clone()];
        let keeper = keep(lanes, Arc::clone(&bell));
        let keeper = keeper.map_err(|source| failed("start the thread for", path, source))?;
        let keeper = Some(keeper);
        Ok((Self { files, pushed, sampled, filled, bell, keeper, _lock: lock }, remembered))
    }

    /// The lane of logs that can be read from their files again.
    #[must_use]
    pub const fn files(&self) -> &Lane {
        &self.files
    }

    /// The lane of what applications hand to us: a frame that it took is on the disk, and its sender may forget it.
    #[must_use]
    pub const fn pushed(&self) -> &Lane {
        &self.pushed
    }

    /// The lane of what is sampled: metrics and the like.
    #[must_use]
    pub const fn sampled(&self) -> &Lane {
        &self.sampled
    }

    /// A destination's end; `None` for a name that is not in the settings.
    #[must_use]
    pub fn source(&self, destination: &str) -> Option<Source> {
        // What is sampled passes first.
        let lanes = [&self.sampled, &self.pushed, &self.files];
        let place = |lane: &Lane| Some((lane.clone(), lane.destination_named(destination)?));
        let lanes = lanes.into_iter().map(place).collect::<Option<_>>()?;
        Some(Source::new(lanes, Arc::clone(&self.filled)))
    }

    /// What was lost since the spool was made.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        let mut ledger = self.files.ledger();
        for lane in [&self.pushed, &self.sampled] {
            for (key, entry) in lane.ledger().entries() {
                ledger.put(key.clone(), entry.clone());
            }
        }
        ledger
    }

    /// No frame will come any more: sources end when they have settled what is here. What they do not settle stays.
    pub fn close(&self) {
        self.files.close();
        self.pushed.close();
        self.sampled.close();
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        self.bell.stop();
        if let Some(keeper) = self.keeper.take()
            && keeper.join().is_err()
        {
            tracing::error!("the spool's thread ended by a panic; this is a defect of ours");
        }
    }
}

fn failed(what: &'static str, path: &Path, source: io::Error) -> SpoolError {
    SpoolError::Io { what, path: path.to_owned(), source }
}

fn lock(path: &Path) -> Result<File, SpoolError> {
    fs::create_dir_all(path).map_err(|source| failed("make the folder", path, source))?;
    let name = path.join(LOCK);
    let file = File::options().create(true).truncate(false).write(true).open(&name);
    let file = file.map_err(|source| failed("write to", &name, source))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(SpoolError::Used { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => Err(failed("lock", &name, source)),
    }
}

/// Opens a lane, with the time when it was made; none for one that is made now, 0 where that is not known.
fn open_lane(
    spool: &Path,
    name: &str,
    settings: &journal::Settings,
    findings: &mut Vec<String>,
) -> Result<(Journal<Folder>, Option<i64>), SpoolError> {
    let path = spool.join(name);
    let io = |source| failed("use the folder", &path, source);
    let open = || {
        let disk = Arc::new(Folder::new(&path)?);
        Journal::open(disk, settings.clone(), now())
    };
    match open() {
        Ok((journal, recovered)) => {
            tell(&path, &recovered, findings);
            let made = (!recovered.fresh).then(|| journal.born());
            Ok((journal, made))
        }
        Err(OpenError::Io(source)) => Err(io(source)),
        Err(OpenError::Newer { format }) => {
            let aside = set_aside(&path).map_err(io)?;
            findings.push(format!(
                "{} was written by a newer version (format {format}) and is set aside as {}; what waits there is not \
                 sent, and log files are read from their beginning again; remove it when it is not needed",
                path.display(),
                aside.display()
            ));
            match open() {
                // Not a first start: nothing that is there is passed over.
                Ok((journal, _)) => Ok((journal, Some(0))),
                Err(OpenError::Io(source)) => Err(io(source)),
                Err(error) => Err(io(io::Error::other(error))),
            }
        }
    }
}

fn tell(path: &Path, recovered: &Recovered, findings: &mut Vec<String>) {
    let path = path.display();
    if recovered.torn_bytes > 0 {
        let bytes = recovered.torn_bytes;
        tracing::info!(%path, bytes, "cut a torn tail, as a crash leaves it; its lines are read again");
    }
    if recovered.damaged > 0 {
        let places = recovered.damaged;
        findings.push(format!(
            "{path} is damaged in {places} places, by a power cut or the disk; lines that are lost with it are read again \
             from their files, or counted"
        ));
    }
    if recovered.no_snapshot {
        findings.push(format!(
            "{path} has lost what was known of positions and losses; log files are read from where its frames end, others \
             from their beginning"
        ));
    }
    if !recovered.strangers.is_empty() {
        findings.push(format!("{path} holds files of someone else: {:?}", recovered.strangers));
    }
}

/// Gives a lane's folder a name that nobody uses.
fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let mut number = 1;
    loop {
        let aside = path.with_file_name(format!("{name}.set-aside-{number}"));
        if !aside.exists() {
            fs::rename(path, &aside)?;
            return Ok(aside);
        }
        number += 1;
    }
}

/// One line when a problem begins, and one when it is over.
fn tell_of_change(told: &mut Option<String>, problem: Option<String>) {
    if *told == problem {
        return;
    }
    match &problem {
        Some(problem) => tracing::warn!(problem, "the spool does not take all; the files wait"),
        None => tracing::info!("the spool takes what is read again"),
    }
    *told = problem;
}

fn keep(lanes: Vec<Lane>, bell: Arc<Bell>) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("spool".to_owned()).spawn(move || {
        let mut due = Instant::now();
        let mut told = vec![None; lanes.len()];
        loop {
            lanes.iter().for_each(Lane::sync);
            if Instant::now() >= due {
                for (lane, told) in lanes.iter().zip(&mut told) {
                    lane.tick();
                    tell_of_change(told, lane.problem());
                }
                due = Instant::now() + TICK;
            }
            if !bell.wait_until(due) {
                // What a last segment needs is synced: the next start finds less to read.
                return lanes.iter().for_each(Lane::sync);
            }
        }
    })
}
