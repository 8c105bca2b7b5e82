//! The queue between the collectors and the destinations. Never parses a payload.
//!
//! In: frames. Out: the same frames, in order, to each destination, until it has settled them. The lane is
//! in memory for now, bounded in bytes; the files that containers log to are the buffer behind it (when the
//! lane is full, reading stops and the files wait).

mod lane;
pub mod segment;

pub use lane::{Lane, LaneSource, Usage};
