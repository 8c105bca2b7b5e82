//! One destination's end of the spool: all lanes, by weight.
//!
//! In: the lanes. Out: frames, each until it is settled. Always: a lane with little in it is not kept waiting by one with
//! much: what is sampled, then what is pushed, passes before log bulk, and not without end.

use std::sync::Arc;
use std::time::Duration;

use hawsepipe_model::{Frame, FrameSource, Loss};
use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::disk::Folder;
use crate::journal::{Cursor, Found, Handed};
use crate::lane::Lane;

/// Frames of the first lanes that may pass before one of the last.
const WEIGHT: u32 = 4;
/// A file system that refuses is asked again after this time.
const AGAIN: Duration = Duration::from_secs(1);

/// One destination's end of the spool.
#[derive(Debug)]
pub struct Source {
    /// The ones that pass first come first.
    lanes: Vec<Reader>,
    filled: Arc<Notify>,
    current: Option<Current>,
    /// Frames in a row that passed before the last lane.
    passed: u32,
}

#[derive(Debug)]
struct Reader {
    lane: Lane,
    destination: usize,
    cursor: Option<Cursor<Folder>>,
}

#[derive(Debug)]
struct Current {
    lane: usize,
    frame: Arc<Frame>,
    handed: Handed,
}

// === impl Source ===

impl Source {
    pub(crate) fn new(lanes: Vec<(Lane, usize)>, filled: Arc<Notify>) -> Self {
        let reader = |(lane, destination)| Reader { lane, destination, cursor: None };
        let lanes = lanes.into_iter().map(reader).collect();
        Self { lanes, filled, current: None, passed: 0 }
    }

    /// Looks into the lanes once; false when a file system refused.
    async fn look(&mut self) -> bool {
        let last = self.lanes.len().saturating_sub(1);
        let mut order: Vec<usize> = (0..self.lanes.len()).collect();
        if self.passed >= WEIGHT {
            order.rotate_right(1);
        } else if self.passed == WEIGHT / 2 {
            // What is sampled does not keep the others waiting without end.
            order.swap(0, 1);
        }
        let mut well = true;
        for index in order {
            match self.lanes[index].find().await {
                Found::Frame(frame, handed) => {
                    self.passed = if index == last { 0 } else { self.passed + 1 };
                    self.current = Some(Current { lane: index, frame, handed });
                    return true;
                }
                Found::Nothing | Found::Held => {}
                Found::Failed(error) => {
                    tracing::error!(%error, "cannot read the spool, trying again");
                    well = false;
                }
            }
        }
        well
    }
}

impl Reader {
    /// Away from the async threads: it reads files.
    async fn find(&mut self) -> Found {
        if !self.lane.has_for(self.destination) {
            return Found::Nothing;
        }
        let (lane, destination) = (self.lane.clone(), self.destination);
        let mut cursor = self.cursor.take().unwrap_or_default();
        let work = move || (lane.find(destination, &mut cursor), cursor);
        match spawn_blocking(work).await {
            Ok((found, cursor)) => {
                self.cursor = Some(cursor);
                found
            }
            // The runtime ends.
            Err(_) => Found::Nothing,
        }
    }
}

impl FrameSource for Source {
    async fn next(&mut self) -> Option<Arc<Frame>> {
        let filled = Arc::clone(&self.filled);
        loop {
            if let Some(current) = &self.current {
                return Some(Arc::clone(&current.frame));
            }
            let filled = filled.notified();
            tokio::pin!(filled);
            // Registered before the look, so that a frame that comes in between is not missed.
            filled.as_mut().enable();
            let closed = self.lanes.iter().all(|reader| reader.lane.is_closed());
            let well = self.look().await;
            if self.current.is_some() {
                continue;
            }
            if closed {
                return None;
            }
            if well {
                filled.await;
            } else {
                sleep(AGAIN).await;
            }
        }
    }

    async fn settle(&mut self, losses: Vec<Loss>) {
        let Some(Current { lane, handed, .. }) = self.current.take() else { return };
        let Reader { lane, destination, .. } = &self.lanes[lane];
        let (lane, destination) = (lane.clone(), *destination);
        // It goes on when nobody waits for it any more.
        drop(spawn_blocking(move || lane.settle(destination, &handed, &losses)).await);
    }
}
