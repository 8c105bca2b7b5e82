//! The store: log requests on disk, bounded by bytes and age, in the order of their arrival.
//!
//! In: `ExportLogsServiceRequest`s. Out: the same, to any number of readers ([`crate::query`]).
//!
//! ```text
//! DIR/lock                       held (flock) by the one process that may use the folder
//! DIR/00000000000000000001.seg   a spool segment; its name is the number of its first frame
//! ```
//!
//! What always holds:
//! - A request is answered only when the kernel has its frame: a killed process loses nothing that it answered.
//!   Files are synced about once a second and at shutdown: a power cut loses at most what came in since.
//! - All files together never exceed `max_bytes`; the oldest goes first, and is counted.
//! - Segments are only ever appended to and unlinked. After a restart a new one is begun.
//! - Damage costs the frame that it is in, and is said and counted.

mod frame;
mod segments;

use std::collections::{HashSet, VecDeque};
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hawsepipe_model::codec::CodecError;
use hawsepipe_spool::segment::{
    FILE_HEADER_BYTES, FRAME_HEADER_BYTES, SegmentError, SegmentReader, SegmentWriter,
};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use parking_lot::Mutex;
use prost::Message;
use tokio::sync::watch;

pub use self::frame::ContainerName;
use self::frame::NewFrame;
pub(crate) use self::frame::{FrameMeta, container_name, open as open_frame};
pub(crate) use self::segments::Segment;
use crate::metrics::{Metrics, ReasonLabel};

/// The least that a store may be bounded to.
pub const MIN_MAX_BYTES: u64 = 1 << 20;
/// The store is made of at least this many segments, so that letting one go costs little.
const SEGMENTS: u64 = 16;
/// The largest segment, whatever the bound.
const MAX_SEGMENT_BYTES: u64 = 64 << 20;

/// Where the store is, and how large it may get.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The folder; made if it is not there.
    pub path: PathBuf,
    /// Most bytes of all files together, at least [`MIN_MAX_BYTES`].
    pub max_bytes: u64,
    /// How long records are kept after they came in.
    pub max_age: Duration,
}

impl Settings {
    fn io(&self, what: &'static str, source: io::Error) -> StoreError {
        StoreError::Io { what, path: self.path.clone(), source }
    }
}

/// What can go wrong with the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file system refuses.
    #[error("cannot {what} the store {}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// The store's folder.
        path: PathBuf,
        /// The file system's word.
        source: io::Error,
    },
    /// Another process uses the folder.
    #[error("the store {} is in use by another process; stop it or choose another folder", path.display())]
    InUse {
        /// The store's folder.
        path: PathBuf,
    },
    /// The bound is too small to be one.
    #[error(
        "the store's bound of {max_bytes} bytes is too small; at least {MIN_MAX_BYTES} are needed"
    )]
    Bound {
        /// The bound.
        max_bytes: u64,
    },
    /// A request is larger than the store.
    #[error("the request takes {bytes} bytes, more than the whole store may hold ({max_bytes})")]
    TooLarge {
        /// Its size when compressed.
        bytes: u64,
        /// The store's bound.
        max_bytes: u64,
    },
    /// A request cannot be compressed.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

/// How far the store is filled: everything before `end` of `segment` is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Head {
    /// The segment written last, 0 if there is none.
    pub(crate) segment: u64,
    /// The end of its last frame.
    pub(crate) end: u64,
}

/// The store; clones are the same one.
#[derive(Debug, Clone)]
pub(crate) struct Store(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: Settings,
    segment_bytes: u64,
    metrics: Metrics,
    state: Mutex<State>,
    head: watch::Sender<Head>,
    _lock: File,
}

#[derive(Debug)]
struct State {
    segments: VecDeque<Segment>,
    /// Writes the last of `segments`; none before the first frame after a start or a roll.
    writer: Option<SegmentWriter>,
    next_sequence: u64,
    bytes: u64,
    /// Every container name once.
    names: HashSet<Arc<ContainerName>>,
    unsynced: Vec<Unsynced>,
    /// While the last write failed.
    write_error: Option<String>,
    /// While the last sync failed.
    sync_error: Option<String>,
}

/// A file with frames that the disk may not have yet.
#[derive(Debug)]
struct Unsynced {
    segment: u64,
    file: File,
}

/// The store in numbers.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StoreStatus {
    /// Its folder.
    pub path: PathBuf,
    /// Bytes of its files.
    pub bytes: u64,
    /// Their bound.
    pub max_bytes: u64,
    /// How long records are kept, in seconds.
    pub max_age_seconds: u64,
    /// Its files.
    pub segments: usize,
    /// Log records that it holds.
    pub records: u64,
    /// Containers that these come from, as far as they are listed.
    pub containers: usize,
    /// When the oldest came in, nanoseconds since the epoch.
    pub oldest_received_unix_nano: Option<u64>,
    /// When the newest came in, nanoseconds since the epoch.
    pub newest_received_unix_nano: Option<u64>,
    /// Why the last write or sync failed, if it did.
    pub last_error: Option<String>,
}

// === impl Store ===

/// What of the disk goes wrong.
#[derive(Debug, Clone, Copy)]
enum Trouble {
    Write,
    Sync,
}

impl Trouble {
    const fn consequence(self) -> &'static str {
        match self {
            Self::Write => "senders are told to try again",
            Self::Sync => "a power cut may now lose records",
        }
    }

    const fn over(self) -> &'static str {
        match self {
            Self::Write => "the store can be written again",
            Self::Sync => "the store can be synced again",
        }
    }
}

impl Store {
    /// Opens the store, or makes it.
    ///
    /// # Errors
    /// When the folder cannot be used, or another process uses it.
    pub(crate) fn open(settings: Settings, metrics: Metrics) -> Result<Self, StoreError> {
        if settings.max_bytes < MIN_MAX_BYTES {
            return Err(StoreError::Bound { max_bytes: settings.max_bytes });
        }
        fs::create_dir_all(&settings.path).map_err(|source| settings.io("make", source))?;
        let lock = File::create(settings.path.join("lock"))
            .map_err(|source| settings.io("write to", source))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::InUse { path: settings.path });
            }
            Err(TryLockError::Error(source)) => return Err(settings.io("lock", source)),
        }
        let found = segments::load(&settings, &metrics)?;
        let head = found.segments.iter().rev().find(|segment| segment.readable);
        let head =
            head.map_or(Head::default(), |newest| Head { segment: newest.id, end: newest.bytes });
        let segment_bytes = (settings.max_bytes / SEGMENTS).min(MAX_SEGMENT_BYTES);
        let mut state = State {
            bytes: found.segments.iter().map(|segment| segment.bytes).sum(),
            segments: found.segments,
            writer: None,
            next_sequence: found.next_sequence,
            names: found.names,
            unsynced: Vec::new(),
            write_error: None,
            sync_error: None,
        };
        state.make_room(0, settings.max_bytes, &metrics);
        state.gauge(&metrics);
        Ok(Self(Arc::new(Inner {
            segment_bytes,
            state: Mutex::new(state),
            head: watch::Sender::new(head),
            settings,
            metrics,
            _lock: lock,
        })))
    }

    /// Appends a request; when this returns, the kernel has it. Blocks.
    ///
    /// # Errors
    /// When the request is larger than the store or cannot be written; it is then not there.
    pub(crate) fn append(&self, request: &ExportLogsServiceRequest) -> Result<(), StoreError> {
        let frame = NewFrame::new(request, now_unix_nano())?;
        let result = self.write(frame);
        match &result {
            Ok(()) => self.note(Trouble::Write, None),
            Err(error @ StoreError::Io { .. }) => {
                self.0.metrics.write_errors.inc();
                self.note(Trouble::Write, Some(error.to_string()));
            }
            // It says something of the request, nothing of the disk.
            Err(_) => {}
        }
        result
    }

    fn write(&self, mut frame: NewFrame) -> Result<(), StoreError> {
        let Inner { settings, metrics, .. } = &*self.0;
        let mut state = self.0.state.lock();
        frame.meta.sequence = state.next_sequence;
        let meta = frame.meta.encode_to_vec();
        let bytes = FRAME_HEADER_BYTES + (meta.len() + frame.body.len()) as u64;
        if FILE_HEADER_BYTES + bytes > settings.max_bytes {
            return Err(StoreError::TooLarge { bytes, max_bytes: settings.max_bytes });
        }
        if state.must_roll(bytes, self.0.segment_bytes, settings.max_age) {
            state.writer = None;
        }
        let new_file = state.writer.is_none();
        let header = if new_file { FILE_HEADER_BYTES } else { 0 };
        state.make_room(header + bytes, settings.max_bytes, metrics);
        let head =
            state.put(settings, &frame.meta, &meta, &frame.body).map_err(|error| match error {
                SegmentError::Io(source) => settings.io("write to", source),
                other => settings.io("write to", io::Error::other(other)),
            })?;
        state.gauge(metrics);
        // Under the lock, so that the head never goes back.
        self.0.head.send_replace(head);
        Ok(())
    }

    /// Lets go what is too old.
    pub(crate) fn expire(&self) {
        let max_age = u64::try_from(self.0.settings.max_age.as_nanos()).unwrap_or(u64::MAX);
        let oldest = now_unix_nano().saturating_sub(max_age);
        let mut state = self.0.state.lock();
        while state.segments.front().is_some_and(|segment| segment.last_received < oldest) {
            state.drop_oldest("age", &self.0.metrics);
        }
        state.gauge(&self.0.metrics);
    }

    /// Waits until the disk has what was appended before. Blocks.
    pub(crate) fn sync(&self) {
        let unsynced = std::mem::take(&mut self.0.state.lock().unsynced);
        if unsynced.is_empty() {
            return;
        }
        // The folder too: a file whose name is lost is lost.
        let result = unsynced
            .iter()
            .try_for_each(|unsynced| unsynced.file.sync_data())
            .and_then(|()| File::open(&self.0.settings.path)?.sync_all());
        let error = result.err().map(|source| {
            self.0.metrics.write_errors.inc();
            // Once more with the next ones.
            self.0.state.lock().unsynced.extend(unsynced);
            self.0.settings.io("sync", source).to_string()
        });
        self.note(Trouble::Sync, error);
    }

    /// Keeps and says what goes wrong, one line a problem, not one a request.
    fn note(&self, trouble: Trouble, error: Option<String>) {
        let mut state = self.0.state.lock();
        let last = match trouble {
            Trouble::Write => &mut state.write_error,
            Trouble::Sync => &mut state.sync_error,
        };
        match (&*last, &error) {
            (None, Some(error)) => tracing::error!(%error, "{}", trouble.consequence()),
            (Some(_), None) => tracing::info!("{}", trouble.over()),
            _ => {}
        }
        *last = error;
    }

    /// How far the store is filled, now and later.
    pub(crate) fn head(&self) -> watch::Receiver<Head> {
        self.0.head.subscribe()
    }

    /// What `look` makes of the segments, oldest first.
    pub(crate) fn segments<T>(&self, look: impl FnOnce(&VecDeque<Segment>) -> T) -> T {
        look(&self.0.state.lock().segments)
    }

    /// Opens the segment `id`; `None` if it is gone.
    pub(crate) fn reader(&self, id: u64) -> Result<Option<SegmentReader>, StoreError> {
        let path = Segment::new(&self.0.settings.path, id).path;
        match SegmentReader::open(&path, id) {
            Ok(reader) => Ok(Some(reader)),
            Err(SegmentError::Io(error)) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.broken(error)),
        }
    }

    /// Where the frames of segment `id` end, also after it was let go.
    pub(crate) fn end_of(&self, id: u64, reader: &SegmentReader) -> Result<u64, StoreError> {
        let known = self.segments(|segments| {
            let found = segments.iter().find(|segment| segment.id == id);
            found.map(|segment| segment.bytes)
        });
        let len = || reader.file_len().map_err(|source| self.0.settings.io("read", source));
        known.map_or_else(len, Ok)
    }

    /// The error of a reader, as one of the store.
    pub(crate) fn broken(&self, error: SegmentError) -> StoreError {
        let source = match error {
            SegmentError::Io(source) => source,
            other => io::Error::other(other),
        };
        self.0.settings.io("read", source)
    }

    /// The store's counters.
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// The store in numbers.
    pub(crate) fn status(&self) -> StoreStatus {
        let state = self.0.state.lock();
        let with_records = || state.segments.iter().filter(|segment| segment.frames > 0);
        StoreStatus {
            path: self.0.settings.path.clone(),
            bytes: state.bytes,
            max_bytes: self.0.settings.max_bytes,
            max_age_seconds: self.0.settings.max_age.as_secs(),
            segments: state.segments.len(),
            records: state.segments.iter().map(|segment| segment.records).sum(),
            containers: state.names.len(),
            oldest_received_unix_nano: with_records().map(|segment| segment.first_received).min(),
            newest_received_unix_nano: with_records().map(|segment| segment.last_received).max(),
            last_error: state.write_error.as_ref().or(state.sync_error.as_ref()).cloned(),
        }
    }
}

// === impl State ===

impl State {
    /// Whether a frame of `bytes` belongs into a new segment. A quiet store rolls by age, so that old records do not stay
    /// because new ones stand in the same file.
    fn must_roll(&self, bytes: u64, segment_bytes: u64, max_age: Duration) -> bool {
        let (Some(writer), Some(segment)) = (&self.writer, self.segments.back()) else {
            return false;
        };
        let age = u64::try_from(max_age.as_nanos()).unwrap_or(u64::MAX) / SEGMENTS;
        let old = now_unix_nano().saturating_sub(segment.first_received) > age;
        !writer.is_empty() && (old || writer.len() + bytes > segment_bytes)
    }

    /// Lets the oldest segments go until `bytes` more fit.
    fn make_room(&mut self, bytes: u64, max_bytes: u64, metrics: &Metrics) {
        while self.bytes + bytes > max_bytes && !self.segments.is_empty() {
            self.drop_oldest("bytes", metrics);
        }
    }

    fn drop_oldest(&mut self, reason: &'static str, metrics: &Metrics) {
        let Some(segment) = self.segments.pop_front() else {
            return;
        };
        if self.segments.is_empty() {
            self.writer = None;
        }
        if let Err(error) = fs::remove_file(&segment.path) {
            tracing::error!(path = %segment.path.display(), %error, "cannot delete a segment");
        }
        self.bytes -= segment.bytes;
        let label = ReasonLabel { reason };
        metrics.dropped_segments.get_or_create(&label).inc();
        metrics.dropped_bytes.get_or_create(&label).inc_by(segment.bytes);
        metrics.dropped_records.get_or_create(&label).inc_by(segment.records);
        drop(segment);
        self.names.retain(|name| Arc::strong_count(name) > 1);
    }

    fn put(
        &mut self,
        settings: &Settings,
        meta: &FrameMeta,
        encoded: &[u8],
        body: &[u8],
    ) -> Result<Head, SegmentError> {
        if self.writer.is_none() {
            let segment = Segment::new(&settings.path, self.next_sequence);
            let writer = SegmentWriter::create(&segment.path, segment.id)?;
            self.bytes += segment.bytes;
            self.segments.push_back(segment);
            self.writer = Some(writer);
        }
        let (Some(writer), Some(segment)) = (&mut self.writer, self.segments.back_mut()) else {
            return Err(io::Error::other("no segment to write to").into());
        };
        writer.append(encoded, body)?;
        self.next_sequence += 1;
        self.bytes += writer.len() - segment.bytes;
        segment.bytes = writer.len();
        segment.note(meta, &mut self.names);
        let known = self.unsynced.iter().any(|unsynced| unsynced.segment == segment.id);
        // Without a file descriptor to spare, the next frame tries again: this one is written, and must not fail.
        if !known && let Ok(file) = writer.file() {
            self.unsynced.push(Unsynced { segment: segment.id, file });
        }
        Ok(Head { segment: segment.id, end: segment.bytes })
    }

    fn gauge(&self, metrics: &Metrics) {
        metrics.store_bytes.set(self.bytes);
        metrics.store_segments.set(i64::try_from(self.segments.len()).unwrap_or(i64::MAX));
    }
}

/// Now, in nanoseconds since the epoch.
pub(crate) fn now_unix_nano() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}
