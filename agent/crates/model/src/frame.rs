//! A frame: what travels from a collector through the spool to a destination.
//!
//! A frame holds one complete OTLP export request of one signal, compressed, of at most about 1 MiB
//! before compression, and names the log positions that its records came from. Data and cursor are
//! one thing: whoever stores the frame has stored the position.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::{Codec, Extent, Loss, LossReason};

/// An OpenTelemetry signal. Each has an export service of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Signal {
    /// Log records: `opentelemetry.proto.collector.logs.v1.LogsService`.
    Logs,
    /// Metrics: `opentelemetry.proto.collector.metrics.v1.MetricsService`.
    Metrics,
}

impl Signal {
    /// The word for it, in the config and in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Logs => "logs",
            Self::Metrics => "metrics",
        }
    }
}

/// A container's log stream: the folder under the pods path, `NS_POD_UID/CONTAINER`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamKey(pub Arc<str>);

impl StreamKey {
    /// The namespace and the name of the pod; empty where the folder is not named as a pod's.
    #[must_use]
    pub fn namespace_and_pod(&self) -> (&str, &str) {
        let mut parts = self.0.split('_');
        match (parts.next(), parts.next(), parts.next()) {
            (Some(namespace), Some(pod), Some(_uid)) => (namespace, pod),
            _ => ("", ""),
        }
    }
}

impl fmt::Display for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A plain segment (one file) of a stream, never known by its name alone: inodes are used again, so the
/// birth time and the container's restart number belong to the identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SegmentId {
    /// Restart number of the container, the `N` of `N.log`.
    pub restart: u32,
    /// Device of the file.
    pub device: u64,
    /// Inode of the file.
    pub inode: u64,
    /// Birth time in nanoseconds since the epoch (`statx`), 0 where the file system has none.
    pub born_nanos: i64,
}

/// Where reading of one segment goes on, for each output stream: the offset of the first byte that is not
/// covered. Partial lines of one output interleave with finished lines of the other in one file, so one
/// offset for both would repeat or lose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Position {
    /// First byte whose stdout content is not covered.
    pub stdout: u64,
    /// First byte whose stderr content is not covered.
    pub stderr: u64,
}

impl Position {
    /// The first byte that is not covered for both outputs: where reading resumes.
    #[must_use]
    pub const fn lower(self) -> u64 {
        if self.stdout < self.stderr { self.stdout } else { self.stderr }
    }

    /// The first byte behind everything that is covered for either output.
    #[must_use]
    pub const fn upper(self) -> u64 {
        if self.stdout > self.stderr { self.stdout } else { self.stderr }
    }
}

/// What a segment is known by when the kubelet has compressed it meanwhile: the new file has another inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fingerprint {
    /// CRC32C of the segment's first line, with its time stamp to the nanosecond, or of its first 256 bytes.
    pub head: u32,
    /// CRC32C of the bytes, 256 at most, before [`Position::upper`]; 0 where they are not known.
    pub before: u32,
}

/// What a frame covers of one segment once it is delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cover {
    /// The container's stream.
    pub stream: StreamKey,
    /// The segment of that stream.
    pub segment: SegmentId,
    /// Where the frame begins: the `position` of the cover before it of the same segment, or, for the first one, where
    /// reading of the segment began. What was passed over and counted lies within a cover, never between two.
    pub from: Position,
    /// Where reading goes on after this frame.
    pub position: Position,
    /// What the segment is known by, should it be compressed.
    pub fingerprint: Fingerprint,
    /// What becomes of it.
    pub state: SegmentState,
    /// What stands behind the position, where it was counted.
    pub rest: Option<Rest>,
}

/// What stands in a segment behind a position and waits to be read, counted because the segment may be deleted before that:
/// an agent that finds it gone knows what it held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rest {
    /// Lines and bytes, as they are counted when the segment is lost.
    pub extent: Extent,
    /// The segment's size when it was counted. One that has another size by now has another rest.
    pub end: u64,
}

/// What becomes of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SegmentState {
    /// It is read on.
    #[default]
    Open,
    /// It was read to its end: nothing follows.
    Finished,
    /// It is not on the disk any more: nothing needs to be remembered of it.
    Gone,
}

/// What a frame holds of one stream, so that a frame that is lost can be counted without being opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    /// The container's stream.
    pub stream: StreamKey,
    /// Records of it.
    pub records: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
}

/// One compressed OTLP export request and what it covers.
///
/// A frame without records is a *note*: it carries covers and losses into the queue and is sent to nobody.
#[derive(Clone)]
pub struct Frame {
    /// The signal of the request.
    pub signal: Signal,
    /// How `payload` is compressed.
    pub codec: Codec,
    /// Bytes of the request before compression.
    pub uncompressed_len: usize,
    /// Records in the request.
    pub records: u64,
    /// The compressed export request.
    pub payload: Bytes,
    /// The log positions that the frame covers, at most one for a segment.
    pub covers: Vec<Cover>,
    /// What the frame holds, at most one for a stream. Empty for what did not come from files.
    pub tallies: Vec<Tally>,
    /// What the covers pass over and no frame holds.
    pub losses: Vec<Loss>,
    /// Frames that were damaged in the queue ([`Missing::id`](crate::Missing)) and whose lines are in this one, or in its
    /// losses.
    pub replaces: Vec<u64>,
}

impl Frame {
    /// A note: no records, nothing to send.
    #[must_use]
    pub fn note(covers: Vec<Cover>, losses: Vec<Loss>, replaces: Vec<u64>) -> Self {
        Self {
            signal: Signal::Logs,
            codec: Codec::Identity,
            uncompressed_len: 0,
            records: 0,
            payload: Bytes::new(),
            covers,
            tallies: Vec::new(),
            losses,
            replaces,
        }
    }

    /// Whether it is a note.
    #[must_use]
    pub const fn is_note(&self) -> bool {
        self.records == 0
    }

    /// A note of a frame that cannot be kept: what it held is lost, for this reason.
    #[must_use]
    pub fn given_up(self, reason: LossReason) -> Self {
        let lost = |tally: &Tally| {
            let extent = Extent::known(tally.records, tally.bytes);
            Loss::of_stream(&tally.stream, reason, extent)
        };
        let mut losses = self.losses;
        losses.extend(self.tallies.iter().map(lost));
        Self::note(self.covers, losses, self.replaces)
    }

    /// What the frame costs a queue at most, in bytes: the payload and what is said of it.
    #[must_use]
    pub fn cost(&self) -> usize {
        // A stream's name, numbers, a destination's words: far below this each.
        const SAID: usize = 512;
        let said = 1 + self.covers.len() + self.tallies.len() + self.losses.len();
        self.payload.len() + said * SAID
    }
}

/// Payloads are log lines of a company: they never appear in a debug dump.
impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame")
            .field("signal", &self.signal)
            .field("codec", &self.codec)
            .field("uncompressed_len", &self.uncompressed_len)
            .field("records", &self.records)
            .field("payload_len", &self.payload.len())
            .field("covers", &self.covers.len())
            .field("losses", &self.losses)
            .finish()
    }
}
