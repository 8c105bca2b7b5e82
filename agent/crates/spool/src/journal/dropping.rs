//! `whenFull: drop`: a destination's oldest frames are let go, so that the others need not wait.
//!
//! In: a lane without room. Out: the oldest segment settled, what its frames held counted for each destination that did not
//! get them. Always: nothing is let go that a destination which blocks still wants.

use std::collections::BTreeMap;
use std::sync::Arc;

use hawsepipe_model::{Extent, Loss, LossKey, LossReason, StreamKey};
use prost::Message;

use super::{Journal, WhenFull, file_name};
use crate::disk::Disk;
use crate::record::{FrameMeta, Record};
use crate::segment::{Scanned, SegmentError, SegmentReader};

impl<D: Disk> Journal<D> {
    /// Lets go of what destinations that may lose it have not settled of the oldest segment. Nothing happens where a
    /// destination that blocks is among those that hold it.
    pub(super) fn drop_oldest(&mut self, now: u64) {
        let holds = |info: &&super::SegmentInfo| info.frames.end > self.base;
        let Some(oldest) = self.segments.iter().find(holds).cloned() else { return };
        let end = oldest.frames.end;
        let blocks =
            |place: &super::Destination| place.when_full == WhenFull::Block && place.next < end;
        if self.destinations.iter().any(blocks) {
            return;
        }
        let metas = match self.metas(oldest.id, oldest.bytes, self.base) {
            Ok(metas) => metas,
            Err(error) => return self.failed(&error),
        };
        for index in 0..self.destinations.len() {
            let place = &mut self.destinations[index];
            if place.next >= end {
                continue;
            }
            // Frames between the segments may be gone.
            let from = place.next;
            let (name, in_hand) = (Arc::clone(&place.name), place.in_hand);
            let lost = |meta: &FrameMeta| meta.lost(Some(&name), LossReason::SpoolFull);
            let held = || metas.iter().filter(|meta| meta.sequence >= from);
            let mut losses = sum(held().flat_map(lost));
            let unread = (end - from).saturating_sub(held().count() as u64);
            if unread > 0 {
                losses.push(unknown(&name, LossReason::SpoolFull));
            }
            // It may yet arrive.
            let found = in_hand.and_then(|it| held().find(|meta| meta.sequence == it));
            if let Some(meta) = found {
                place.dropped_in_hand = Some((meta.sequence, lost(meta)));
            }
            place.next = end;
            place.at = (oldest.id, oldest.bytes);
            tracing::debug!(destination = &*name, frames = end - from, "let go, the spool is full");
            self.count(&losses, now);
        }
        metas.iter().for_each(|meta| self.settle_for_all(meta));
        self.advance(None);
        self.note_progress();
    }

    /// The frames of a segment, from number `from` on.
    pub(super) fn metas(
        &self,
        segment: u64,
        bytes: u64,
        from: u64,
    ) -> Result<Vec<FrameMeta>, SegmentError> {
        let reader = SegmentReader::of(self.disk.open(&file_name(segment))?, segment)?;
        let mut metas = Vec::new();
        for scanned in reader.scan(0, bytes) {
            if let Scanned::Frame(frame) = scanned?
                && let Ok(Record { frame: Some(meta), .. }) = Record::decode(&frame.meta[..])
                && meta.sequence >= from
            {
                metas.push(meta);
            }
        }
        Ok(metas)
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
