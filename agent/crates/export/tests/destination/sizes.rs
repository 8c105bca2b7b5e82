//! Frames and records that are larger than a destination takes.

use std::sync::Arc;

use bytes::{Buf, Bytes};
use hawsepipe_export::State;
use hawsepipe_model::{Codec, Frame, StreamKey, Tally};
use http::Response;
use http_body_util::BodyExt;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, any_value};
use parking_lot::Mutex;
use prost::Message;
use tonic::Status;
use tonic::codec::CompressionEncoding::{Gzip, Zstd};

use crate::server::{Logs, http_of};
use crate::support::{
    Queue, Running, Setup, eventually, frame, frame_of, frame_of_pods, lines, request, settings,
};
use crate::trouble::{full, grpc};

const LIMIT: usize = 16 * 1024;

/// About 100 KB of lines that compress well.
fn many_lines(name: &str) -> Vec<String> {
    (0..400).map(|number| format!("{name} {number:04} {}", "x".repeat(230))).collect()
}

fn large_frame(codec: Codec, name: &str) -> (Frame, Vec<String>) {
    let lines = many_lines(name);
    (frame_of_pods(codec, &[("cart-1", &lines[..150]), ("cart-2", &lines[150..])]), lines)
}

#[tokio::test]
async fn a_frame_that_is_too_large_arrives_in_parts_and_the_next_is_split_before_it_is_sent() {
    for (codec, name) in [(Codec::Zstd, "zstd"), (Codec::Gzip, "gzip"), (Codec::Identity, "none")] {
        let logs = Logs::default();
        logs.takes_at_most(LIMIT);
        let server = logs.start(&[Zstd, Gzip]).await;
        let (first, mut sent) = large_frame(codec, "first");
        let parts = first.uncompressed_len.div_ceil(LIMIT);
        assert!(parts > 5, "the test means a frame that is much too large");
        let setup = Setup { compression: name, ..Setup::default() };
        let running = Running::with(&settings(&server.url(), setup), Queue::of([first]));
        eventually("settled", || running.queue.settled() == 1).await;

        assert_eq!(logs.lines(), sent, "{codec}: every line once, in order");
        let first_took = running.requests();
        assert_eq!(running.status().request_limit, Some(LIMIT as u64), "as tonic said");
        // The greeting, the refusal, the parts; a part may be less than full.
        assert!((2 + parts..=3 + parts).contains(&first_took), "{first_took} for {parts}");

        let (second, more) = large_frame(codec, "other");
        running.queue.push(second);
        eventually("settled", || running.queue.settled() == 2).await;
        sent.extend(more);
        assert_eq!(logs.lines(), sent);
        assert_eq!(running.requests() - first_took, first_took - 2, "no refusal any more");

        let status = running.status();
        assert_eq!((status.frames, status.records, status.split_frames), (2, 800, 2));
        assert!(status.rejected.is_empty() && running.queue.losses().is_empty(), "{status:?}");
        let metrics = running.metrics();
        assert!(metrics.contains(r#"split_frames_total{destination="main"} 2"#), "{metrics}");
        let pods = |request: &ExportLogsServiceRequest| {
            request.resource_logs.iter().all(|block| block.resource.is_some())
        };
        assert!(logs.0.lock().requests.iter().all(pods), "each part says whose lines it holds");
    }
}

#[tokio::test]
async fn a_proxy_with_a_limit_on_what_travels_gets_what_it_takes() {
    // As nginx: 413 with a page of HTML, and no word of how much would do.
    let received = Arc::new(Mutex::new((Vec::new(), 0)));
    let state = Arc::clone(&received);
    let server = http_of(move |request| {
        let state = Arc::clone(&state);
        Box::pin(async move {
            let mut body = request.into_body().collect().await.unwrap().to_bytes();
            if body.len() > LIMIT {
                state.lock().1 += 1;
                let response = Response::builder().status(413).header("content-type", "text/html");
                return response.body(full(b"<h1>413 Request Entity Too Large</h1>")).unwrap();
            }
            body.advance(5);
            state.lock().0.extend(lines(&ExportLogsServiceRequest::decode(body).unwrap()));
            grpc(vec![Ok(b"\0\0\0\0\0")], &[("grpc-status", "0")])
        })
    })
    .await;
    let (first, mut sent) = large_frame(Codec::Identity, "first");
    let setup = Setup { compression: "none", ..Setup::default() };
    let running = Running::with(&settings(&server.url(), setup), Queue::of([first]));
    eventually("settled", || running.queue.settled() == 1).await;
    assert_eq!(received.lock().0, sent);
    let refused = received.lock().1;
    assert!((2..=4).contains(&refused), "{refused} refusals: 100 KB by half to 16 KiB");

    let (second, more) = large_frame(Codec::Identity, "other");
    running.queue.push(second);
    eventually("settled", || running.queue.settled() == 2).await;
    sent.extend(more);
    assert_eq!(received.lock().0, sent);
    assert_eq!(received.lock().1, refused, "the second was split before it was sent");
    assert!(running.status().rejected.is_empty());
}

#[tokio::test]
async fn a_record_that_is_too_large_is_cut_to_what_fits_marked_and_counted() {
    let logs = Logs::default();
    logs.takes_at_most(LIMIT);
    let server = logs.start(&[Zstd]).await;
    let long = "\u{e9}t\u{e9} ".repeat(20_000);
    let text = ["before".to_owned(), long.clone(), "after".to_owned()];
    let queue = Queue::of([frame_of_pods(Codec::Zstd, &[("cart-1", &text)])]);
    let running = Running::with(&settings(&server.url(), Setup::default()), queue);
    eventually("settled", || running.queue.settled() == 1).await;

    let received = logs.lines();
    assert_eq!((received.len(), &received[0][..], &received[2][..]), (3, "before", "after"));
    assert!(long.starts_with(&received[1]), "a beginning of whole characters");
    assert!(received[1].len() > LIMIT - 1024, "{} bytes of {LIMIT}", received[1].len());
    let requests = logs.0.lock().requests.clone();
    let record = &requests[1].resource_logs[0].scope_logs[0].log_records[0];
    let marks: Vec<_> = record.attributes.iter().map(|pair| pair.key.as_str()).collect();
    assert_eq!(marks, ["hawsepipe.log.truncated", "hawsepipe.log.original_bytes"]);
    let length = record.attributes[1].value.clone().unwrap().value;
    assert_eq!(length, Some(any_value::Value::IntValue(long.len() as i64)));

    let gone = (long.len() - received[1].len()) as u64;
    assert_eq!(running.queue.told(), [("cut", "cart-1".to_owned(), 1, gone)]);
    let status = running.status();
    assert_eq!((status.records, status.cut_records, status.cut_bytes), (3, 1, gone));
    assert!(
        running.metrics().contains(&format!(r#"cut_bytes_total{{destination="main"}} {gone}"#))
    );
}

#[tokio::test]
async fn a_record_that_is_too_large_is_cut_by_half_where_no_limit_is_told() {
    let logs = Logs::default();
    logs.judged_by(|request| {
        let large = request.encoded_len() > LIMIT;
        large.then(|| {
            Status::resource_exhausted(
                "Received message exceeds the maximum configured message size.",
            )
        })
    });
    let server = logs.start(&[Zstd]).await;
    let long = "y".repeat(100_000);
    let queue = Queue::of([frame(Codec::Zstd, &[&long])]);
    let running = Running::with(&settings(&server.url(), Setup::default()), queue);
    eventually("settled", || running.queue.settled() == 1).await;

    let kept = logs.lines()[0].len();
    assert!((LIMIT / 2 - 1024..LIMIT).contains(&kept), "{kept}");
    assert_eq!(logs.0.lock().tries.len(), 4, "100, 50, 25, 12.5 KB");
    assert_eq!(running.status().cut_bytes, (long.len() - kept) as u64);
}

#[tokio::test]
async fn a_record_that_cannot_be_cut_is_refused_and_counted_and_its_neighbours_arrive() {
    let logs = Logs::default();
    logs.takes_at_most(LIMIT);
    let server = logs.start(&[Zstd]).await;
    let mut request = request(&["before", "bytes", "after"]);
    let body = AnyValue { value: Some(any_value::Value::BytesValue(vec![0; 100_000])) };
    request.resource_logs[0].scope_logs[0].log_records[1].body = Some(body);
    let queue = Queue::of([frame_of(Codec::Zstd, &request)]);
    let running = Running::with(&settings(&server.url(), Setup::default()), queue);
    eventually("settled", || running.queue.settled() == 1).await;

    assert_eq!(logs.lines(), ["before", "after"]);
    let rejected = &running.status().rejected["too_large"];
    assert_eq!(rejected.records, 1);
    assert!(rejected.last_message.contains("size limit, of 16384 bytes"), "{rejected:?}");
    assert_eq!(running.queue.lost(), 1);
}

#[tokio::test]
async fn a_destination_that_calls_everything_too_large_blocks_and_nothing_is_cut() {
    let logs = Logs::default();
    logs.judged_by(|_| Some(Status::resource_exhausted("received message larger than max")));
    let server = logs.start(&[Zstd]).await;
    let long = "z".repeat(3000);
    let queue = Queue::of([frame(Codec::Zstd, &[&long, "short"])]);
    let running = Running::with(&settings(&server.url(), Setup::default()), queue);
    eventually("blocked", || running.status().state == State::Blocked).await;
    assert!(running.status().reason.unwrap().contains("called too large"));
    assert_eq!(running.queue.settled(), 0);
    assert_eq!(running.status.get().cut_records, 0);
}

#[tokio::test]
async fn a_quota_is_waited_for_and_the_frame_arrives_whole() {
    let logs = Logs::default();
    for _ in 0..3 {
        logs.says(Err(Status::resource_exhausted("ingestion rate limit (4194304 bytes) exceeded")));
    }
    let server = logs.start(&[Zstd]).await;
    let (large, sent) = large_frame(Codec::Zstd, "patient");
    let running = Running::with(&settings(&server.url(), Setup::default()), Queue::of([large]));
    eventually("settled", || running.queue.settled() == 1).await;

    assert_eq!(logs.lines(), sent);
    let state = logs.0.lock();
    assert_eq!((state.tries.len(), state.requests.len()), (4, 1), "whole, four times");
    drop(state);
    let status = running.status();
    assert_eq!((status.retries, status.split_frames, status.request_limit), (3, 0, None));
}

#[tokio::test]
async fn a_frame_that_cannot_be_read_is_refused_as_a_whole_with_the_destinations_words() {
    let server = http_of(|request| {
        Box::pin(async move {
            let body = request.into_body().collect().await.unwrap().to_bytes();
            if body.len() > 20 {
                let response = Response::builder().status(413).header("content-type", "text/html");
                return response.body(full(b"no")).unwrap();
            }
            grpc(vec![Ok(b"\0\0\0\0\0")], &[("grpc-status", "0")])
        })
    })
    .await;
    let mut garbage = frame(Codec::Identity, &["garbage", "lines"]);
    garbage.payload = Bytes::from(vec![0xff; 10_000]);
    garbage.uncompressed_len = 10_000;
    let setup = Setup { compression: "none", ..Setup::default() };
    let tally = |pod: &str, records, bytes| Tally {
        stream: StreamKey(format!("shop_{pod}_uid/app").into()),
        records,
        bytes,
    };
    let noted =
        Frame { tallies: vec![tally("cart-1", 1, 7), tally("cart-2", 1, 5)], ..garbage.clone() };
    let queue = Queue::of([garbage, noted]);
    let running = Running::with(&settings(&server.url(), setup), queue);
    eventually("settled", || running.queue.settled() == 2).await;
    assert_eq!(running.status().rejected["too_large"].records, 4);
    let told = running.queue.told();
    assert_eq!(told[0], ("too_large", String::new(), 2, 0), "nobody knows whose they are");
    assert_eq!(told[1], ("too_large", "cart-1".to_owned(), 1, 7), "it was noted in the frame");
    assert_eq!(told[2], ("too_large", "cart-2".to_owned(), 1, 5));
}
