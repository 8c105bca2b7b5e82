//! How often a destination is tried and how often it is spoken of, on a paused clock, with answers by script.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hawsepipe_export::{
    Destination, Drained, ExportMetrics, Exporter, State, StatusHandle, Verdict,
};
use hawsepipe_model::{BlockedReason, Codec, Frame, Outcome};
use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::support::{LogLines, Queue, frame};

/// Answers by script; when it ends, with the last answer for ever.
#[derive(Clone)]
struct Scripted {
    script: Arc<Mutex<VecDeque<Verdict>>>,
    tries: Arc<Mutex<Vec<Instant>>>,
    new_key: Arc<AtomicBool>,
}

impl Scripted {
    fn new(script: impl IntoIterator<Item = Verdict>) -> Self {
        Self {
            script: Arc::new(Mutex::new(script.into_iter().collect())),
            tries: Arc::default(),
            new_key: Arc::default(),
        }
    }

    fn tries(&self) -> Vec<Instant> {
        self.tries.lock().clone()
    }
}

impl Exporter for Scripted {
    const TYPE: &'static str = "scripted";

    async fn greet(&mut self) -> Verdict {
        ack()
    }

    async fn send(&mut self, _frame: &Arc<Frame>) -> Verdict {
        self.tries.lock().push(Instant::now());
        let mut script = self.script.lock();
        let next = script.pop_front().unwrap();
        if script.is_empty() {
            script.push_back(next.clone());
        }
        next
    }

    fn codec(&self) -> Option<Codec> {
        Some(Codec::Zstd)
    }

    fn take_reencoded(&mut self) -> u64 {
        0
    }

    fn key_changed(&self) -> bool {
        self.new_key.load(Ordering::Relaxed)
    }
}

fn ack() -> Verdict {
    Verdict { outcome: Outcome::Ack { rejected: 0, message: String::new() }, label: "ok" }
}

fn retry(after: Option<Duration>) -> Verdict {
    let reason = "out of order".to_owned();
    Verdict { outcome: Outcome::Retry { after, reason }, label: "unavailable" }
}

fn blocked(kind: BlockedReason) -> Verdict {
    Verdict { outcome: Outcome::Blocked { kind, reason: "no".to_owned() }, label: "blocked" }
}

struct Running {
    queue: Queue,
    status: StatusHandle,
    cancel: CancellationToken,
    task: JoinHandle<Drained>,
}

fn run(exporter: &Scripted, frames: usize, drain: Duration) -> Running {
    let metrics = ExportMetrics::default();
    let endpoint = "http://scripted:4317".to_owned();
    let destination = Destination::new("main", endpoint, exporter.clone(), &metrics);
    let status = destination.status();
    let queue = Queue::of((0..frames).map(|_| frame(Codec::Zstd, &["line"])));
    let cancel = CancellationToken::new();
    let task = tokio::spawn(destination.run(queue.clone(), cancel.clone(), drain));
    Running { queue, status, cancel, task }
}

#[tokio::test(start_paused = true)]
async fn a_blocked_destination_is_tried_slowly() {
    let exporter = Scripted::new([blocked(BlockedReason::KeyRefused)]);
    let running = run(&exporter, 1, Duration::ZERO);
    sleep(Duration::from_secs(600)).await;
    let tries = exporter.tries().len();
    assert!((600 / 36..=600 / 24 + 1).contains(&tries), "{tries} tries in ten minutes");
    assert_eq!(running.status.get().state, State::Blocked);
    assert_eq!(running.queue.settled(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_new_key_ends_the_wait_of_a_blocked_destination_within_a_second() {
    let exporter = Scripted::new([blocked(BlockedReason::KeyRefused), ack()]);
    let running = run(&exporter, 1, Duration::ZERO);
    sleep(Duration::from_secs(5)).await;
    let corrected = Instant::now();
    exporter.new_key.store(true, Ordering::Relaxed);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(running.queue.settled(), 1);
    assert!(exporter.tries()[1] - corrected <= Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_trouble_of_hours_is_one_line_and_tried_twice_a_minute_or_more() {
    let log = LogLines::capture();
    let exporter = Scripted::new([retry(None)]);
    let running = run(&exporter, 1, Duration::ZERO);
    sleep(Duration::from_secs(6 * 3600)).await;
    let tries = exporter.tries().len();
    assert!((6 * 120..6 * 600).contains(&tries), "{tries} tries in six hours");
    assert_eq!(log.count("out of order"), 1, "{}", log.text());
    let status = running.status.get();
    assert_eq!(status.state, State::Retrying);
    assert_eq!(status.reason.as_deref(), Some("out of order"));
    assert_eq!(running.queue.settled(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_destination_that_fails_every_other_try_is_spoken_of_once_a_minute() {
    let log = LogLines::capture();
    let frames = 2000;
    let script = (0..frames).flat_map(|_| [retry(None), ack()]);
    let exporter = Scripted::new(script);
    let running = run(&exporter, frames, Duration::ZERO);
    let started = Instant::now();
    while running.queue.settled() < frames {
        sleep(Duration::from_secs(1)).await;
    }
    let minutes = usize::try_from(started.elapsed().as_secs() / 60).unwrap();
    assert!(minutes >= 5, "the test is too short: {minutes}");
    let lines = log.count("out of order");
    assert!((2..=minutes + 1).contains(&lines), "{lines} lines in {minutes} minutes");
}

#[tokio::test(start_paused = true)]
async fn each_kind_of_block_is_said_once() {
    let log = LogLines::capture();
    let unreadable = blocked(BlockedReason::KeyUnreadable);
    let refused = blocked(BlockedReason::KeyRefused);
    let script = [unreadable.clone(), unreadable, refused.clone(), refused];
    let exporter = Scripted::new(script);
    let _running = run(&exporter, 1, Duration::ZERO);
    sleep(Duration::from_secs(3600)).await;
    assert_eq!(log.count("key_unreadable"), 1, "{}", log.text());
    assert_eq!(log.count("key_refused"), 1, "{}", log.text());
}

#[tokio::test(start_paused = true)]
async fn stopping_hurries_a_backoff_and_ends_at_the_deadline() {
    let exporter = Scripted::new([retry(None)]);
    let running = run(&exporter, 1, Duration::from_secs(20));
    // Long enough that the backoff is at its cap.
    sleep(Duration::from_secs(600)).await;
    let before = exporter.tries().len();
    let stopped = Instant::now();
    running.cancel.cancel();
    running.queue.close();
    assert_eq!(running.task.await.unwrap(), Drained::Unfinished);
    assert!(Instant::now() - stopped <= Duration::from_secs(21));
    assert!(exporter.tries().len() >= before + 3, "tried while there was time");
    assert_eq!(running.queue.unsettled(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_was_asked_for_holds_while_stopping() {
    let asked = Duration::from_secs(15);
    let exporter = Scripted::new([retry(Some(asked)), ack()]);
    let running = run(&exporter, 1, Duration::from_secs(60));
    sleep(Duration::from_secs(1)).await;
    running.cancel.cancel();
    running.queue.close();
    assert_eq!(running.task.await.unwrap(), Drained::Complete);
    let tries = exporter.tries();
    assert!(tries[1] - tries[0] >= asked);
}

#[tokio::test(start_paused = true)]
async fn a_delay_past_the_end_of_time_is_no_panic() {
    let exporter = Scripted::new([retry(Some(Duration::MAX))]);
    let running = run(&exporter, 1, Duration::from_secs(1));
    sleep(Duration::from_secs(1)).await;
    running.cancel.cancel();
    assert_eq!(running.task.await.unwrap(), Drained::Unfinished);
}
