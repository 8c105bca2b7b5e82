//! What the model knows of a destination: which frames it has settled, and which it may be given next.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hawsepipe_model::Frame;

use super::STREAMS;
use super::sim::SimDisk;
use crate::journal::{CatchUp, Cursor, Handed, WhenFull};

pub(super) const SECOND: u64 = 1_000_000_000;

/// A destination, and what the model knows of it.
pub(super) struct Destination {
    pub(super) when_full: WhenFull,
    pub(super) catch_up: CatchUp,
    /// It takes nothing for a while.
    pub(super) away: bool,
    pub(super) cursor: Cursor<SimDisk>,
    pub(super) in_hand: Option<(Arc<Frame>, Handed)>,
    pub(super) received: Vec<BTreeSet<u64>>,
    /// Lines that came again.
    pub(super) doubled: u64,
    /// Lines that may come again: they were in its hand when the process was killed, or the disk was full when it let
    /// go of them, or an older version forgot them.
    pub(super) may_double: u64,
    /// Frames that it has settled, as is known to be written.
    pub(super) settled: BTreeSet<u64>,
    /// Frames that it has settled, and perhaps nobody knows.
    pub(super) unsaved: BTreeSet<u64>,
    /// Frames that it has settled, and an older version did not know it.
    pub(super) forgotten: BTreeSet<u64>,
    /// Frames that it was given by this process.
    pub(super) given: BTreeSet<u64>,
    /// The last one that was given before older ones; how many of them in a row.
    pub(super) passed: Option<u64>,
    pub(super) in_a_row: u32,
    /// The oldest frame that was not settled had waited for long, since this process started.
    pub(super) was_late: bool,
}

impl Destination {
    pub(super) fn new(when_full: WhenFull, catch_up: CatchUp) -> Self {
        Self {
            when_full,
            catch_up,
            away: false,
            cursor: Cursor::default(),
            in_hand: None,
            received: vec![BTreeSet::new(); STREAMS],
            doubled: 0,
            may_double: 0,
            settled: BTreeSet::new(),
            unsaved: BTreeSet::new(),
            forgotten: BTreeSet::new(),
            given: BTreeSet::new(),
            passed: None,
            in_a_row: 0,
            was_late: false,
        }
    }

    pub(super) fn is_done(&self, frame: u64) -> bool {
        self.settled.contains(&frame) || self.unsaved.contains(&frame)
    }

    /// It is given a frame: every end in order, what is new not without end, and only after something has waited for
    /// long.
    pub(super) fn take(&mut self, frame: u64, frames: &BTreeMap<u64, Known>, now: u64) -> bool {
        let oldest = frames.iter().find(|(number, _)| !self.is_done(**number));
        let late = |(_, known): (&u64, &Known)| now.saturating_sub(known.at) > 10 * SECOND;
        self.was_late |= oldest.is_some_and(late);
        if oldest.is_none_or(|(number, _)| frame <= *number) {
            self.in_a_row = 0;
            return false;
        }
        assert_eq!(self.catch_up, CatchUp::NewestFirst, "frame {frame} before {oldest:?}");
        assert!(self.was_late, "frame {frame} before {oldest:?}, which has not waited");
        assert!(self.passed.is_none_or(|last| last < frame), "{frame} after {:?}", self.passed);
        self.passed = Some(frame);
        self.in_a_row += 1;
        assert!(self.in_a_row <= 4, "the backlog starves");
        true
    }
}

/// What the model knows of a frame with records.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    pub(super) records: u64,
    pub(super) at: u64,
}
