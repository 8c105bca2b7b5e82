//! Metrics: a service of their own, frames that are never taken apart, and never in the way of logs.

use std::collections::VecDeque;
use std::sync::Arc;

use hawsepipe_export::State;
use hawsepipe_model::codec::Compressor;
use hawsepipe_model::{Codec, Frame, Signal};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric,
};
use parking_lot::Mutex;
use prost::Message;
use tonic::codec::CompressionEncoding::{self, Zstd};
use tonic::{Request, Response, Status, async_trait};

use crate::server::{self, Logs, listen};
use crate::support::{LogLines, Queue, Running, Setup, eventually, frame, settings};

type Scripted = Result<ExportMetricsServiceResponse, Status>;

/// An OTLP service for metrics.
#[derive(Clone, Default)]
pub(crate) struct Metrics(Arc<Mutex<Talk>>);

/// What it is to say, and what it was asked.
#[derive(Default)]
struct Talk {
    script: VecDeque<Scripted>,
    requests: Vec<ExportMetricsServiceRequest>,
}

#[async_trait]
impl MetricsService for Metrics {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let mut talk = self.0.lock();
        talk.requests.push(request.into_inner());
        talk.script.pop_front().unwrap_or_else(|| Ok(taken())).map(Response::new)
    }
}

fn taken() -> ExportMetricsServiceResponse {
    ExportMetricsServiceResponse::default()
}

impl Metrics {
    pub(crate) fn says(&self, answer: Scripted) {
        self.0.lock().script.push_back(answer);
    }

    pub(crate) fn requests(&self) -> Vec<ExportMetricsServiceRequest> {
        self.0.lock().requests.clone()
    }

    /// Serves it beside `logs`, which take zstd.
    pub(crate) async fn start(
        &self,
        logs: &Logs,
        codecs: &[CompressionEncoding],
    ) -> server::Running {
        let mut service = MetricsServiceServer::new(self.clone());
        for codec in codecs {
            service = service.accept_compressed(*codec);
        }
        logs.serve_beside(Some(service), listen().await, &[Zstd], None)
    }
}

/// `count` metrics of one data point each.
fn points(count: usize) -> ExportMetricsServiceRequest {
    let point = NumberDataPoint { time_unix_nano: 7, ..NumberDataPoint::default() };
    let metric = |number| Metric {
        name: format!("a.metric.with.a.long.name.{number}"),
        data: Some(metric::Data::Gauge(Gauge { data_points: vec![point.clone()] })),
        ..Metric::default()
    };
    let metrics = (0..count).map(metric).collect();
    let scope_metrics = vec![ScopeMetrics { metrics, ..ScopeMetrics::default() }];
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics { scope_metrics, ..ResourceMetrics::default() }],
    }
}

pub(crate) fn frame_of(request: &ExportMetricsServiceRequest) -> Frame {
    let plain = request.encode_to_vec();
    let records = request.resource_metrics[0].scope_metrics[0].metrics.len() as u64;
    Frame {
        signal: Signal::Metrics,
        codec: Codec::Zstd,
        uncompressed_len: plain.len(),
        records,
        payload: Compressor::new().unwrap().compress(Codec::Zstd, &plain).unwrap().into(),
        ..Frame::note(Vec::new(), Vec::new(), Vec::new())
    }
}

#[tokio::test]
async fn metrics_and_logs_of_one_queue_arrive_at_their_services_in_the_bytes_they_were_made_of() {
    let (logs, metrics) = (Logs::default(), Metrics::default());
    let server = metrics.start(&logs, &[Zstd]).await;
    let sent = points(3);
    let queue = Queue::of([
        frame(Codec::Zstd, &["before"]),
        frame_of(&sent),
        frame(Codec::Zstd, &["after"]),
    ]);
    let running = Running::with(&settings(&server.url(), Setup::default()), queue);
    eventually("settled", || running.queue.settled() == 3).await;

    assert_eq!(logs.lines(), ["before", "after"]);
    assert_eq!(metrics.requests(), [sent]);
    let status = running.status();
    assert_eq!((status.frames, status.records, status.data_points), (3, 2, 3));
    assert_eq!(status.reencoded_frames, 0);
    let counted = running.metrics();
    assert!(counted.contains(r#"export_records_total{destination="main"} 2"#), "{counted}");
    assert!(counted.contains(r#"export_data_points_total{destination="main"} 3"#), "{counted}");
    assert!(running.queue.losses().is_empty());
}

#[tokio::test]
async fn data_points_refused_by_partial_success_are_counted_with_the_words() {
    let (logs, metrics) = (Logs::default(), Metrics::default());
    let error_message = "unknown unit".to_owned();
    let partial = ExportMetricsPartialSuccess { rejected_data_points: 2, error_message };
    metrics.says(Ok(ExportMetricsServiceResponse { partial_success: Some(partial) }));
    let server = metrics.start(&logs, &[Zstd]).await;
    let queue = Queue::of([frame_of(&points(3))]);
    let running = Running::with(&settings(&server.url(), Setup::default()), queue);
    eventually("settled", || running.queue.settled() == 1).await;

    assert_eq!(running.queue.told(), [("partial_success", String::new(), 2, 0)]);
    assert_eq!(&*running.queue.losses()[0].words, "unknown unit");
    assert_eq!(running.status().data_points, 1);
}

#[tokio::test]
async fn metrics_that_are_refused_are_given_up_whole_counted_and_no_word_about_logs() {
    let (logs, metrics) = (Logs::default(), Metrics::default());
    metrics.says(Err(Status::invalid_argument("no such metric")));
    metrics.says(Err(Status::resource_exhausted("received message larger than max")));
    let server = metrics.start(&logs, &[Zstd]).await;
    let large = points(1000);
    assert!(large.encoded_len() > 8 * 1024, "a size that may be too large");
    let queue = Queue::of([frame_of(&points(3)), frame_of(&large), frame_of(&large)]);
    let running = Running::with(&settings(&server.url(), Setup::default()), queue);
    eventually("settled", || running.queue.settled() == 3).await;

    let lost = |reason, records| (reason, String::new(), records, 0);
    assert_eq!(running.queue.told(), [lost("invalid_argument", 3), lost("too_large", 1000)]);
    assert_eq!(&*running.queue.losses()[0].words, "INVALID_ARGUMENT: no such metric");
    assert_eq!(metrics.requests().len(), 3, "none was taken apart, the third was taken");
    let status = running.status();
    assert_eq!((status.request_limit, status.split_frames, status.cut_records), (None, 0, 0));
}

#[tokio::test]
async fn a_server_without_metrics_gets_none_says_so_once_and_logs_go_on() {
    let log = LogLines::capture();
    let logs = Logs::default();
    let server = logs.start(&[Zstd]).await;
    let metrics = || frame_of(&points(3));
    let queue = Queue::of([
        metrics(),
        frame(Codec::Zstd, &["one"]),
        metrics(),
        frame(Codec::Zstd, &["two"]),
    ]);
    let running = Running::with(&settings(&server.url(), Setup::default()), queue);
    eventually("settled", || running.queue.settled() == 4).await;

    assert_eq!(logs.lines(), ["one", "two"]);
    assert!(running.queue.losses().is_empty(), "what nobody asked for is not lost");
    let status = running.status();
    assert_eq!((status.state, status.frames), (State::Connected, 2));
    assert_eq!(status.rejected["unserved"].records, 6);
    let words = &status.rejected["unserved"].last_message;
    assert!(words.contains("takes logs and no metrics (UNIMPLEMENTED"), "{words}");
    assert_eq!(log.count("takes no data of this signal"), 1, "{}", log.text());
    let counted = r#"rejected_records_total{destination="main",reason="unserved"} 6"#;
    assert!(running.metrics().contains(counted));
}

#[tokio::test]
async fn a_key_that_is_not_for_metrics_does_not_hold_up_logs_and_a_wrong_key_holds_both() {
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("key");
    std::fs::write(&key, "right").unwrap();
    let (logs, metrics) = (Logs::default(), Metrics::default());
    logs.wants_key("right");
    let server = metrics.start(&logs, &[Zstd]).await;
    for _ in 0..2 {
        metrics.says(Err(Status::permission_denied("this key is for logs")));
    }
    let setup = Setup { key_file: Some(&key), ..Setup::default() };
    let queue = Queue::of([frame_of(&points(1)), frame(Codec::Zstd, &["line"])]);
    let running = Running::with(&settings(&server.url(), setup), queue);
    eventually("settled", || running.queue.settled() == 2).await;
    assert_eq!(running.status().rejected["unserved"].records, 1);

    std::fs::write(&key, "wrong").unwrap();
    metrics.says(Err(Status::permission_denied("invalid key")));
    running.queue.push(frame_of(&points(1)));
    eventually("blocked", || running.status().state == State::Blocked).await;
    assert_eq!(running.queue.settled(), 2);
    std::fs::write(&key, "right").unwrap();
    eventually("settled", || running.queue.settled() == 3).await;
    assert_eq!(running.status().rejected["unserved"].records, 1, "the third arrived");
}

#[tokio::test]
async fn a_server_that_takes_metrics_without_compression_only_gets_them_so() {
    let (logs, metrics) = (Logs::default(), Metrics::default());
    let server = metrics.start(&logs, &[]).await;
    let sent = points(3);
    let queue = Queue::of([frame_of(&sent)]);
    let running = Running::with(&settings(&server.url(), Setup::default()), queue);
    eventually("settled", || running.queue.settled() == 1).await;
    assert_eq!(metrics.requests(), [sent]);
    assert!(running.status().rejected.is_empty());
}
