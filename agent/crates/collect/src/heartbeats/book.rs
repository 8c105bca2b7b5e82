//! What is known of all jobs, in memory and in a file.
//!
//! In: steps of a job. Out: the file, whole at any moment (written anew beside it, synced, renamed). Always: when
//! [`Jobs::change`] returns, the file has the change, or it was said that it cannot be written.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use super::beat::{JobName, Plan};
use super::job::Job;

/// Jobs that are known at most; the one that was not heard of for the longest time goes.
const MAX_JOBS: usize = 1000;
/// The form of the file.
const VERSION: u32 = 1;

/// Why what is known of the jobs cannot be kept.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}; make it readable and writable, or move it away: schedules and open runs are learned anew", path.display())]
pub struct BookError {
    path: PathBuf,
    reason: String,
}

/// What is known of the jobs.
#[derive(Debug)]
pub struct Jobs {
    path: PathBuf,
    book: Mutex<Book>,
    /// The revision that the file has.
    written: Mutex<u64>,
    pub(super) forgotten: Counter,
}

#[derive(Debug, Serialize, Deserialize)]
struct Book {
    version: u32,
    /// When counting began.
    since: Timestamp,
    jobs: BTreeMap<String, Job>,
    #[serde(skip)]
    revision: u64,
}

// === impl Jobs ===

impl Jobs {
    /// Reads the file, if it is there, and takes up what the configuration says.
    pub(super) fn open(
        path: PathBuf,
        plans: &[(JobName, Plan)],
        now: Timestamp,
    ) -> Result<Self, BookError> {
        let mut book = Book::read(&path, now)?;
        let configured = |name: &str| plans.iter().any(|(job, _)| job.as_str() == name);
        for (name, job) in &mut book.jobs {
            job.watch.take_if(|watch| watch.configured && !configured(name));
        }
        for (name, plan) in plans {
            book.jobs.entry(name.as_str().to_owned()).or_default().watch(plan, true, now);
        }
        book.write(&path).map_err(|error| book_error(&path, error.to_string()))?;
        let (book, written) = (Mutex::new(book), Mutex::new(0));
        Ok(Self { path, book, written, forgotten: Counter::default() })
    }

    /// The job as it is now.
    pub(super) fn copy(&self, name: &JobName) -> Job {
        self.book.lock().jobs.get(name.as_str()).cloned().unwrap_or_default()
    }

    /// The run that began last and did not end.
    pub(super) fn last_open(&self, name: &JobName) -> Option<String> {
        self.book.lock().jobs.get(name.as_str())?.last_open().map(str::to_owned)
    }

    /// Jobs that may have missed a time by `now`.
    pub(super) fn due(&self, now: Timestamp) -> Vec<JobName> {
        let book = self.book.lock();
        let due = book.jobs.iter().filter(|(_, job)| job.is_due(now));
        due.filter_map(|(name, _)| JobName::new(name).ok()).collect()
    }

    /// Changes a job, and writes that down.
    pub(super) fn change(&self, name: &JobName, step: impl FnOnce(&mut Job)) {
        let revision = {
            let mut book = self.book.lock();
            if !book.jobs.contains_key(name.as_str())
                && book.jobs.len() >= MAX_JOBS
                && !self.forget(&mut book)
            {
                return;
            }
            step(book.jobs.entry(name.as_str().to_owned()).or_default());
            book.revision += 1;
            book.revision
        };
        // Whoever waits here finds his change written by the one before, mostly.
        let mut written = self.written.lock();
        if *written >= revision {
            return;
        }
        let (bytes, revision) = {
            let book = self.book.lock();
            (book.bytes(), book.revision)
        };
        match bytes.and_then(|bytes| write(&self.path, &bytes)) {
            Ok(()) => *written = revision,
            Err(error) => {
                let path = self.path.display();
                tracing::error!(%path, %error, "cannot write down what is known of the jobs; a restart forgets it");
            }
        }
    }

    /// Makes room for one. False: all are the configuration's.
    fn forget(&self, book: &mut Book) -> bool {
        let others = book.jobs.iter().filter(|(_, job)| !job.is_configured());
        let oldest = others.min_by_key(|(_, job)| job.heard).map(|(name, _)| name.clone());
        let Some(name) = oldest else { return false };
        tracing::warn!(job = %name, max = MAX_JOBS, "too many jobs, the one heard of last is forgotten");
        book.jobs.remove(&name);
        self.forgotten.inc();
        true
    }

    /// Lends each job to `tell`, with the time since which its heartbeats are counted.
    pub(crate) fn each(&self, mut tell: impl FnMut(&str, &Job, Timestamp)) {
        let book = self.book.lock();
        book.jobs.iter().for_each(|(name, job)| tell(name, job, book.since));
    }
}

fn book_error(path: &Path, reason: String) -> BookError {
    BookError { path: path.to_owned(), reason }
}

fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_data()?;
    file.persist(path)?;
    Ok(())
}

// === impl Book ===

impl Book {
    fn read(path: &Path, now: Timestamp) -> Result<Self, BookError> {
        let new = Self { version: VERSION, since: now, jobs: BTreeMap::new(), revision: 0 };
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(new),
            Err(error) => return Err(book_error(path, error.to_string())),
        };
        match serde_json::from_slice::<Self>(&bytes) {
            Ok(book) if book.version == VERSION => Ok(book),
            other => {
                let reason = other.map_or_else(
                    |error| error.to_string(),
                    |book| format!("it is of version {}", book.version),
                );
                let aside = path.with_extension("set-aside");
                std::fs::rename(path, &aside)
                    .map_err(|error| book_error(path, error.to_string()))?;
                let aside = aside.display();
                tracing::warn!(%reason, %aside, "what was known of the jobs cannot be read and is set aside");
                Ok(new)
            }
        }
    }

    fn bytes(&self) -> std::io::Result<Vec<u8>> {
        Ok(serde_json::to_vec(self)?)
    }

    fn write(&self, path: &Path) -> std::io::Result<()> {
        write(path, &self.bytes()?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::beat::{Beat, Report, Said};
    use super::*;

    #[test]
    fn of_too_many_jobs_the_one_that_was_not_heard_of_for_the_longest_time_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("heartbeats.json");
        let jobs = Jobs::open(file, &[], Timestamp::UNIX_EPOCH).unwrap();
        let heard =
            |number: i64| Job { heard: Timestamp::from_second(number).unwrap(), ..Job::default() };
        let known = (1..=1000).map(|number| (format!("job-{number}"), heard(number)));
        jobs.book.lock().jobs = known.collect();
        let new = Beat::new("new", Report::Start, Said::default(), Timestamp::now()).unwrap();
        jobs.change(&new.job, |job| drop(job.take(&new, "a")));
        let known = |name: &str| jobs.book.lock().jobs.contains_key(name);
        assert!(!known("job-1") && known("job-2") && known("new"));
        assert_eq!(jobs.forgotten.get(), 1);
    }
}
