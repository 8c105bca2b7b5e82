//! The types that cross borders between Hawsepipe's crates, and the OTLP encoding they carry. No I/O.
//!
//! In: nothing. Out: what `logs`, `spool`, `export`, `receive` and `cluster` hand each other. Whatever
//! holds between two crates is written down here, once:
//!
//! - a [`Frame`] is a complete, compressed OTLP export request, with the log positions it covers;
//! - a [`FrameSink`] is where frames are put, a [`FrameSource`] is where a destination takes them;
//! - an [`Outcome`] is what a destination said of a frame;
//! - a [`PodDirectory`] is whoever knows the node's pods.

pub mod codec;
mod frame;
pub mod otlp;
mod outcome;
mod pods;
mod queue;
mod resource;

pub use codec::{Codec, PreferredCodec};
pub use frame::{Cover, Fingerprint, Frame, Position, SegmentId, SegmentState, Signal, StreamKey};
pub use outcome::{BlockedReason, Measured, Outcome};
pub use pods::{ContainerMeta, NodeMeta, PodDirectory, PodMeta};
pub use queue::{AppendError, FrameSink, FrameSource, Room};
pub use resource::{Attributes, Value};
