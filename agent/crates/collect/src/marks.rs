//! How far what a leader sends is delivered.
//!
//! In: how far what is in each frame reaches, the frame's number, and which frames are settled. Out: how far everything is
//! settled. Always: it never goes back, and says nothing of a frame that waits, nor of what came behind one.

use std::collections::VecDeque;

/// How far it is delivered; `P` says how far.
#[derive(Debug)]
pub(crate) struct Marks<P> {
    /// Frames that are not known to be settled: number, and how far everything is with it.
    waiting: VecDeque<(u64, Option<P>)>,
    settled: Option<P>,
}

impl<P> Default for Marks<P> {
    fn default() -> Self {
        Self { waiting: VecDeque::new(), settled: None }
    }
}

impl<P: Clone> Marks<P> {
    /// A term begins where the last one got.
    pub(crate) fn begin(&mut self, since: Option<P>) {
        *self = Self { waiting: VecDeque::new(), settled: since };
    }

    /// The frame of this number is in the lane, and everything up to `reached` in it or in those before it.
    pub(crate) fn put(&mut self, number: u64, reached: Option<P>) {
        self.waiting.push_back((number, reached));
    }

    /// Everything up to here is in frames, or needs none.
    pub(crate) fn reached(&mut self, reached: P) {
        match self.waiting.back_mut() {
            Some((_, last)) => *last = Some(reached),
            None => self.settled = Some(reached),
        }
    }

    /// How far it is, when the frames below this number are settled.
    pub(crate) fn settled(&mut self, below: u64) -> Option<P> {
        while self.waiting.front().is_some_and(|(number, _)| *number < below) {
            if let Some((_, Some(reached))) = self.waiting.pop_front() {
                self.settled = Some(reached);
            }
        }
        self.settled.clone()
    }
}
