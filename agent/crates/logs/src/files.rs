//! Files held open: how many there may be, and how many there are.
//!
//! In: paths. Out: open regular files, each counted as long as it lives. Always: the count is right whoever drops the
//! file; opening never waits, whoever opens beyond the limit closes another one soon ([`OpenFiles::over`]).

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::fs::OFlags;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that others need: connections, the spool, folders that are being looked at.
const RESERVE: u64 = 64;
/// Fewer make no sense, whatever the process may have.
const FEWEST: u64 = 16;

/// How many log files may be held open: half of what the process may open, less a reserve. Raises the process's soft
/// limit to its hard limit first.
#[must_use]
pub fn max_open_files() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let soft = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => raised.current,
        // What it was has to do.
        Err(_) => limit.current,
    };
    let files = soft.map_or(u64::MAX, |soft| (soft / 2).saturating_sub(RESERVE)).max(FEWEST);
    usize::try_from(files).unwrap_or(usize::MAX)
}

/// How many files are open, and how many may be. Clones count together.
#[derive(Debug, Clone)]
pub(crate) struct OpenFiles {
    open: Arc<AtomicUsize>,
    limit: usize,
}

impl OpenFiles {
    pub(crate) fn new(limit: usize) -> Self {
        Self { open: Arc::default(), limit: limit.max(1) }
    }

    pub(crate) fn count(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Whether one more may be opened.
    pub(crate) fn has_room(&self) -> bool {
        self.count() < self.limit
    }

    /// How many must be closed, once there are too many: some more than those, so that not every opening looks for a
    /// file to close.
    pub(crate) fn over(&self) -> usize {
        let count = self.count();
        if count <= self.limit { 0 } else { count - (self.limit - self.limit / 8) }
    }

    /// Opens a file, if it is a regular one.
    pub(crate) fn open(&self, path: &Path) -> io::Result<Option<(OpenFile, Metadata)>> {
        // Not to wait for a writer, should it be a pipe.
        let flags = (OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY).bits();
        let file = OpenOptions::new().read(true).custom_flags(flags.cast_signed()).open(path)?;
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Ok(None);
        }
        self.open.fetch_add(1, Ordering::Relaxed);
        Ok(Some((OpenFile { file, open: Arc::clone(&self.open) }, meta)))
    }

    /// Opens the same file once more, at its beginning, whatever became of its name.
    pub(crate) fn open_again(&self, file: &OpenFile) -> io::Result<OpenFile> {
        let path = format!("/proc/self/fd/{}", file.file.as_raw_fd());
        let again = self.open(Path::new(&path))?;
        again.map(|(file, _)| file).ok_or_else(|| io::ErrorKind::InvalidInput.into())
    }
}

/// An open file that is counted.
#[derive(Debug)]
pub(crate) struct OpenFile {
    file: File,
    open: Arc<AtomicUsize>,
}

// === impl OpenFile ===

impl OpenFile {
    pub(crate) fn metadata(&self) -> io::Result<Metadata> {
        self.file.metadata()
    }

    /// Fills the buffer from an offset on, or as much of it as there is.
    pub(crate) fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        fill(buffer, |part, at| self.file.read_at(part, offset + at))
    }
}

impl Read for OpenFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer)
    }
}

impl Seek for OpenFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Fills the buffer, or as much of it as there is.
pub(crate) fn fill(
    buffer: &mut [u8],
    mut read: impl FnMut(&mut [u8], u64) -> io::Result<usize>,
) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match read(&mut buffer[filled..], filled as u64) {
            Ok(0) => break,
            Ok(len) => filled += len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_counted_as_long_as_it_lives() {
        let files = OpenFiles::new(1);
        let path = tempfile::NamedTempFile::new().unwrap();
        let (file, _) = files.open(path.path()).unwrap().unwrap();
        assert_eq!((files.count(), files.has_room(), files.over()), (1, false, 0));
        let again = files.open_again(&file).unwrap();
        assert_eq!((files.count(), files.over()), (2, 1));
        drop((file, again));
        assert_eq!((files.count(), files.has_room()), (0, true));
    }

    #[test]
    fn what_is_no_file_is_not_opened_and_not_counted() {
        let files = OpenFiles::new(1);
        let folder = tempfile::tempdir().unwrap();
        assert!(files.open(folder.path()).unwrap().is_none());
        assert!(files.open(&folder.path().join("none")).is_err());
        assert_eq!(files.count(), 0);
    }

    #[test]
    fn the_limit_is_below_what_the_process_may_open() {
        let limit = max_open_files() as u64;
        let soft = getrlimit(Resource::Nofile).current;
        assert!(limit >= FEWEST && soft.is_none_or(|soft| limit <= soft), "{limit} of {soft:?}");
    }
}
