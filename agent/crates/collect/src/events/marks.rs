//! How far the events are delivered.
//!
//! In: how far the events of each frame reach, the frame's number, and which frames are settled. Out: how far everything is
//! settled. Always: it never goes back, and says nothing of a frame that waits, nor of what came behind one.

use std::collections::VecDeque;

use hawsepipe_cluster::EventsProgress;

/// How far the events are delivered.
#[derive(Debug, Default)]
pub(super) struct Marks {
    /// Frames that are not known to be settled: number, and how far everything is with it.
    waiting: VecDeque<(u64, Option<EventsProgress>)>,
    settled: Option<EventsProgress>,
}

impl Marks {
    /// A term begins where the last one got.
    pub(super) fn begin(&mut self, since: Option<EventsProgress>) {
        *self = Self { waiting: VecDeque::new(), settled: since };
    }

    /// The frame of this number is in the lane, and everything up to `reached` in it or in those before it.
    pub(super) fn put(&mut self, number: u64, reached: Option<EventsProgress>) {
        self.waiting.push_back((number, reached));
    }

    /// Everything up to here is in frames, or needs none.
    pub(super) fn reached(&mut self, reached: EventsProgress) {
        match self.waiting.back_mut() {
            Some((_, last)) => *last = Some(reached),
            None => self.settled = Some(reached),
        }
    }

    /// How far it is, when the frames below this number are settled.
    pub(super) fn settled(&mut self, below: u64) -> Option<EventsProgress> {
        while self.waiting.front().is_some_and(|(number, _)| *number < below) {
            if let Some((_, Some(reached))) = self.waiting.pop_front() {
                self.settled = Some(reached);
            }
        }
        self.settled.clone()
    }
}
