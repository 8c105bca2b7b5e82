//! Sends frames to destinations.
//!
//! In: frames from a [`hawsepipe_model::FrameSource`], oldest first, and [`Settings`] per destination. Out: the
//! frames' bytes on the wire, a word to the source when a frame is settled, and what an operator sees of it
//! ([`DestinationStatus`], [`ExportMetrics`], one log line per change of state).
//!
//! One file a destination type (`otlp`), over shared transports (`grpc`); each is an [`Exporter`], and
//! [`Destination::run`] drives it. What always holds:
//!
//! - a frame is settled only when every record of it was acknowledged, or its data refused by an explicit word; what was
//!   refused goes to the source with that settlement, by pod and reason (`losses`), so that both are remembered or
//!   neither; a frame that is refused as a whole goes on in parts (`parts`);
//! - whatever else goes wrong holds the frame: backoff with jitter, no end, no limit to the tries;
//! - counters leave as they were made, cumulative, or as what was gained since the last point that was taken (`delta`);
//! - the key never leaves [`Key`] except into the request's header.

mod check;
mod delta;
mod explain;
mod exporter;
mod grpc;
mod key;
mod limits;
mod losses;
mod metrics;
mod negotiate;
mod otlp;
mod parts;
mod retry;
mod runner;
mod settings;
mod size;
mod state;
mod status;
mod tls;
mod verdict;

pub use check::{Finding, check};
pub use exporter::{Exporter, Verdict};
pub use key::{Key, KeyError, KeyFile};
pub use metrics::ExportMetrics;
pub use otlp::Otlp;
pub use runner::{Destination, Drained};
pub use settings::{Auth, Compression, Endpoint, Settings, SettingsError, Temporality, Tls};
pub use state::StatusHandle;
pub use status::{DestinationStatus, Rejected, State};
