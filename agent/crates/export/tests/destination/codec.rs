//! Which codec is used, and who is told.

use std::time::Duration;

use hawsepipe_export::State;
use hawsepipe_model::Codec;
use tonic::codec::CompressionEncoding::{Gzip, Zstd};

use crate::server::Logs;
use crate::support::{Queue, Running, Setup, eventually, frame, settings};

#[tokio::test]
async fn a_server_that_takes_only_gzip_gets_gzip_and_new_frames_are_made_so() {
    let logs = Logs::default();
    let server = logs.start(&[Gzip]).await;
    let queue = Queue::of([frame(Codec::Zstd, &["made as zstd"])]);
    let running = Running::with(&settings(&server.url(), Setup::default()), queue);
    eventually("settled", || running.queue.settled() == 1).await;

    assert_eq!(logs.lines(), ["made as zstd"]);
    assert_eq!(logs.0.lock().encodings, ["gzip"]);
    assert_eq!(running.preferred.get(), Codec::Gzip);
    assert_eq!(running.status().reencoded_frames, 1);
    running.queue.push(frame(Codec::Gzip, &["made as gzip"]));
    eventually("settled", || running.queue.settled() == 2).await;
    assert_eq!(running.status().reencoded_frames, 1);
    assert_eq!(logs.0.lock().greetings, 1, "asked once, not once a frame");
    assert!(running.metrics().contains(r#"reencoded_frames_total{destination="main"} 1"#));
}

#[tokio::test]
async fn a_server_that_takes_no_compression_gets_none() {
    let logs = Logs::default();
    let server = logs.start(&[]).await;
    let queue = Queue::of([frame(Codec::Zstd, &["one"]), frame(Codec::Gzip, &["two"])]);
    let running = Running::with(&settings(&server.url(), Setup::default()), queue);
    eventually("settled", || running.queue.settled() == 2).await;

    assert_eq!(logs.lines(), ["one", "two"]);
    assert_eq!(running.preferred.get(), Codec::Identity);
    assert_eq!(running.status().codec.as_deref(), Some("identity"));
}

#[tokio::test]
async fn the_codec_is_known_before_there_is_a_frame() {
    let logs = Logs::default();
    let server = logs.start(&[Gzip]).await;
    let running = Running::with(&settings(&server.url(), Setup::default()), Queue::default());
    eventually("connected", || running.status().state == State::Connected).await;
    assert_eq!(running.preferred.get(), Codec::Gzip);
}

#[tokio::test]
async fn a_codec_that_was_configured_and_is_not_taken_blocks_with_a_remedy() {
    let logs = Logs::default();
    let server = logs.start(&[Gzip]).await;
    let setup = Setup { compression: "zstd", ..Setup::default() };
    let queue = Queue::of([frame(Codec::Zstd, &["held"])]);
    let running = Running::with(&settings(&server.url(), setup), queue);
    eventually("blocked", || running.status().state == State::Blocked).await;

    let reason = running.status().reason.unwrap();
    assert!(reason.contains("zstd") && reason.contains("set compression: auto"), "{reason}");
    assert_eq!(running.queue.settled(), 0);
}

#[tokio::test]
async fn a_server_that_comes_back_without_zstd_is_asked_again() {
    let first = Logs::default();
    let server = first.start(&[Zstd, Gzip]).await;
    let address = server.address;
    let queue = Queue::of([frame(Codec::Zstd, &["before"])]);
    let running = Running::with(&settings(&server.url(), Setup::default()), queue);
    eventually("settled", || running.queue.settled() == 1).await;
    server.stop().await;

    let listener = loop {
        match tokio::net::TcpListener::bind(address).await {
            Ok(listener) => break listener,
            Err(_taken) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    };
    let second = Logs::default();
    let _server = second.serve_on(listener, &[Gzip]);
    running.queue.push(frame(Codec::Zstd, &["after"]));
    eventually("settled", || running.queue.settled() == 2).await;
    assert_eq!(second.lines(), ["after"]);
    assert_eq!(running.preferred.get(), Codec::Gzip);
}

#[tokio::test]
async fn a_frame_that_is_not_what_it_says_is_counted_and_the_next_goes_on() {
    let logs = Logs::default();
    let server = logs.start(&[Gzip]).await;
    let mut larger = frame(Codec::Zstd, &["larger than it says"]);
    larger.uncompressed_len = 3;
    let mut garbage = frame(Codec::Zstd, &["garbage", "lines"]);
    garbage.payload = bytes::Bytes::from_static(b"no zstd");
    let queue = Queue::of([larger, garbage, frame(Codec::Zstd, &["good"])]);
    let running = Running::with(&settings(&server.url(), Setup::default()), queue);
    eventually("settled", || running.queue.settled() == 3).await;

    assert_eq!(logs.lines(), ["good"]);
    let status = running.status();
    assert_eq!(status.rejected["unencodable"].records, 3);
}
