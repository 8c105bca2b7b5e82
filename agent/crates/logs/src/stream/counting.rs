//! Counting what waits: a file may be deleted while no agent runs, and what it held is known then only if it was
//! counted before.
//!
//! In: segments that will not grow any more and cannot be read now, because the queue takes nothing or metadata is waited for.
//! Out: a [`Rest`] with the segment's position, in a note. Always: what is counted stays to be read; a count that is not of
//! the whole rest says so; lines that are read are taken off it.

use hawsepipe_model::{Extent, Rest, SegmentState};

use super::ContainerStream;
use super::reading::is_still;
use crate::join::{Joiner, Line};
use crate::lines::drain;
use crate::segment::Segment;

impl ContainerStream {
    /// Counts the rest of the oldest segment that waits uncounted; the bytes that were read for it. `None`: there is none.
    pub(crate) fn count_rest(&mut self, cap: usize, chunk: &mut [u8]) -> Option<u64> {
        let number = (0..self.segments.len()).find(|number| self.is_to_count(*number))?;
        let next = self.segments.get(number + 1).map(|next| next.id.restart);
        let segment = &mut self.segments[number];
        let goes_on = next == Some(segment.id.restart);
        let told = segment.told;
        // What it is before: whatever happens to it meanwhile, it is counted once for each size that it has.
        let end = segment.stat().map_or(segment.size, |stat| stat.size);
        // What cannot be read is said when it is read.
        let (extent, read) = count(segment, goes_on, cap, chunk).unwrap_or((Extent::UNKNOWN, 0));
        let rest = Rest { extent, end };
        tracing::debug!(
            stream = %self.key,
            file = %segment.path.display(),
            lines = rest.extent.records,
            "waiting lines were counted"
        );
        segment.rest = Some(rest);
        let cover = segment.cover(&self.key, told, SegmentState::Open);
        self.notices.push(cover);
        self.fresh = true;
        Some(read)
    }

    /// Whether a segment holds lines that were not counted, and no more will come.
    fn is_to_count(&self, number: usize) -> bool {
        let segment = &self.segments[number];
        let has_successor = number + 1 < self.segments.len();
        if !has_successor && !self.gone && !segment.unlinked && !segment.is_compressed() {
            return false;
        }
        let Ok(stat) = segment.stat() else { return false };
        if !segment.is_compressed() {
            let known = segment.rest.is_some_and(|rest| rest.end == stat.size);
            // The runtime of a pod that is gone writes no more.
            return !known && (self.gone || is_still(&stat));
        }
        segment.rest.is_none()
    }
}

/// What stands behind the position that was told last, and the bytes that were read to find out.
fn count(
    segment: &Segment,
    goes_on: bool,
    cap: usize,
    chunk: &mut [u8],
) -> std::io::Result<(Extent, u64)> {
    let mut again = segment.again()?;
    let from = segment.told.lower();
    again.begin_at(from);
    let mut joiner = Joiner::new(cap);
    joiner.begin_segment(segment.told);
    let mut extent = Extent::default();
    let emit = &mut |line: Line<'_>| extent.add(Extent::known(1, line.original));
    drain(&mut again, u64::MAX, &mut joiner, chunk, emit)?;
    if !goes_on {
        joiner.flush(emit);
    } else if joiner.is_open() {
        // The line that goes on in the next segment is lost, or torn, with this one.
        extent.add(Extent::UNKNOWN);
    }
    Ok((extent, again.offset - from))
}
