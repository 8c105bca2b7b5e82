//! The types that cross borders between Hawsepipe's crates, and the OTLP encoding they carry. No I/O.
//!
//! In: nothing. Out: what `logs`, `spool`, `export`, `receive` and `cluster` hand each other. Whatever
//! holds between two crates is written down here, once:
//!
//! - a [`Frame`] is a complete, compressed OTLP export request, with the log positions it covers;
//! - a [`FrameSink`] is where frames are put, a [`FrameSource`] is where a destination takes them;
//! - an [`Outcome`] is what a destination said of a frame;
//! - a [`Loss`] is what was given up, and goes where the position goes that passes over it; the [`Ledger`] sums them up;
//! - a [`PodDirectory`] is whoever knows the node's pods.

pub mod codec;
mod frame;
mod loss;
pub mod otlp;
mod outcome;
mod pods;
mod queue;
mod resource;

pub use codec::{Codec, PreferredCodec};
pub use frame::{
    Cover, Fingerprint, Frame, Position, Rest, SegmentId, SegmentState, Signal, StreamKey, Tally,
};
pub use loss::{Entry, Extent, Ledger, Loss, LossKey, LossReason, MAX_ENTRIES};
pub use outcome::{BlockedReason, Measured, Outcome};
pub use pods::{ContainerMeta, NodeMeta, PodDirectory, PodMeta, Resources};
pub use queue::{AppendError, FrameSink, FrameSource, Missing, Room, SettlingSink};
pub use resource::{Attributes, Value};
