//! Lines to frames: encode, compress, put into the queue.
//!
//! In: lines of one stream after another. Out: frames of about [`FRAME_BYTES`], each with the positions that it
//! covers. Always: a position that a frame covers stands behind all its lines, so that data and cursor travel
//! together.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use hawsepipe_model::codec::{CodecError, Compressor};
use hawsepipe_model::otlp::{LogRecord, LogsRequest, Marks};
use hawsepipe_model::{AppendError, Cover, Frame, FrameSink, PreferredCodec, Signal, StreamKey};

use crate::join::Line;
use crate::metrics::{CUT, Metrics, NOT_SPOOLED};

/// A frame is closed when it has this many bytes before compression: the largest read that may still follow keeps it
/// within about 1 MiB, far below the 4 MiB that gRPC servers take by default.
pub(crate) const FRAME_BYTES: usize = 768 << 10;
/// A frame that is not full is closed at this age: what a line waits for company at most.
pub(crate) const FRAME_AGE: Duration = Duration::from_millis(500);

/// Builds frames.
pub(crate) struct Framer {
    request: LogsRequest,
    covers: Vec<Cover>,
    /// The stream and the resource whose block is open in the request.
    open: Option<(StreamKey, Arc<[u8]>)>,
    since: Option<Instant>,
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
            open: None,
            since: None,
            observed_time_unix_nano: 0,
            compressor: Compressor::new()?,
            codec,
            sink,
            metrics,
        })
    }

    /// The lines that follow are of this stream and resource.
    pub(crate) fn begin(&mut self, stream: &StreamKey, resource: &Arc<[u8]>) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.observed_time_unix_nano = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        let same = self
            .open
            .as_ref()
            .is_some_and(|(key, bytes)| key == stream && Arc::ptr_eq(bytes, resource));
        if !same {
            self.request.begin_resource(resource);
            self.open = Some((stream.clone(), Arc::clone(resource)));
        }
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
        if self.since.is_none() {
            self.since = Some(Instant::now());
        }
    }

    fn count(&self, marks: Marks, lost: u64) {
        if marks.original_bytes.is_some() {
            self.metrics.lost_bytes.get_or_create(&CUT).inc_by(lost);
            self.metrics.lost_records.get_or_create(&CUT).inc();
        }
        if marks.invalid_utf8 {
            self.metrics.invalid_utf8.inc();
        }
        if marks.unparsed {
            self.metrics.unparsed.inc();
        }
    }

    /// Everything of the segment before the cover's position is in the frame, or in one before it. It travels with the
    /// next frame that has a line.
    pub(crate) fn cover(&mut self, cover: Cover) {
        let same =
            |known: &&mut Cover| known.segment == cover.segment && known.stream == cover.stream;
        match self.covers.iter_mut().rev().find(same) {
            Some(known) => *known = Cover { from: known.from, ..cover },
            None => self.covers.push(cover),
        }
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

    /// Closes the frame and puts it into the queue, waiting for room until `stopped` says so.
    ///
    /// # Errors
    /// When the frame cannot be compressed, or never fits.
    pub(crate) fn flush(&mut self, stopped: &dyn Fn() -> bool) -> Result<(), FlushError> {
        self.since = None;
        self.open = None;
        if self.request.is_empty() {
            self.request.clear();
            return Ok(());
        }
        let codec = self.codec.get();
        let records = self.request.records();
        let bytes = self.request.finish();
        let uncompressed_len = bytes.len();
        let covers = std::mem::take(&mut self.covers);
        let packed = self.compressor.compress(codec, bytes).map_err(FlushError::from);
        self.request.clear();
        let appended = packed.and_then(|payload| {
            let (signal, payload) = (Signal::Logs, Bytes::from(payload));
            let len = payload.len() as u64;
            let frame = Frame { signal, codec, uncompressed_len, records, payload, covers };
            self.append(frame, stopped).map(|()| len)
        });
        let len = appended.inspect_err(|_| {
            self.metrics.lost_bytes.get_or_create(&NOT_SPOOLED).inc_by(uncompressed_len as u64);
            self.metrics.lost_records.get_or_create(&NOT_SPOOLED).inc_by(records);
        })?;
        self.metrics.records.inc_by(records);
        self.metrics.frames.inc();
        self.metrics.frame_bytes.inc_by(len);
        Ok(())
    }

    fn append(&self, mut frame: Frame, stopped: &dyn Fn() -> bool) -> Result<(), FlushError> {
        loop {
            match self.sink.append(frame) {
                Ok(()) => return Ok(()),
                Err(AppendError::Full(back)) if !stopped() => {
                    self.sink.wait_for_room(back.cost(), Duration::from_millis(100));
                    frame = back;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Why a frame did not get into the queue.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FlushError {
    #[error(transparent)]
    Compress(#[from] CodecError),
    #[error(transparent)]
    Append(#[from] AppendError),
}

/// Without the last character, where the cut went through it.
fn whole_characters(content: &[u8]) -> &[u8] {
    match std::str::from_utf8(content) {
        Err(error) if error.error_len().is_none() => &content[..error.valid_up_to()],
        _ => content,
    }
}
