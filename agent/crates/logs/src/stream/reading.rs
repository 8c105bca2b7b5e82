//! Reading: a container's turn, and how a segment is left.
//!
//! In: bytes of the first segment. Out: lines, and how far they cover it. Always: what is passed over unread is counted in
//! the same frame that passes over it.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use hawsepipe_model::{Extent, Loss, LossReason, Position, SegmentState};

use super::{Begin, ContainerStream, Context, Turn};
use crate::framer::Framer;
use crate::join::Line;
use crate::lines::{Consumed, consume, consume_last, drain};
use crate::segment::{Filled, Segment, Stat};

/// How long a segment that has a successor must have been still before it is left: the kubelet renames first and then
/// asks the runtime to reopen, which may still drain what it holds into the renamed file.
const GRACE: Duration = Duration::from_secs(1);
/// How often a turn looks through the folder for a closed file that is not under its path any more.
const SEARCHES: u32 = 3;

/// Why a segment cannot be read.
enum Trouble {
    /// It is closed, and not under its path.
    Missing,
    /// It may be readable some other time.
    Unreadable(io::Error),
    /// It never will be.
    Corrupt(io::Error),
}

impl Trouble {
    fn of(segment: &Segment, error: io::Error) -> Self {
        if !segment.is_open() && error.kind() == io::ErrorKind::NotFound {
            Self::Missing
        } else {
            Self::Unreadable(error)
        }
    }
}

/// Whether a file that has a successor was not written to for a while.
pub(super) fn is_still(stat: &Stat) -> bool {
    match SystemTime::now().duration_since(stat.modified) {
        Ok(still) => still >= GRACE,
        // A clock that was set back: how long cannot be known.
        Err(ahead) => ahead.duration() > GRACE,
    }
}

impl ContainerStream {
    /// Reads at most one chunk and hands on its lines.
    pub(crate) fn turn(
        &mut self,
        framer: &mut Framer,
        chunk: &mut [u8],
        context: &Context<'_>,
    ) -> Turn {
        let mut searches = 0;
        loop {
            self.tell(framer);
            let Some(segment) = self.segments.front() else {
                self.backlog = false;
                return if self.gone { Turn::Done } else { Turn::Idle };
            };
            let restart = segment.name.restart;
            let Some(resource) = self.resource_for(restart, context) else {
                return if self.included == Some(false) { Turn::Done } else { Turn::Idle };
            };
            match self.read(framer, chunk, &resource, context) {
                Ok(true) => {
                    self.activity.last_read = Instant::now();
                    return Turn::Read;
                }
                Ok(false) => {}
                Err(Trouble::Missing) if searches < SEARCHES => {
                    searches += 1;
                    self.scan(Begin::Start, context.metrics);
                    continue;
                }
                Err(Trouble::Missing) => {
                    self.lose_closed(framer, &resource);
                    continue;
                }
                Err(Trouble::Unreadable(error)) => {
                    let path = self.segments[0].path.clone();
                    self.refuse(path, &error, context.metrics);
                    return Turn::Idle;
                }
                Err(Trouble::Corrupt(error)) => {
                    // It will not become better, and what is behind it waits.
                    let path = self.segments[0].path.display();
                    tracing::warn!(%path, %error, "a compressed log file is corrupt");
                    self.give_up(framer, &resource, LossReason::FileCorrupt, Extent::UNKNOWN);
                    continue;
                }
            }
            if self.segments.len() == 1 {
                self.backlog = false;
            }
            if !self.is_over() {
                return Turn::Idle;
            }
            self.leave(framer, chunk, &resource, context);
        }
    }

    /// Reads the first segment on; false at its end.
    fn read(
        &mut self,
        framer: &mut Framer,
        chunk: &mut [u8],
        resource: &Arc<[u8]>,
        context: &Context<'_>,
    ) -> Result<bool, Trouble> {
        let segment = &mut self.segments[0];
        let size = segment.stat().map_err(|error| Trouble::of(segment, error))?.size;
        if !segment.is_compressed() {
            let known = segment.size.max(segment.seen);
            segment.size = size;
            if size > segment.seen {
                segment.open().map_err(|error| Trouble::of(segment, error))?;
            }
            if size < known || (size > segment.seen && segment.is_rewritten()) {
                context.metrics.truncated_files.inc();
                self.begin_anew(framer, resource, known);
            }
        }
        let segment = &mut self.segments[0];
        if size == segment.seen {
            self.suspect = false;
            return Ok(false);
        }
        self.begin_reading();
        let segment = &mut self.segments[0];
        segment.open().map_err(|error| Trouble::of(segment, error))?;
        let Filled { len, at_end } = segment.read(chunk).map_err(|error| {
            if segment.is_compressed() {
                Trouble::Corrupt(error)
            } else {
                Trouble::Unreadable(error)
            }
        })?;
        if len == 0 {
            // The last read filled the chunk to the file's last byte.
            segment.advance(&[], 0, at_end);
            return Ok(false);
        }
        framer.begin(&self.key, resource);
        let mut told = Extent::default();
        let emit = &mut |line: Line<'_>| {
            told.add(Extent::known(1, line.original));
            framer.push(line);
        };
        let Consumed { used, nul } =
            consume(&mut self.joiner, &chunk[..len], segment.offset, at_end, emit);
        segment.advance(&chunk[..len], used, at_end);
        segment.take_off(told);
        context.metrics.read_bytes.inc_by(used as u64);
        if nul > 0 {
            let extent = Extent::known(0, nul);
            framer.lose(&Loss::of_stream(&self.key, LossReason::NulBytes, extent));
        }
        self.cover(framer, SegmentState::Open);
        Ok(used > 0)
    }

    fn begin_reading(&mut self) {
        if self.reading.is_none()
            && let Some(segment) = self.segments.front()
        {
            self.reading = Some(segment.id);
            self.joiner.begin_segment(segment.covered);
        }
    }

    /// The file became shorter, or was written anew: what was in it up to `known` and was not read is lost.
    fn begin_anew(&mut self, framer: &mut Framer, resource: &Arc<[u8]>, known: u64) {
        let segment = &mut self.segments[0];
        let (path, from, seen) = (segment.path.clone(), segment.offset, segment.seen);
        tracing::warn!(
            path = %path.display(),
            read = from,
            written = known,
            "a log file was truncated, reading it from its beginning"
        );
        segment.begin_anew();
        self.reading = Some(segment.id);
        let unread = known.saturating_sub(from);
        if unread > 0 {
            // Up to `seen` there was no newline behind the offset. How many there were behind that nobody knows.
            let one = known == seen;
            let extent = Extent { records: one.into(), bytes: unread, unknown: u64::from(!one) };
            self.lose(LossReason::TruncatedBeforeRead, &path, (from, Some(known)), extent);
        }
        framer.begin(&self.key, resource);
        self.joiner.flush(&mut |line| framer.push(line));
        self.joiner.begin_segment(Position::default());
        self.cover(framer, SegmentState::Open);
        // The position that was told before is none of this content.
        framer.hasten();
    }

    /// Puts how far the first segment was read into the frame.
    fn cover(&mut self, framer: &mut Framer, state: SegmentState) {
        self.tell(framer);
        if let Some(segment) = self.segments.front_mut() {
            let position = self.joiner.position(segment.offset);
            framer.cover(segment.cover(&self.key, position, state));
        }
    }

    /// Whether nothing will be written to the first segment any more.
    fn is_over(&self) -> bool {
        let first = &self.segments[0];
        if self.segments.len() < 2 && !self.gone && !first.unlinked && !first.is_compressed() {
            return false;
        }
        let Ok(stat) = first.stat() else {
            return true;
        };
        is_still(&stat) && stat.size == first.seen
    }

    /// Leaves the first segment; a last line without a newline is delivered.
    fn leave(
        &mut self,
        framer: &mut Framer,
        chunk: &mut [u8],
        resource: &Arc<[u8]>,
        context: &Context<'_>,
    ) {
        let goes_on = self.goes_on();
        let Some(segment) = self.segments.front_mut() else {
            return;
        };
        framer.begin(&self.key, resource);
        let emit = &mut |line: Line<'_>| framer.push(line);
        if segment.seen > segment.offset
            && let Ok(Filled { len, at_end }) = segment.read(chunk)
        {
            consume_last(&mut self.joiner, &chunk[..len], segment.offset, emit);
            segment.advance(&chunk[..len], len, at_end);
            context.metrics.read_bytes.inc_by(len as u64);
        }
        self.joiner.close_long(emit);
        if !goes_on {
            self.joiner.flush(emit);
        }
        // While a line is open that began in it, the segment is covered up to there; to its end, once that line is told.
        self.cover(framer, SegmentState::Open);
        self.finish(framer);
    }

    /// Whether a line that is open at the end of the first segment goes on in the next.
    fn goes_on(&self) -> bool {
        let mut restarts = self.segments.iter().map(|segment| segment.id.restart);
        restarts.next() == restarts.next()
    }

    /// Lets go of the oldest deleted file and counts what was not read of it. False: there is none.
    pub(crate) fn let_go(&mut self, framer: &mut Framer, chunk: &mut [u8]) -> bool {
        if !self.segments.front().is_some_and(|first| self.gone || first.unlinked) {
            return false;
        }
        self.begin_reading();
        let goes_on = self.goes_on();
        let Some(segment) = self.segments.front_mut() else { return false };
        let (path, from) = (segment.path.clone(), segment.offset);
        let mut extent = Extent::default();
        let emit = &mut |line: Line<'_>| extent.add(Extent::known(1, line.original));
        let drained = drain(segment, u64::MAX, &mut self.joiner, chunk, emit);
        if !goes_on {
            self.joiner.flush(emit);
        }
        let to = segment.offset;
        if drained.is_err() {
            extent.add(Extent::UNKNOWN);
        }
        if extent != Extent::default() {
            self.lose(LossReason::UnlinkedOverBudget, &path, (from, Some(to)), extent);
        }
        self.cover(framer, SegmentState::Open);
        self.finish(framer);
        true
    }

    /// A closed file is not to be found any more. While it was watched and no event told of a write, nothing was written that
    /// was not read.
    fn lose_closed(&mut self, framer: &mut Framer, resource: &Arc<[u8]>) {
        let Some(segment) = self.segments.front() else { return };
        let unread = segment.size.saturating_sub(segment.offset);
        let unwatched = self.suspect || self.polled || self.activity.hot;
        let unknown = u64::from(unread > 0 || unwatched || segment.is_compressed());
        let uncounted = Extent { records: 0, bytes: unread, unknown };
        let extent = segment.rest.map_or(uncounted, |rest| rest.extent);
        self.give_up(framer, resource, LossReason::DeletedBeforeRead, extent);
    }

    /// Leaves the first segment where it is; lines that are open are delivered as far as they came.
    fn give_up(
        &mut self,
        framer: &mut Framer,
        resource: &Arc<[u8]>,
        reason: LossReason,
        extent: Extent,
    ) {
        let Some(segment) = self.segments.front() else { return };
        let (path, from) = (segment.path.clone(), segment.offset);
        if extent != Extent::default() {
            self.lose(reason, &path, (from, None), extent);
        }
        framer.begin(&self.key, resource);
        self.joiner.flush(&mut |line| framer.push(line));
        self.finish(framer);
    }

    /// Takes the first segment out. It is covered to its end once the lines are told that began in it.
    fn finish(&mut self, framer: &mut Framer) {
        if let Some(mut segment) = self.segments.pop_front() {
            let end = Position { stdout: segment.offset, stderr: segment.offset };
            self.left.push(segment.cover(&self.key, end, SegmentState::Finished));
            let read = segment.offset;
            self.pass_over(segment, read);
        }
        self.joiner.begin_segment(Position::default());
        self.reading = None;
        self.tell(framer);
    }
}
