//! Frames that fail again and again without a word about their size, on a paused clock.

use std::sync::Arc;
use std::time::Duration;

use hawsepipe_export::{Destination, ExportMetrics, Exporter, Verdict};
use hawsepipe_model::codec::decompress;
use hawsepipe_model::{Codec, Frame, Outcome, Signal};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use parking_lot::Mutex;
use prost::Message;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::support::{Queue, frame, lines};

/// Fails every request of more than `max` bytes before compression, in a way that says nothing of it.
#[derive(Clone)]
struct Mute(Arc<Mutex<State>>);

struct State {
    max: usize,
    answers_greetings: bool,
    label: &'static str,
    after: Option<Duration>,
    sizes: Vec<usize>,
    lines: Vec<String>,
}

impl Mute {
    fn new(max: usize, label: &'static str) -> Self {
        Self(Arc::new(Mutex::new(State {
            max,
            answers_greetings: true,
            label,
            after: None,
            sizes: Vec::new(),
            lines: Vec::new(),
        })))
    }

    fn fails(&self) -> Verdict {
        let state = self.0.lock();
        let (after, reason) = (state.after, "no reason".to_owned());
        Verdict { outcome: Outcome::Retry { after, reason }, label: state.label }
    }
}

fn ack() -> Verdict {
    Verdict { outcome: Outcome::Ack { rejected: 0, message: String::new() }, label: "ok" }
}

impl Exporter for Mute {
    const TYPE: &'static str = "mute";

    async fn greet(&mut self) -> Verdict {
        let answers = {
            let state = self.0.lock();
            state.answers_greetings || state.sizes.is_empty()
        };
        if answers { ack() } else { self.fails() }
    }

    async fn send(&mut self, frame: &Arc<Frame>) -> Verdict {
        let size = frame.uncompressed_len;
        let fits = {
            let mut state = self.0.lock();
            state.sizes.push(size);
            size <= state.max
        };
        if !fits {
            return self.fails();
        }
        let plain = decompress(frame.codec, &frame.payload, size).unwrap();
        let request = ExportLogsServiceRequest::decode(&plain[..]).unwrap();
        self.0.lock().lines.extend(lines(&request));
        ack()
    }

    fn codec(&self) -> Option<Codec> {
        Some(Codec::Zstd)
    }

    fn take_reencoded(&mut self) -> u64 {
        0
    }

    fn key_changed(&self) -> bool {
        false
    }
}

/// About 1 MiB.
fn large() -> (Frame, Vec<String>) {
    let lines: Vec<String> =
        (0..4000).map(|number| format!("{number:04} {}", "x".repeat(250))).collect();
    let text: Vec<&str> = lines.iter().map(String::as_str).collect();
    (frame(Codec::Zstd, &text), lines)
}

fn run(exporter: &Mute, queue: &Queue) {
    let endpoint = "http://mute:4317".to_owned();
    let destination =
        Destination::new("main", endpoint, exporter.clone(), &ExportMetrics::default());
    tokio::spawn(destination.run(queue.clone(), CancellationToken::new(), Duration::ZERO));
}

async fn settled(queue: &Queue, frames: usize) {
    let settled = async {
        while queue.settled() < frames {
            sleep(Duration::from_secs(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(24 * 3600), settled).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_server_that_resets_large_requests_gets_smaller_ones() {
    // As grpc-java did for years.
    let exporter = Mute::new(300_000, "transport");
    let (first, sent) = large();
    let queue = Queue::of([first.clone(), first]);
    run(&exporter, &queue);
    settled(&queue, 1).await;
    assert_eq!(exporter.0.lock().lines[..sent.len()], sent);
    settled(&queue, 2).await;
    assert_eq!(exporter.0.lock().lines[sent.len()..], sent);
    let sizes = exporter.0.lock().sizes.clone();
    let failed = sizes.iter().filter(|size| **size > 300_000).count();
    assert_eq!(failed, 2 * 5, "five tries of the whole and of its half, and never again");
}

#[tokio::test(start_paused = true)]
async fn a_quota_that_lasts_for_hours_neither_rejects_nor_splits_to_dust() {
    let exporter = Mute::new(0, "resource_exhausted");
    let (large, sent) = large();
    let queue = Queue::of([large]);
    run(&exporter, &queue);
    sleep(Duration::from_secs(6 * 3600)).await;
    assert_eq!(queue.settled(), 0);
    let smallest = exporter.0.lock().sizes.iter().min().copied().unwrap();
    assert!((32 * 1024..=64 * 1024).contains(&smallest), "{smallest}");
    let before = exporter.0.lock().sizes.len();
    exporter.0.lock().max = usize::MAX;
    settled(&queue, 1).await;
    assert_eq!(exporter.0.lock().lines, sent);
    let took = exporter.0.lock().sizes.len() - before;
    assert!(took <= 6, "{took} requests");
}

#[tokio::test(start_paused = true)]
async fn a_frame_is_not_split_while_the_server_is_away_or_asks_to_wait_or_is_overloaded() {
    let whole = large().0.uncompressed_len;
    for (label, answers_greetings, after) in [
        ("transport", false, None),
        ("resource_exhausted", true, Some(Duration::from_secs(1))),
        ("unavailable", true, None),
    ] {
        let exporter = Mute::new(0, label);
        exporter.0.lock().answers_greetings = answers_greetings;
        exporter.0.lock().after = after;
        let queue = Queue::of([large().0]);
        run(&exporter, &queue);
        sleep(Duration::from_secs(3600)).await;
        let sizes = exporter.0.lock().sizes.clone();
        assert!(sizes.len() > 100 && sizes.iter().all(|size| *size == whole), "{label}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_frame_that_is_no_logs_is_not_halved() {
    let exporter = Mute::new(0, "transport");
    let metrics = Frame { signal: Signal::Metrics, ..large().0 };
    let whole = metrics.uncompressed_len;
    let queue = Queue::of([metrics]);
    run(&exporter, &queue);
    sleep(Duration::from_secs(3600)).await;
    let sizes = exporter.0.lock().sizes.clone();
    assert!(sizes.len() > 100 && sizes.iter().all(|size| *size == whole));
    assert!(sizes.len() < 1000, "{} tries: the wait grows", sizes.len());
}
