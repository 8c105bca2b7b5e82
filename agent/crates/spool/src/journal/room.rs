//! How full a lane is, and what waits in it.
//!
//! In: the segments, how far the destinations are, the disk's room. Out: what fits, what waits. Always: what a destination has
//! settled does not wait for it, in whatever order it was settled; what no destination waits for may still take room.

use hawsepipe_model::Room;

use super::destination::{Destination, both};
use super::{Journal, SegmentInfo, Settings};
use crate::disk::{Disk, Space};

/// What is new goes before a backlog while one in so many parts of the lane is free: what is settled ahead gives its room
/// back only when the backlog before it is through.
const EASE: u64 = 4;

/// How much room the spool leaves on its file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MinFree {
    /// So many bytes.
    Bytes(u64),
    /// So many hundredths of the file system.
    Percent(u8),
}

impl MinFree {
    pub(super) fn is_reached(self, space: Space) -> bool {
        space.free
            < match self {
                Self::Bytes(bytes) => bytes,
                Self::Percent(percent) => space.total / 100 * u64::from(percent),
            }
    }
}

/// What is in a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Frames that some destination has not settled.
    pub frames: u64,
    /// Bytes of them.
    pub waiting: u64,
    /// Bytes of files.
    pub used: u64,
    /// The lane's budget, in bytes.
    pub capacity: u64,
    /// Segment files.
    pub segments: usize,
    /// How often frames were synced so that their senders could be told, since the lane was opened; 0 where nobody waits for that.
    pub syncs: u64,
}

impl<D: Disk> Journal<D> {
    fn used(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// What a frame may take: beside it stands a snapshot.
    pub(super) fn largest(&self) -> u64 {
        self.settings.capacity - self.settings.capacity / 8
    }

    pub(super) fn free(&self) -> u64 {
        if self.disk_full {
            return 0;
        }
        let Settings { capacity, working_set, .. } = self.settings;
        let used = self.used();
        // It stops to grow; what is there stays.
        let capacity = if self.disk_low { capacity.min(working_set.max(used)) } else { capacity };
        capacity.saturating_sub(used)
    }

    pub(crate) fn room(&self) -> Room {
        let number = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        Room {
            free: number(self.free()),
            waiting: number(self.waiting()),
            capacity: number(self.settings.capacity),
        }
    }

    /// Bytes of the segments that hold what some destination has not settled, from the slowest one's place on.
    fn waiting(&self) -> u64 {
        let Some(slowest) = self.destinations.iter().min_by_key(|place| place.next()) else {
            return 0;
        };
        let (segment, offset) = slowest.backlog.at;
        let holds = |info: &&SegmentInfo| {
            info.frames.end > slowest.next()
                && !info.frames.is_empty()
                && !self.destinations.iter().all(|place| place.has(&info.frames))
        };
        let bytes = |info: &SegmentInfo| {
            if info.id == segment { info.bytes.saturating_sub(offset) } else { info.bytes }
        };
        self.segments.iter().filter(holds).map(bytes).sum()
    }

    /// Frames that some destination has not settled.
    fn frames(&self) -> u64 {
        let settled = |place: &Destination| place.settled().collect::<Vec<_>>();
        let all = self.destinations.iter().map(settled).reduce(|left, right| both(&left, &right));
        let settled: u64 = all.iter().flatten().map(|range| range.end - range.start).sum();
        self.next - settled
    }

    pub(crate) fn usage(&self) -> Usage {
        Usage {
            frames: self.frames(),
            waiting: self.waiting(),
            used: self.used(),
            capacity: self.settings.capacity,
            segments: self.segments.len(),
            syncs: self.syncs(),
        }
    }

    /// Whether the lane has so much room that a backlog, which alone gives some back, may wait for what is new.
    pub(super) fn has_ease(&self) -> bool {
        self.free() >= self.settings.capacity / EASE
    }
}
