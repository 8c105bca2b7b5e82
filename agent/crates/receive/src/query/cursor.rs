//! A place in the store that moves forward, frame by frame, from history into what is just coming in.
//!
//! History and live are read the same way, from the files up to the store's [`Head`]: there is no seam at which a
//! record could be lost or given twice, and a slow reader holds up nobody.

use std::collections::VecDeque;

use hawsepipe_proto::v1::{Gap, QueryResponse, gap::Reason};
use hawsepipe_spool::segment::{FrameRef, Scanned, SegmentError, SegmentReader};
use tokio_util::sync::CancellationToken;

use super::answer::{Answer, count};
use super::filter::Filter;
use crate::store::{FrameMeta, Head, Store, StoreError, open_frame};

/// Frames found ahead of reading them.
const AHEAD: usize = 256;
/// Frames passed in one step at most, so that a query which selects little still sees that its client left.
const STEP_FRAMES: usize = 64;

/// Where a query stands. Its methods block.
#[derive(Debug)]
pub(super) struct Cursor {
    store: Store,
    filter: Filter,
    answer: Answer,
    at: Option<Place>,
    /// The newest segment that is done with; 0 before the first.
    passed: u64,
    /// The number of the next frame, once one was read and nothing was damaged since.
    next_sequence: Option<u64>,
    /// Selected records still to pass over.
    skip: u64,
    gaps: Vec<Gap>,
}

#[derive(Debug)]
struct Place {
    reader: SegmentReader,
    segment: u64,
    offset: u64,
    ahead: VecDeque<FrameRef>,
}

/// What a step came to.
#[derive(Debug)]
pub(super) enum Step {
    /// These are next; none only if there is more to look through.
    Responses(Vec<QueryResponse>),
    /// There is nothing more up to the head.
    CaughtUp,
}

// === impl Cursor ===

impl Cursor {
    /// At the oldest record, or `tail` selected records before `head`.
    pub(super) fn new(
        store: Store,
        filter: Filter,
        tail: Option<u64>,
        head: Head,
        stop: &CancellationToken,
    ) -> Result<Self, StoreError> {
        let mut cursor = Self {
            store,
            filter,
            answer: Answer::default(),
            at: None,
            passed: 0,
            next_sequence: None,
            skip: 0,
            gaps: Vec::new(),
        };
        match tail {
            None => {}
            Some(0) if head.segment > 0 => {
                cursor.passed = head.segment - 1;
                cursor.go_to(head.segment, head.end)?;
            }
            Some(0) => {}
            Some(tail) => cursor.go_back(tail, head, stop)?,
        }
        Ok(cursor)
    }

    /// Reads on, up to `head`.
    pub(super) fn step(&mut self, head: Head) -> Result<Step, StoreError> {
        for _ in 0..STEP_FRAMES {
            let Some(frame) = self.next_frame(head)? else {
                let mut responses = self.answer.take();
                self.report_gaps(&mut responses);
                return Ok(match responses.is_empty() {
                    true => Step::CaughtUp,
                    false => Step::Responses(responses),
                });
            };
            self.read(&frame)?;
            let mut responses = self.answer.take();
            self.report_gaps(&mut responses);
            if !responses.is_empty() {
                return Ok(Step::Responses(responses));
            }
        }
        Ok(Step::Responses(Vec::new()))
    }

    fn read(&mut self, frame: &FrameRef) -> Result<(), StoreError> {
        let Ok(meta) = FrameMeta::parse(&frame.meta) else {
            self.damaged(0);
            return Ok(());
        };
        self.next_sequence = Some(meta.sequence + 1);
        if !self.filter.frame(&meta) {
            return Ok(());
        }
        let Some(place) = &self.at else {
            return Ok(());
        };
        let body = match place.reader.body(frame) {
            Ok(body) => body,
            Err(SegmentError::Damaged { .. }) => {
                self.damaged(meta.records);
                return Ok(());
            }
            Err(error) => return Err(self.store.broken(error)),
        };
        match open_frame(&meta, &body) {
            Some(request) => {
                let filter = &self.filter;
                self.skip -= self.answer.add(filter, &request, meta.received, self.skip);
            }
            None => self.damaged(meta.records),
        }
        Ok(())
    }

    fn next_frame(&mut self, head: Head) -> Result<Option<FrameRef>, StoreError> {
        loop {
            if self.at.is_none() && !self.next_segment(head)? {
                return Ok(None);
            }
            let Some(place) = &mut self.at else {
                return Ok(None);
            };
            if let Some(frame) = place.ahead.pop_front() {
                return Ok(Some(frame));
            }
            let end = if place.segment == head.segment {
                head.end
            } else {
                self.store.end_of(place.segment, &place.reader)?
            };
            let mut damages = 0;
            for scanned in place.reader.scan(place.offset, end).take(AHEAD) {
                match scanned.map_err(|error| self.store.broken(error))? {
                    Scanned::Frame(frame) => {
                        place.offset = frame.end();
                        place.ahead.push_back(frame);
                    }
                    Scanned::Damage { offset, bytes } => {
                        place.offset = offset + bytes;
                        damages += 1;
                    }
                }
            }
            let (segment, nothing) = (place.segment, place.ahead.is_empty() && damages == 0);
            for _ in 0..damages {
                self.damaged(0);
            }
            if nothing {
                if segment == head.segment {
                    return Ok(None);
                }
                self.passed = segment;
                self.at = None;
            }
        }
    }

    /// Opens the next segment up to the head; false if there is none.
    fn next_segment(&mut self, head: Head) -> Result<bool, StoreError> {
        loop {
            let next = self.store.segments(|segments| {
                let next = segments.iter().find(|segment| segment.id > self.passed)?;
                // The newest may yet get what is selected.
                let worth = next.id == head.segment || self.filter.segment(next);
                Some((next.id, next.frames, next.readable && worth))
            });
            let Some((id, frames, worth)) = next.filter(|(id, ..)| *id <= head.segment) else {
                return Ok(false);
            };
            if self.next_sequence.is_some_and(|expected| id > expected) {
                self.gaps.push(gap(Reason::Deleted, 0));
            }
            if worth && self.go_to(id, 0)? {
                return Ok(true);
            }
            self.passed = id;
            if !worth {
                self.next_sequence = Some(id + frames);
            }
        }
    }

    /// Opens segment `id` at `offset`; false if it is gone.
    fn go_to(&mut self, id: u64, offset: u64) -> Result<bool, StoreError> {
        self.at = self.store.reader(id)?.map(|reader| Place {
            reader,
            segment: id,
            offset,
            ahead: VecDeque::new(),
        });
        Ok(self.at.is_some())
    }

    /// Goes to the record from which on `tail` selected ones remain up to `head`. What lies between is read twice, so
    /// that no number of records has to be held in memory.
    fn go_back(
        &mut self,
        tail: u64,
        head: Head,
        stop: &CancellationToken,
    ) -> Result<(), StoreError> {
        let candidates: Vec<(u64, bool)> = self.store.segments(|segments| {
            let up_to_head = segments.iter().filter(|segment| segment.id <= head.segment);
            up_to_head
                .map(|segment| {
                    let worth = segment.id == head.segment || self.filter.segment(segment);
                    (segment.id, segment.readable && worth)
                })
                .collect()
        });
        let mut found = 0;
        for (id, _) in candidates.into_iter().rev().filter(|(_, worth)| *worth) {
            let Some(reader) = self.store.reader(id)? else {
                break;
            };
            let end = if id == head.segment { head.end } else { self.store.end_of(id, &reader)? };
            let mut frames = Vec::new();
            for scanned in reader.scan(0, end) {
                if let Scanned::Frame(frame) = scanned.map_err(|error| self.store.broken(error))? {
                    let meta = FrameMeta::parse(&frame.meta).ok();
                    frames.extend(meta.filter(|m| self.filter.frame(m)).map(|meta| (frame, meta)));
                }
            }
            for (frame, meta) in frames.iter().rev() {
                if stop.is_cancelled() {
                    return Ok(());
                }
                // What is damaged is told on the way forward.
                let body = reader.body(frame).ok();
                let request = body.and_then(|body| open_frame(meta, &body));
                found += request.map_or(0, |request| count(&self.filter, &request, meta.received));
                if found >= tail {
                    self.passed = id - 1;
                    if self.go_to(id, frame.offset)? {
                        self.skip = found - tail;
                    }
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn damaged(&mut self, records: u64) {
        self.store.metrics().damaged_frames.inc();
        self.next_sequence = None;
        self.gaps.push(gap(Reason::Damaged, records));
    }

    fn report_gaps(&mut self, responses: &mut Vec<QueryResponse>) {
        if self.gaps.is_empty() {
            return;
        }
        if responses.is_empty() {
            responses.push(QueryResponse::default());
        }
        responses[0].gaps = std::mem::take(&mut self.gaps);
    }
}

fn gap(reason: Reason, records: u64) -> Gap {
    Gap { reason: reason.into(), records }
}
