//! Who plays what: these tests are the collectors, and the destination that takes a frame or does not.

use opentelemetry_proto::tonic::common::v1::{AnyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{Gauge, ResourceMetrics, ScopeMetrics};
use opentelemetry_proto::tonic::resource::v1::Resource;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// When this process began; points are of any time.
const BEGUN: u64 = 1000;

fn attribute(value: &str) -> Vec<KeyValue> {
    let value = Some(AnyValue { value: Some(any_value::Value::StringValue(value.to_owned())) });
    vec![KeyValue { key: "device".to_owned(), value, ..KeyValue::default() }]
}

fn point(device: &str, start: u64, time: u64, value: Number) -> NumberDataPoint {
    NumberDataPoint {
        attributes: attribute(device),
        start_time_unix_nano: start,
        time_unix_nano: time,
        value: Some(value),
        ..NumberDataPoint::default()
    }
}

fn sum(name: &str, is_monotonic: bool, data_points: Vec<NumberDataPoint>) -> Metric {
    let sum = Sum { data_points, aggregation_temporality: CUMULATIVE, is_monotonic };
    Metric { name: name.to_owned(), data: Some(Data::Sum(sum)), ..Metric::default() }
}

/// `metrics` of the resource `host`.
fn request_of(host: &str, metrics: Vec<Metric>) -> ExportMetricsServiceRequest {
    let resource = Resource { attributes: attribute(host), ..Resource::default() };
    let scope_metrics = vec![ScopeMetrics { metrics, ..ScopeMetrics::default() }];
    let block =
        ResourceMetrics { resource: Some(resource), scope_metrics, ..ResourceMetrics::default() };
    ExportMetricsServiceRequest { resource_metrics: vec![block] }
}

/// A counter of whole numbers: device, start, time, value.
fn counter(points: &[(&str, u64, u64, i64)]) -> ExportMetricsServiceRequest {
    let point = |(device, start, time, value)| point(device, start, time, Number::AsInt(value));
    let points = points.iter().copied().map(point).collect();
    request_of("a", vec![sum("count", true, points)])
}

fn metrics(request: &ExportMetricsServiceRequest) -> impl Iterator<Item = &Metric> {
    let scopes = request.resource_metrics.iter().flat_map(|block| &block.scope_metrics);
    scopes.flat_map(|scope| &scope.metrics)
}

/// Start, time and value of each point of a counter, which must be deltas.
fn deltas(request: &ExportMetricsServiceRequest) -> Vec<(u64, u64, i64)> {
    let sums = metrics(request).map(|metric| match &metric.data {
        Some(Data::Sum(sum)) => sum,
        other => panic!("no sum: {other:?}"),
    });
    sums.flat_map(|sum| {
        assert_eq!(sum.aggregation_temporality, DELTA);
        sum.data_points.iter().map(|point| match point.value {
            Some(Number::AsInt(value)) => (point.start_time_unix_nano, point.time_unix_nano, value),
            other => panic!("no whole number: {other:?}"),
        })
    })
    .collect()
}

impl Series {
    /// Sends a frame that is taken.
    fn send(&mut self, mut request: ExportMetricsServiceRequest) -> ExportMetricsServiceRequest {
        let (told, _) = self.convert(&mut request);
        self.taken(told);
        request
    }

    /// Sends a frame that is refused.
    fn refused(&mut self, mut request: ExportMetricsServiceRequest) -> ExportMetricsServiceRequest {
        let _told = self.convert(&mut request);
        request
    }
}

#[test]
fn the_first_point_of_what_is_older_than_the_process_is_a_baseline_and_the_next_tells_the_gain() {
    let mut series = Series::since(BEGUN);
    let first = series.send(counter(&[("a", 1, 2000, 70)]));
    assert!(first.resource_metrics.is_empty(), "{first:?}");
    assert_eq!(deltas(&series.send(counter(&[("a", 1, 2010, 75)]))), [(2000, 2010, 5)]);
    assert_eq!(deltas(&series.send(counter(&[("a", 1, 2020, 75)]))), [(2010, 2020, 0)]);
}

#[test]
fn what_began_after_the_process_is_told_whole_and_what_began_with_it_is_not() {
    let mut series = Series::since(BEGUN);
    let first = series.send(counter(&[("a", BEGUN + 1, 2000, 70), ("b", BEGUN, 2000, 70)]));
    assert_eq!(deltas(&first), [(BEGUN + 1, 2000, 70)]);
}

#[test]
fn what_began_anew_is_told_whole_from_its_start() {
    let mut series = Series::since(BEGUN);
    series.send(counter(&[("a", 1, 2000, 70)]));
    assert_eq!(deltas(&series.send(counter(&[("a", 2000, 2010, 3)]))), [(2000, 2010, 3)]);
    // Though it is higher than before.
    assert_eq!(deltas(&series.send(counter(&[("a", 2015, 2020, 9)]))), [(2015, 2020, 9)]);
    assert_eq!(deltas(&series.send(counter(&[("a", 2015, 2030, 11)]))), [(2020, 2030, 2)]);
}

#[test]
fn a_frame_that_was_refused_leaves_its_share_to_the_next_one() {
    let mut series = Series::since(BEGUN);
    series.send(counter(&[("a", 1, 2000, 70), ("b", 1500, 2000, 1)]));
    let lost = series.refused(counter(&[("a", 1, 2010, 75), ("b", 1500, 2010, 4)]));
    assert_eq!(deltas(&lost), [(2000, 2010, 5), (2000, 2010, 3)]);
    let next = series.send(counter(&[("a", 1, 2020, 76), ("b", 1500, 2020, 6)]));
    assert_eq!(deltas(&next), [(2000, 2020, 6), (2000, 2020, 5)]);
    // A baseline holds though the frame it came in was refused: it was no part of what was sent.
    series.refused(counter(&[("c", 1, 2030, 50)]));
    assert_eq!(deltas(&series.send(counter(&[("c", 1, 2040, 51)]))), [(2030, 2040, 1)]);
    // What is told whole is not.
    series.refused(counter(&[("d", 1900, 2030, 50)]));
    assert_eq!(deltas(&series.send(counter(&[("d", 1900, 2040, 51)]))), [(1900, 2040, 51)]);
}

#[test]
fn a_point_that_was_told_is_not_told_again_and_what_goes_back_is_a_baseline() {
    let mut series = Series::since(BEGUN);
    series.send(counter(&[("a", 1, 2000, 70)]));
    series.send(counter(&[("a", 1, 2010, 75)]));
    assert!(deltas(&series.send(counter(&[("a", 1, 2010, 75)]))).is_empty());
    assert!(deltas(&series.send(counter(&[("a", 1, 2005, 72)]))).is_empty());
    assert_eq!(deltas(&series.send(counter(&[("a", 1, 2020, 77)]))), [(2010, 2020, 2)]);
    // Lower within one start, and a start within what was told: no collector does so, and it is no gain.
    assert!(deltas(&series.send(counter(&[("a", 1, 2030, 5)]))).is_empty());
    assert_eq!(deltas(&series.send(counter(&[("a", 1, 2040, 6)]))), [(2030, 2040, 1)]);
    assert!(deltas(&series.send(counter(&[("a", 2035, 2050, 9)]))).is_empty());
    assert_eq!(deltas(&series.send(counter(&[("a", 2035, 2060, 10)]))), [(2050, 2060, 1)]);
}

#[test]
fn a_clock_that_is_set_back_costs_a_point_and_not_the_time_until_it_was_before() {
    let mut series = Series::since(BEGUN);
    series.send(counter(&[("a", 1, 9_000_000, 70)]));
    assert!(deltas(&series.send(counter(&[("a", 1, 2000, 75)]))).is_empty());
    assert_eq!(deltas(&series.send(counter(&[("a", 1, 2010, 76)]))), [(2000, 2010, 1)]);
}

#[test]
fn two_points_of_a_series_in_one_frame_are_told_one_after_the_other() {
    let mut series = Series::since(BEGUN);
    let sent = series.send(counter(&[("a", 1500, 2000, 7), ("a", 1500, 2010, 9)]));
    assert_eq!(deltas(&sent), [(1500, 2000, 7), (2000, 2010, 2)]);
}

#[test]
fn series_are_told_apart_by_resource_metric_and_attributes() {
    let mut series = Series::since(BEGUN);
    let at = |time, value| vec![point("x", 1, time, Number::AsInt(value))];
    let request = |time, by: i64| {
        let mut all = request_of("a", vec![sum("m", true, at(time, 10 + by))]);
        let metrics =
            vec![sum("m", true, at(time, 20 + 2 * by)), sum("n", true, at(time, 30 + 3 * by))];
        all.resource_metrics.extend(request_of("b", metrics).resource_metrics);
        all
    };
    series.send(request(2000, 0));
    let gained = series.send(request(2010, 1));
    let gained: Vec<_> = deltas(&gained).into_iter().map(|(_, _, value)| value).collect();
    assert_eq!(gained, [1, 2, 3]);
}

#[test]
fn gauges_sums_that_go_down_and_deltas_stay_as_they_are() {
    let mut series = Series::since(BEGUN);
    let at = || vec![point("x", 1, 2000, Number::AsInt(-7))];
    let mut gained = sum("d", true, at());
    if let Some(Data::Sum(sum)) = &mut gained.data {
        sum.aggregation_temporality = DELTA;
    }
    let gauge = Some(Data::Gauge(Gauge { data_points: at() }));
    let gauge = Metric { name: "g".to_owned(), data: gauge, ..Metric::default() };
    let request = request_of("a", vec![gauge, sum("u", false, at()), gained]);
    for _ in 0..2 {
        assert_eq!(series.send(request.clone()), request);
    }
    assert!(series.known.is_empty());
}

/// A distribution of two ranges.
fn histogram(start: u64, time: u64, counts: [u64; 2], bound: f64) -> ExportMetricsServiceRequest {
    let point = HistogramDataPoint {
        start_time_unix_nano: start,
        time_unix_nano: time,
        count: counts[0] + counts[1],
        sum: Some(10.0 * counts[0] as f64),
        bucket_counts: counts.to_vec(),
        explicit_bounds: vec![bound],
        max: Some(99.0),
        ..HistogramDataPoint::default()
    };
    let histogram = Histogram { data_points: vec![point], aggregation_temporality: CUMULATIVE };
    let data = Some(Data::Histogram(histogram));
    request_of("a", vec![Metric { name: "h".to_owned(), data, ..Metric::default() }])
}

#[test]
fn a_histogram_tells_the_values_that_came_since() {
    let told =
        |request: &ExportMetricsServiceRequest| match metrics(request).next()?.data.as_ref()? {
            Data::Histogram(histogram) => {
                assert_eq!(histogram.aggregation_temporality, DELTA);
                let point = histogram.data_points[0].clone();
                assert_eq!((point.min, point.max), (None, None));
                Some((point.start_time_unix_nano, point.count, point.sum?, point.bucket_counts))
            }
            _ => None,
        };
    let mut series = Series::since(BEGUN);
    assert_eq!(told(&series.send(histogram(1, 2000, [3, 4], 5.0))), None);
    let next = series.send(histogram(1, 2010, [4, 6], 5.0));
    assert_eq!(told(&next), Some((2000, 3, 10.0, vec![1, 2])));
    // Other ranges cannot be compared.
    assert_eq!(told(&series.send(histogram(1, 2020, [9, 9], 6.0))), None);
    let anew = series.send(histogram(2025, 2030, [1, 0], 6.0));
    assert_eq!(told(&anew), Some((2025, 1, 10.0, vec![1, 0])));
}

#[test]
fn series_that_come_and_go_without_end_are_forgotten_and_none_is_told_whole_twice() {
    const MINUTE: u64 = GAP;
    let mut series = Series::since(BEGUN);
    let start = BEGUN + 1;
    series.send(counter(&[("gone", start, MINUTE, 7)]));
    let mut highest = 0;
    for minute in 2..1000 {
        let name = format!("veth{minute}");
        let time = minute * MINUTE;
        let sent = series.send(counter(&[(&name, time - 1, time, 1), ("lives", start, time, 1)]));
        assert_eq!(deltas(&sent)[0], (time - 1, time, 1), "what is new is told whole");
        assert_eq!(deltas(&sent)[1].2, i64::from(minute == 2), "what lives is known");
        highest = highest.max(series.known.len());
    }
    assert!((121..=124).contains(&highest), "{highest}");
    let sent = series.send(counter(&[("gone", start, 1000 * MINUTE, 9)]));
    assert!(deltas(&sent).is_empty(), "nobody knows any more that it had told 7");
}

#[test]
fn after_a_day_without_frames_every_series_is_still_known() {
    const HOUR: u64 = 60 * GAP;
    let mut series = Series::since(BEGUN);
    series.send(counter(&[("a", 1, HOUR, 7), ("b", 1, HOUR, 7)]));
    series.send(counter(&[("a", 1, 25 * HOUR, 8)]));
    let sent = series.send(counter(&[("b", 1, 26 * HOUR, 9)]));
    assert_eq!(deltas(&sent), [(HOUR, 26 * HOUR, 2)]);
}

#[test]
fn no_more_series_are_remembered_than_there_is_room_for() {
    let mut series = Series::since(BEGUN);
    let names: Vec<_> = (0..MAX_SERIES + 10).map(|number| number.to_string()).collect();
    for (at, names) in names.chunks(10_000).enumerate() {
        let time = 2000 + at as u64;
        let points: Vec<_> = names.iter().map(|name| (&name[..], 1500, time, 1)).collect();
        series.send(counter(&points));
    }
    assert!(series.known.len() <= MAX_SERIES, "{}", series.known.len());
    let sent = series.send(counter(&[("0", 1500, 3000, 5), (&names[MAX_SERIES], 1500, 3000, 5)]));
    assert_eq!(deltas(&sent), [(2010, 3000, 4)], "the oldest is forgotten, and not told twice");
}

#[test]
fn a_frame_that_nobody_can_read_stays_as_it_is() {
    let broken = Frame {
        signal: hawsepipe_model::Signal::Metrics,
        records: 3,
        payload: b"no request".to_vec().into(),
        uncompressed_len: 10,
        ..Frame::note(Vec::new(), Vec::new(), Vec::new())
    };
    let mut series = Series::since(BEGUN);
    assert!(convert(&mut series, &broken, Codec::Zstd).unwrap().is_none());
}

/// What becomes of a frame.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    /// The destination took it.
    Taken,
    /// It was converted again, and taken then.
    Again,
    /// The destination refused it.
    Refused,
    /// It was let go in the queue.
    LetGo,
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        4 => Just(Fate::Taken),
        1 => Just(Fate::Again),
        2 => Just(Fate::Refused),
        1 => Just(Fate::LetGo),
    ]
}

/// One series at one tick: what it gains, whether it began anew before that, which of two frames it is in.
type Move = (u8, bool, bool);

/// The series: a whole number, a fraction that is exact, a distribution; before and after the process began.
const SERIES: usize = 6;

/// What a collector and a destination know of a series.
#[derive(Debug, Clone, Default)]
struct Model {
    start: u64,
    value: u64,
    /// That the agent saw a point of it.
    seen: bool,
    /// What is not told of the values since `start`; `None`: no point of them was seen.
    baseline: Option<u64>,
    /// The last value since `start` that was seen in a frame that was taken, or as baseline.
    last: Option<u64>,
    /// What the destination was told of the values since `start`.
    told: u64,
    /// Until when the destination was told.
    until: u64,
}

fn metric_of(index: usize, model: &Model, time: u64) -> Metric {
    let device = index.to_string();
    match index % 3 {
        0 => {
            let value = Number::AsInt(i64::try_from(model.value).unwrap());
            sum("ints", true, vec![point(&device, model.start, time, value)])
        }
        1 => {
            let value = Number::AsDouble(model.value as f64 / 4.0);
            sum("doubles", true, vec![point(&device, model.start, time, value)])
        }
        _ => {
            let counts = [model.value, 0];
            let mut request = histogram(model.start, time, counts, 1.0);
            let mut metric = request.resource_metrics[0].scope_metrics[0].metrics.remove(0);
            metric.name = format!("histogram {index}");
            metric
        }
    }
}

/// Which series, start, time and gain of each point.
fn gains(request: &ExportMetricsServiceRequest) -> Vec<(usize, u64, u64, u64)> {
    let index = |attributes: &[KeyValue]| {
        let value = attributes[0].value.as_ref().and_then(|value| value.value.as_ref());
        match value {
            Some(any_value::Value::StringValue(text)) => text.parse().unwrap(),
            other => panic!("{other:?}"),
        }
    };
    let all = metrics(request).map(|metric| match metric.data.as_ref().unwrap() {
        Data::Sum(sum) => {
            let point = &sum.data_points[0];
            let gain = match point.value.unwrap() {
                Number::AsInt(value) => u64::try_from(value).unwrap(),
                Number::AsDouble(value) => {
                    assert!(value >= 0.0, "a delta is negative");
                    (value * 4.0) as u64
                }
            };
            (index(&point.attributes), point.start_time_unix_nano, point.time_unix_nano, gain)
        }
        Data::Histogram(histogram) => {
            let point = &histogram.data_points[0];
            let index = metric.name.rsplit(' ').next().unwrap().parse().unwrap();
            (index, point.start_time_unix_nano, point.time_unix_nano, point.count)
        }
        other => panic!("{other:?}"),
    });
    all.collect()
}

proptest! {
    /// Ticks from before the process began (they waited in the spool) into its life.
    #[test]
    fn prop_what_was_taken_adds_up_to_what_was_gained_and_nothing_is_told_twice(
        ticks in vec((vec((0..5_u8, prop::bool::weighted(0.1), any::<bool>()), SERIES), fate(), fate()), 1..40)
    ) {
        let began = BEGUN;
        let mut series = Series::since(began);
        let mut models = vec![Model { start: 1, ..Model::default() }; SERIES];
        for model in &mut models[SERIES / 2..] {
            model.start = began + 1;
        }
        let mut time = began - 50;
        for (moves, first, second) in ticks {
            let moves: Vec<Move> = moves;
            let before = time;
            time += 10;
            let there = |model: &Model| model.start < time;
            for (model, (gain, anew, _)) in models.iter_mut().zip(&moves) {
                if !there(model) {
                    continue;
                }
                if *anew && model.value > 0 {
                    // A counter counts anew from its last point on, as the collectors see to.
                    let (seen, until) = (model.seen, model.until);
                    *model = Model { start: before, seen, until, ..Model::default() };
                }
                model.value += u64::from(*gain);
            }
            for (fate, in_second) in [(first, false), (second, true)] {
                let inside: Vec<usize> = (0..SERIES)
                    .filter(|index| moves[*index].2 == in_second && there(&models[*index]))
                    .collect();
                if fate == Fate::LetGo || inside.is_empty() {
                    continue;
                }
                let metrics =
                    inside.iter().map(|index| metric_of(*index, &models[*index], time)).collect();
                let whole = request_of("a", metrics);
                let mut sent = whole.clone();
                let (mut told, points) = series.convert(&mut sent);
                prop_assert_eq!(points as usize, gains(&sent).len());
                if fate == Fate::Again {
                    let mut again = whole;
                    (told, _) = series.convert(&mut again);
                    prop_assert_eq!(&again, &sent, "a retry is the same");
                }
                let taken = fate != Fate::Refused;
                for index in &inside {
                    let model = &mut models[*index];
                    let known = model.seen || model.start > began;
                    let baseline = *model.baseline.get_or_insert(if known { 0 } else { model.value });
                    if taken || (!known && baseline == model.value) {
                        model.last = Some(model.value);
                    }
                    model.seen = true;
                }
                if !taken {
                    continue;
                }
                series.taken(told);
                for (index, start, at, gain) in gains(&sent) {
                    let model = &mut models[index];
                    prop_assert!(start >= model.until && at > start, "{} {} {}", model.until, start, at);
                    model.until = at;
                    model.told += gain;
                }
                for model in &models {
                    if let (Some(baseline), Some(last)) = (model.baseline, model.last) {
                        prop_assert_eq!(model.told, last - baseline, "{:?}", model);
                    }
                }
            }
        }
    }
}
