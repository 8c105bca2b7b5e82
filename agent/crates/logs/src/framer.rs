//! Lines to frames: encode, compress, put into the queue.
//!
//! In: lines of one stream after another, how far they were read, and what was lost on the way. Out: frames of about
//! [`FRAME_BYTES`], each with the positions that it covers; notes, where there is something to remember and no line.
//! Always: a position that a frame covers stands behind all its lines, and a loss travels with the position that passes over
//! it; what the queue does not take is kept and tried again: one frame, and notes that are summed up meanwhile.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use hawsepipe_model::codec::{CodecError, Compressor};
use hawsepipe_model::otlp::{LogRecord, LogsRequest, Marks};
use hawsepipe_model::{
    AppendError, Cover, Extent, Frame, FrameSink, Ledger, Loss, LossReason, Position,
    PreferredCodec, Signal, StreamKey, Tally,
};

use crate::join::Line;
use crate::metrics::Metrics;

/// A frame is closed when it has this many bytes before compression: the largest read that may still follow keeps it
/// within about 1 MiB, far below the 4 MiB that gRPC servers take by default.
pub(crate) const FRAME_BYTES: usize = 768 << 10;
/// A frame that is not full is closed at this age: what a line waits for company at most.
pub(crate) const FRAME_AGE: Duration = Duration::from_millis(500);
/// Covers in a note: what a first start passes over on a node with ten thousand folders goes in several.
const NOTE_COVERS: usize = 4096;

/// Builds frames.
pub(crate) struct Framer {
    request: LogsRequest,
    covers: Vec<Cover>,
    tallies: Vec<Tally>,
    /// Which of them is that of the stream that was begun.
    tally: usize,
    losses: Ledger,
    replaces: Vec<u64>,
    /// The stream and the resource whose block is open in the request.
    open: Option<(StreamKey, Arc<[u8]>)>,
    since: Option<Instant>,
    /// A frame that the queue had no room for.
    stuck: Option<Frame>,
    observed_time_unix_nano: u64,
    compressor: Compressor,
    codec: Arc<PreferredCodec>,
    sink: Arc<dyn FrameSink>,
    metrics: Metrics,
}

impl Framer {
    pub(crate) fn new(
        sink: Arc<dyn FrameSink>,
        codec: Arc<PreferredCodec>,
        metrics: Metrics,
    ) -> Result<Self, CodecError> {
        Ok(Self {
            request: LogsRequest::with_capacity(FRAME_BYTES * 2),
            covers: Vec::new(),
            tallies: Vec::new(),
            tally: 0,
            losses: Ledger::default(),
            replaces: Vec::new(),
            open: None,
            since: None,
            stuck: None,
            observed_time_unix_nano: 0,
            compressor: Compressor::new()?,
            codec,
            sink,
            metrics,
        })
    }

    /// The lines that follow are of this stream and resource.
    pub(crate) fn begin(&mut self, stream: &StreamKey, resource: &Arc<[u8]>) {
        self.observed_time_unix_nano = now();
        let same = self
            .open
            .as_ref()
            .is_some_and(|(key, bytes)| key == stream && Arc::ptr_eq(bytes, resource));
        if same {
            return;
        }
        self.request.begin_resource(resource);
        self.open = Some((stream.clone(), Arc::clone(resource)));
        let known = self.tallies.iter().position(|tally| tally.stream == *stream);
        self.tally = known.unwrap_or_else(|| {
            self.tallies.push(Tally { stream: stream.clone(), records: 0, bytes: 0 });
            self.tallies.len() - 1
        });
    }

    /// One line of the stream that was begun.
    pub(crate) fn push(&mut self, line: Line<'_>) {
        let truncated = line.original > line.content.len() as u64;
        let content = if truncated { whole_characters(line.content) } else { line.content };
        let body = match std::str::from_utf8(content) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => String::from_utf8_lossy(content),
        };
        let marks = Marks {
            original_bytes: truncated.then_some(line.original),
            invalid_utf8: matches!(body, Cow::Owned(_)),
            unparsed: line.stream.is_none(),
        };
        if marks != Marks::default() {
            self.count(marks, line.original - content.len() as u64);
        }
        self.request.push(&LogRecord {
            time_unix_nano: line.time_unix_nano,
            observed_time_unix_nano: self.observed_time_unix_nano,
            stream: line.stream,
            body: &body,
            marks,
        });
        if let Some(tally) = self.tallies.get_mut(self.tally) {
            tally.records += 1;
            tally.bytes += body.len() as u64;
        }
        self.hasten();
    }

    fn count(&mut self, marks: Marks, lost: u64) {
        if marks.original_bytes.is_some()
            && let Some((stream, _)) = &self.open
        {
            let extent = Extent::known(1, lost);
            self.lose(&Loss::of_stream(stream, LossReason::RecordTooLarge, extent));
        }
        if marks.invalid_utf8 {
            self.metrics.invalid_utf8.inc();
        }
        if marks.unparsed {
            self.metrics.unparsed.inc();
        }
    }

    /// Everything of the segment before the cover's position is in the frame, or in one before it, or lost. It travels
    /// with the next frame that has a line, or with a note.
    pub(crate) fn cover(&mut self, cover: Cover) {
        let same =
            |known: &&mut Cover| known.segment == cover.segment && known.stream == cover.stream;
        match self.covers.iter_mut().rev().find(same) {
            // The smaller one: a file that became shorter begins anew.
            Some(known) => *known = Cover { from: smaller(known.from, cover.from), ..cover },
            None => self.covers.push(cover),
        }
    }

    /// Something was lost. It travels with the covers that are there by then, soon, be there lines or not.
    pub(crate) fn lose(&mut self, loss: &Loss) {
        self.losses.add(loss, now());
        self.hasten();
    }

    /// What is covered must be in the queue soon, be there lines or not.
    pub(crate) fn hasten(&mut self) {
        self.since.get_or_insert_with(Instant::now);
    }

    /// What the frame at hand holds of a stream.
    pub(crate) fn tally(&self, stream: &StreamKey) -> (u64, u64) {
        let found = self.tallies.iter().find(|tally| tally.stream == *stream);
        found.map_or((0, 0), |tally| (tally.records, tally.bytes))
    }

    /// Losses at hand are known to the queue already.
    pub(crate) fn forget_losses(&mut self) {
        self.losses = Ledger::default();
    }

    /// Whether the frame has its size.
    pub(crate) fn is_full(&self) -> bool {
        self.request.len() >= FRAME_BYTES
    }

    /// When the frame must be closed, if there is anything in it.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.since.map(|since| since + FRAME_AGE)
    }

    /// Bytes that the sink must have room for before more is read: the frame at hand, should it not compress, and the
    /// largest read that may still go into it.
    pub(crate) fn needed(&self, max_record_bytes: usize) -> usize {
        self.request.len() + FRAME_BYTES + max_record_bytes
    }

    /// Whether a frame waits for the queue to have room.
    pub(crate) fn is_stuck(&self) -> bool {
        self.stuck.is_some()
    }

    /// Closes the frame and puts it into the queue. What the queue does not take now is tried again at the next call, and
    /// nothing overtakes it; if there is none, it is not lost: its positions are not told either.
    pub(crate) fn flush(&mut self) {
        let mut frame = self.stuck.take().unwrap_or_else(|| self.pack());
        while !(frame.is_note() && frame.covers.is_empty() && frame.losses.is_empty()) {
            frame = match self.append(frame) {
                // What came while it was stuck.
                Ok(()) => self.pack(),
                Err(AppendError::Full(back)) if back.is_note() => return self.put_back(back),
                Err(AppendError::Full(back)) => {
                    self.overtake(&back);
                    self.stuck = Some(back);
                    return;
                }
                Err(AppendError::TooLarge { frame: back, .. }) if back.is_note() => {
                    return self.put_back(back);
                }
                Err(AppendError::TooLarge { frame: back, needed, capacity }) => {
                    let records = back.records;
                    tracing::error!(
                        records,
                        needed,
                        capacity,
                        "the spool can never hold a frame of logs, it is lost; raise spool.files.maxBytes"
                    );
                    back.given_up(LossReason::NotSpooled)
                }
            }
        }
    }

    /// What is said of other files than those in the frame that is stuck needs no room and does not wait behind it: the disk
    /// may be full for long, and the agent killed meanwhile.
    fn overtake(&mut self, stuck: &Frame) {
        let waits = |cover: &Cover| {
            let same =
                |other: &Cover| other.segment == cover.segment && other.stream == cover.stream;
            stuck.covers.iter().any(same)
        };
        if self.request.records() > 0 || !self.losses.is_empty() || self.covers.iter().all(waits) {
            return;
        }
        let (waiting, others) = std::mem::take(&mut self.covers).into_iter().partition(waits);
        self.covers = waiting;
        if let Err(AppendError::Full(note) | AppendError::TooLarge { frame: note, .. }) =
            self.append(Frame::note(others, Vec::new(), Vec::new()))
        {
            self.covers.extend(note.covers);
        }
    }

    /// Puts what is at hand into the queue in the place of a frame that was damaged there; false when the disk is full and
    /// it must be tried again.
    pub(crate) fn replace(&mut self, id: u64) -> bool {
        self.replaces.push(id);
        let mut frame = self.pack();
        loop {
            frame = match self.append(frame) {
                Ok(()) => return true,
                Err(AppendError::TooLarge { frame, .. }) if !frame.is_note() => {
                    frame.given_up(LossReason::NotSpooled)
                }
                Err(_) => return false,
            };
        }
    }

    /// A frame, or a note, of what is at hand.
    fn pack(&mut self) -> Frame {
        (self.since, self.open) = (None, None);
        let mut covers = std::mem::take(&mut self.covers);
        let mut tallies = std::mem::take(&mut self.tallies);
        tallies.retain(|tally| tally.records > 0);
        let (losses, replaces) = (self.take_losses(), std::mem::take(&mut self.replaces));
        let records = self.request.records();
        if records == 0 {
            self.request.clear();
            if covers.len() > NOTE_COVERS {
                self.covers = covers.split_off(NOTE_COVERS);
                self.hasten();
            }
            return Frame::note(covers, losses, replaces);
        }
        let codec = self.codec.get();
        let bytes = self.request.finish();
        let uncompressed_len = bytes.len();
        let packed = self.compressor.compress(codec, bytes);
        self.request.clear();
        let (signal, payload) = (Signal::Logs, Bytes::new());
        let frame = Frame {
            signal,
            codec,
            uncompressed_len,
            records,
            payload,
            covers,
            tallies,
            losses,
            replaces,
        };
        match packed {
            Ok(payload) => Frame { payload: Bytes::from(payload), ..frame },
            Err(error) => {
                tracing::error!(%error, records, "cannot compress a frame of logs, it is lost");
                frame.given_up(LossReason::NotSpooled)
            }
        }
    }

    fn append(&self, frame: Frame) -> Result<(), AppendError> {
        let (records, bytes) = (frame.records, frame.payload.len() as u64);
        self.sink.append(frame)?;
        self.metrics.records.inc_by(records);
        if records > 0 {
            self.metrics.frames.inc();
        }
        self.metrics.frame_bytes.inc_by(bytes);
        Ok(())
    }

    /// A note that was not taken goes with the next frame.
    fn put_back(&mut self, mut note: Frame) {
        note.covers.append(&mut self.covers);
        self.covers = note.covers;
        for loss in &note.losses {
            self.losses.add(loss, now());
        }
        self.hasten();
    }

    fn take_losses(&mut self) -> Vec<Loss> {
        let losses = std::mem::take(&mut self.losses);
        let entries = losses.entries();
        let loss = |(key, entry): (&_, &hawsepipe_model::Entry)| {
            let (extent, words) = (entry.extent, Arc::clone(&entry.words));
            Loss { key: Clone::clone(key), extent, words }
        };
        entries.map(loss).collect()
    }
}

fn smaller(a: Position, b: Position) -> Position {
    Position { stdout: a.stdout.min(b.stdout), stderr: a.stderr.min(b.stderr) }
}

/// Nanoseconds since the epoch.
pub(crate) fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}

/// Without the last character, where the cut went through it.
fn whole_characters(content: &[u8]) -> &[u8] {
    match std::str::from_utf8(content) {
        Err(error) if error.error_len().is_none() => &content[..error.valid_up_to()],
        _ => content,
    }
}
