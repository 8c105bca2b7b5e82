//! What a lane writes into its segments: the metas of frames, acknowledgements, snapshots. Protobuf messages, so that a
//! reader of another version overlooks what it does not know. Tags are for ever.
//!
//! In: the model's types. Out: bytes, and back. Nothing here knows what a payload is.

use std::sync::Arc;

use hawsepipe_model::{
    Codec, Cover, Entry, Extent, Fingerprint, Frame, Loss, LossKey, LossReason, Position, Rest,
    SegmentId, SegmentState, Signal, StreamKey, Tally,
};
use prost::Message;

/// The meta of a segment's frame: exactly one of these.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Record {
    /// The body is the frame's payload.
    #[prost(message, optional, tag = "1")]
    pub(crate) frame: Option<FrameMeta>,
    /// A destination has settled something.
    #[prost(message, optional, tag = "2")]
    pub(crate) progress: Option<Progress>,
    /// The body is a [`Snapshot`].
    #[prost(bool, tag = "3")]
    pub(crate) snapshot: bool,
}

/// Everything of a [`Frame`] but the payload.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct FrameMeta {
    /// Numbers the frames of a lane, notes too, without a gap.
    #[prost(uint64, tag = "1")]
    pub(crate) sequence: u64,
    #[prost(uint32, tag = "2")]
    signal: u32,
    #[prost(uint32, tag = "3")]
    codec: u32,
    #[prost(uint64, tag = "4")]
    uncompressed_len: u64,
    #[prost(uint64, tag = "5")]
    pub(crate) records: u64,
    #[prost(message, repeated, tag = "6")]
    covers: Vec<CoverMeta>,
    #[prost(message, repeated, tag = "7")]
    tallies: Vec<TallyMeta>,
    #[prost(message, repeated, tag = "8")]
    losses: Vec<LossMeta>,
    #[prost(uint64, repeated, tag = "9")]
    pub(crate) replaces: Vec<u64>,
    /// When it was appended, nanoseconds since the epoch.
    #[prost(uint64, tag = "10")]
    pub(crate) at: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct CoverMeta {
    #[prost(string, tag = "1")]
    stream: String,
    #[prost(uint32, tag = "2")]
    restart: u32,
    #[prost(uint64, tag = "3")]
    device: u64,
    #[prost(uint64, tag = "4")]
    inode: u64,
    #[prost(int64, tag = "5")]
    born_nanos: i64,
    #[prost(uint64, tag = "6")]
    from_stdout: u64,
    #[prost(uint64, tag = "7")]
    from_stderr: u64,
    #[prost(uint64, tag = "8")]
    stdout: u64,
    #[prost(uint64, tag = "9")]
    stderr: u64,
    #[prost(uint32, tag = "10")]
    head: u32,
    #[prost(uint32, tag = "11")]
    before: u32,
    #[prost(uint32, tag = "12")]
    state: u32,
    /// What stands behind the position, where it was counted.
    #[prost(message, optional, tag = "13")]
    rest: Option<RestMeta>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct RestMeta {
    #[prost(uint64, tag = "1")]
    records: u64,
    #[prost(uint64, tag = "2")]
    bytes: u64,
    #[prost(uint64, tag = "3")]
    unknown: u64,
    /// The segment's size.
    #[prost(uint64, tag = "4")]
    end: u64,
}

#[derive(Clone, PartialEq, Message)]
struct TallyMeta {
    #[prost(string, tag = "1")]
    stream: String,
    #[prost(uint64, tag = "2")]
    records: u64,
    #[prost(uint64, tag = "3")]
    bytes: u64,
}

/// A loss, or a sum of them.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct LossMeta {
    #[prost(string, tag = "1")]
    namespace: String,
    #[prost(string, tag = "2")]
    pod: String,
    #[prost(string, optional, tag = "3")]
    destination: Option<String>,
    #[prost(string, tag = "4")]
    reason: String,
    #[prost(uint64, tag = "5")]
    records: u64,
    #[prost(uint64, tag = "6")]
    bytes: u64,
    #[prost(uint64, tag = "7")]
    unknown: u64,
    #[prost(string, tag = "8")]
    words: String,
    /// Of a sum: when the last one was.
    #[prost(uint64, tag = "9")]
    at: u64,
}

/// Frames by their numbers: `from` and those behind it, before `to`.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(crate) struct Span {
    #[prost(uint64, tag = "1")]
    pub(crate) from: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) to: u64,
}

/// How far a destination is.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Place {
    #[prost(string, tag = "1")]
    pub(crate) destination: String,
    /// The first frame that it has not settled.
    #[prost(uint64, tag = "2")]
    pub(crate) next: u64,
    /// What it has settled behind that. An older version, which does not know it, sends those frames again.
    #[prost(message, repeated, tag = "3")]
    pub(crate) ahead: Vec<Span>,
}

/// How far all destinations are, and what was lost. It says what holds now, not what happened: whatever records before it
/// are gone, the last one that there is tells everything.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Progress {
    #[prost(message, repeated, tag = "1")]
    pub(crate) places: Vec<Place>,
    /// The first frame that some destination has not settled.
    #[prost(uint64, tag = "2")]
    pub(crate) base: u64,
    /// Sums of losses, of frames before `base` and of what destinations said: all that changed since the last snapshot
    /// that was synced when this was written; one that is 0 is gone.
    #[prost(message, repeated, tag = "3")]
    pub(crate) ledger: Vec<LossMeta>,
}

/// What a segment opens with: everything that must be known of the segments before it.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Snapshot {
    /// When the lane was made, nanoseconds since the epoch.
    #[prost(int64, tag = "1")]
    pub(crate) born: i64,
    /// The first frame that some destination has not settled. Positions and ledger are those of the frames before it.
    #[prost(uint64, tag = "2")]
    pub(crate) base: u64,
    /// The frame that comes next.
    #[prost(uint64, tag = "3")]
    pub(crate) next: u64,
    #[prost(message, repeated, tag = "4")]
    pub(crate) positions: Vec<CoverMeta>,
    #[prost(message, repeated, tag = "5")]
    pub(crate) places: Vec<Place>,
    #[prost(message, repeated, tag = "6")]
    pub(crate) ledger: Vec<LossMeta>,
}

// === impl FrameMeta ===

impl FrameMeta {
    pub(crate) fn new(frame: &Frame, sequence: u64, at: u64) -> Self {
        Self {
            sequence,
            signal: match frame.signal {
                Signal::Logs => 0,
                Signal::Metrics => 1,
            },
            codec: match frame.codec {
                Codec::Identity => 0,
                Codec::Gzip => 1,
                Codec::Zstd => 2,
            },
            uncompressed_len: frame.uncompressed_len as u64,
            records: frame.records,
            covers: frame.covers.iter().map(CoverMeta::from).collect(),
            tallies: frame.tallies.iter().map(TallyMeta::from).collect(),
            losses: frame.losses.iter().map(LossMeta::from).collect(),
            replaces: frame.replaces.clone(),
            at,
        }
    }

    /// The frame with this payload; `None` for a signal or a codec of a newer version.
    pub(crate) fn frame(&self, payload: Vec<u8>) -> Option<Frame> {
        Some(Frame {
            signal: match self.signal {
                0 => Signal::Logs,
                1 => Signal::Metrics,
                _ => return None,
            },
            codec: match self.codec {
                0 => Codec::Identity,
                1 => Codec::Gzip,
                2 => Codec::Zstd,
                _ => return None,
            },
            uncompressed_len: usize::try_from(self.uncompressed_len).ok()?,
            records: self.records,
            payload: payload.into(),
            covers: self.covers().collect(),
            tallies: self.tallies().collect(),
            losses: self.losses().collect(),
            replaces: self.replaces.clone(),
        })
    }

    pub(crate) fn covers(&self) -> impl Iterator<Item = Cover> {
        self.covers.iter().map(Cover::from)
    }

    pub(crate) fn tallies(&self) -> impl Iterator<Item = Tally> {
        self.tallies.iter().map(|tally| Tally {
            stream: StreamKey(tally.stream.as_str().into()),
            records: tally.records,
            bytes: tally.bytes,
        })
    }

    pub(crate) fn losses(&self) -> impl Iterator<Item = Loss> {
        self.losses.iter().map(Loss::from)
    }

    /// What it means to lose it: by pod, as far as it is known.
    pub(crate) fn lost(&self, destination: Option<&Arc<str>>, reason: LossReason) -> Vec<Loss> {
        let of = |mut key: LossKey, extent| {
            key.destination = destination.cloned();
            Loss { key, extent, words: "".into() }
        };
        if self.tallies.is_empty() && self.records > 0 {
            let nobody = StreamKey("".into());
            let extent = Extent::known(self.records, 0);
            return vec![of(LossKey::of_stream(&nobody, reason), extent)];
        }
        let one = |tally: Tally| {
            let extent = Extent::known(tally.records, tally.bytes);
            of(LossKey::of_stream(&tally.stream, reason), extent)
        };
        self.tallies().map(one).collect()
    }
}

// === between the model and the wire ===

impl From<&Cover> for CoverMeta {
    fn from(cover: &Cover) -> Self {
        Self {
            stream: cover.stream.to_string(),
            restart: cover.segment.restart,
            device: cover.segment.device,
            inode: cover.segment.inode,
            born_nanos: cover.segment.born_nanos,
            from_stdout: cover.from.stdout,
            from_stderr: cover.from.stderr,
            stdout: cover.position.stdout,
            stderr: cover.position.stderr,
            head: cover.fingerprint.head,
            before: cover.fingerprint.before,
            state: match cover.state {
                SegmentState::Open => 0,
                SegmentState::Finished => 1,
                SegmentState::Gone => 2,
            },
            rest: cover.rest.map(|Rest { extent, end }| {
                let Extent { records, bytes, unknown } = extent;
                RestMeta { records, bytes, unknown, end }
            }),
        }
    }
}

impl From<&CoverMeta> for Cover {
    fn from(meta: &CoverMeta) -> Self {
        Self {
            stream: StreamKey(meta.stream.as_str().into()),
            segment: SegmentId {
                restart: meta.restart,
                device: meta.device,
                inode: meta.inode,
                born_nanos: meta.born_nanos,
            },
            from: Position { stdout: meta.from_stdout, stderr: meta.from_stderr },
            position: Position { stdout: meta.stdout, stderr: meta.stderr },
            fingerprint: Fingerprint { head: meta.head, before: meta.before },
            state: match meta.state {
                1 => SegmentState::Finished,
                2 => SegmentState::Gone,
                _ => SegmentState::Open,
            },
            rest: meta.rest.map(|RestMeta { records, bytes, unknown, end }| {
                let extent = Extent { records, bytes, unknown };
                Rest { extent, end }
            }),
        }
    }
}

impl From<&Tally> for TallyMeta {
    fn from(tally: &Tally) -> Self {
        Self { stream: tally.stream.to_string(), records: tally.records, bytes: tally.bytes }
    }
}

impl From<&Loss> for LossMeta {
    fn from(loss: &Loss) -> Self {
        let Loss { key, extent, words } = loss;
        Self::new(key, *extent, words, 0)
    }
}

impl From<(&LossKey, &Entry)> for LossMeta {
    fn from((key, entry): (&LossKey, &Entry)) -> Self {
        Self::new(key, entry.extent, &entry.words, entry.last_unix_nano)
    }
}

impl LossMeta {
    fn new(key: &LossKey, extent: Extent, words: &str, at: u64) -> Self {
        Self {
            namespace: key.namespace.to_string(),
            pod: key.pod.to_string(),
            destination: key.destination.as_deref().map(str::to_owned),
            reason: key.reason.name().to_owned(),
            records: extent.records,
            bytes: extent.bytes,
            unknown: extent.unknown,
            words: words.to_owned(),
            at,
        }
    }

    /// The sum that it is.
    pub(crate) fn entry(&self) -> (LossKey, Entry) {
        let Loss { key, extent, words } = Loss::from(self);
        (key, Entry { extent, last_unix_nano: self.at, words })
    }
}

impl From<&LossMeta> for Loss {
    fn from(meta: &LossMeta) -> Self {
        Self {
            key: LossKey {
                namespace: meta.namespace.as_str().into(),
                pod: meta.pod.as_str().into(),
                destination: meta.destination.as_deref().map(Into::into),
                reason: LossReason::from_name(&meta.reason),
            },
            extent: Extent { records: meta.records, bytes: meta.bytes, unknown: meta.unknown },
            words: meta.words.as_str().into(),
        }
    }
}
