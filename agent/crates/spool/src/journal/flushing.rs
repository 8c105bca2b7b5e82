//! Frames that their senders are told of only once the disk has them: group commit.
//!
//! In: appended frames, and whoever waits for one of them. Out: one sync for all that wait. Always: a frame that is said to be
//! flushed is on the disk, with everything that recovery needs to find it: its segment, those that were left since the last
//! flush, and the folder that names them. After a sync that failed nobody knows what the disk has (the kernel forgets the
//! error with the first who hears of it), so its frames are never said to be flushed.

use std::io;
use std::sync::Arc;

use super::{Journal, SegmentWriter};
use crate::disk::{Disk, DiskFile};

/// What is known to be on the disk.
#[derive(Debug)]
pub(super) struct Flushing<F> {
    /// Files of segments that are left, with frames that are not flushed.
    left: Vec<F>,
    /// Frames before it are on the disk, but for those before `failed`.
    end: u64,
    /// Frames before it were not flushed, as far as anybody knows.
    failed: u64,
    /// The newest segment whose name is on the disk.
    named: u64,
    /// Somebody is at it.
    busy: bool,
    syncs: u64,
}

impl<F> Default for Flushing<F> {
    fn default() -> Self {
        Self { left: Vec::new(), end: 0, failed: 0, named: 0, busy: false, syncs: 0 }
    }
}

/// What is to be synced: it takes its time, so it is done outside of any lock.
#[derive(Debug)]
pub(crate) struct Flush<D: Disk> {
    files: Vec<D::File>,
    newest: Option<io::Result<D::File>>,
    /// Where a new segment's name is to be synced too.
    folder: Option<Arc<D>>,
    segment: u64,
    end: u64,
}

/// How it went.
#[derive(Debug)]
pub(crate) struct Flushed {
    segment: u64,
    end: u64,
    result: io::Result<()>,
}

impl<D: Disk> Flush<D> {
    /// Waits for the disk.
    pub(crate) fn run(self) -> Flushed {
        let Self { files, newest, folder, segment, end } = self;
        let sync = || {
            let newest = newest.transpose()?;
            files.iter().chain(&newest).try_for_each(DiskFile::sync)?;
            folder.map_or(Ok(()), |disk| disk.sync())
        };
        let result = sync();
        Flushed { segment, end, result }
    }
}

impl<D: Disk> Journal<D> {
    /// The number of the frame that was appended last.
    pub(crate) fn newest(&self) -> u64 {
        self.next - 1
    }

    /// Whether frames are flushed before their senders are told.
    pub(crate) fn is_synced(&self) -> bool {
        self.settings.synced
    }

    /// Whether the frame is on the disk; `None`: it is not known yet.
    pub(crate) fn is_flushed(&self, number: u64) -> Option<bool> {
        if number < self.flushing.failed {
            return Some(false);
        }
        (number < self.flushing.end).then_some(true)
    }

    /// What has to be synced for all frames that are there; `None` while another one is at it.
    pub(crate) fn take_flush(&mut self) -> Option<Flush<D>> {
        if std::mem::replace(&mut self.flushing.busy, true) {
            return None;
        }
        let segment = self.segments.back().map_or(0, |info| info.id);
        Some(Flush {
            files: std::mem::take(&mut self.flushing.left),
            newest: self.writer.as_ref().map(SegmentWriter::file),
            folder: (segment > self.flushing.named).then(|| Arc::clone(&self.disk)),
            segment,
            end: self.next,
        })
    }

    /// It was synced, or was not.
    pub(crate) fn flushed(&mut self, flushed: Flushed) {
        let Flushed { segment, end, result } = flushed;
        self.flushing.busy = false;
        self.flushing.syncs += 1;
        match result {
            Ok(()) => {
                self.flushing.end = end;
                self.flushing.named = self.flushing.named.max(segment);
            }
            Err(error) => {
                self.failed(&error.into());
                // Pages of these files may be gone, of their heads too: what came into them meanwhile is no better off,
                // whatever a later sync of them says. Another file from here on.
                self.flushing.failed = self.next;
                self.flushing.left.clear();
                self.writer = None;
            }
        }
    }

    /// How often frames were synced for their senders.
    pub(super) fn syncs(&self) -> u64 {
        self.flushing.syncs
    }

    /// The segment is written to no more.
    pub(super) fn leave(&mut self, writer: Option<SegmentWriter<D::File>>) {
        if self.settings.synced {
            self.flushing.left.extend(writer.map(SegmentWriter::into_file));
        }
    }
}
