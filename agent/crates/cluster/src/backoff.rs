//! How long to wait before the next attempt: doubling, with jitter, bounded.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// The first wait. Every attempt waits, the first after a good one, too: nothing can turn into a busy loop, and a
/// restarted API server does not hear from all nodes at once.
const FIRST: Duration = Duration::from_millis(400);

/// The longest wait.
const LONGEST: Duration = Duration::from_secs(30);

/// The longest wait that an API server can ask for.
const LONGEST_ASKED: Duration = Duration::from_secs(5 * 60);

/// Waits between attempts.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
}

impl Backoff {
    pub(crate) fn new() -> Self {
        Self { next: FIRST }
    }

    /// The attempt was good.
    pub(crate) fn reset(&mut self) {
        self.next = FIRST;
    }

    /// How long to wait now: between half of the current step and all of it, and no less than what was `asked` for.
    pub(crate) fn next(&mut self, asked: Option<Duration>) -> Duration {
        let step = self.next;
        self.next = (step * 2).min(LONGEST);
        let wait = step / 2 + jitter(step / 2);
        wait.max(asked.unwrap_or_default().min(LONGEST_ASKED))
    }
}

/// A random part of `up_to`.
pub(crate) fn jitter(up_to: Duration) -> Duration {
    // The keys of a `RandomState` are random: so is the hash of nothing. Enough for jitter, and no dependency.
    let random = RandomState::new().hash_one(()) as u32;
    up_to.mul_f64(f64::from(random) / (f64::from(u32::MAX) + 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_longest_and_start_again_after_a_good_attempt() {
        let mut backoff = Backoff::new();
        let waits: Vec<_> = (0..12).map(|_| backoff.next(None)).collect();
        assert!(waits[0] >= FIRST / 2 && waits[0] <= FIRST, "{waits:?}");
        assert!(waits[11] >= LONGEST / 2 && waits[11] <= LONGEST, "{waits:?}");
        backoff.reset();
        assert!(backoff.next(None) <= FIRST);
    }

    #[test]
    fn a_server_that_asks_for_patience_gets_it_within_bounds() {
        let mut backoff = Backoff::new();
        assert_eq!(backoff.next(Some(Duration::from_secs(60))), Duration::from_secs(60));
        assert_eq!(backoff.next(Some(Duration::from_secs(86_400))), LONGEST_ASKED);
    }

    #[test]
    fn two_nodes_do_not_wait_alike() {
        let waits: std::collections::HashSet<_> =
            (0..32).map(|_| jitter(Duration::from_secs(10))).collect();
        assert!(waits.len() > 16, "{waits:?}");
        assert!(waits.iter().all(|wait| *wait < Duration::from_secs(10)));
    }
}
