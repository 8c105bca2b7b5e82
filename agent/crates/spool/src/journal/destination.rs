//! A destination's place in the lane: what it has settled, and where it goes on.
//!
//! In: the frames that it settles. Out: the ends at which it takes the next one. Usually there is one: the first frame that it
//! has not settled. While it catches up there is another, the live edge, where it takes what is appended now, so that new
//! lines do not wait behind old ones; what it settles there is settled *ahead*.
//!
//! Always: ranges that are settled ahead stand in order, and touch neither each other nor the backlog's end; the live edge is
//! behind all of them. Whatever it settles is settled once.

use std::ops::Range;
use std::sync::Arc;

use hawsepipe_model::Loss;

use super::{CatchUp, WhenFull};

/// So many ranges are settled ahead at most, and each is begun by another trouble or start: beyond it everything goes in
/// order until they merge. It bounds what an acknowledgement takes.
pub(super) const AHEAD_MOST: usize = 8;
/// So many frames in a row come from the live edge, then one of the backlog. New lines keep their latency up to four fifths of
/// what the destination takes, and a backlog gets a fifth of that even then.
pub(super) const LIVE_WEIGHT: u32 = 4;

/// A destination's place in the lane.
#[derive(Debug)]
pub(super) struct Destination {
    pub(super) name: Arc<str>,
    pub(super) when_full: WhenFull,
    pub(super) catch_up: CatchUp,
    /// The first frame that it has not settled.
    pub(super) backlog: Edge,
    /// What it has settled behind that.
    pub(super) ahead: Vec<Range<u64>>,
    /// The other end, while it catches up.
    pub(super) live: Option<Edge>,
    /// Frames in a row that came from there.
    passed: u32,
    /// The frame that was handed out last and not settled.
    pub(super) in_hand: Option<u64>,
    /// That frame was let go meanwhile, and counted as this.
    pub(super) dropped_in_hand: Option<(u64, Vec<Loss>)>,
}

/// A place where frames are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Edge {
    /// The frame that is next.
    pub(super) next: u64,
    /// Where that stands at the earliest: segment and offset; zeros where it is not known.
    pub(super) at: (u64, u64),
}

/// The ends at which a destination takes frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The first frame that is not settled.
    Backlog,
    /// What is appended since it began to catch up.
    Live,
}

// === impl Destination ===

impl Destination {
    pub(super) fn new(name: Arc<str>, when_full: WhenFull, catch_up: CatchUp, next: u64) -> Self {
        Self {
            name,
            when_full,
            catch_up,
            backlog: Edge { next, at: (0, 0) },
            ahead: Vec::new(),
            live: None,
            passed: 0,
            in_hand: None,
            dropped_in_hand: None,
        }
    }

    /// The first frame that it has not settled.
    pub(super) fn next(&self) -> u64 {
        self.backlog.next
    }

    /// Whether it has settled all of these frames.
    pub(super) fn has(&self, frames: &Range<u64>) -> bool {
        let within = |it: &Range<u64>| it.start <= frames.start && frames.end <= it.end;
        frames.end <= self.next() || self.ahead.iter().any(within)
    }

    /// What it has settled, in order.
    pub(super) fn settled(&self) -> impl Iterator<Item = Range<u64>> {
        std::iter::once(0..self.next()).chain(self.ahead.iter().cloned())
    }

    /// It is done with these frames; what follows them stands at `end` at the earliest.
    pub(super) fn settle(&mut self, frames: Range<u64>, end: (u64, u64)) {
        let behind = Edge { next: frames.end, at: end };
        if let Some(live) = self.live.as_mut().filter(|live| frames.contains(&live.next)) {
            *live = behind;
        }
        if frames.contains(&self.next()) {
            self.backlog = behind;
        } else if frames.start > self.next() {
            let first = self.ahead.partition_point(|it| it.end < frames.start);
            let last = self.ahead.partition_point(|it| it.start <= frames.end);
            let join =
                |all: Range<u64>, it: &Range<u64>| all.start.min(it.start)..all.end.max(it.end);
            let joined = self.ahead[first..last].iter().fold(frames, join);
            self.ahead.splice(first..last, [joined]);
        }
        self.merge();
    }

    /// The backlog's end passes over what is settled; the live edge ends where they meet.
    fn merge(&mut self) {
        while self.ahead.first().is_some_and(|first| first.start <= self.next()) {
            let first = self.ahead.remove(0);
            if first.end > self.next() {
                let live = self.live.filter(|live| live.next == first.end);
                self.backlog = live.unwrap_or(Edge { next: first.end, at: (0, 0) });
            }
        }
        if self.live.is_some_and(|live| live.next <= self.next()) {
            self.live = None;
            self.passed = 0;
        }
    }

    /// Where it takes the next frame, the end first that comes first. `room`: the lane has enough of it that the backlog
    /// may wait.
    pub(super) fn ends(&self, room: bool) -> impl Iterator<Item = (End, Edge)> + use<> {
        let live = self.live.map(|edge| (End::Live, edge));
        let first = live.filter(|_| room && self.passed < LIVE_WEIGHT);
        let last = live.filter(|_| first.is_none());
        first.into_iter().chain([(End::Backlog, self.backlog)]).chain(last)
    }

    pub(super) fn edge(&self, end: End) -> Option<Edge> {
        match end {
            End::Backlog => Some(self.backlog),
            End::Live => self.live,
        }
    }

    pub(super) fn hand_out(&mut self, end: End, sequence: u64) {
        self.in_hand = Some(sequence);
        self.passed = if end == End::Live { self.passed + 1 } else { 0 };
    }

    /// The frame at this end has waited for long. True when that moves an end: the live edge begins, or begins again where
    /// nothing waits, which is at the lane's `end`.
    pub(super) fn is_late(&mut self, at: End, end: Edge) -> bool {
        let more = self.ahead.len() < AHEAD_MOST;
        match at {
            End::Live => self.live = Some(end).filter(|_| more),
            End::Backlog => {
                let alone = self.next() + 1 >= end.next;
                if self.live.is_some() || !more || alone || self.catch_up == CatchUp::InOrder {
                    return false;
                }
                // Where the last live edge was, should a start lie between: what follows may be new.
                let last = self.ahead.last().map(|last| Edge { next: last.end, at: (0, 0) });
                self.live = Some(last.unwrap_or(end));
            }
        }
        true
    }
}

/// What is in both of these lists of ranges, which are in order.
pub(super) fn both(left: &[Range<u64>], right: &[Range<u64>]) -> Vec<Range<u64>> {
    let of = |it: &Range<u64>| {
        let it = it.clone();
        right.iter().map(move |other| it.start.max(other.start)..it.end.min(other.end))
    };
    left.iter().flat_map(of).filter(|range| !range.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn destination() -> Destination {
        Destination::new("d".into(), WhenFull::Block, CatchUp::NewestFirst, 10)
    }

    fn edge(next: u64) -> Edge {
        Edge { next, at: (7, next) }
    }

    fn ends(it: &Destination) -> Vec<(End, u64)> {
        it.ends(true).map(|(end, edge)| (end, edge.next)).collect()
    }

    #[test]
    fn in_steady_state_there_is_one_end() {
        let mut it = destination();
        for frame in 10..20 {
            assert_eq!(ends(&it), [(End::Backlog, frame)]);
            it.settle(frame..frame + 1, (1, frame));
        }
        assert_eq!((it.backlog, it.ahead.len()), (Edge { next: 20, at: (1, 19) }, 0));
    }

    #[test]
    fn the_ends_meet_and_are_one_again() {
        let mut it = destination();
        assert!(it.is_late(End::Backlog, edge(13)));
        it.settle(13..14, (7, 1));
        it.settle(14..15, (7, 2));
        assert_eq!(ends(&it), [(End::Live, 15), (End::Backlog, 10)]);
        assert!(it.has(&(13..15)) && !it.has(&(12..14)) && !it.has(&(10..11)));
        it.settle(10..11, (3, 1));
        it.settle(11..13, (3, 2));
        assert_eq!(it.backlog, Edge { next: 15, at: (7, 2) }, "over what was settled ahead");
        assert_eq!(ends(&it), [(End::Backlog, 15)]);
        assert!(it.ahead.is_empty());
    }

    #[test]
    fn the_live_edge_comes_first_four_times_then_the_backlog() {
        let mut it = destination();
        assert!(it.is_late(End::Backlog, edge(50)));
        let mut order = Vec::new();
        for _ in 0..12 {
            let (end, edge) = it.ends(true).next().unwrap();
            it.hand_out(end, edge.next);
            it.settle(edge.next..edge.next + 1, (0, 0));
            order.push(edge.next);
        }
        assert_eq!(order, [50, 51, 52, 53, 10, 54, 55, 56, 57, 11, 58, 59]);
        assert_eq!(it.ends(false).next().unwrap().0, End::Backlog, "room is made first");
    }

    #[test]
    fn each_trouble_begins_another_live_edge_until_there_are_too_many() {
        let mut it = destination();
        let starts: Vec<_> = (1..=AHEAD_MOST as u64).map(|number| number * 100).collect();
        assert!(it.is_late(End::Backlog, edge(100)));
        for start in &starts {
            it.settle(*start..start + 1, (0, 0));
            assert!(it.is_late(End::Live, edge(start + 100)));
        }
        assert_eq!(it.ahead.iter().map(|range| range.start).collect::<Vec<_>>(), starts);
        assert_eq!(ends(&it), [(End::Backlog, 10)], "in order");
        assert!(!it.is_late(End::Backlog, edge(5000)));
        it.settle(10..100, (0, 0));
        assert_eq!((it.next(), it.ahead.len()), (101, AHEAD_MOST - 1));
        assert!(it.is_late(End::Backlog, edge(5000)));
        let last = starts.last().unwrap() + 1;
        assert_eq!(ends(&it), [(End::Live, last), (End::Backlog, 101)], "where the last one was");
    }

    #[test]
    fn who_wants_order_never_has_a_live_edge_and_passes_over_what_is_settled_all_the_same() {
        let mut it = destination();
        it.catch_up = CatchUp::InOrder;
        it.settle(12..14, (0, 0));
        assert!(!it.is_late(End::Backlog, edge(50)));
        it.settle(10..11, (0, 0));
        it.settle(11..12, (0, 0));
        assert_eq!(ends(&it), [(End::Backlog, 14)]);
    }

    #[test]
    fn one_frame_that_is_late_is_no_backlog() {
        assert!(!destination().is_late(End::Backlog, edge(11)));
    }

    #[test]
    fn what_is_let_go_takes_the_live_edge_with_it() {
        let mut it = destination();
        assert!(it.is_late(End::Backlog, edge(15)));
        it.settle(15..17, (7, 1));
        it.settle(10..20, (8, 0));
        assert_eq!((it.backlog, it.live), (Edge { next: 20, at: (8, 0) }, None));
        assert!(it.ahead.is_empty());
    }

    #[test]
    fn what_two_have_settled_is_what_both_have() {
        let (left, right) = ([0..10, 20..30], [0..5, 8..22, 25..40]);
        assert_eq!(both(&left, &right), [0..5, 8..10, 20..22, 25..30]);
    }
}
