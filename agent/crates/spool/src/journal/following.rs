//! `base` follows the slowest destination, and what the frames before it say is known to be settled.
//!
//! In: a destination that has settled something. Out: positions and losses of frames that all have settled, in the order of the
//! frames. Always: each frame's once. The frame that was just settled is at hand; those that a destination settled ahead and
//! passes over are read from their segments once more, without the journal's lock. Until then `base` stays behind, and
//! whoever reads the lane back does the same reading.

use std::sync::Arc;

use parking_lot::Mutex;
use prost::Message;

use super::{Journal, file_name};
use crate::disk::Disk;
use crate::record::{FrameMeta, Record};
use crate::segment::{Scanned, SegmentError, SegmentReader};

/// Frames of a segment that all destinations have settled, and `base` has not passed.
#[derive(Debug)]
pub(super) struct Follow<D: Disk> {
    base: u64,
    to: u64,
    segment: u64,
    bytes: u64,
    disk: Arc<D>,
}

/// Brings `base` to the slowest destination. What cannot be read now is tried again at the next call.
pub(crate) fn follow<D: Disk>(journal: &Mutex<Journal<D>>) {
    loop {
        let Some(job) = journal.lock().left_behind() else { return };
        let read = job.read();
        let mut journal = journal.lock();
        match read {
            Ok(metas) => journal.followed(&job, &metas),
            Err(error) => return journal.cannot_read(&error),
        }
    }
}

impl<D: Disk> Follow<D> {
    pub(super) fn read(&self) -> Result<Vec<FrameMeta>, SegmentError> {
        metas(&*self.disk, self.segment, self.bytes, self.base)
    }
}

/// The frames of a segment, from number `from` on.
pub(super) fn metas<D: Disk>(
    disk: &D,
    segment: u64,
    bytes: u64,
    from: u64,
) -> Result<Vec<FrameMeta>, SegmentError> {
    let reader = SegmentReader::of(disk.open(&file_name(segment))?, segment)?;
    let mut metas = Vec::new();
    for scanned in reader.scan(0, bytes) {
        if let Scanned::Frame(frame) = scanned?
            && let Ok(Record { frame: Some(meta), .. }) = Record::decode(&frame.meta[..])
            && meta.sequence >= from
        {
            metas.push(meta);
        }
    }
    Ok(metas)
}

// === impl Journal ===

impl<D: Disk> Journal<D> {
    /// The first frame that some destination has not settled.
    pub(super) fn slowest(&self) -> u64 {
        self.destinations.iter().map(|place| place.next()).min().unwrap_or(self.next)
    }

    /// A destination has settled this frame: where it was the last one to do so, all have.
    pub(super) fn advance(&mut self, meta: &FrameMeta) {
        if meta.sequence == self.base && self.reach() > self.base {
            self.settle_for_all(meta);
            self.pass(meta.sequence + 1);
        }
    }

    /// A frame is settled by every destination.
    pub(super) fn settle_for_all(&mut self, meta: &FrameMeta) {
        meta.covers().for_each(|cover| self.settled.apply(cover));
        meta.losses().for_each(|loss| self.told.add(&loss, meta.at));
    }

    /// What the frames before `base` say is settled.
    pub(super) fn pass(&mut self, base: u64) {
        self.base = base;
        let stays = self.gap_missing.filter(|_| self.gaps.iter().any(|gap| gap.end > base));
        self.damaged.retain(|id, _| *id >= base || Some(*id) == stays);
    }

    /// The first frame that is gone while its lines are being read again.
    pub(super) fn missing(&self) -> Option<u64> {
        let pending = |id: &u64| self.damaged.get(id) == Some(&false);
        self.gap_missing.as_ref().filter(|id| pending(id))?;
        let gaps = self.gaps.iter().filter(|gap| gap.end > self.base);
        gaps.map(|gap| gap.start.max(self.base)).min()
    }

    /// How far `base` may go: what was lost with frames that are gone is known when their lines have been read again.
    pub(super) fn reach(&self) -> u64 {
        self.missing().map_or(self.slowest(), |first| first.min(self.slowest()))
    }

    pub(super) fn left_behind(&mut self) -> Option<Follow<D>> {
        let slowest = self.reach();
        if self.base >= slowest {
            return None;
        }
        let holds = |it: &&super::SegmentInfo| !it.frames.is_empty() && it.frames.end > self.base;
        let info = self.segments.iter().find(holds).filter(|it| it.frames.start < slowest);
        let Some(super::SegmentInfo { id: segment, frames, bytes }) = info.cloned() else {
            // Numbers of which there is no frame.
            self.pass(slowest);
            return None;
        };
        let (base, to) = (self.base, slowest.min(frames.end));
        Some(Follow { base, to, segment, bytes, disk: Arc::clone(&self.disk) })
    }

    pub(super) fn followed(&mut self, job: &Follow<D>, metas: &[FrameMeta]) {
        // Unless somebody else has done it meanwhile.
        if self.base == job.base {
            let before = metas.iter().filter(|meta| meta.sequence < job.to);
            before.for_each(|meta| self.settle_for_all(meta));
            self.pass(job.to);
        }
    }

    pub(super) fn cannot_read(&mut self, error: &SegmentError) {
        self.problem = Some(format!("cannot read the spool: {error}"));
    }
}
