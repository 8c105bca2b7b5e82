//! A lane on its disk: what is appended, who has settled it, what may be let go. No thread and no clock of its own: what
//! it does is decided by what it is called with, so that the model test can play every order of events.
//!
//! In: frames, acknowledgements, the word that a snapshot is synced. Out: frames again, positions, the ledger. The format, and
//! why it is as it is, stand in `agent/docs/SPOOL.md`. What always holds:
//!
//! - A frame and the positions that it covers are one record: both are there or neither.
//! - Every segment opens with a snapshot (twice, so that one flipped bit cannot take it) of everything that the segments
//!   before it say of frames that are settled by every destination: their positions, their losses, who is how far.
//! - A segment is unlinked only when all its frames were settled before the snapshot of a later segment was taken, and that
//!   snapshot and the folder are synced.
//! - Positions of frames that are not settled by every destination stand in those frames alone, so that a power cut that
//!   takes the frames takes the positions too.
//! - What is written takes at most the capacity, notes, acknowledgements and one frame that replaces a damaged one excepted.

mod destination;
mod dropping;
mod flushing;
mod following;
mod reading;
mod recovery;
mod room;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::ops::Range;
use std::sync::Arc;

use hawsepipe_model::{AppendError, Cover, Frame, Ledger, Loss, Missing};
use prost::Message;

use self::destination::Destination;
use self::flushing::Flushing;
pub(crate) use self::following::follow;
pub(crate) use self::reading::{Cursor, Found, Handed, find};
pub(crate) use self::recovery::{OpenError, Recovered};
pub use self::room::{MinFree, Usage};
use crate::disk::Disk;
use crate::positions::Positions;
use crate::record::{CoverMeta, FrameMeta, LossMeta, Place, Progress, Record, Snapshot, Span};
use crate::segment::{FRAME_HEADER_BYTES, SegmentError, SegmentWriter};
use crate::told::Told;

/// A segment is rolled at this size, or at a sixteenth of a small lane.
const SEGMENT_BYTES: u64 = 4 << 20;
/// Segments are not smaller than this, whatever the lane's size.
const SEGMENT_LEAST: u64 = 4 << 10;
/// A segment that could be let go is worth a new snapshot when this much was written since the last one: on a quiet node
/// the syncs would cost more than the bytes.
const WORTH_A_SNAPSHOT: u64 = 512 << 10;
/// Or this much, and so many ticks (of a second) ago: before the kernel writes it back, after 30 s by default
/// (`vm.dirty_expire_centisecs`).
const WORTH_IN_TIME: (u64, u32) = (64 << 10, 20);
/// A file that gives its room to what must be written when the disk is full: snapshots that let segments go, notes,
/// acknowledgements.
const RESERVE: &str = "reserve";
/// Its size: room for a snapshot of some thousand positions.
const RESERVE_BYTES: u64 = 1 << 20;

/// What happens when a destination's share of a lane does not fit any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WhenFull {
    /// The lane takes no more until the destination has settled something.
    #[default]
    Block,
    /// The oldest of its share is let go, and counted.
    Drop,
}

/// In which order a destination that was away gets what waits for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CatchUp {
    /// What is new first, so that it does not wait behind what is old; each of the two in order.
    #[default]
    NewestFirst,
    /// Everything in order: for backends that refuse what is older than their newest.
    InOrder,
}

/// A destination, as the spool needs to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DestinationSettings {
    /// Its name; its place is kept under it.
    pub name: Arc<str>,
    /// What happens when its share does not fit any more.
    pub when_full: WhenFull,
    /// The order after a time away.
    pub catch_up: CatchUp,
}

/// How a lane is to work.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Bytes that its files may take.
    pub(crate) capacity: u64,
    /// What they may take when the disk has less than [`min_free`](Self::min_free).
    pub(crate) working_set: u64,
    pub(crate) min_free: MinFree,
    /// Whoever appends a frame is told so when the disk has it.
    pub(crate) synced: bool,
    pub(crate) destinations: Vec<DestinationSettings>,
}

/// What is known of a segment file.
#[derive(Debug, Clone)]
struct SegmentInfo {
    id: u64,
    /// The frames that are in it: first, and the one behind the last.
    frames: Range<u64>,
    bytes: u64,
}

impl SegmentInfo {
    /// Whether every destination has settled what is in it, when they have settled everything before `base`.
    fn is_settled(&self, base: u64) -> bool {
        self.frames.is_empty() || self.frames.end <= base
    }
}

/// What must be done with the disk before segments may go: it takes its time, so it is done outside.
#[derive(Debug)]
pub(crate) struct SyncJob<D: Disk> {
    segment: u64,
    base: u64,
    file: D::File,
    disk: Arc<D>,
}

impl<D: Disk> SyncJob<D> {
    /// Waits until the snapshot, and the folder that names it, are on the disk.
    pub(crate) fn run(&self) -> io::Result<()> {
        use crate::disk::DiskFile;
        self.file.sync()?;
        self.disk.sync()
    }
}

/// A lane on its disk.
#[derive(Debug)]
pub(crate) struct Journal<D: Disk> {
    disk: Arc<D>,
    settings: Settings,
    /// When the lane was made, nanoseconds since the epoch.
    born: i64,
    writer: Option<SegmentWriter<D::File>>,
    /// Oldest first; the last one is written to.
    segments: VecDeque<SegmentInfo>,
    /// The number of the next frame.
    next: u64,
    /// The first frame that some destination has not settled.
    base: u64,
    /// Positions of all frames, and of those before `base`.
    head: Positions,
    settled: Positions,
    /// Losses of everything, and of what a snapshot tells: of frames before `base`, and all that destinations said.
    ledger: Ledger,
    told: Told,
    destinations: Vec<Destination>,
    /// How far they are stands in no record yet.
    unsaved: bool,
    /// The snapshot that is on the disk: its segment and base.
    durable: (u64, u64),
    to_sync: Option<SyncJob<D>>,
    syncing: bool,
    flushing: Flushing<D::File>,
    /// Ticks since the newest segment was opened.
    ticks: u32,
    /// Frames that are damaged, by their numbers: whether their lines were found again.
    damaged: BTreeMap<u64, bool>,
    /// Numbers of frames that recovery did not find, and the number that stands for all of them in `damaged` while their
    /// lines are read again.
    gaps: Vec<Range<u64>>,
    gap_missing: Option<u64>,
    to_read: Vec<Missing>,
    disk_full: bool,
    disk_low: bool,
    has_reserve: bool,
    problem: Option<String>,
    pub(crate) closed: bool,
}

pub(crate) fn file_name(segment: u64) -> String {
    format!("{segment:020}.seg")
}

pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

impl<D: Disk> Journal<D> {
    /// Puts a frame behind all others.
    pub(crate) fn append(&mut self, frame: Frame, now: u64) -> Result<(), AppendError> {
        let meta = FrameMeta::new(&frame, self.next, now);
        let record = Record { frame: Some(meta), ..Record::default() }.encode_to_vec();
        let needed = FRAME_HEADER_BYTES + (record.len() + frame.payload.len()) as u64;
        if !frame.is_note() && frame.replaces.is_empty() {
            let largest = self.largest();
            if needed > largest {
                let number = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
                let (needed, capacity) = (number(needed), number(largest));
                return Err(AppendError::TooLarge { frame, needed, capacity });
            }
            if needed > self.free() {
                self.make_room(needed, now);
            }
            if needed > self.free() {
                return Err(AppendError::Full(frame));
            }
        }
        if let Err(error) = self.write(&record, &frame.payload) {
            self.failed(&error);
            return Err(AppendError::Full(frame));
        }
        self.next += 1;
        if let Some(segment) = self.segments.back_mut() {
            segment.frames.end = self.next;
        }
        frame.covers.iter().for_each(|cover| self.head.apply(cover.clone()));
        frame.losses.iter().for_each(|loss| self.ledger.add(loss, now));
        if !frame.replaces.is_empty() {
            // The frame is there, with its number, whatever comes of this: it may come again, under another one.
            if let Err(error) = self.sync_now() {
                self.failed(&error);
                return Err(AppendError::Full(frame));
            }
            for id in &frame.replaces {
                self.damaged.entry(*id).and_modify(|found| *found = true);
            }
        }
        if self.writer.as_ref().is_some_and(|writer| writer.len() >= self.segment_bytes()) {
            self.roll_if_possible();
        }
        Ok(())
    }

    /// Frames before it are settled by every destination that blocks, or by all where there is none.
    pub(crate) fn settled_where_it_blocks(&self) -> u64 {
        let blocks = |it: &&Destination| it.when_full == WhenFull::Block;
        let blocking = self.destinations.iter().filter(blocks).map(Destination::next).min();
        let all = || self.destinations.iter().map(Destination::next).min();
        blocking.or_else(all).unwrap_or(self.next)
    }

    /// A destination is done with the frame at hand. `end` is where the frame ends: segment and offset.
    pub(crate) fn settle(
        &mut self,
        destination: usize,
        meta: &FrameMeta,
        end: (u64, u64),
        losses: &[Loss],
        now: u64,
    ) {
        let Some(place) = self.destinations.get_mut(destination) else { return };
        place.in_hand = None;
        let frame = meta.sequence..meta.sequence + 1;
        let mut returned = Vec::new();
        if !place.has(&frame) {
            place.settle(frame, end);
        } else if let Some((sequence, dropped)) = place.dropped_in_hand.take()
            && sequence == meta.sequence
        {
            // It was let go while it was on its way, and has arrived.
            returned = dropped;
        }
        self.count(losses, now);
        for loss in &returned {
            self.ledger.take_back(loss);
            self.told.take_back(loss);
        }
        self.advance(meta);
        self.note_progress();
    }

    /// A destination passes over frames that are not there.
    fn skip(
        &mut self,
        destination: usize,
        frames: Range<u64>,
        at: (u64, u64),
        losses: &[Loss],
        now: u64,
    ) {
        let Some(place) = self.destinations.get_mut(destination) else { return };
        place.settle(frames, at);
        self.count(losses, now);
        self.note_progress();
    }

    /// Losses that are no frame's, but a destination's.
    fn count(&mut self, losses: &[Loss], now: u64) {
        for loss in losses {
            self.ledger.add(loss, now);
            self.told.add(loss, now);
        }
    }

    /// Writes down how far the destinations are, and what was lost.
    fn note_progress(&mut self) {
        let changes = self.told.changes();
        let progress = Progress {
            places: self.places(),
            base: self.base,
            ledger: changes.iter().map(|(key, entry)| LossMeta::from((key, entry))).collect(),
        };
        let record = Record { progress: Some(progress), ..Record::default() }.encode_to_vec();
        let written = self.write(&record, &[]);
        self.unsaved = written.is_err();
        if let Err(error) = written {
            // It stands in memory, and in the next record; a process that is killed before that sends frames again.
            self.failed(&error);
        }
    }

    fn places(&self) -> Vec<Place> {
        let place = |place: &Destination| Place {
            destination: place.name.to_string(),
            next: place.next(),
            ahead: place.ahead.iter().map(|it| Span { from: it.start, to: it.end }).collect(),
        };
        self.destinations.iter().map(place).collect()
    }

    /// Writes a record into the newest segment; one without a body, if need be, in the room of the reserve.
    fn write(&mut self, record: &[u8], body: &[u8]) -> Result<(), SegmentError> {
        if self.writer.is_none() {
            self.roll()?;
        }
        let Some(writer) = &mut self.writer else { return Ok(()) };
        let mut written = writer.append(record, body);
        if body.is_empty() && self.give_up_reserve(&written)? {
            let Some(writer) = &mut self.writer else { return Ok(()) };
            written = writer.append(record, body);
        }
        written?;
        let bytes = self.writer.as_ref().map_or(0, SegmentWriter::len);
        if let Some(segment) = self.segments.back_mut() {
            segment.bytes = bytes;
        }
        Ok(())
    }

    /// No position tells of the lines that were read again: they must not go in a power cut that leaves the word that
    /// the damaged frame is passed.
    fn sync_now(&self) -> Result<(), SegmentError> {
        if let Some(writer) = &self.writer {
            writer.sync()?;
        }
        Ok(self.disk.sync()?)
    }

    /// Begins a new segment, on a full disk in the room of the reserve.
    fn roll(&mut self) -> Result<(), SegmentError> {
        let begun = self.begin_segment();
        if self.give_up_reserve(&begun)? { self.begin_segment() } else { begun }
    }

    /// Gives the reserve's room to what must be written however full the disk is; false when it is not full, or there is no
    /// reserve. Frames wait until there is room for another one.
    fn give_up_reserve<T>(&mut self, written: &Result<T, SegmentError>) -> io::Result<bool> {
        match written {
            Err(error @ SegmentError::Io(cause)) if is_full(cause) && self.has_reserve => {
                self.failed(error);
                self.has_reserve = false;
                self.disk.remove(RESERVE)?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    fn roll_if_possible(&mut self) {
        if let Err(error) = self.roll() {
            self.failed(&error);
        }
    }

    fn begin_segment(&mut self) -> Result<(), SegmentError> {
        let id = self.segments.back().map_or(1, |last| last.id + 1);
        let snapshot = self.snapshot().encode_to_vec();
        let record = Record { snapshot: true, ..Record::default() }.encode_to_vec();
        let name = file_name(id);
        let file = self.disk.create(&name)?;
        let begun = SegmentWriter::begin(file, id).and_then(|mut writer| {
            writer.append(&record, &snapshot)?;
            writer.append(&record, &snapshot)?;
            let file = writer.file()?;
            Ok((writer, file))
        });
        let (writer, file) = begun.inspect_err(|_error| drop(self.disk.remove(&name)))?;
        self.segments.push_back(SegmentInfo {
            id,
            frames: self.next..self.next,
            bytes: writer.len(),
        });
        let left = self.writer.replace(writer);
        self.leave(left);
        self.ticks = 0;
        self.told.opened(id);
        self.unsaved = false;
        let (disk, base) = (Arc::clone(&self.disk), self.base);
        self.to_sync = Some(SyncJob { segment: id, base, file, disk });
        Ok(())
    }

    fn snapshot(&self) -> Snapshot {
        Snapshot {
            born: self.born,
            base: self.base,
            next: self.next,
            positions: self.settled.iter().map(CoverMeta::from).collect(),
            places: self.places(),
            ledger: self.told.ledger().entries().map(LossMeta::from).collect(),
        }
    }

    /// Whether there is something to sync.
    pub(crate) fn has_sync(&self) -> bool {
        self.to_sync.is_some()
    }

    /// What a caller has to sync, outside of any lock, and tell of by [`synced`](Self::synced).
    pub(crate) fn take_sync(&mut self) -> Option<SyncJob<D>> {
        let job = self.to_sync.take();
        self.syncing = job.is_some();
        job
    }

    /// A snapshot is on the disk, or is not: segments that it makes needless go.
    pub(crate) fn synced(&mut self, job: &SyncJob<D>, result: io::Result<()>) {
        self.syncing = false;
        if let Err(error) = result {
            self.problem = Some(format!("cannot sync the spool: {error}"));
            return;
        }
        if !self.disk_full {
            // A segment could be written and synced: what was in the way is over.
            self.problem = None;
        }
        self.durable = (job.segment, job.base);
        self.told.synced(job.segment);
        let (segment, base) = self.durable;
        while let Some(oldest) = self.segments.front()
            && oldest.id < segment
            && oldest.is_settled(base)
        {
            match self.disk.remove(&file_name(oldest.id)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    self.problem = Some(format!("cannot remove a segment of the spool: {error}"));
                    return;
                }
                _ => {}
            }
            self.segments.pop_front();
        }
    }

    /// From time to time: looks how full the disk is, tries again what failed, lets go what can go.
    pub(crate) fn tick(&mut self) {
        match self.disk.space() {
            Ok(space) => {
                self.disk_low = self.settings.min_free.is_reached(space);
                if space.free > 2 * RESERVE_BYTES {
                    self.end_disk_full();
                } else if !self.has_reserve {
                    // What is left is for notes and snapshots.
                    self.failed(&io::Error::from(io::ErrorKind::StorageFull).into());
                }
                if !self.has_reserve && space.free > 4 * RESERVE_BYTES {
                    self.has_reserve = self.disk.reserve(RESERVE, RESERVE_BYTES).is_ok();
                }
            }
            Err(error) => self.problem = Some(format!("cannot look at the disk: {error}")),
        }
        self.ticks = self.ticks.saturating_add(1);
        let written = self.writer.as_ref().map_or(0, SegmentWriter::len);
        let (bytes, ticks) = WORTH_IN_TIME;
        let worth = (written >= WORTH_A_SNAPSHOT.min(self.segment_bytes() / 4)
            && self.segments.len() > 1)
            || (written >= bytes && self.ticks >= ticks);
        if self.unsaved || (worth && self.can_let_go()) || self.writer.is_none() {
            self.roll_unless_syncing();
        }
    }

    /// More snapshots do not help while one is on its way to the disk.
    fn roll_unless_syncing(&mut self) {
        if !self.syncing && self.to_sync.is_none() {
            self.roll_if_possible();
        }
    }

    /// Begins to make room for `needed` bytes: some comes when a snapshot is synced.
    pub(crate) fn make_room(&mut self, needed: u64, now: u64) {
        // Where the disk itself is full it is not known whose bytes it is full of.
        if needed <= self.free() || self.disk_full {
            return;
        }
        if !self.can_let_go() {
            self.drop_oldest(now);
        }
        if self.can_let_go() {
            self.roll_unless_syncing();
        }
    }

    /// Whether a new snapshot would let a segment go.
    fn can_let_go(&self) -> bool {
        let only = self.segments.len() == 1;
        let oldest = self.segments.front();
        oldest.is_some_and(|it| it.is_settled(self.base) && !(only && it.frames.is_empty()))
    }

    fn end_disk_full(&mut self) {
        if std::mem::take(&mut self.disk_full) {
            self.problem = None;
        }
    }

    fn failed(&mut self, error: &SegmentError) {
        match error {
            SegmentError::Io(error) if is_full(error) => {
                self.disk_full = true;
                self.problem = Some("the disk of spool.path is full".to_owned());
            }
            error => {
                self.problem = Some(format!("cannot write to the spool: {error}"));
                // What the file's end looks like is not known: the next record begins a new one.
                let left = self.writer.take();
                self.leave(left);
            }
        }
    }

    fn segment_bytes(&self) -> u64 {
        (self.settings.capacity / 16).clamp(SEGMENT_LEAST, SEGMENT_BYTES)
    }

    pub(crate) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    pub(crate) fn born(&self) -> i64 {
        self.born
    }

    /// What a person should know, if anything.
    pub(crate) fn problem(&self) -> Option<String> {
        if self.problem.is_none() && self.disk_low {
            return Some(
                "the disk of spool.path has less than spool.minFree left: the spool does not grow"
                    .to_owned(),
            );
        }
        self.problem.clone()
    }

    /// Where every segment of every stream is read on.
    pub(crate) fn positions(&self) -> Vec<Cover> {
        self.head.iter().cloned().collect()
    }

    pub(crate) fn take_missing(&mut self) -> Vec<Missing> {
        std::mem::take(&mut self.to_read)
    }

    /// Whether there may be something for the destination.
    pub(crate) fn has_for(&self, destination: usize) -> bool {
        self.destinations.get(destination).is_some_and(|place| place.next() < self.next)
    }

    pub(crate) fn destination_named(&self, name: &str) -> Option<usize> {
        self.destinations.iter().position(|place| &*place.name == name)
    }
}
