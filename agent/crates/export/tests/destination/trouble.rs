//! Servers that are none: each has a clear reason, and none of them loses a frame.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hawsepipe_export::{Exporter, Otlp, State, Verdict};
use hawsepipe_model::{BlockedReason, Codec, Outcome, PreferredCodec};
use http::{HeaderMap, HeaderValue, Response};
use http_body_util::{BodyExt, Full, StreamBody};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tonic::codec::CompressionEncoding::Zstd;

use crate::server::{self, Body, Logs, http, listen, raw};
use crate::support::{Queue, Running, Setup, eventually, frame, settings};

async fn verdict_of(server: &server::Running) -> Verdict {
    verdict_at(&server.url(), Duration::from_secs(10)).await
}

async fn verdict_at(url: &str, limit: Duration) -> Verdict {
    let setup = Setup { timeout: Some(limit), ..Setup::default() };
    let preferred = Arc::new(PreferredCodec::new(Codec::Zstd));
    let mut otlp = Otlp::new(&settings(url, setup), preferred);
    otlp.send(&Arc::new(frame(Codec::Zstd, &["line"]))).await
}

#[track_caller]
fn retried(verdict: Verdict, label: &str) -> String {
    let Outcome::Retry { reason, .. } = verdict.outcome else { panic!("{verdict:?}") };
    assert_eq!(verdict.label, label, "{reason}");
    reason
}

pub(crate) fn full(data: &'static [u8]) -> Body {
    Full::new(Bytes::from_static(data)).map_err(|never| match never {}).boxed()
}

/// A gRPC answer of these pieces, with these trailers.
pub(crate) fn grpc(
    pieces: Vec<std::io::Result<&'static [u8]>>,
    trailers: &'static [(&'static str, &'static str)],
) -> Response<Body> {
    let mut frames: Vec<_> = pieces
        .into_iter()
        .map(|piece| piece.map(|data| http_body::Frame::data(Bytes::from_static(data))))
        .collect();
    if !trailers.is_empty() {
        let map: HeaderMap = trailers
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
            .collect();
        frames.push(Ok(http_body::Frame::trailers(map)));
    }
    let body = StreamBody::new(futures::stream::iter(frames));
    Response::builder()
        .header("content-type", "application/grpc")
        .body(BodyExt::boxed(body))
        .unwrap()
}

#[tokio::test]
async fn nobody_listening_is_retried() {
    let listener = listen().await;
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let reason = retried(verdict_at(&url, Duration::from_secs(10)).await, "transport");
    assert!(reason.contains("cannot connect") && reason.contains("refused"), "{reason}");
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_retried() {
    let verdict = verdict_at("http://no-such-host.invalid:4317", Duration::from_secs(20)).await;
    let reason = retried(verdict, "transport");
    assert!(reason.contains("no-such-host.invalid") && reason.contains("dns"), "{reason}");
}

#[tokio::test]
async fn garbage_bytes_are_retried() {
    let server = raw(|mut stream| {
        Box::pin(async move {
            let _sent = stream.write_all(&[0xff; 4096]).await;
            let mut sink = [0; 1024];
            while stream.read(&mut sink).await.is_ok_and(|count| count > 0) {}
        })
    })
    .await;
    retried(verdict_of(&server).await, "transport");
}

#[tokio::test]
async fn a_connection_that_closes_at_once_is_retried() {
    let server = raw(|stream| Box::pin(async move { drop(stream) })).await;
    retried(verdict_of(&server).await, "transport");
}

#[tokio::test]
async fn a_server_that_hangs_costs_the_time_limit_and_is_retried() {
    let server = raw(|mut stream| {
        Box::pin(async move {
            let mut sink = [0; 1024];
            while stream.read(&mut sink).await.is_ok_and(|count| count > 0) {}
        })
    })
    .await;
    let started = Instant::now();
    let verdict = verdict_at(&server.url(), Duration::from_millis(300)).await;
    let reason = retried(verdict, "timeout");
    assert!(reason.contains("within 0.3 s"), "{reason}");
    assert!(started.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn connections_to_a_server_that_does_not_even_read_are_given_up() {
    let held = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&held);
    let server = raw(move |stream| {
        keep.lock().push(stream);
        Box::pin(async {})
    })
    .await;
    let setup = Setup { timeout: Some(Duration::from_millis(100)), ..Setup::default() };
    let running = Running::with(&settings(&server.url(), setup), Queue::default());
    eventually("five tries", || held.lock().len() >= 5).await;
    running.cancel.cancel();
    let given_up: Vec<_> = held.lock().drain(..4).collect();
    for mut stream in given_up {
        let mut sink = Vec::new();
        let closed = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut sink));
        assert!(closed.await.is_ok(), "a connection that was given up is still open");
    }
}

#[tokio::test]
async fn a_server_that_begins_an_answer_and_never_ends_it_costs_the_time_limit() {
    let server = http(|| {
        let piece = Ok(http_body::Frame::data(Bytes::from_static(b"\0\0")));
        let endless = futures::StreamExt::chain(
            futures::stream::iter([piece]),
            futures::stream::pending::<std::io::Result<http_body::Frame<Bytes>>>(),
        );
        let body = StreamBody::new(endless);
        let response = Response::builder().header("content-type", "application/grpc");
        response.body(BodyExt::boxed(body)).unwrap()
    })
    .await;
    retried(verdict_at(&server.url(), Duration::from_millis(300)).await, "timeout");
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_retried() {
    let server = http(|| grpc(vec![Ok(b"\0\0\0"), Err(std::io::Error::other("crash"))], &[])).await;
    let reason = retried(verdict_of(&server).await, "transport");
    assert!(reason.contains("broke"), "{reason}");
}

#[tokio::test]
async fn a_server_of_http_1_is_retried() {
    let server = raw(|mut stream| {
        Box::pin(async move {
            let mut sink = [0; 1024];
            let _asked = stream.read(&mut sink).await;
            let _sent =
                stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await;
        })
    })
    .await;
    retried(verdict_of(&server).await, "transport");
}

#[tokio::test]
async fn a_proxy_that_says_503_in_html_is_retried_with_its_words() {
    let server = http(|| {
        let response = Response::builder().status(503).header("content-type", "text/html");
        response.body(full(b"<h1>no healthy\n upstream</h1>")).unwrap()
    })
    .await;
    let reason = retried(verdict_of(&server).await, "http");
    assert!(reason.contains("HTTP 503"), "{reason}");
    assert!(reason.contains("text/html") && reason.contains("no healthy upstream"), "{reason}");
}

#[tokio::test]
async fn http_answers_that_will_not_change_by_themselves_block() {
    for (status, expected) in [
        (200, BlockedReason::Destination),
        (302, BlockedReason::Destination),
        (401, BlockedReason::KeyRefused),
        (403, BlockedReason::KeyRefused),
        (404, BlockedReason::Destination),
        (413, BlockedReason::Destination),
    ] {
        let server = http(move || {
            let response = Response::builder().status(status).header("content-type", "text/html");
            response.body(full(b"<html>")).unwrap()
        })
        .await;
        let outcome = verdict_of(&server).await.outcome;
        let Outcome::Blocked { kind, reason } = outcome else { panic!("{status}: {outcome:?}") };
        assert_eq!(kind, expected, "{status}: {reason}");
        assert!(reason.contains(&status.to_string()), "{reason}");
    }
}

#[tokio::test]
async fn a_proxy_that_calls_a_frame_too_large_means_its_size() {
    let asked = Arc::new(AtomicBool::new(false));
    let server = http(move || {
        if !asked.swap(true, Ordering::Relaxed) {
            return grpc(vec![Ok(b"\0\0\0\0\0")], &[("grpc-status", "0")]);
        }
        let response = Response::builder().status(413).header("content-type", "text/html");
        response.body(full(b"client_max_body_size")).unwrap()
    })
    .await;
    let verdict = verdict_of(&server).await;
    assert!(matches!(verdict.outcome, Outcome::TooLarge { .. }), "{verdict:?}");
    assert_eq!(verdict.label, "too_large");
}

#[tokio::test]
async fn answers_that_break_the_rules_of_grpc_are_retried() {
    const OK: &[(&str, &str)] = &[("grpc-status", "0")];
    type Make = fn() -> Response<Body>;
    let cases: [(&str, Make); 7] = [
        ("no status", || grpc(vec![Ok(b"\0\0\0\0\0")], &[])),
        ("no message", || grpc(vec![], OK)),
        ("a short message", || grpc(vec![Ok(b"\0\0\0\0\x09abc")], OK)),
        ("an unknown flag", || grpc(vec![Ok(b"\x09\0\0\0\0")], OK)),
        ("compressed somehow", || grpc(vec![Ok(b"\x01\0\0\0\x01x")], OK)),
        ("no protobuf", || grpc(vec![Ok(b"\0\0\0\0\x03\xff\xff\xff")], OK)),
        ("5 MiB", || grpc(vec![Ok(&[0; 5 << 20])], OK)),
    ];
    for (what, make) in cases {
        let server = http(make).await;
        let verdict = verdict_of(&server).await;
        assert!(matches!(verdict.outcome, Outcome::Retry { .. }), "{what}: {verdict:?}");
        assert_eq!(verdict.label, "protocol", "{what}");
    }
}

#[tokio::test]
async fn details_that_are_no_base64_do_not_stop_the_agent() {
    let server = http(|| {
        let broken = &[("grpc-status", "14"), ("grpc-status-details-bin", "%%%")];
        grpc(vec![], broken)
    })
    .await;
    retried(verdict_of(&server).await, "unavailable");
}

#[tokio::test]
async fn a_frame_outlives_every_trouble_and_arrives_once() {
    let garbage = raw(|mut stream| {
        Box::pin(async move {
            let _sent = stream.write_all(b"garbage garbage garbage garbage").await;
        })
    })
    .await;
    let address = garbage.address;
    let queue = Queue::of([frame(Codec::Zstd, &["survivor"])]);
    let running = Running::with(&settings(&garbage.url(), Setup::default()), queue);
    eventually("retries", || running.status().retries >= 2).await;
    assert_eq!(running.status().state, State::Retrying);
    assert!(running.status().reason.is_some());
    garbage.stop().await;

    let listener = loop {
        match tokio::net::TcpListener::bind(address).await {
            Ok(listener) => break listener,
            Err(_taken) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    };
    let logs = Logs::default();
    let _server = logs.serve_on(listener, &[Zstd]);
    eventually("settled", || running.queue.settled() == 1).await;
    assert_eq!(logs.lines(), ["survivor"]);
}
