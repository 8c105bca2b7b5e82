//! A lane in memory: frames in order, a position for each destination, a budget in bytes.
//!
//! In: frames from one producer. Out: the same frames in the same order to every destination, each at its own
//! pace. Always: what the frames in it cost is at most the capacity; a frame leaves when every destination has
//! settled it; a frame that was taken is never dropped.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hawsepipe_model::{AppendError, Frame, FrameSink, FrameSource, Room};
use parking_lot::{Condvar, Mutex};
use tokio::sync::Notify;

/// A lane of the queue. Clones are handles to the same lane.
#[derive(Debug, Clone)]
pub struct Lane {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Room was made.
    freed: Condvar,
    /// A frame came, or the lane was closed.
    filled: Notify,
}

#[derive(Debug)]
struct State {
    frames: VecDeque<Arc<Frame>>,
    /// Sequence number of the first frame in `frames`.
    first: u64,
    used: usize,
    capacity: usize,
    /// For each destination, the sequence number of the first frame that it has not settled.
    positions: Vec<u64>,
    closed: bool,
}

/// What is in a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Frames that some destination has not settled.
    pub frames: usize,
    /// What they cost, in bytes.
    pub bytes: usize,
    /// The lane's budget, in bytes.
    pub capacity: usize,
}

impl Lane {
    /// An empty lane that holds at most `capacity` bytes.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        let state = State {
            frames: VecDeque::new(),
            first: 0,
            used: 0,
            capacity,
            positions: Vec::new(),
            closed: false,
        };
        let shared =
            Shared { state: Mutex::new(state), freed: Condvar::new(), filled: Notify::new() };
        Self { shared: Arc::new(shared) }
    }

    /// A new destination's end of the lane; it begins with the oldest frame that is still here.
    #[must_use]
    pub fn source(&self) -> LaneSource {
        let mut state = self.shared.state.lock();
        let first = state.first;
        state.positions.push(first);
        LaneSource { shared: Arc::clone(&self.shared), index: state.positions.len() - 1 }
    }

    /// No frame will come any more: sources end when they have settled what is here.
    pub fn close(&self) {
        self.shared.state.lock().closed = true;
        self.shared.filled.notify_waiters();
    }

    /// What is in the lane now.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let state = self.shared.state.lock();
        Usage { frames: state.frames.len(), bytes: state.used, capacity: state.capacity }
    }
}

impl State {
    fn room(&self) -> Room {
        Room { free: self.capacity - self.used, capacity: self.capacity }
    }

    /// Lets go of the frames that every destination has settled; true when there were any.
    fn release(&mut self) -> bool {
        let Some(settled) = self.positions.iter().min().copied() else {
            return false;
        };
        let before = self.first;
        while self.first < settled
            && let Some(frame) = self.frames.pop_front()
        {
            self.used -= frame.cost();
            self.first += 1;
        }
        self.first != before
    }
}

impl FrameSink for Lane {
    fn room(&self) -> Room {
        self.shared.state.lock().room()
    }

    fn append(&self, frame: Frame) -> Result<(), AppendError> {
        let mut state = self.shared.state.lock();
        let needed = frame.cost();
        if needed > state.capacity {
            return Err(AppendError::TooLarge { frame, needed, capacity: state.capacity });
        }
        if needed > state.room().free {
            return Err(AppendError::Full(frame));
        }
        state.used += needed;
        state.frames.push_back(Arc::new(frame));
        drop(state);
        self.shared.filled.notify_waiters();
        Ok(())
    }

    fn wait_for_room(&self, bytes: usize, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let mut state = self.shared.state.lock();
        while state.room().free < bytes {
            if self.shared.freed.wait_until(&mut state, deadline).timed_out() {
                return state.room().free >= bytes;
            }
        }
        true
    }
}

/// One destination's end of a [`Lane`].
#[derive(Debug)]
pub struct LaneSource {
    shared: Arc<Shared>,
    index: usize,
}

impl FrameSource for LaneSource {
    async fn next(&mut self) -> Option<Arc<Frame>> {
        loop {
            let filled = self.shared.filled.notified();
            tokio::pin!(filled);
            // Registered before the look, so that a frame that comes in between is not missed.
            filled.as_mut().enable();
            {
                let state = self.shared.state.lock();
                let at = (state.positions[self.index] - state.first) as usize;
                if let Some(frame) = state.frames.get(at) {
                    return Some(Arc::clone(frame));
                }
                if state.closed {
                    return None;
                }
            }
            filled.await;
        }
    }

    fn settle(&mut self) {
        let mut state = self.shared.state.lock();
        let end = state.first + state.frames.len() as u64;
        if state.positions[self.index] < end {
            state.positions[self.index] += 1;
        }
        if state.release() {
            self.shared.freed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use hawsepipe_model::{Codec, Signal};

    fn frame(byte: u8, len: usize) -> Frame {
        Frame {
            signal: Signal::Logs,
            codec: Codec::Identity,
            uncompressed_len: len,
            records: 1,
            payload: Bytes::from(vec![byte; len]),
            covers: Vec::new(),
        }
    }

    async fn first_byte(source: &mut LaneSource) -> Option<u8> {
        source.next().await.map(|frame| frame.payload[0])
    }

    #[tokio::test]
    async fn every_destination_gets_every_frame_in_order_at_its_own_pace() {
        let lane = Lane::new(1 << 20);
        let (mut fast, mut slow) = (lane.source(), lane.source());
        for byte in 1..=3 {
            lane.append(frame(byte, 10)).unwrap();
        }
        lane.close();
        for byte in 1..=3 {
            assert_eq!(first_byte(&mut fast).await, Some(byte));
            assert_eq!(first_byte(&mut fast).await, Some(byte), "not settled: the same again");
            fast.settle();
        }
        assert_eq!(first_byte(&mut fast).await, None);
        assert_eq!(lane.usage().frames, 3, "the slow one has not settled any");
        for byte in 1..=3 {
            assert_eq!(first_byte(&mut slow).await, Some(byte));
            slow.settle();
        }
        assert_eq!(first_byte(&mut slow).await, None);
        assert_eq!((lane.usage().frames, lane.usage().bytes), (0, 0));
    }

    #[tokio::test]
    async fn a_full_lane_takes_nothing_until_a_frame_is_settled() {
        let lane = Lane::new(2 * frame(0, 1000).cost());
        let mut source = lane.source();
        lane.append(frame(1, 1000)).unwrap();
        lane.append(frame(2, 1000)).unwrap();
        assert!(matches!(lane.append(frame(3, 1)), Err(AppendError::Full(_))));
        assert!(!lane.wait_for_room(1, Duration::from_millis(1)));
        let waiter = {
            let lane = lane.clone();
            std::thread::spawn(move || lane.wait_for_room(1000, Duration::from_secs(30)))
        };
        source.next().await.unwrap();
        source.settle();
        assert!(waiter.join().unwrap());
        lane.append(frame(3, 1000)).unwrap();
        assert!(lane.usage().bytes <= lane.usage().capacity);
    }

    #[test]
    fn a_frame_larger_than_the_lane_comes_back_with_the_remedy() {
        let lane = Lane::new(100);
        let error = lane.append(frame(1, 1000)).unwrap_err();
        assert!(error.to_string().contains("spool.files.maxBytes"), "{error}");
    }

    #[tokio::test]
    async fn a_waiting_destination_is_woken_by_a_frame_and_by_the_end() {
        let lane = Lane::new(1 << 20);
        let mut source = lane.source();
        let task = tokio::spawn(async move {
            let first = first_byte(&mut source).await;
            source.settle();
            (first, first_byte(&mut source).await)
        });
        tokio::task::yield_now().await;
        lane.append(frame(7, 1)).unwrap();
        tokio::task::yield_now().await;
        lane.close();
        assert_eq!(task.await.unwrap(), (Some(7), None));
    }
}
