//! How long to wait before the next try.
//!
//! In: how often it failed, and the time that the destination asked for. Out: a delay: exponential backoff with full
//! jitter, so that a thousand nodes do not come back at the same moment.

use std::time::Duration;

/// The longest first delay.
const BASE: Duration = Duration::from_millis(500);

/// The longest delay that is not asked for.
const CAP: Duration = Duration::from_secs(30);

/// A try is never sooner than this after the last one.
const FLOOR: Duration = Duration::from_millis(50);

/// The delay of a blocked destination, about.
const BLOCKED: Duration = Duration::from_secs(30);

/// The delays of one frame.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// The delay before the next try; never less than the destination asked for.
    pub(crate) fn next(&mut self, asked: Option<Duration>) -> Duration {
        let longest = BASE.saturating_mul(1 << self.failures.min(16)).min(CAP);
        self.failures = self.failures.saturating_add(1);
        let jitter = longest.mul_f64(fastrand::f64());
        match asked {
            // Everyone was asked for the same time: spread on top of it, not below.
            Some(asked) => asked.saturating_add(jitter.min(asked / 10)).max(FLOOR),
            None => jitter.max(FLOOR),
        }
    }
}

/// The delay of a blocked destination: 30 s, a fifth more or less.
pub(crate) fn blocked() -> Duration {
    BLOCKED.mul_f64(0.8 + 0.4 * fastrand::f64())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn delays_grow_to_the_cap_and_spread_over_the_whole_range() {
        let mut longest = Duration::ZERO;
        let mut shortest = CAP;
        for _ in 0..200 {
            let mut backoff = Backoff::new();
            assert!(backoff.next(None) <= BASE);
            for _ in 0..10 {
                backoff.next(None);
            }
            let late = backoff.next(None);
            longest = longest.max(late);
            shortest = shortest.min(late);
        }
        assert!(longest <= CAP && longest > CAP / 2, "{longest:?}");
        assert!(shortest < CAP / 2, "{shortest:?}");
    }

    proptest! {
        #[test]
        fn prop_no_delay_is_shorter_than_asked(failures: u32, asked: Duration) {
            let mut backoff = Backoff { failures };
            prop_assert!(backoff.next(Some(asked)) >= asked);
        }
    }
}
