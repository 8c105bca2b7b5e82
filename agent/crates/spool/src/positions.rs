//! How far each log file was read, as covers say.
//!
//! In: covers, in the order of their frames. Out: the last position of each segment, and where a cover begins behind it:
//! what is between was in a frame that is lost.

use std::collections::HashMap;

use hawsepipe_model::{Cover, Position, SegmentId, SegmentState, StreamKey};

/// The positions of all segments that are remembered.
#[derive(Debug, Clone, Default)]
pub(crate) struct Positions {
    known: HashMap<(StreamKey, SegmentId), Cover>,
}

// === impl Positions ===

impl Positions {
    /// Takes a cover.
    pub(crate) fn apply(&mut self, cover: Cover) {
        let key = (cover.stream.clone(), cover.segment);
        if cover.state == SegmentState::Gone {
            self.known.remove(&key);
        } else {
            self.known.insert(key, cover);
        }
    }

    /// What lies between the last cover of the same segment and this one, where a frame between them is lost.
    pub(crate) fn gap_before(&self, cover: &Cover) -> Option<Cover> {
        let known = self.known.get(&(cover.stream.clone(), cover.segment));
        let from = known.map_or(Position::default(), |known| known.position);
        if cover.state == SegmentState::Gone && cover.from == Position::default() {
            // It was read to an end that a lost frame knew.
            let open = known.filter(|known| known.state == SegmentState::Open);
            let position = Position { stdout: u64::MAX, stderr: u64::MAX };
            return open.map(|known| Cover { from, position, rest: None, ..known.clone() });
        }
        let to = Position {
            stdout: from.stdout.max(cover.from.stdout),
            stderr: from.stderr.max(cover.from.stderr),
        };
        let mut fingerprint = cover.fingerprint;
        // It speaks of the end of the cover.
        fingerprint.before = 0;
        (from != to).then(|| Cover { from, position: to, fingerprint, rest: None, ..cover.clone() })
    }

    /// All of them, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Cover> {
        self.known.values()
    }
}
