//! When counters began.
//!
//! In: the points of a collector, tick after tick. Out: the same points, each counter with the time from which it
//! counts. Always: within one start time a series never goes back. A counter that did (its device was taken away and
//! put back, it wrapped at 32 bits) counts from the moment of its last point on, so that a rate is never negative and
//! nothing is counted twice.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::time::Duration;

use hawsepipe_model::Value;
use hawsepipe_model::otlp::Number;

use crate::points::{Points, View};

/// How long a series is remembered that has no points any more: if it comes back lower, it began anew.
const REMEMBERED: Duration = Duration::from_secs(3600);
/// Series that are remembered at least, and as many again as there are.
const ROOM: usize = 4096;

/// What the last point of a series was.
#[derive(Debug, Clone, Copy)]
struct Last {
    value: Number,
    start_unix_nano: u64,
    time_unix_nano: u64,
}

/// The counters of one collector.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// By a hash of 64 bits: two series of a host do not meet there.
    series: HashMap<u64, Last>,
    state: RandomState,
}

impl Counters {
    /// Sets the start time of every counter among `points`.
    pub(crate) fn settle(&mut self, points: &mut Points) {
        let (mut live, mut now) = (0, 0);
        // The points of a resource stand together, and there may be many.
        let mut about = (None, 0);
        points.start_counters(|point| {
            live += 1;
            now = point.time_unix_nano;
            let resource = point.resource.map(std::ptr::from_ref);
            if live == 1 || about.0 != resource {
                about = (resource, resource_key(&self.state, point));
            }
            self.start_of(point, about.1)
        });
        if self.series.len() > 2 * live + ROOM {
            self.forget(live, now);
        }
    }

    fn start_of(&mut self, point: &View<'_>, about: u64) -> u64 {
        let mut last = Last {
            value: point.value,
            start_unix_nano: point.start_unix_nano,
            time_unix_nano: point.time_unix_nano,
        };
        match self.series.entry(key(&self.state, point, about)) {
            Entry::Vacant(entry) => {
                entry.insert(last);
            }
            Entry::Occupied(mut entry) => {
                let before = *entry.get();
                let anew = is_less(point.value, before.value)
                    || point.start_unix_nano > before.start_unix_nano;
                last.start_unix_nano = if anew {
                    before.time_unix_nano.max(point.start_unix_nano)
                } else {
                    before.start_unix_nano
                };
                entry.insert(last);
            }
        }
        last.start_unix_nano
    }

    /// Series of long ago first, then as many of the oldest as there must be.
    fn forget(&mut self, live: usize, now: u64) {
        let age = u64::try_from(REMEMBERED.as_nanos()).unwrap_or(u64::MAX);
        self.series.retain(|_, last| now.saturating_sub(last.time_unix_nano) <= age);
        let keep = 2 * live + ROOM;
        if self.series.len() > keep {
            let mut times: Vec<_> = self.series.values().map(|last| last.time_unix_nano).collect();
            times.sort_unstable();
            let oldest = times[times.len() - keep / 2];
            self.series.retain(|_, last| last.time_unix_nano >= oldest);
        }
    }
}

fn is_less(a: Number, b: Number) -> bool {
    match (a, b) {
        (Number::Int(a), Number::Int(b)) => a < b,
        (Number::Double(a), Number::Double(b)) => a < b,
        // A metric has one type.
        (Number::Int(_), Number::Double(_)) | (Number::Double(_), Number::Int(_)) => true,
    }
}

fn key(state: &RandomState, point: &View<'_>, about: u64) -> u64 {
    let mut hasher = state.build_hasher();
    about.hash(&mut hasher);
    std::ptr::hash(point.metric, &mut hasher);
    for (_, value) in point.attributes() {
        value.hash(&mut hasher);
    }
    hasher.finish()
}

fn resource_key(state: &RandomState, point: &View<'_>) -> u64 {
    let mut hasher = state.build_hasher();
    for (key, value) in point.resource.into_iter().flat_map(|resource| resource.iter()) {
        key.hash(&mut hasher);
        match value {
            Value::Str(text) => text.hash(&mut hasher),
            Value::Int(number) => number.hash(&mut hasher),
            Value::Double(number) => number.to_bits().hash(&mut hasher),
            Value::Bool(flag) => flag.hash(&mut hasher),
            Value::Strings(list) => list.hash(&mut hasher),
        }
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use hawsepipe_model::Attributes;
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::collector::Collector;
    use crate::settings::Options;

    metrics! {
        /// Counts.
        COUNT: Counter Int "test.count" "1" ["device"] on;
        /// Does not.
        GAUGE: Gauge Int "test.gauge" "1" [] on;
    }

    static COLLECTOR: Collector = Collector {
        name: "test",
        about: "",
        reads: &[],
        needs: &[],
        default: true,
        metrics: METRICS,
        selects: None,
        top: None,
        new: |_: &Options| Box::new(|_: &crate::tick::Tick, _: &mut Points| Ok(())),
    };

    fn points() -> Points {
        Points::new(&COLLECTOR, vec![true; METRICS.len()])
    }

    /// The start times of counters with these values, at `time`.
    fn tick(counters: &mut Counters, time: u64, values: &[(&str, u64)]) -> Vec<u64> {
        let mut points = points();
        points.begin(time, 1);
        for (device, value) in values {
            points.metric(&COUNT).push(*value, &[device]);
        }
        counters.settle(&mut points);
        points.iter().map(|point| point.start_unix_nano).collect()
    }

    #[test]
    fn a_counter_that_went_back_counts_from_its_last_point_on() {
        let mut counters = Counters::default();
        assert_eq!(tick(&mut counters, 10, &[("a", 5), ("b", 5)]), [1, 1]);
        assert_eq!(tick(&mut counters, 20, &[("a", 9), ("b", 4)]), [1, 10], "b began anew");
        assert_eq!(tick(&mut counters, 30, &[("a", 9), ("b", 6)]), [1, 10], "and goes on");
    }

    #[test]
    fn a_series_that_was_away_begins_anew_only_if_it_comes_back_lower() {
        let mut counters = Counters::default();
        tick(&mut counters, 10, &[("a", 5), ("b", 5)]);
        tick(&mut counters, 20, &[]);
        assert_eq!(tick(&mut counters, 30, &[("a", 6), ("b", 1)]), [1, 10]);
    }

    #[test]
    fn a_later_start_of_what_is_counted_is_a_new_beginning_though_the_value_is_higher() {
        let mut counters = Counters::default();
        let mut start = |time, began, value: u64| {
            let mut points = points();
            points.begin(time, 1);
            let mut process = Attributes::new();
            process.set("process.pid", 7_i64);
            points.resource(process, began);
            points.metric(&COUNT).push(value, &["a"]);
            points.metric(&GAUGE).push(value, &[]);
            counters.settle(&mut points);
            points.iter().map(|point| point.start_unix_nano).collect::<Vec<_>>()
        };
        assert_eq!(start(100, 50, 5), [50, 0], "a gauge has no beginning");
        assert_eq!(start(200, 150, 9), [150, 0], "the same pid, another process");
        assert_eq!(start(300, 150, 9), [150, 0]);
    }

    #[test]
    fn devices_that_come_and_go_without_end_are_not_remembered_without_end() {
        let mut counters = Counters::default();
        let mut highest = 0;
        for time in 0..20_000 {
            tick(&mut counters, time, &[(&format!("veth{time}"), 1), ("eth0", time)]);
            highest = highest.max(counters.series.len());
        }
        assert!(highest <= ROOM + 8, "{highest}");
        assert_eq!(tick(&mut counters, 20_000, &[("eth0", 20_000)]), [1], "what lives is kept");
    }

    proptest! {
        #[test]
        fn prop_no_series_goes_back_within_one_start_time(values in vec(0..6_u64, 1..40)) {
            let mut counters = Counters::default();
            let mut last: Option<(u64, u64, u64)> = None;
            for (at, value) in values.into_iter().enumerate() {
                let time = 10 + at as u64;
                let start = tick(&mut counters, time, &[("a", value)])[0];
                prop_assert!(start < time);
                if let Some((started, before, last_time)) = last {
                    if start == started {
                        prop_assert!(value >= before);
                    } else {
                        prop_assert!(start >= last_time, "nothing is counted twice");
                    }
                }
                last = Some((start, value, time));
            }
        }
    }
}
