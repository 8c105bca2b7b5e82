//! One destination's way through the lane.
//!
//! In: the destination's place. Out: the next frame at one of its ends (usually there is one: the oldest frame that it has not
//! settled), with its payload. Always: files are read without the journal's lock; a frame that is damaged is held until its
//! lines were read again from the files, or counted; what holds one end does not hold the other.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use hawsepipe_model::{Frame, Loss, LossReason, Missing};
use parking_lot::Mutex;
use prost::Message;

use super::destination::{Edge, End};
use super::dropping::unknown;
use super::{Journal, file_name};
use crate::disk::Disk;
use crate::record::{FrameMeta, Record};
use crate::segment::{FrameRef, Scanned, SegmentError, SegmentReader};

/// A frame that has waited for so long, in nanoseconds, is backlog: longer than a frame takes to be made and a passing failure
/// to pass, shorter than somebody waits who looks for a line.
const LATE: u64 = 10_000_000_000;

/// A destination's open segment.
#[derive(Debug)]
pub(crate) struct Cursor<D: Disk> {
    open: Option<(u64, SegmentReader<D::File>)>,
}

impl<D: Disk> Default for Cursor<D> {
    fn default() -> Self {
        Self { open: None }
    }
}

/// What there is for a destination.
#[derive(Debug)]
pub(crate) enum Found {
    /// A frame, and what the journal must be told when it is settled.
    Frame(Arc<Frame>, Handed),
    /// Nothing now.
    Nothing,
    /// A frame is damaged and its lines are being read again.
    Held,
    /// The file system refuses.
    Failed(SegmentError),
}

/// A frame that was handed out.
#[derive(Debug, Clone)]
pub(crate) struct Handed {
    pub(crate) meta: FrameMeta,
    /// Where it ends: segment and offset.
    pub(crate) end: (u64, u64),
}

/// Where to look for a frame.
#[derive(Debug)]
struct View {
    end: End,
    /// Where that is: the number that is looked for.
    edge: Edge,
    segment: u64,
    from: u64,
    to: u64,
    /// The number behind the segment's last.
    frames_end: u64,
}

/// Looks for the next frame that the destination has not settled.
pub(crate) fn find<D: Disk>(
    journal: &Mutex<Journal<D>>,
    destination: usize,
    cursor: &mut Cursor<D>,
    now: u64,
) -> Found {
    let mut held = None;
    loop {
        let (view, disk) = {
            let journal = journal.lock();
            let Some(view) = journal.view(destination, held) else {
                return if held.is_some() { Found::Held } else { Found::Nothing };
            };
            (view, Arc::clone(&journal.disk))
        };
        let step = match cursor.segment(&disk, view.segment) {
            Ok(reader) => look(reader, &view),
            // It was let go meanwhile.
            Err(SegmentError::Io(error)) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => Err(error),
        };
        let mut journal = journal.lock();
        if !journal.is_at(destination, &view) {
            continue;
        }
        let passed = match step {
            Err(error) => return Found::Failed(error),
            Ok(Step::Gap(until)) => journal.pass_gap(destination, &view, until, now),
            Ok(Step::Note(handed)) => {
                journal.settle(destination, &handed.meta, handed.end, &[], now);
                true
            }
            Ok(Step::Damaged(handed)) => journal.pass_damaged(destination, &handed, now),
            Ok(Step::Frame(frame, handed)) => {
                if journal.hand_out(destination, view.end, &handed.meta, now) {
                    return Found::Frame(Arc::new(frame), handed);
                }
                true
            }
        };
        if !passed {
            if held.is_some() {
                return Found::Held;
            }
            held = Some(view.end);
        }
    }
}

enum Step {
    Frame(Frame, Handed),
    Note(Handed),
    Damaged(Handed),
    /// No frame before this number.
    Gap(u64),
}

fn look<F: crate::disk::DiskFile>(
    reader: &SegmentReader<F>,
    view: &View,
) -> Result<Step, SegmentError> {
    for scanned in reader.scan(view.from, view.to) {
        let Scanned::Frame(found) = scanned? else { continue };
        let Ok(Record { frame: Some(meta), .. }) = Record::decode(&found.meta[..]) else {
            continue;
        };
        if meta.sequence < view.edge.next {
            continue;
        }
        if meta.sequence > view.edge.next {
            return Ok(Step::Gap(meta.sequence));
        }
        return open(reader, &found, meta, view.segment);
    }
    Ok(Step::Gap(view.frames_end))
}

fn open<F: crate::disk::DiskFile>(
    reader: &SegmentReader<F>,
    found: &FrameRef,
    meta: FrameMeta,
    segment: u64,
) -> Result<Step, SegmentError> {
    let handed = Handed { end: (segment, found.end()), meta };
    if handed.meta.records == 0 {
        return Ok(Step::Note(handed));
    }
    match reader.body(found) {
        Ok(body) => Ok(match handed.meta.frame(body) {
            Some(frame) => Step::Frame(frame, handed),
            None => Step::Damaged(handed),
        }),
        Err(SegmentError::Damaged { .. }) => Ok(Step::Damaged(handed)),
        Err(error) => Err(error),
    }
}

// === impl Cursor ===

impl<D: Disk> Cursor<D> {
    fn segment(&mut self, disk: &D, id: u64) -> Result<&SegmentReader<D::File>, SegmentError> {
        if self.open.as_ref().is_none_or(|(open, _)| *open != id) {
            self.open = None;
            self.open = Some((id, SegmentReader::of(disk.open(&file_name(id))?, id)?));
        }
        match &self.open {
            Some((_, reader)) => Ok(reader),
            None => Err(SegmentError::NoHeader),
        }
    }
}

// === impl Journal ===

impl<D: Disk> Journal<D> {
    /// Where the destination looks next, but not at the end that is held.
    fn view(&self, destination: usize, held: Option<End>) -> Option<View> {
        let place = self.destinations.get(destination)?;
        let view = |(end, edge): (End, Edge)| {
            let info = self.segments.iter().find(|info| info.frames.end > edge.next)?;
            let (segment, offset) = edge.at;
            Some(View {
                end,
                edge,
                segment: info.id,
                from: if segment == info.id { offset } else { 0 },
                to: info.bytes,
                frames_end: info.frames.end,
            })
        };
        place.ends(self.has_ease()).filter(|(end, _)| Some(*end) != held).find_map(view)
    }

    fn is_at(&self, destination: usize, view: &View) -> bool {
        let edge = self.destinations.get(destination).and_then(|place| place.edge(view.end));
        edge.is_some_and(|edge| edge.next == view.edge.next)
    }

    /// Gives the destination a frame; false when it has waited so long that the destination should look elsewhere first.
    fn hand_out(&mut self, destination: usize, end: End, meta: &FrameMeta, now: u64) -> bool {
        let newest = self.segments.back().map_or((0, 0), |info| (info.id, info.bytes));
        let behind_all = Edge { next: self.next, at: newest };
        let Some(place) = self.destinations.get_mut(destination) else { return false };
        if now.saturating_sub(meta.at) > LATE && place.is_late(end, behind_all) {
            return false;
        }
        place.hand_out(end, meta.sequence);
        true
    }

    /// Frames that are not there, up to number `until`. False: their lines are being read again.
    fn pass_gap(&mut self, destination: usize, view: &View, until: u64, now: u64) -> bool {
        let lost = view.edge.next..until;
        let losses = self.lost_in_gap(destination, &lost);
        if let Some(losses) = &losses {
            self.skip(destination, lost, view.edge.at, losses, now);
        }
        losses.is_some()
    }

    /// What it costs the destination. `None`: their lines are being read again.
    fn lost_in_gap(&self, destination: usize, lost: &Range<u64>) -> Option<Vec<Loss>> {
        let recovered = self.gaps.iter().any(|gap| gap.start < lost.end && lost.start < gap.end);
        if let Some(missing) = self.gap_missing.filter(|_| recovered) {
            return (self.damaged.get(&missing) == Some(&true)).then(Vec::new);
        }
        if recovered && self.head.iter().next().is_some() {
            // Positions stand before it: the lines are read as if for the first time.
            return Some(Vec::new());
        }
        let name = &self.destinations.get(destination)?.name;
        Some(vec![unknown(name, LossReason::SpoolDamage)])
    }

    /// A frame whose payload is damaged. False: its lines are being read again.
    fn pass_damaged(&mut self, destination: usize, handed: &Handed, now: u64) -> bool {
        let losses = self.lost_in_damaged(destination, &handed.meta);
        if let Some(losses) = &losses {
            self.settle(destination, &handed.meta, handed.end, losses, now);
        }
        losses.is_some()
    }

    /// What it costs the destination. `None`: its lines are being read again.
    fn lost_in_damaged(&mut self, destination: usize, meta: &FrameMeta) -> Option<Vec<Loss>> {
        match self.damaged.get(&meta.sequence) {
            Some(true) => return Some(Vec::new()),
            Some(false) => return None,
            None => {}
        }
        let covers: Vec<_> = meta.covers().collect();
        if covers.is_empty() {
            let name = &self.destinations.get(destination)?.name;
            return Some(meta.lost(Some(name), LossReason::SpoolDamage));
        }
        tracing::warn!(
            frame = meta.sequence,
            records = meta.records,
            "a frame in the spool is damaged, its lines are read again from the files"
        );
        self.damaged.insert(meta.sequence, false);
        let tallies = meta.tallies().collect();
        self.to_read.push(Missing { id: meta.sequence, covers, tallies });
        None
    }
}
