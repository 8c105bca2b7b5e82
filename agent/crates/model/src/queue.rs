//! The two ends of the queue between the collectors and the destinations.
//!
//! Collectors know only [`FrameSink`], destinations only [`FrameSource`]; what stands between them (memory or
//! disk) is `spool`'s affair.

use std::sync::Arc;
use std::time::Duration;

use crate::{Cover, Frame, Loss, Tally};

/// How full a lane of the queue is, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Bytes that the lane would take now.
    pub free: usize,
    /// Bytes of frames that some destination has not settled.
    pub waiting: usize,
    /// The lane's budget.
    pub capacity: usize,
}

/// A frame that was damaged in the queue: its lines are to be read from the files again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// What [`Frame::replaces`] names it by.
    pub id: u64,
    /// The ranges: each from [`Cover::from`] to [`Cover::position`].
    pub covers: Vec<Cover>,
    /// What was in it, where that is known; empty where it is not.
    pub tallies: Vec<Tally>,
}

/// Why a frame was not taken. The frame comes back: nothing is lost by asking.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The lane, or the disk, has no room now; wait for some.
    #[error("the lane is full")]
    Full(Frame),
    /// The frame is larger than the whole lane: it can never be taken.
    #[error(
        "the frame needs {needed} bytes and the lane holds {capacity}; raise spool.files.maxBytes"
    )]
    TooLarge {
        /// The frame.
        frame: Frame,
        /// What it costs, in bytes.
        needed: usize,
        /// The lane's budget, in bytes.
        capacity: usize,
    },
}

/// The end of a lane where frames are put, for code that runs on a thread of its own.
pub trait FrameSink: Send + Sync {
    /// How full the lane is.
    fn room(&self) -> Room;

    /// Puts a frame behind all others of its lane. A note is taken however full the lane is.
    ///
    /// # Errors
    /// [`AppendError`], with the frame in it.
    fn append(&self, frame: Frame) -> Result<(), AppendError>;

    /// Waits until at least `bytes` are free or `timeout` has passed; true when there is room.
    fn wait_for_room(&self, bytes: usize, timeout: Duration) -> bool;

    /// Frames that were found damaged since the last call. A frame whose [`replaces`](Frame::replaces) names one is taken
    /// however full the lane is: a destination waits for it.
    fn take_missing(&self) -> Vec<Missing> {
        Vec::new()
    }
}

/// A lane that tells when what it took is settled, for whoever keeps elsewhere how far it got.
pub trait SettlingSink: FrameSink {
    /// Puts a frame behind all others, as [`append`](FrameSink::append) does. Its number: later frames of the lane have
    /// greater ones.
    ///
    /// # Errors
    /// [`AppendError`], with the frame in it.
    fn put(&self, frame: Frame) -> Result<u64, AppendError>;

    /// Frames of smaller numbers are settled: by every destination whose `whenFull` is `block`, or by all where there is
    /// none.
    fn settled(&self) -> u64;
}

/// The end of the queue where one destination takes frames, each until it is settled. They come in order; after a time away
/// what is new may come before what waits, each of the two in order.
pub trait FrameSource: Send + 'static {
    /// The next frame that this destination has not settled; waits for one. The same frame comes again until
    /// [`settle`](Self::settle). `None`: the queue is closed and this destination has settled everything that it could
    /// be given.
    fn next(&mut self) -> impl Future<Output = Option<Arc<Frame>>> + Send;

    /// This destination is done with the frame that [`next`](Self::next) gave last: acknowledged, but for `losses`. Both
    /// are remembered together.
    fn settle(&mut self, losses: Vec<Loss>) -> impl Future<Output = ()> + Send;
}
