//! How full file systems are: `statfs(2)`, which can take for ever.
//!
//! In: paths. Out: their space, or that they do not answer. A server that is away holds whoever asks its mount,
//! uninterruptibly, so the question is asked by a thread of its own. What always holds: the caller waits no longer
//! than the deadline for any mount; a mount that did not answer is not waited for again until it has answered that
//! question, and holds one thread, never two; there are never more threads than [`FileSystems::new`] was given.
//! Without trouble there is one.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::time::Duration;

use rustix::fs::{StatVfs, StatVfsMountFlags, statvfs};

/// How full a file system is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// All of it, in bytes.
    pub total: u64,
    /// What is not used, in bytes, with what is kept for the superuser.
    pub free: u64,
    /// What anyone may still use, in bytes.
    pub available: u64,
    /// How many files it can hold; `None` where it has no such number (btrfs, vfat).
    pub files_total: Option<u64>,
    /// How many more it can hold.
    pub files_free: Option<u64>,
    /// Nothing can be written.
    pub read_only: bool,
}

impl Space {
    /// What is used, in bytes.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.total.saturating_sub(self.free)
    }
}

impl From<StatVfs> for Space {
    fn from(stat: StatVfs) -> Self {
        let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
        let counts_files = stat.f_files > 0;
        Self {
            total: bytes(stat.f_blocks),
            free: bytes(stat.f_bfree),
            available: bytes(stat.f_bavail),
            files_total: counts_files.then_some(stat.f_files),
            files_free: counts_files.then_some(stat.f_ffree),
            read_only: stat.f_flag.contains(StatVfsMountFlags::RDONLY),
        }
    }
}

/// Why a file system's space is not known.
#[derive(Debug, thiserror::Error)]
pub enum SpaceError {
    /// It did not answer in time, now or at an earlier reading, and has not since.
    #[error("{}: does not answer", path.display())]
    Stale {
        /// The path that was asked.
        path: PathBuf,
    },
    /// So many others do not answer that no thread is left to ask this one.
    #[error("{}: not asked, {stale} other file systems do not answer", path.display())]
    NotAsked {
        /// The path that was to be asked.
        path: PathBuf,
        /// How many hold a thread each.
        stale: usize,
    },
    /// The kernel refuses.
    #[error("{}: {source}", path.display())]
    Io {
        /// The path that was asked.
        path: PathBuf,
        /// What the kernel says.
        source: io::Error,
    },
}

type Ask = dyn Fn(&Path) -> io::Result<Space> + Send + Sync;

/// Asks file systems how full they are.
pub struct FileSystems {
    ask: Arc<Ask>,
    threads: usize,
    idle: Option<Worker>,
    /// Those that did not answer, each with the thread that it holds.
    stale: Vec<(PathBuf, Worker)>,
}

impl FileSystems {
    /// Nothing is asked yet. At least one thread is allowed.
    #[must_use]
    pub fn new(threads: usize) -> Self {
        let ask = |path: &Path| Ok(statvfs(path).map(Space::from)?);
        Self::asking(Arc::new(ask), threads)
    }

    fn asking(ask: Arc<Ask>, threads: usize) -> Self {
        Self { ask, threads: threads.max(1), idle: None, stale: Vec::new() }
    }

    /// How full the file system at `path` is; waits for `deadline` at the most.
    ///
    /// # Errors
    /// When it does not answer, cannot be asked, or the kernel refuses.
    pub fn read(&mut self, path: &Path, deadline: Duration) -> Result<Space, SpaceError> {
        self.take_back();
        let owned = || path.to_path_buf();
        if self.stale.iter().any(|(stale, _)| stale == path) {
            return Err(SpaceError::Stale { path: owned() });
        }
        let failed = |source| SpaceError::Io { path: owned(), source };
        let worker = match self.idle.take() {
            Some(worker) => worker,
            None if self.stale.len() < self.threads => Worker::start(&self.ask).map_err(failed)?,
            None => return Err(SpaceError::NotAsked { path: owned(), stale: self.stale.len() }),
        };
        match worker.ask(owned(), deadline) {
            Ok(answer) => {
                self.idle = Some(worker);
                answer.map_err(failed)
            }
            Err(RecvTimeoutError::Timeout) => {
                self.stale.push((owned(), worker));
                Err(SpaceError::Stale { path: owned() })
            }
            Err(RecvTimeoutError::Disconnected) => {
                Err(failed(io::Error::other("the thread that asks ended")))
            }
        }
    }

    /// The paths that do not answer, as far as is known.
    pub fn stale(&self) -> impl Iterator<Item = &Path> {
        self.stale.iter().map(|(path, _)| path.as_path())
    }

    /// Takes back the threads whose mounts have answered. One is kept; the others end when their sender does.
    fn take_back(&mut self) {
        for (path, worker) in std::mem::take(&mut self.stale) {
            match worker.answer.try_recv() {
                Err(TryRecvError::Empty) => self.stale.push((path, worker)),
                // What it says now is as old as the question.
                Ok(_) => self.idle = Some(worker),
                Err(TryRecvError::Disconnected) => {}
            }
        }
    }
}

impl fmt::Debug for FileSystems {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stale: Vec<_> = self.stale().collect();
        to.debug_struct("FileSystems")
            .field("threads", &self.threads)
            .field("stale", &stale)
            .finish()
    }
}

/// A thread that asks, one question at a time. It ends when this is dropped and its mount has answered.
struct Worker {
    question: Sender<PathBuf>,
    answer: Receiver<io::Result<Space>>,
}

/// Enough for a system call.
const STACK: usize = 64 << 10;

impl Worker {
    fn start(ask: &Arc<Ask>) -> io::Result<Self> {
        let (question, questions) = channel::<PathBuf>();
        let (answers, answer) = channel();
        let ask = Arc::clone(ask);
        let run = move || {
            for path in questions {
                if answers.send(ask(&path)).is_err() {
                    return;
                }
            }
        };
        std::thread::Builder::new().name("statfs".into()).stack_size(STACK).spawn(run)?;
        Ok(Self { question, answer })
    }

    fn ask(
        &self,
        path: PathBuf,
        deadline: Duration,
    ) -> Result<io::Result<Space>, RecvTimeoutError> {
        self.question.send(path).map_err(|_ended| RecvTimeoutError::Disconnected)?;
        self.answer.recv_timeout(deadline)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Condvar, Mutex};
    use std::time::Instant;

    use super::*;

    const SPACE: Space = Space {
        total: 100,
        free: 60,
        available: 50,
        files_total: None,
        files_free: None,
        read_only: false,
    };
    const SOON: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(30);

    /// Mounts that hang, and how often each was asked.
    #[derive(Default)]
    struct Host {
        hanging: Mutex<BTreeSet<PathBuf>>,
        changed: Condvar,
        waiting: AtomicUsize,
        most: AtomicUsize,
    }

    impl Host {
        fn hang(&self, path: &str) {
            self.hanging.lock().expect("a lock").insert(path.into());
        }

        fn answer(&self, path: &str) {
            self.hanging.lock().expect("a lock").remove(Path::new(path));
            self.changed.notify_all();
        }

        fn ask(&self, path: &Path) -> io::Result<Space> {
            let now = self.waiting.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(now, Ordering::SeqCst);
            let hanging = self.hanging.lock().expect("a lock");
            drop(
                self.changed.wait_while(hanging, |hanging| hanging.contains(path)).expect("a lock"),
            );
            self.waiting.fetch_sub(1, Ordering::SeqCst);
            if path == Path::new("/refused") {
                return Err(io::Error::from(io::ErrorKind::PermissionDenied));
            }
            Ok(SPACE)
        }
    }

    fn asking(host: &Arc<Host>, threads: usize) -> FileSystems {
        let host = Arc::clone(host);
        FileSystems::asking(Arc::new(move |path: &Path| host.ask(path)), threads)
    }

    fn until(mut condition: impl FnMut() -> bool) {
        let end = Instant::now() + LONG;
        while !condition() {
            assert!(Instant::now() < end, "it did not come");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn a_mount_that_hangs_is_stale_until_it_answers_and_delays_nobody_again() {
        let host = Arc::new(Host::default());
        let mut systems = asking(&host, 4);
        host.hang("/nfs");
        assert!(matches!(systems.read(Path::new("/nfs"), SOON), Err(SpaceError::Stale { .. })));
        for _ in 0..5 {
            // With the long deadline: it would hang here if it were waited for again.
            let again = systems.read(Path::new("/nfs"), LONG);
            assert_eq!(again.expect_err("stale").to_string(), "/nfs: does not answer");
            assert_eq!(systems.read(Path::new("/"), LONG).expect("answers"), SPACE);
        }
        assert_eq!(systems.stale().collect::<Vec<_>>(), [Path::new("/nfs")]);
        assert_eq!(host.most.load(Ordering::SeqCst), 2, "one thread for it, one for all others");
        host.answer("/nfs");
        until(|| systems.read(Path::new("/nfs"), LONG).is_ok());
        assert_eq!(systems.stale().count(), 0);
    }

    #[test]
    fn there_are_never_more_threads_than_allowed() {
        let host = Arc::new(Host::default());
        let mut systems = asking(&host, 3);
        for path in ["/a", "/b", "/c", "/d"] {
            host.hang(path);
        }
        for path in ["/a", "/b", "/c"] {
            assert!(matches!(systems.read(Path::new(path), SOON), Err(SpaceError::Stale { .. })));
        }
        for path in ["/d", "/"] {
            let error = systems.read(Path::new(path), LONG).expect_err("no thread is left");
            assert_eq!(
                error.to_string(),
                format!("{path}: not asked, 3 other file systems do not answer")
            );
        }
        until(|| host.waiting.load(Ordering::SeqCst) == 3);
        assert_eq!(host.most.load(Ordering::SeqCst), 3);
        host.answer("/b");
        until(|| systems.read(Path::new("/"), LONG).is_ok());
        assert!(matches!(systems.read(Path::new("/a"), LONG), Err(SpaceError::Stale { .. })));
        for path in ["/a", "/c"] {
            host.answer(path);
        }
        until(|| host.waiting.load(Ordering::SeqCst) == 0);
    }

    #[test]
    fn what_the_kernel_refuses_is_an_error_and_the_thread_goes_on() {
        let host = Arc::new(Host::default());
        let mut systems = asking(&host, 1);
        let error = systems.read(Path::new("/refused"), LONG).expect_err("refused");
        assert!(error.to_string().starts_with("/refused: "), "{error}");
        assert_eq!(systems.read(Path::new("/"), LONG).expect("answers").used(), 40);
        assert_eq!(host.most.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_real_file_system_has_its_parts_in_proportion() {
        let mut systems = FileSystems::new(4);
        let space = systems.read(Path::new("/"), LONG).expect("answers");
        assert!(
            space.total > 0 && space.available <= space.free && space.free <= space.total,
            "{space:?}"
        );
        assert!(systems.read(Path::new("/proc/nothing/there"), LONG).is_err());
    }
}
