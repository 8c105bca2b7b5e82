//! One log file, held open: across rename and unlink it stays the same segment.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use hawsepipe_model::SegmentId;
use rustix::fs::OFlags;

use crate::scan::LogName;

/// An open log file and how far it was read.
#[derive(Debug)]
pub(crate) struct Segment {
    file: File,
    pub(crate) id: SegmentId,
    pub(crate) name: LogName,
    pub(crate) path: PathBuf,
    /// The next byte to read.
    pub(crate) offset: u64,
    /// The size up to which the file holds no further whole line: nothing is read while it stays the same.
    pub(crate) seen: u64,
    /// It was deleted: what is open is all there is.
    pub(crate) unlinked: bool,
}

/// What a file is now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stat {
    pub(crate) size: u64,
    pub(crate) modified: SystemTime,
}

impl Segment {
    /// Opens a log file; `None` when it is no regular file.
    pub(crate) fn open(path: &Path, name: LogName) -> io::Result<Option<Self>> {
        // Not to wait for a writer, should it be a pipe.
        let flags = (OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY).bits();
        let file = OpenOptions::new().read(true).custom_flags(flags.cast_signed()).open(path)?;
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Ok(None);
        }
        let id = identity(&meta, name.restart);
        Ok(Some(Self {
            file,
            id,
            name,
            path: path.to_owned(),
            offset: 0,
            seen: 0,
            unlinked: false,
        }))
    }

    /// Size and time of the last write.
    pub(crate) fn stat(&self) -> io::Result<Stat> {
        let meta = self.file.metadata()?;
        Ok(Stat { size: meta.len(), modified: meta.modified()? })
    }

    /// Whether the file has no name any more. A look at the folder does not tell: it may miss a file that is renamed
    /// meanwhile (POSIX, readdir).
    pub(crate) fn is_unlinked(&self) -> bool {
        self.file.metadata().is_ok_and(|meta| meta.nlink() == 0)
    }

    /// Reads at the offset; fewer bytes than asked for mean the end of the file.
    pub(crate) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.file.read_at(&mut buffer[filled..], self.offset + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }
}

/// What a file is known by, never its name alone.
pub(crate) fn identity(meta: &std::fs::Metadata, restart: u32) -> SegmentId {
    let born = meta.created().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    SegmentId {
        restart,
        device: meta.dev(),
        inode: meta.ino(),
        born_nanos: born.map_or(0, |age| i64::try_from(age.as_nanos()).unwrap_or(i64::MAX)),
    }
}
