//! Opening a lane: what the last process left is read back.
//!
//! In: a folder in any state that a crash, a power cut or a bad disk may leave. Out: a [`Journal`] that goes on where the
//! frames say, and what was found on the way. Always: the torn tail of the newest segment is cut; damage anywhere else costs
//! the frames it is in, whose ranges are read again ([`Missing`]); nothing is written into a segment of an earlier process.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;

use hawsepipe_model::{Cover, Ledger, Loss, Missing};
use prost::Message;

use super::flushing::Flushing;
use super::following::metas;
use super::{
    Destination, DestinationSettings, Journal, RESERVE, SegmentInfo, Settings, file_name, is_full,
};
use crate::disk::Disk;
use crate::positions::Positions;
use crate::record::{FrameMeta, LossMeta, Place, Progress, Record, Snapshot, Span};
use crate::segment::{Scanned, SegmentError, SegmentReader, cut_torn_tail_of};
use crate::told::Told;

/// Why a lane cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    /// It was written by a newer version.
    #[error("written by a newer version (segment format {format})")]
    Newer { format: u32 },
    /// The file system refuses.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl From<SegmentError> for OpenError {
    fn from(error: SegmentError) -> Self {
        match error {
            SegmentError::Newer { found } => Self::Newer { format: found },
            SegmentError::Io(error) => Self::Io(error),
            other => Self::Io(io::Error::other(other)),
        }
    }
}

/// What was found when a lane was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Recovered {
    /// There was no lane.
    pub(crate) fresh: bool,
    /// Bytes that the last write left half done.
    pub(crate) torn_bytes: u64,
    /// Places that are damaged.
    pub(crate) damaged: u64,
    /// No snapshot is intact: what the segments say alone is known.
    pub(crate) no_snapshot: bool,
    /// Files that are nobody's.
    pub(crate) strangers: Vec<String>,
}

/// How far a destination is, as records say.
#[derive(Debug, Default)]
struct Known {
    next: u64,
    /// As the last record says that there is: whoever wrote it may have known less than the one before.
    ahead: Vec<Span>,
}

/// What is gathered from the segments.
struct Gathered {
    snapshot: Snapshot,
    /// The segment that holds it.
    snapshot_at: u64,
    segments: VecDeque<SegmentInfo>,
    head: Positions,
    /// The last word on losses since the snapshot.
    last_word: Option<Progress>,
    /// Losses of frames at or behind the snapshot's base: number, time, loss.
    losses: Vec<(u64, u64, Loss)>,
    progress: BTreeMap<String, Known>,
    /// The number that the next frame should have.
    expected: u64,
    gaps: Vec<std::ops::Range<u64>>,
    missing: Vec<Cover>,
}

impl<D: Disk> Journal<D> {
    /// Opens the lane in `disk`.
    pub(crate) fn open(
        disk: Arc<D>,
        settings: Settings,
        now: u64,
    ) -> Result<(Self, Recovered), OpenError> {
        let mut recovered = Recovered::default();
        let mut ids = list(&*disk, &mut recovered)?;
        recovered.fresh = ids.is_empty();
        for id in &ids {
            SegmentReader::of(disk.open(&file_name(*id))?, *id)?;
        }
        cut_tail(&*disk, &mut ids, &mut recovered)?;
        let (snapshot, snapshot_at) = newest_snapshot(&*disk, &ids)?.unwrap_or_else(|| {
            recovered.no_snapshot = !recovered.fresh;
            let born = if recovered.fresh { i64::try_from(now).unwrap_or(i64::MAX) } else { 0 };
            // Whatever was before the first frame that is there is taken for lost: better twice than not at all.
            (Snapshot { born, base: 1, next: 1, ..Snapshot::default() }, 0)
        });
        let mut gathered = Gathered::begin(snapshot, snapshot_at);
        for id in ids {
            gathered.read(&*disk, id, &mut recovered)?;
        }
        let has_reserve = disk.list()?.iter().any(|name| name == RESERVE);
        let told = gathered.base();
        let mut journal = gathered.into_journal(disk, settings);
        journal.has_reserve = has_reserve;
        journal.settle_what_all_have(told)?;
        match journal.roll() {
            Ok(()) => {}
            Err(SegmentError::Io(error)) if is_full(&error) => journal.failed(&error.into()),
            Err(error) => return Err(error.into()),
        }
        // Before anything is appended: there is a snapshot from here on, whatever a power cut takes.
        if let Some(job) = journal.take_sync() {
            let result = job.run();
            journal.synced(&job, result);
        }
        journal.tick();
        Ok((journal, recovered))
    }

    /// Positions of frames that every destination has settled since the snapshot was taken, and losses of those that the
    /// ledger does not tell of: the ones from number `told` on.
    fn settle_what_all_have(&mut self, told: u64) -> Result<(), OpenError> {
        // Nothing is missing of what the ledger tells of.
        self.gaps.retain(|gap| gap.end > told);
        self.gaps.iter_mut().for_each(|gap| gap.start = gap.start.max(told));
        if self.gaps.is_empty() {
            self.gap_missing = None;
            self.to_read.clear();
            self.damaged.clear();
        }
        let reach = self.reach();
        let with_frames = self.segments.iter().filter(|info| !info.frames.is_empty());
        let before: Vec<_> = with_frames
            .filter(|info| info.frames.end > self.base && info.frames.start < reach)
            .map(|info| (info.id, info.bytes))
            .collect();
        for (segment, bytes) in before {
            for meta in metas(&*self.disk, segment, bytes, self.base)? {
                if meta.sequence >= reach {
                    break;
                }
                if meta.sequence >= told {
                    self.settle_for_all(&meta);
                } else {
                    meta.covers().for_each(|cover| self.settled.apply(cover));
                }
            }
        }
        self.base = self.base.max(reach);
        Ok(())
    }
}

fn list<D: Disk>(disk: &D, recovered: &mut Recovered) -> Result<Vec<u64>, OpenError> {
    let mut ids = Vec::new();
    for name in disk.list()? {
        let id = name.strip_suffix(".seg").and_then(|stem| stem.parse().ok());
        match id {
            Some(id) if file_name(id) == name => ids.push(id),
            _ if name == RESERVE => {}
            _ => recovered.strangers.push(name),
        }
    }
    ids.sort_unstable();
    Ok(ids)
}

/// Cuts what the last process left half written; a newest segment of which nothing is intact goes.
fn cut_tail<D: Disk>(
    disk: &D,
    ids: &mut Vec<u64>,
    recovered: &mut Recovered,
) -> Result<(), OpenError> {
    while let Some(&newest) = ids.last() {
        let name = file_name(newest);
        let cut = cut_torn_tail_of(disk.open(&name)?, newest)?;
        recovered.torn_bytes += cut.cut_bytes;
        if cut.len > crate::segment::FILE_HEADER_BYTES {
            break;
        }
        disk.remove(&name)?;
        ids.pop();
    }
    Ok(())
}

/// The newest snapshot that is intact, and its segment.
fn newest_snapshot<D: Disk>(disk: &D, ids: &[u64]) -> Result<Option<(Snapshot, u64)>, OpenError> {
    for &id in ids.iter().rev() {
        let reader = SegmentReader::of(disk.open(&file_name(id))?, id)?;
        let end = reader.file_len()?;
        for scanned in reader.scan(0, end) {
            let Scanned::Frame(found) = scanned? else { continue };
            match Record::decode(&found.meta[..]) {
                Ok(Record { snapshot: true, .. }) => match reader.body(&found) {
                    Ok(body) => {
                        if let Ok(snapshot) = Snapshot::decode(&body[..]) {
                            return Ok(Some((snapshot, id)));
                        }
                    }
                    Err(SegmentError::Damaged { .. }) => {}
                    Err(error) => return Err(error.into()),
                },
                // Snapshots stand at the beginning alone.
                Ok(Record { frame: Some(_), .. }) => break,
                _ => {}
            }
        }
    }
    Ok(None)
}

// === impl Gathered ===

impl Gathered {
    fn begin(snapshot: Snapshot, snapshot_at: u64) -> Self {
        let mut head = Positions::default();
        snapshot.positions.iter().for_each(|cover| head.apply(cover.into()));
        let mut gathered = Self {
            snapshot_at,
            segments: VecDeque::new(),
            head,
            last_word: None,
            losses: Vec::new(),
            progress: BTreeMap::new(),
            expected: snapshot.base,
            gaps: Vec::new(),
            missing: Vec::new(),
            snapshot,
        };
        let places = std::mem::take(&mut gathered.snapshot.places);
        gathered.take_places(&places, true);
        gathered
    }

    fn read<D: Disk>(
        &mut self,
        disk: &D,
        id: u64,
        recovered: &mut Recovered,
    ) -> Result<(), OpenError> {
        let reader = SegmentReader::of(disk.open(&file_name(id))?, id)?;
        let bytes = reader.file_len()?;
        let mut frames: Option<std::ops::Range<u64>> = None;
        let mut last = None;
        for scanned in reader.scan(0, bytes) {
            let found = match scanned? {
                Scanned::Frame(found) => found,
                Scanned::Damage { .. } => {
                    recovered.damaged += 1;
                    continue;
                }
            };
            let Ok(record) = Record::decode(&found.meta[..]) else {
                recovered.damaged += 1;
                continue;
            };
            if let Some(meta) = record.frame {
                let start = frames.map_or(meta.sequence, |frames| frames.start);
                frames = Some(start..meta.sequence + 1);
                self.take_frame(&meta);
            } else if let Some(progress) = record.progress {
                self.take_places(&progress.places, id >= self.snapshot_at);
                last = Some(progress);
            }
        }
        // What was said before the snapshot is in it.
        if let Some(progress) = last.filter(|_| id >= self.snapshot_at) {
            self.last_word = Some(progress);
        }
        let at = self.expected;
        self.segments.push_back(SegmentInfo { id, frames: frames.unwrap_or(at..at), bytes });
        Ok(())
    }

    fn take_frame(&mut self, meta: &FrameMeta) {
        if meta.sequence < self.snapshot.base {
            return;
        }
        if meta.sequence > self.expected {
            self.gaps.push(self.expected..meta.sequence);
        }
        self.expected = meta.sequence + 1;
        for cover in meta.covers() {
            if !self.gaps.is_empty() {
                self.missing.extend(self.head.gap_before(&cover));
            }
            self.head.apply(cover);
        }
        self.losses.extend(meta.losses().map(|loss| (meta.sequence, meta.at, loss)));
    }

    /// `new`: it was said after the snapshot was taken.
    fn take_places(&mut self, places: &[Place], new: bool) {
        for place in places {
            let known = self.progress.entry(place.destination.clone()).or_default();
            known.next = known.next.max(place.next);
            if new {
                known.ahead.clone_from(&place.ahead);
            }
        }
    }

    /// The first frame whose losses are not in [`ledger`](Self::ledger).
    fn base(&self) -> u64 {
        self.snapshot.base.max(self.last_word.as_ref().map_or(0, |progress| progress.base))
    }

    /// Losses of frames before [`base`](Self::base), and of what destinations said.
    fn ledger(&self) -> Ledger {
        let mut ledger = Ledger::default();
        let changes = self.last_word.iter().flat_map(|progress| &progress.ledger);
        for (key, entry) in self.snapshot.ledger.iter().chain(changes).map(LossMeta::entry) {
            ledger.set(key, entry);
        }
        ledger
    }

    fn into_journal<D: Disk>(self, disk: Arc<D>, settings: Settings) -> Journal<D> {
        let (told, ledger) = (self.base(), self.ledger());
        let Self { snapshot, head, progress, mut gaps, missing, .. } = self;
        let mut settled = Positions::default();
        snapshot.positions.iter().for_each(|cover| settled.apply(cover.into()));
        let base = snapshot.base;
        let place = |it: &DestinationSettings| {
            let known = progress.get(&*it.name);
            // A new one begins with the oldest frame that is there.
            let next = known.map_or(base, |known| known.next.max(base));
            let mut place = Destination::new(Arc::clone(&it.name), it.when_full, it.catch_up, next);
            let ahead = known.into_iter().flat_map(|known| &known.ahead);
            ahead
                .filter(|span| span.from < span.to)
                .for_each(|span| place.settle(span.from..span.to, (0, 0)));
            place
        };
        let destinations: Vec<_> = settings.destinations.iter().map(place).collect();
        // A number that somebody has settled is nobody else's, also where the frame is gone.
        let settled_end =
            |known: &Known| known.ahead.iter().map(|it| it.to).fold(known.next, u64::max);
        let furthest = progress.values().map(settled_end).max().unwrap_or(0);
        let next = snapshot.next.max(self.expected).max(furthest);
        let mut all = ledger.clone();
        for (sequence, at, loss) in &self.losses {
            if *sequence >= told {
                all.add(loss, *at);
            }
        }
        // The last frames are gone, and with them their positions.
        if self.expected < next {
            gaps.push(self.expected..next);
        }
        let (mut damaged, mut to_read) = (BTreeMap::new(), Vec::new());
        let gap_missing = gaps.first().map(|gap| gap.start).filter(|_| !missing.is_empty());
        if let Some(id) = gap_missing {
            damaged.insert(id, false);
            to_read.push(Missing { id, covers: missing, tallies: Vec::new() });
        }
        Journal {
            disk,
            settings,
            born: snapshot.born,
            writer: None,
            segments: self.segments,
            next,
            base,
            head,
            settled,
            ledger: all,
            told: Told::new(ledger),
            destinations,
            unsaved: false,
            durable: (0, 0),
            to_sync: None,
            syncing: false,
            flushing: Flushing::default(),
            ticks: 0,
            damaged,
            gaps,
            gap_missing,
            to_read,
            disk_full: false,
            disk_low: false,
            has_reserve: false,
            problem: None,
            closed: false,
        }
    }
}
