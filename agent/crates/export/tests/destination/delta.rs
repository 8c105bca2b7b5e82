//! Counters as deltas: what a server gets that asks for them, through retries, refusals and what is too large.

use hawsepipe_export::Temporality;
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, metric,
};
use tonic::Status;
use tonic::codec::CompressionEncoding::Zstd;

use crate::metrics::{Metrics, frame_of};
use crate::server::{self, Logs};
use crate::support::{Queue, Running, Setup, eventually, settings};

/// Long before this process began.
const OLD: u64 = 1;
/// Long after: the year 2096.
const NEW: u64 = 4_000_000_000_000_000_000;

fn point(start: u64, time: u64, value: i64) -> NumberDataPoint {
    NumberDataPoint {
        start_time_unix_nano: start,
        time_unix_nano: NEW + time,
        value: Some(Value::AsInt(value)),
        ..NumberDataPoint::default()
    }
}

fn counter(name: &str, start: u64, time: u64, value: i64) -> Metric {
    let data_points = vec![point(start, time, value)];
    let sum = Sum { data_points, aggregation_temporality: 2, is_monotonic: true };
    Metric { name: name.to_owned(), data: Some(metric::Data::Sum(sum)), ..Metric::default() }
}

fn gauge(time: u64, value: i64) -> Metric {
    let gauge = Gauge { data_points: vec![point(0, time, value)] };
    let data = Some(metric::Data::Gauge(gauge));
    Metric { name: "gauge".to_owned(), data, ..Metric::default() }
}

fn request(metrics: Vec<Metric>) -> ExportMetricsServiceRequest {
    let scope_metrics = vec![ScopeMetrics { metrics, ..ScopeMetrics::default() }];
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics { scope_metrics, ..ResourceMetrics::default() }],
    }
}

/// Name, start and time after [`NEW`], value and temporality of each point; 0 for the start of what is older.
type Point = (String, u64, u64, i64, i32);

fn told(request: &ExportMetricsServiceRequest) -> Vec<Point> {
    let scopes = request.resource_metrics.iter().flat_map(|block| &block.scope_metrics);
    let metrics = scopes.flat_map(|scope| &scope.metrics);
    let all = metrics.map(|metric| {
        let (point, temporality) = match metric.data.as_ref().unwrap() {
            metric::Data::Sum(sum) => (&sum.data_points[0], sum.aggregation_temporality),
            metric::Data::Gauge(gauge) => (&gauge.data_points[0], 0),
            other => panic!("{other:?}"),
        };
        let Some(Value::AsInt(value)) = point.value else { panic!("{point:?}") };
        let start = point.start_time_unix_nano.saturating_sub(NEW);
        (metric.name.clone(), start, point.time_unix_nano - NEW, value, temporality)
    });
    all.collect()
}

fn delta(name: &str, start: u64, time: u64, gain: i64) -> Point {
    (name.to_owned(), start, time, gain, 1)
}

struct Wanting {
    metrics: Metrics,
    _server: server::Running,
    running: Running,
}

impl Wanting {
    /// A destination that wants deltas.
    async fn deltas() -> Self {
        let metrics = Metrics::default();
        let server = metrics.start(&Logs::default(), &[Zstd]).await;
        let setup = Setup { temporality: Temporality::Delta, ..Setup::default() };
        let running = Running::with(&settings(&server.url(), setup), Queue::default());
        Self { metrics, _server: server, running }
    }

    /// What the server was asked until a frame of `all` was settled.
    async fn send(&self, all: Vec<Metric>) -> Vec<ExportMetricsServiceRequest> {
        let (settled, asked) = (self.running.queue.settled(), self.metrics.requests().len());
        self.running.queue.push(frame_of(&request(all)));
        eventually("settled", || self.running.queue.settled() > settled).await;
        self.metrics.requests().split_off(asked)
    }
}

#[tokio::test]
async fn counters_arrive_as_what_they_gained_and_a_request_that_is_tried_again_is_the_same() {
    let to = Wanting::deltas().await;
    let first = to.send(vec![counter("c", OLD, 10, 70), gauge(10, 5)]).await;
    assert_eq!(first.len(), 1);
    assert_eq!(told(&first[0]), [("gauge".to_owned(), 0, 10, 5, 0)], "c is a baseline");
    to.metrics.says(Err(Status::unavailable("not now")));
    to.metrics.says(Err(Status::unavailable("not now")));
    let tries = to.send(vec![counter("c", OLD, 20, 75), counter("new", NEW + 1, 20, 4)]).await;
    assert_eq!(tries.len(), 3);
    assert!(tries.iter().all(|request| request == &tries[0]), "{tries:?}");
    assert_eq!(told(&tries[0]), [delta("c", 10, 20, 5), delta("new", 1, 20, 4)]);
    let anew = to.send(vec![counter("c", NEW + 20, 30, 3), counter("new", NEW + 1, 30, 4)]).await;
    assert_eq!(told(&anew[0]), [delta("c", 20, 30, 3), delta("new", 20, 30, 0)]);
    assert_eq!(to.running.status().data_points, 5);
    assert_eq!(to.running.status().reencoded_frames, 0);
}

#[tokio::test]
async fn a_frame_of_baselines_alone_is_settled_without_a_request() {
    let to = Wanting::deltas().await;
    assert!(to.send(vec![counter("c", OLD, 10, 70)]).await.is_empty());
    let next = to.send(vec![counter("c", OLD, 20, 71)]).await;
    assert_eq!(told(&next[0]), [delta("c", 10, 20, 1)]);
    assert!(to.running.queue.losses().is_empty());
}

#[tokio::test]
async fn what_was_refused_or_too_large_is_in_the_next_delta() {
    let to = Wanting::deltas().await;
    let all =
        |time, value| (0..1000).map(|at| counter(&at.to_string(), NEW, time, value)).collect();
    to.metrics.says(Err(Status::resource_exhausted("received message larger than max")));
    assert_eq!(to.send(all(10, 7)).await.len(), 1);
    assert_eq!(to.running.queue.told(), [("too_large", String::new(), 1000, 0)]);
    let whole = to.send(all(20, 8)).await;
    assert_eq!(told(&whole[0])[999], delta("999", 0, 20, 8));
    to.metrics.says(Err(Status::invalid_argument("no such metric")));
    to.send(all(30, 10)).await;
    let partial = ExportMetricsPartialSuccess { rejected_data_points: 1000, ..Default::default() };
    to.metrics.says(Ok(ExportMetricsServiceResponse { partial_success: Some(partial) }));
    to.send(all(40, 11)).await;
    let next = to.send(all(50, 12)).await;
    assert_eq!(told(&next[0])[0], delta("0", 20, 50, 4));
    assert_eq!(to.running.queue.lost(), 3000, "counted as points that did not arrive");
}

#[tokio::test]
async fn what_was_refused_in_part_counts_as_taken_because_none_may_arrive_twice() {
    let to = Wanting::deltas().await;
    let both = |time, value| vec![counter("a", NEW, time, value), counter("b", NEW, time, value)];
    to.send(both(10, 1)).await;
    let partial = ExportMetricsPartialSuccess { rejected_data_points: 1, ..Default::default() };
    to.metrics.says(Ok(ExportMetricsServiceResponse { partial_success: Some(partial) }));
    to.send(both(20, 5)).await;
    let next = to.send(both(30, 6)).await;
    assert_eq!(told(&next[0]), [delta("a", 20, 30, 1), delta("b", 20, 30, 1)]);
    assert_eq!(to.running.queue.told(), [("partial_success", String::new(), 1, 0)]);
}
