//! The durable queue between the collectors and the destinations. Never parses a payload.
//!
//! In: frames. Out: the same frames, in order (what is new before a backlog), to each destination, until it has settled them, over any restart, crash and
//! power cut; and, at the start, the positions and losses that the frames told of. `agent/docs/SPOOL.md` describes the
//! format and what is promised.
//!
//! `segment` is one file of frames, `journal` a lane made of such files (its rules, without threads), `lane` and `source` its
//! two ends, `spool` the folder that holds the lanes.

pub mod disk;
mod journal;
mod lane;
mod positions;
mod record;
pub mod segment;
mod source;
mod spool;
mod told;

pub use journal::{CatchUp, DestinationSettings, MinFree, Usage, WhenFull};
pub use lane::Lane;
pub use source::Source;
pub use spool::{Remembered, Settings, Spool, SpoolError};
