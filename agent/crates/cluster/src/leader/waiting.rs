//! When a candidate looks at the Lease again.
//!
//! In: how many candidates there are. Out: waits. Always: all of them together ask at a rate that does not grow with their
//! number.

use std::time::Duration;

use super::DURATION;
use crate::backoff::jitter;

/// How often candidates look, where they are few.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Where they are many, each looks twice in so much for each of them: twice a second altogether, however many they are.
const LOOK_EVERY_OF_EACH: Duration = Duration::from_secs(1);

/// When a candidate looks again. Where they are many, they look in pairs: a Lease that is the same after its duration has
/// lost its holder, so that soon one of them knows, however seldom each of them looks.
pub(super) fn candidates_wait(candidates: u64, second: &mut bool) -> Duration {
    let each = LOOK_EVERY_OF_EACH.saturating_mul(u32::try_from(candidates).unwrap_or(u32::MAX));
    if each <= DURATION {
        *second = false;
        let period = each.max(LOOK_EVERY);
        return period / 2 + jitter(period / 2);
    }
    *second = !*second;
    if *second { DURATION + jitter(LOOK_EVERY_OF_EACH) } else { each / 2 + jitter(each) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_ask_as_often_altogether_however_many_they_are() {
        for candidates in [20_u64, 500, 5_000] {
            let mut second = false;
            let waited: Duration =
                (0..2_000).map(|_| candidates_wait(candidates, &mut second)).sum();
            let a_second = candidates as f64 * 2_000.0 / waited.as_secs_f64();
            assert!((0.9..2.1).contains(&a_second), "{candidates}: {a_second} a second");
        }
    }

    #[test]
    fn a_candidate_looks_a_second_time_when_a_silent_holder_is_known_by_it() {
        let mut second = false;
        assert!((DURATION..DURATION * 2).contains(&candidates_wait(500, &mut second)));
        assert!(candidates_wait(500, &mut second) >= Duration::from_secs(250));
        assert!(candidates_wait(1, &mut second) <= LOOK_EVERY);
    }
}
