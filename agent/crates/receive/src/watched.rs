//! Something made of files that are read again when they change.
//!
//! In: paths and a way to load them. Out: the newest value that could be loaded. A mounted Secret changes by a swap of
//! the symbolic link `..data`, so the same path leads to another inode; a `stat` on each use sees that, and any
//! other change, at the price of a few microseconds. What cannot be loaded leaves the value as it was, said once.

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;

type Load<T, E> = Box<dyn Fn() -> Result<T, E> + Send + Sync>;

/// A value that follows its files.
pub(crate) struct Watched<T, E> {
    what: &'static str,
    paths: Vec<PathBuf>,
    load: Load<T, E>,
    current: Mutex<(Stamps, Arc<T>)>,
}

/// What tells one content of a file from another without reading it.
type Stamps = Vec<Option<(u64, u64, i64, i64, u64)>>;

impl<T, E: fmt::Display> Watched<T, E> {
    /// Loads the value for the first time.
    ///
    /// # Errors
    /// When it cannot be loaded.
    pub(crate) fn new(
        what: &'static str,
        paths: Vec<PathBuf>,
        load: impl Fn() -> Result<T, E> + Send + Sync + 'static,
    ) -> Result<Self, E> {
        // Stamps are taken before the files are read: a change in between is seen by the next use.
        let stamps = stamps(&paths);
        let value = Arc::new(load()?);
        Ok(Self { what, paths, load: Box::new(load), current: Mutex::new((stamps, value)) })
    }

    /// The value as the files have it now, or as they had it last.
    pub(crate) fn get(&self) -> Arc<T> {
        let stamps = stamps(&self.paths);
        let mut current = self.current.lock();
        if current.0 != stamps {
            current.0 = stamps;
            match (self.load)() {
                Ok(value) => {
                    tracing::info!(files = ?self.paths, "{} changed and was read again", self.what);
                    current.1 = Arc::new(value);
                }
                Err(error) => tracing::warn!(
                    files = ?self.paths, %error,
                    "{} changed but cannot be used; the one before stays in force", self.what,
                ),
            }
        }
        Arc::clone(&current.1)
    }
}

impl<T, E> fmt::Debug for Watched<T, E> {
    /// Without the value, which may be a key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched")
            .field("what", &self.what)
            .field("paths", &self.paths)
            .finish_non_exhaustive()
    }
}

fn stamps(paths: &[PathBuf]) -> Stamps {
    let stamp = |path| {
        let meta = fs::metadata(path).ok()?;
        let (mtime, nanos) = (meta.mtime(), meta.mtime_nsec());
        Some((meta.dev(), meta.ino(), mtime, nanos, meta.len()))
    };
    paths.iter().map(stamp).collect()
}
