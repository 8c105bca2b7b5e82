//! When a collector is due: at multiples of its interval by the wall clock, moved by a part of the interval that is the
//! node's own, so that a thousand nodes do not send in the same moment and one node's points are evenly spaced over
//! restarts.

use std::time::Duration;

/// How far the ticks of the node `name` lie behind the multiples of `interval`, nanoseconds.
pub(crate) fn offset(name: &str, interval: Duration) -> u64 {
    // FNV-1a (http://www.isthe.com/chongo/tech/comp/fnv/): the same on every start and in every version.
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    // Its low bits are the worse ones.
    (hash ^ (hash >> 32)) % nanos(interval)
}

/// The first moment after `now` at which a collector of this interval is due, nanoseconds since the epoch.
pub(crate) fn next(now: u64, interval: Duration, offset: u64) -> u64 {
    let interval = nanos(interval);
    let offset = offset % interval;
    let since = now.wrapping_sub(offset) % interval;
    // Before the epoch's first tick the difference wraps; nobody's clock is there.
    now.saturating_add(interval - since)
}

fn nanos(interval: Duration) -> u64 {
    u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const NOW: u64 = 1_800_000_000 * SECOND + 123;

    proptest! {
        #[test]
        fn prop_ticks_are_an_interval_apart_and_at_the_nodes_place(
            seconds in 1..3600_u64, later in 0..7200 * SECOND, name in "[a-z0-9-]{0,20}",
        ) {
            let interval = Duration::from_secs(seconds);
            let offset = offset(&name, interval);
            prop_assert!(offset < seconds * SECOND);
            let now = NOW + later;
            let due = next(now, interval, offset);
            prop_assert!(due > now && due <= now + seconds * SECOND);
            prop_assert_eq!(due % (seconds * SECOND), offset);
            prop_assert_eq!(next(due, interval, offset), due + seconds * SECOND);
        }
    }

    #[test]
    fn collectors_with_longer_intervals_tick_together_with_the_others() {
        let offset = offset("node-1", Duration::from_secs(15));
        let minute = next(NOW, Duration::from_secs(60), offset);
        assert_eq!(next(minute - 1, Duration::from_secs(15), offset), minute);
    }

    #[test]
    fn nodes_are_spread_over_the_interval() {
        let interval = Duration::from_secs(15);
        let mut second = [0; 15];
        for node in 0..1500 {
            second[(offset(&format!("node-{node}"), interval) / SECOND) as usize] += 1;
        }
        assert!(second.iter().all(|count| (60..150).contains(count)), "{second:?}");
    }
}
