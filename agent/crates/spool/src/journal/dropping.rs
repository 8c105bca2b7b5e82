//! `whenFull: drop`: a destination's oldest frames are let go, so that the others need not wait.
//!
//! In: a lane without room. Out: the oldest segment settled, what its frames held counted for each destination that did not
//! get them. Always: nothing is let go that a destination which blocks still wants, nothing is counted that was settled ahead.

use std::collections::BTreeMap;
use std::sync::Arc;

use hawsepipe_model::{Extent, Loss, LossKey, LossReason, StreamKey};

use super::following::metas;
use super::{Destination, Journal, SegmentInfo, WhenFull};
use crate::disk::Disk;
use crate::record::FrameMeta;

impl<D: Disk> Journal<D> {
    /// Lets go of what destinations that may lose it have not settled of the oldest segment. Nothing happens where a
    /// destination that blocks is among those that hold it, or lines of it are being read again.
    pub(super) fn drop_oldest(&mut self, now: u64) {
        let holds = |info: &&SegmentInfo| info.frames.end > self.base;
        let Some(oldest) = self.segments.iter().find(holds).cloned() else { return };
        let end = oldest.frames.end;
        let blocks = |place: &Destination| place.when_full == WhenFull::Block && place.next() < end;
        let reads_again = self.missing().is_some_and(|first| first < end);
        if self.destinations.iter().any(blocks) || reads_again {
            return;
        }
        let metas = match metas(&*self.disk, oldest.id, oldest.bytes, self.base) {
            Ok(metas) => metas,
            Err(error) => return self.cannot_read(&error),
        };
        for index in 0..self.destinations.len() {
            let place = &mut self.destinations[index];
            let from = place.next();
            if from >= end {
                continue;
            }
            let (name, in_hand) = (Arc::clone(&place.name), place.in_hand);
            let lost = |meta: &FrameMeta| meta.lost(Some(&name), LossReason::SpoolFull);
            let has = |number| place.has(&(number..number + 1));
            let held: Vec<_> = metas.iter().filter(|meta| !has(meta.sequence)).collect();
            let mut losses = sum(held.iter().copied().flat_map(lost));
            // Frames between the segments may be gone.
            let wanted = (from..end).filter(|number| !has(*number)).count();
            if wanted > held.len() {
                losses.push(unknown(&name, LossReason::SpoolFull));
            }
            // It may yet arrive.
            let found = in_hand.and_then(|it| held.iter().find(|meta| meta.sequence == it));
            if let Some(meta) = found {
                place.dropped_in_hand = Some((meta.sequence, lost(meta)));
            }
            place.settle(from..end, (oldest.id, oldest.bytes));
            tracing::debug!(destination = &*name, frames = wanted, "let go, the spool is full");
            self.count(&losses, now);
        }
        metas.iter().for_each(|meta| self.settle_for_all(meta));
        self.pass(end);
        self.note_progress();
    }
}

/// One loss a key.
fn sum(losses: impl Iterator<Item = Loss>) -> Vec<Loss> {
    let mut sums: BTreeMap<LossKey, Extent> = BTreeMap::new();
    losses.for_each(|loss| sums.entry(loss.key).or_default().add(loss.extent));
    sums.into_iter().map(|(key, extent)| Loss { key, extent, words: "".into() }).collect()
}

/// Something was lost at a destination, and nobody knows whose and how much.
pub(super) fn unknown(destination: &Arc<str>, reason: LossReason) -> Loss {
    let mut loss = Loss::of_stream(&StreamKey("".into()), reason, Extent::UNKNOWN);
    loss.key.destination = Some(Arc::clone(destination));
    loss
}
