//! One container's logs: segments in the order they were written, read one after the other.
//!
//! In: the files of one folder. Out: lines to the [`Framer`]. Always: a segment is left only at its end, when
//! it has a successor or its folder is gone, and it has stopped growing; lines of one container keep their
//! order.

mod folder;
mod resource;

use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use hawsepipe_model::{
    Attributes, Cover, Fingerprint, PodDirectory, Position, SegmentId, SegmentState, StreamKey,
};

use self::resource::Resource;
use crate::framer::Framer;
use crate::join::{Joiner, Line};
use crate::metrics::{CORRUPT, Metrics, NUL};
use crate::scan::{LogName, PodDir};
use crate::segment::{Filled, Segment};
use crate::select::Selection;

/// How long a segment that has a successor must have been still before it is left: the kubelet renames first and then
/// asks the runtime to reopen, which may still drain what it holds into the renamed file.
const GRACE: Duration = Duration::from_secs(1);

/// What a stream needs to know of the rest.
pub(crate) struct Context<'a> {
    pub(crate) pods: &'a dyn PodDirectory,
    pub(crate) selection: &'a Selection,
    /// What is added to every resource.
    pub(crate) attributes: &'a Attributes,
    pub(crate) metadata_timeout: Duration,
    pub(crate) metrics: &'a Metrics,
}

/// What came of a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Something was read; there may be more.
    Read,
    /// There is nothing to read now.
    Idle,
    /// There never will be.
    Done,
}

/// Where a segment that was there before the agent is begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begin {
    /// At its first byte.
    Start,
    /// At its end, if it was born before this time (nanoseconds since the epoch); segments that are rotated already
    /// are passed over then.
    End {
        /// When the agent started.
        born_before: i64,
    },
}

/// A segment that was left.
struct Done {
    /// Bytes that were read of it.
    read: u64,
    /// The kubelet may compress it under this name.
    name: LogName,
    /// [`Fingerprint::head`].
    head: u32,
}

/// The logs of one container.
pub(crate) struct ContainerStream {
    pub(crate) key: StreamKey,
    pub(crate) dir: PathBuf,
    pod: Arc<PodDir>,
    container: String,
    segments: VecDeque<Segment>,
    /// Segments that were left, and are still in the folder.
    done: HashMap<SegmentId, Done>,
    /// Positions that were kept from before this agent started, of segments that were not found yet.
    restored: HashMap<SegmentId, Cover>,
    /// Covers of segments that were left while a line was open that began in them.
    left: Vec<Cover>,
    /// Segments that are not on the disk any more: their positions need not be kept.
    forgotten: Vec<Cover>,
    /// Paths that could not be opened and were said to be so.
    refused: HashSet<PathBuf>,
    joiner: Joiner,
    /// The first segment, once its reading has begun.
    reading: Option<SegmentId>,
    resource: Option<Resource>,
    /// Since when metadata is waited for.
    waiting: Option<Instant>,
    /// Decided by the selection, once it can be.
    included: Option<bool>,
    /// The folder is gone: what is open is all there is.
    gone: bool,
    /// It was there before the agent and its end was not reached yet.
    pub(crate) backlog: bool,
    /// It must be looked at on every tick: no event tells of its writes.
    pub(crate) polled: bool,
    /// It stands in the queue of those that may have something to read.
    pub(crate) queued: bool,
    pub(crate) activity: Activity,
}

/// How busy a stream is; it decides whether events or ticks tell of its writes.
#[derive(Debug)]
pub(crate) struct Activity {
    pub(crate) window: Instant,
    pub(crate) writes: u32,
    pub(crate) last_read: Instant,
    pub(crate) last_scan: Instant,
    pub(crate) hot: bool,
}

impl ContainerStream {
    pub(crate) fn new(
        dir: PathBuf,
        pod: &Arc<PodDir>,
        key: StreamKey,
        container: &str,
        cap: usize,
        restored: HashMap<SegmentId, Cover>,
    ) -> Self {
        let now = Instant::now();
        Self {
            key,
            dir,
            pod: Arc::clone(pod),
            container: container.to_owned(),
            segments: VecDeque::new(),
            done: HashMap::new(),
            restored,
            left: Vec::new(),
            forgotten: Vec::new(),
            refused: HashSet::new(),
            joiner: Joiner::new(cap),
            reading: None,
            resource: None,
            waiting: None,
            included: None,
            gone: false,
            backlog: false,
            polled: false,
            queued: false,
            activity: Activity {
                window: now,
                writes: 0,
                last_read: now,
                last_scan: now,
                hot: false,
            },
        }
    }

    /// The stream ends: nothing of it needs to be remembered.
    pub(crate) fn end(&mut self, framer: &mut Framer) {
        for cover in self.left.drain(..) {
            framer.cover(cover);
        }
        let ids = self.done.drain().map(|(id, _)| id);
        for cover in ids.map(|id| gone(&self.key, id)).chain(self.forgotten.drain(..)) {
            framer.cover(cover);
        }
    }

    /// Whether the selection leaves this container out, decided without labels.
    pub(crate) fn is_excluded(&mut self, selection: &Selection) -> bool {
        if self.included.is_none() {
            self.included =
                selection.decide(&self.pod.namespace, &self.pod.pod, &self.container, None);
        }
        self.included == Some(false)
    }

    /// Whether something in it was there before this time (nanoseconds since the epoch).
    pub(crate) fn is_older_than(&self, time: i64) -> bool {
        let older = |born| born != 0 && born < time;
        self.segments.iter().any(|segment| older(segment.id.born_nanos))
    }

    /// The folder is not there any more.
    pub(crate) fn set_gone(&mut self) {
        self.gone = true;
    }

    /// Bytes on the disk that are there because this stream holds deleted files open.
    pub(crate) fn pinned_bytes(&self) -> u64 {
        let deleted = self.segments.iter().filter(|segment| self.gone || segment.unlinked);
        deleted.filter_map(|segment| segment.stat().ok()).map(|stat| stat.size).sum()
    }

    /// Lets go of the oldest deleted file; what was not read of it is lost, in bytes. `None`: there is none.
    pub(crate) fn let_go(&mut self, framer: &mut Framer) -> Option<u64> {
        if !(self.gone || self.segments.front()?.unlinked) {
            return None;
        }
        let mut segment = self.segments.pop_front()?;
        self.reading = None;
        self.joiner = Joiner::new(self.joiner.cap());
        let size = segment.stat().map_or(segment.offset, |stat| stat.size);
        let end = Position { stdout: size, stderr: size };
        framer.cover(segment.cover(&self.key, end, SegmentState::Gone));
        Some(size.saturating_sub(segment.offset))
    }

    pub(crate) fn open_files(&self) -> usize {
        self.segments.len()
    }

    pub(crate) fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// Whether time alone may change what a turn does.
    pub(crate) fn needs_ticks(&self) -> bool {
        let unlinked = self.segments.front().is_some_and(|segment| segment.unlinked);
        self.polled
            || self.activity.hot
            || self.gone
            || unlinked
            || self.segments.len() > 1
            || self.is_waiting()
    }

    /// Says once that something cannot be read; it is tried again at every scan.
    fn refuse(&mut self, path: PathBuf, error: &io::Error, metrics: &Metrics) {
        metrics.file_errors.inc();
        if !self.refused.contains(&path) {
            tracing::warn!(
                path = %path.display(),
                %error,
                "cannot read a log file, trying again; does the agent run as a user who may read it?"
            );
            self.refused.insert(path);
        }
    }

    /// Reads at most one chunk and hands on its lines.
    pub(crate) fn turn(
        &mut self,
        framer: &mut Framer,
        chunk: &mut [u8],
        context: &Context<'_>,
    ) -> Turn {
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
                Err(error) => {
                    let path = self.segments[0].path.clone();
                    if !self.segments[0].is_compressed() {
                        self.refuse(path, &error, context.metrics);
                        return Turn::Idle;
                    }
                    // It will not become better, and what is behind it waits.
                    tracing::warn!(
                        path = %path.display(),
                        %error,
                        "a compressed log file is corrupt; what it holds behind this place is lost"
                    );
                    context.metrics.lost_records.get_or_create(&CORRUPT).inc();
                    framer.begin(&self.key, &resource);
                    self.joiner.flush(&mut |line| framer.push(line));
                    self.finish(framer);
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
    ) -> io::Result<bool> {
        let segment = &mut self.segments[0];
        let size = segment.stat()?.size;
        if size < segment.offset {
            tracing::warn!(
                path = %segment.path.display(),
                size,
                offset = segment.offset,
                "a log file was truncated, reading it from its beginning"
            );
            context.metrics.truncated_files.inc();
            (segment.offset, segment.seen) = (0, 0);
            framer.begin(&self.key, resource);
            self.joiner.flush(&mut |line| framer.push(line));
            self.joiner.begin_segment(Position::default());
        }
        if size == segment.seen {
            return Ok(false);
        }
        if self.reading.is_none() {
            self.reading = Some(segment.id);
            self.joiner.begin_segment(segment.covered);
        }
        let Filled { len, at_end } = segment.read(chunk)?;
        if len == 0 {
            // The last read filled the chunk to the file's last byte.
            segment.seen = segment.offset;
            return Ok(false);
        }
        framer.begin(&self.key, resource);
        let used =
            consume(&mut self.joiner, &chunk[..len], segment.offset, at_end, framer, context);
        segment.advance(&chunk[..len], used, at_end);
        context.metrics.read_bytes.inc_by(used as u64);
        self.cover(framer, SegmentState::Open);
        Ok(used > 0)
    }

    /// Tells what is covered of segments that are not being read.
    fn tell(&mut self, framer: &mut Framer) {
        // Lines that began in segments before this one are told: those are covered to their ends.
        if !self.joiner.has_carried() {
            for cover in self.left.drain(..) {
                framer.cover(cover);
            }
        }
        for cover in self.forgotten.drain(..) {
            framer.cover(cover);
        }
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
        let Ok(stat) = self.segments[0].stat() else {
            return true;
        };
        match SystemTime::now().duration_since(stat.modified) {
            Ok(still) => still >= GRACE && stat.size == self.segments[0].seen,
            // A clock that was set back: the segment's age cannot be known, its size must do.
            Err(ahead) => ahead.duration() > GRACE && stat.size == self.segments[0].seen,
        }
    }

    /// Leaves the first segment; a last line without a newline is delivered.
    fn leave(
        &mut self,
        framer: &mut Framer,
        chunk: &mut [u8],
        resource: &Arc<[u8]>,
        context: &Context<'_>,
    ) {
        let Some(segment) = self.segments.front_mut() else {
            return;
        };
        framer.begin(&self.key, resource);
        if segment.seen > segment.offset
            && let Ok(Filled { len, at_end }) = segment.read(chunk)
        {
            let emit = &mut |line: Line<'_>| framer.push(line);
            if self.joiner.is_long() {
                self.joiner.extend_long(&chunk[..len]);
            } else {
                self.joiner.whole(&chunk[..len], segment.offset, emit);
            }
            segment.advance(&chunk[..len], len, at_end);
            context.metrics.read_bytes.inc_by(len as u64);
        }
        let emit = &mut |line: Line<'_>| framer.push(line);
        self.joiner.close_long(emit);
        let restart = segment.id.restart;
        let goes_on = self.segments.get(1).is_some_and(|next| next.id.restart == restart);
        if !goes_on {
            self.joiner.flush(emit);
        }
        // While a line is open that began in it, the segment is covered up to there; to its end, once that line is told.
        self.cover(framer, SegmentState::Open);
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

/// Nothing needs to be remembered of a segment.
pub(crate) fn gone(key: &StreamKey, segment: SegmentId) -> Cover {
    let (position, fingerprint) = (Position::default(), Fingerprint::default());
    let (stream, from) = (key.clone(), position);
    Cover { stream, segment, from, position, fingerprint, state: SegmentState::Gone }
}

/// Hands on the whole lines of a chunk that was read at `base`; how many of its bytes are done with.
fn consume(
    joiner: &mut Joiner,
    chunk: &[u8],
    base: u64,
    at_end: bool,
    framer: &mut Framer,
    context: &Context<'_>,
) -> usize {
    let mut start = 0;
    if joiner.is_long() {
        let Some(newline) = memchr::memchr(b'\n', chunk) else {
            joiner.extend_long(chunk);
            return chunk.len();
        };
        joiner.extend_long(&chunk[..newline]);
        joiner.close_long(&mut |line| framer.push(line));
        start = newline + 1;
    }
    loop {
        if chunk.get(start) == Some(&0) {
            // A hole that a power cut left; no runtime begins a line with NUL.
            let run = chunk[start..].iter().take_while(|byte| **byte == 0).count();
            context.metrics.lost_bytes.get_or_create(&NUL).inc_by(run as u64);
            start += run;
        }
        let Some(len) = memchr::memchr(b'\n', &chunk[start..]) else {
            break;
        };
        let line = &chunk[start..start + len];
        joiner.whole(line, base + start as u64, &mut |line| framer.push(line));
        start += len + 1;
    }
    if start == 0 && !at_end {
        joiner.open_long(chunk, base);
        start = chunk.len();
    }
    start
}
