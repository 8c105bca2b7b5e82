//! Whose turn it is.
//!
//! In: the streams that may have something to read, and how much of a hurry they are in. Out: turns. Always: in a round
//! every ready stream has a turn of one chunk; who would lose a file soon has a few more before it, a bounded number, so that a
//! loud pod that rotates all the time cannot starve a quiet one; the backlog has one turn between all its streams, and
//! only while the queue is nearly empty, unless one of its files would be deleted meanwhile.

use std::collections::VecDeque;

use super::Worker;
use crate::stream::{Context, Turn};

/// Chunks that a stream in a hurry may read before the others have their turns.
const EXTRA: usize = 3;

/// How far a round of turns came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Served {
    /// Every stream had its turn.
    All,
    /// Only the backlog is left, and it waits until the queue is nearly empty.
    Paced,
    /// The queue has no room.
    Full,
}

impl Worker {
    pub(super) fn make_ready(&mut self, id: usize) {
        if let Some(stream) = self.discovery.get_mut(id)
            && !stream.queued
        {
            stream.queued = true;
            self.ready.push_back(id);
        }
    }

    /// Gives every ready stream its turn, and one of the backlog's.
    pub(super) fn serve(&mut self) -> Served {
        if !self.serve_hurried() {
            return Served::Full;
        }
        let mut backlog = VecDeque::new();
        for _ in 0..self.ready.len() {
            if !self.has_room() {
                self.ready.append(&mut backlog);
                return Served::Full;
            }
            let Some(id) = self.ready.pop_front() else {
                break;
            };
            if self.discovery.get(id).is_some_and(|stream| stream.backlog) {
                backlog.push_back(id);
            } else if self.turn(id) == Turn::Read {
                self.make_ready(id);
            }
        }
        if backlog.is_empty() {
            return Served::All;
        }
        let paced = !self.is_nearly_empty();
        if !paced && let Some(id) = backlog.pop_front() {
            // It stands behind the rest of the backlog then.
            self.ready.append(&mut backlog);
            if self.turn(id) == Turn::Read {
                self.make_ready(id);
            }
        }
        let others = !self.ready.is_empty();
        self.ready.append(&mut backlog);
        if paced && !others { Served::Paced } else { Served::All }
    }

    /// Gives those that would lose a file soon a few turns before the others, those that are furthest behind first; false
    /// when there is no room any more.
    fn serve_hurried(&mut self) -> bool {
        let mut hurried: Vec<_> = self
            .ready
            .iter()
            .map(|id| (self.hurry(*id), *id))
            .filter(|(hurry, _)| *hurry > 0)
            .collect();
        hurried.sort_by_key(|(hurry, _)| std::cmp::Reverse(*hurry));
        for (_, id) in hurried {
            for _ in 0..EXTRA {
                if !self.has_room() {
                    return false;
                }
                if self.hurry(id) == 0 || self.turn(id) != Turn::Read {
                    break;
                }
            }
            // It still stands in the queue, for its usual turn.
            if let Some(stream) = self.discovery.get_mut(id) {
                stream.queued = true;
            }
        }
        true
    }

    /// How many of a stream's files will be deleted before long; of a backlog only when it is written to, so that history
    /// that stays where it is goes on waiting behind new lines.
    fn hurry(&self, id: usize) -> usize {
        let stream =
            self.discovery.get(id).filter(|stream| !stream.backlog || stream.rotates_soon());
        stream.map_or(0, |stream| stream.hurry())
    }

    fn turn(&mut self, id: usize) -> Turn {
        let context = Context {
            pods: &*self.pods,
            selection: &self.settings.selection,
            attributes: &self.settings.attributes,
            metadata_timeout: self.settings.metadata_timeout,
            metrics: &self.metrics,
        };
        let Some(stream) = self.discovery.get_mut(id) else {
            return Turn::Idle;
        };
        stream.queued = false;
        let turn = stream.turn(&mut self.framer, &mut self.chunk, &context);
        if turn == Turn::Done {
            self.ticking.remove(&id);
            let dir = stream.dir.clone();
            self.wake.unwatch(&dir);
            if !dir.exists() {
                stream.end(&mut self.framer);
                self.discovery.remove(id);
            }
        } else if stream.needs_ticks() {
            self.ticking.insert(id);
        } else {
            self.ticking.remove(&id);
        }
        if self.framer.is_full() {
            self.framer.flush();
        }
        self.discovery.close_some();
        turn
    }

    fn has_room(&self) -> bool {
        let needed = self.framer.needed(self.settings.max_record_bytes);
        !self.framer.is_stuck() && self.sink.room().free >= needed
    }

    /// Whether what waits in the queue would hold up a line of the backlog's by no more than an eighth of it.
    fn is_nearly_empty(&self) -> bool {
        let room = self.sink.room();
        room.waiting <= room.capacity / 8
    }
}
