//! Stopping: what can be sent is sent, what cannot stays in the queue.

use std::time::{Duration, Instant};

use hawsepipe_export::{Drained, State};
use hawsepipe_model::Codec;
use tokio::io::AsyncReadExt;
use tonic::codec::CompressionEncoding::Zstd;

use crate::server::{Logs, raw};
use crate::support::{Queue, Running, Setup, eventually, frame, settings};

#[tokio::test]
async fn what_is_in_the_queue_is_sent_before_the_end() {
    let logs = Logs::default();
    let server = logs.start(&[Zstd]).await;
    let queue = Queue::of((0..100).map(|number| frame(Codec::Zstd, &[&number.to_string()])));
    let running = Running::with(&settings(&server.url(), Setup::default()), queue.clone());
    assert_eq!(running.finish().await, Drained::Complete);
    assert_eq!(logs.lines().len(), 100);
    assert_eq!(queue.unsettled(), 0);
}

#[tokio::test]
async fn a_server_that_hangs_does_not_hold_up_the_end() {
    let server = raw(|mut stream| {
        Box::pin(async move {
            let mut sink = [0; 1024];
            while stream.read(&mut sink).await.is_ok_and(|count| count > 0) {}
        })
    })
    .await;
    let queue = Queue::of([frame(Codec::Zstd, &["kept"])]);
    let drain = Duration::from_millis(200);
    let setup = Setup { timeout: Some(Duration::from_secs(60)), ..Setup::default() };
    let running = Running::start(&settings(&server.url(), setup), queue.clone(), drain);
    let status = running.status.clone();
    let started = Instant::now();
    assert_eq!(running.finish().await, Drained::Unfinished);
    assert!(started.elapsed() < Duration::from_secs(20));
    assert_eq!(queue.unsettled(), 1, "the frame stays the queue's");
    assert_eq!(status.get().state, State::Stopped);
}

#[tokio::test]
async fn a_blocked_destination_is_tried_once_more_and_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    std::fs::write(&path, "wrong").unwrap();
    let logs = Logs::default();
    logs.wants_key("right");
    let server = logs.start(&[Zstd]).await;
    let queue = Queue::of([frame(Codec::Zstd, &["kept"])]);
    let setup = Setup { key_file: Some(&path), ..Setup::default() };
    let drain = Duration::from_secs(3600);
    let running = Running::start(&settings(&server.url(), setup), queue.clone(), drain);
    eventually("blocked", || running.status().state == State::Blocked).await;
    assert_eq!(running.finish().await, Drained::Unfinished);
    assert_eq!(queue.unsettled(), 1);
}
