//! What arrives, and what is said of it.

use std::time::Duration;

use hawsepipe_export::{Drained, State};
use hawsepipe_model::Codec;
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsPartialSuccess, ExportLogsServiceResponse,
};
use tonic::codec::CompressionEncoding::{Gzip, Zstd};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::server::Logs;
use crate::support::{LogLines, Queue, Running, Setup, eventually, frame, settings};

fn numbered(count: usize) -> (Queue, Vec<String>) {
    let lines: Vec<String> = (0..count).map(|number| format!("line {number}")).collect();
    (Queue::of(lines.iter().map(|line| frame(Codec::Zstd, &[line]))), lines)
}

#[tokio::test]
async fn every_frame_arrives_once_and_in_order_in_the_bytes_it_was_made_of() {
    let logs = Logs::default();
    let server = logs.start(&[Zstd, Gzip]).await;
    let (queue, sent) = numbered(50);
    let running = Running::with(&settings(&server.url(), Setup::default()), queue);
    eventually("all settled", || running.queue.settled() == 50).await;

    assert_eq!(logs.lines(), sent);
    let status = running.status();
    assert_eq!((status.state, status.frames, status.records), (State::Connected, 50, 50));
    assert_eq!((status.reencoded_frames, status.retries), (0, 0));
    assert_eq!(status.codec.as_deref(), Some("zstd"));
    assert!(status.last_success.is_some());
    assert!(logs.0.lock().encodings.iter().all(|encoding| encoding == "zstd"));
    assert!(logs.0.lock().user_agent.starts_with("hawsepipe/"));
    let metrics = running.metrics();
    assert!(
        metrics.contains(r#"hawsepipe_export_frames_total{destination="main"} 50"#),
        "{metrics}"
    );
    assert!(
        metrics.contains(r#"hawsepipe_export_records_total{destination="main"} 50"#),
        "{metrics}"
    );
    assert!(metrics.contains("hawsepipe_export_request_duration_seconds_count"), "{metrics}");
    let json = serde_json::to_value(&status).unwrap();
    assert_eq!(json["state"], "connected");
    assert_eq!(json["type"], "otlp");
    assert_eq!(running.finish().await, Drained::Complete);
}

#[tokio::test]
async fn records_refused_by_partial_success_are_counted_and_the_rest_is_delivered() {
    let logs = Logs::default();
    logs.says(Ok(ExportLogsServiceResponse {
        partial_success: Some(ExportLogsPartialSuccess {
            rejected_log_records: 2,
            error_message: "too old".to_owned(),
        }),
    }));
    let server = logs.start(&[Zstd]).await;
    let queue = Queue::of([frame(Codec::Zstd, &["1", "2", "3"])]);
    let running = Running::with(&settings(&server.url(), Setup::default()), queue);
    eventually("settled", || running.queue.settled() == 1).await;

    let status = running.status();
    assert_eq!(status.records, 1);
    assert_eq!(status.rejected["partial_success"].records, 2);
    assert_eq!(status.rejected["partial_success"].last_message, "too old");
    assert_eq!(logs.0.lock().tries.len(), 1);
}

#[tokio::test]
async fn the_time_that_the_destination_asks_for_is_waited() {
    let asked = Duration::from_millis(400);
    let logs = Logs::default();
    for code in [Code::Unavailable, Code::ResourceExhausted] {
        let details = ErrorDetails::with_retry_info(Some(asked));
        logs.says(Err(Status::with_error_details(code, "busy", details)));
    }
    let server = logs.start(&[Zstd]).await;
    let queue = Queue::of([frame(Codec::Zstd, &["patience"])]);
    let running = Running::with(&settings(&server.url(), Setup::default()), queue);
    eventually("settled", || running.queue.settled() == 1).await;

    let tries = logs.0.lock().tries.clone();
    assert_eq!(tries.len(), 3);
    for pair in tries.windows(2) {
        assert!(pair[1] - pair[0] >= asked, "{:?}", pair[1] - pair[0]);
    }
    assert_eq!(running.status().retries, 2);
    let metrics = running.metrics();
    assert!(
        metrics.contains(r#"retries_total{destination="main",reason="unavailable"} 1"#),
        "{metrics}"
    );
}

#[tokio::test]
async fn a_trouble_is_one_line_in_the_log_and_its_end_another() {
    let log = LogLines::capture();
    let logs = Logs::default();
    for _ in 0..5 {
        logs.says(Err(Status::unavailable("restarting")));
    }
    let server = logs.start(&[Zstd]).await;
    let queue = Queue::of([frame(Codec::Zstd, &["through the storm"])]);
    let running = Running::with(&settings(&server.url(), Setup::default()), queue);
    eventually("settled", || running.queue.settled() == 1).await;

    assert_eq!(running.status().retries, 5);
    assert_eq!(log.count("restarting"), 1, "{}", log.text());
    assert_eq!(log.count("recovered after 5 tries"), 1, "{}", log.text());
    assert_eq!(log.count("destination connected"), 1);
    assert_eq!(log.count(""), 3, "{}", log.text());
    assert_eq!(logs.lines(), ["through the storm"]);
}

#[tokio::test]
async fn a_server_without_the_service_blocks_and_loses_nothing() {
    let logs = Logs::default();
    let server = logs.start(&[Zstd]).await;
    logs.says(Err(Status::internal("disk full")));
    let queue = Queue::of([frame(Codec::Zstd, &["held"])]);
    let running = Running::with(&settings(&server.url(), Setup::default()), queue);
    eventually("blocked", || running.status().state == State::Blocked).await;

    let status = running.status();
    assert_eq!(status.blocked.as_deref(), Some("destination"));
    assert!(status.reason.as_ref().unwrap().contains("disk full"), "{status:?}");
    assert!(running.metrics().contains(r#"hawsepipe_export_blocked{destination="main"} 1"#));
    assert_eq!((running.queue.settled(), running.queue.unsettled()), (0, 1));
    // Stopping tries once more, at once.
    assert_eq!(running.finish().await, Drained::Complete);
    assert_eq!(logs.lines(), ["held"]);
}
