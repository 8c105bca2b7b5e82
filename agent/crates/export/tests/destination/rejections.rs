//! Records that a destination refuses, among others.

use std::time::Duration;

use hawsepipe_export::{Drained, State};
use hawsepipe_model::{Codec, Frame};
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsPartialSuccess, ExportLogsServiceResponse,
};
use tonic::Status;
use tonic::codec::CompressionEncoding::Zstd;

use crate::server::Logs;
use crate::support::{Queue, Running, Setup, eventually, frame_of_pods, lines, settings};

/// Requests that a frame may cost beyond its own (`parts.rs`).
const SEARCH: usize = 64;

/// `count` lines; those that `bad` says are called bad.
fn frame_with(count: usize, bad: impl Fn(usize) -> bool) -> (Frame, Vec<String>) {
    let lines: Vec<String> = (0..count)
        .map(|number| format!("{} line {number}", if bad(number) { "bad" } else { "good" }))
        .collect();
    let half = count / 2;
    let frame =
        frame_of_pods(Codec::Zstd, &[("cart-1", &lines[..half]), ("cart-2", &lines[half..])]);
    (frame, lines)
}

/// Refuses every request with a bad line.
fn picky() -> Logs {
    let logs = Logs::default();
    logs.judged_by(|request| {
        let bad = lines(request).iter().any(|line| line.starts_with("bad"));
        bad.then(|| Status::invalid_argument("a line is bad"))
    });
    logs
}

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines
}

fn good(lines: &[String]) -> Vec<String> {
    sorted(lines.iter().filter(|line| line.starts_with("good")).cloned().collect())
}

#[tokio::test]
async fn one_bad_record_among_ten_thousand_is_found_and_the_others_arrive() {
    let logs = picky();
    let server = logs.start(&[Zstd]).await;
    let (frame, sent) = frame_with(10_000, |number| number == 7777);
    let running = Running::with(&settings(&server.url(), Setup::default()), Queue::of([frame]));
    eventually("settled", || running.queue.settled() == 1).await;

    assert_eq!(sorted(logs.lines()), good(&sent));
    let tries = logs.0.lock().tries.len();
    assert!(tries <= 1 + 28, "{tries} requests");
    let status = running.status();
    let rejected = &status.rejected["invalid_argument"];
    assert_eq!((status.frames, status.records, rejected.records), (1, 9999, 1));
    assert_eq!(rejected.last_message, "INVALID_ARGUMENT: a line is bad");
    assert!(rejected.bytes > 0 && rejected.bytes < 200, "{rejected:?}");
    let bytes = "bad line 7777".len() as u64;
    assert_eq!(running.queue.told(), [("invalid_argument", "cart-2".to_owned(), 1, bytes)]);
    assert_eq!(&*running.queue.losses()[0].words, "INVALID_ARGUMENT: a line is bad");
    let metrics = running.metrics();
    let counted = r#"rejected_records_total{destination="main",reason="invalid_argument"} 1"#;
    assert!(metrics.contains(counted), "{metrics}");
}

#[tokio::test]
async fn the_search_for_bad_records_is_capped_and_every_record_arrives_or_is_counted() {
    let logs = picky();
    let server = logs.start(&[Zstd]).await;
    let (frame, sent) = frame_with(4096, |number| number % 500 == 3);
    let running = Running::with(&settings(&server.url(), Setup::default()), Queue::of([frame]));
    eventually("settled", || running.queue.settled() == 1).await;

    let arrived = sorted(logs.lines());
    let tries = logs.0.lock().tries.len();
    assert!((SEARCH..=1 + SEARCH).contains(&tries), "{tries} requests");
    let unique = arrived.windows(2).all(|pair| pair[0] != pair[1]);
    assert!(unique, "no line twice");
    let good = good(&sent);
    assert!(arrived.iter().all(|line| good.binary_search(line).is_ok()));
    // Nine bad records, each in a group of no more than 128 when the search ends.
    let lost = 4096 - arrived.len();
    assert!((9..=9 * 128).contains(&lost), "{lost} lost");
    let status = running.status();
    assert_eq!(status.rejected["invalid_argument"].records, lost as u64);
    assert_eq!(running.queue.lost(), lost as u64);
    assert_eq!(status.records, arrived.len() as u64);
    let words = &status.rejected["invalid_argument"].last_message;
    assert!(
        words.contains("a line is bad; which of 64 records was not found")
            || words.contains("a line is bad; which of 128 records was not found"),
        "{words}"
    );
}

#[tokio::test]
async fn a_destination_that_refuses_everything_is_asked_no_more_than_the_cap_and_all_is_counted() {
    let logs = picky();
    let server = logs.start(&[Zstd]).await;
    let (bad, _) = frame_with(2000, |_| true);
    let (next, sent) = frame_with(10, |_| false);
    let running = Running::with(&settings(&server.url(), Setup::default()), Queue::of([bad, next]));
    eventually("settled", || running.queue.settled() == 2).await;
    assert_eq!(logs.0.lock().tries.len(), 1 + SEARCH + 1);
    assert_eq!(logs.lines(), sent);
    assert_eq!((running.queue.lost(), running.status().frames), (2000, 1));
    let told = running.queue.told();
    let told: Vec<_> = told.iter().map(|loss| (loss.0, &loss.1[..], loss.2)).collect();
    let expected = [("invalid_argument", "cart-1", 1000), ("invalid_argument", "cart-2", 1000)];
    assert_eq!(told, expected, "each pod once, whatever the parts were");
}

#[tokio::test]
async fn partial_success_is_told_with_the_pod_where_it_can_be_known() {
    let logs = Logs::default();
    for rejected_log_records in [1, 1, 4] {
        let error_message = "too old".to_owned();
        let partial = ExportLogsPartialSuccess { rejected_log_records, error_message };
        logs.says(Ok(ExportLogsServiceResponse { partial_success: Some(partial) }));
    }
    let server = logs.start(&[Zstd]).await;
    let (two_pods, lines) = frame_with(4, |_| false);
    let one_pod = frame_of_pods(Codec::Zstd, &[("cart-1", &lines)]);
    let queue = Queue::of([one_pod, two_pods.clone(), two_pods]);
    let running = Running::with(&settings(&server.url(), Setup::default()), queue);
    eventually("settled", || running.queue.settled() == 3).await;

    assert_eq!(logs.0.lock().tries.len(), 3, "partial success is never sent again");
    let (first, second) = ("cart-1".to_owned(), "cart-2".to_owned());
    let told = running.queue.told();
    assert_eq!(told[0], ("partial_success", first.clone(), 1, 0));
    let unknown = ("partial_success", String::new(), 1, 0);
    assert_eq!(told[1], unknown, "one of two pods, nobody knows which");
    assert_eq!(told[2], ("partial_success", first, 2, 22));
    assert_eq!(told[3], ("partial_success", second, 2, 22));
    assert!(running.queue.losses().iter().all(|loss| &*loss.words == "too old"));
    assert_eq!(running.status().rejected["partial_success"].records, 6);
}

#[tokio::test]
async fn a_frame_is_settled_when_its_last_part_is_and_after_a_kill_the_parts_come_again() {
    let logs = Logs::default();
    // The frame is too large, its first half is taken, then the server is away.
    let large = || Status::resource_exhausted("received message larger than max (900 vs. 800)");
    logs.says(Err(large()));
    logs.says(Ok(ExportLogsServiceResponse::default()));
    for _ in 0..100 {
        logs.says(Err(Status::unavailable("away")));
    }
    let server = logs.start(&[Zstd]).await;
    let (frame, sent) = frame_with(1000, |_| false);
    let queue = Queue::of([frame]);
    let running = Running::with(&settings(&server.url(), Setup::default()), queue.clone());
    eventually("away", || running.status().state == State::Retrying).await;
    assert_eq!(logs.lines(), sent[..500]);
    assert_eq!((queue.settled(), queue.unsettled()), (0, 1), "half a frame is no frame");
    assert_eq!(running.status().frames, 0);
    running.kill();

    logs.0.lock().script.clear();
    let running = Running::with(&settings(&server.url(), Setup::default()), queue);
    eventually("settled", || running.queue.settled() == 1).await;
    let mut arrived = logs.lines();
    assert_eq!(arrived.split_off(500), sent, "nothing is missing");
    assert_eq!(arrived, sent[..500], "what had been acknowledged came twice");
}

#[tokio::test]
async fn stopping_in_the_middle_of_a_frame_leaves_it_to_the_queue() {
    let logs = Logs::default();
    logs.says(Err(Status::resource_exhausted("received message larger than max")));
    logs.says(Ok(ExportLogsServiceResponse::default()));
    for _ in 0..1000 {
        logs.says(Err(Status::unavailable("away")));
    }
    let server = logs.start(&[Zstd]).await;
    let (frame, _) = frame_with(1000, |_| false);
    let settings = settings(&server.url(), Setup::default());
    let running = Running::start(&settings, Queue::of([frame]), Duration::from_millis(100));
    eventually("away", || running.status().state == State::Retrying).await;
    let queue = running.queue.clone();
    assert_eq!(running.finish().await, Drained::Unfinished);
    assert_eq!((queue.settled(), queue.unsettled()), (0, 1));
}

#[tokio::test]
async fn what_a_frame_lost_is_told_when_it_is_settled_and_once_if_the_agent_stops_in_between() {
    let partial = || {
        let partial = ExportLogsPartialSuccess {
            rejected_log_records: 1,
            error_message: "too old".to_owned(),
        };
        Ok(ExportLogsServiceResponse { partial_success: Some(partial) })
    };
    let hour = Duration::from_secs(3600);
    for (trouble, state, drain) in [
        (Status::unavailable("away"), State::Retrying, Duration::from_millis(100)),
        (Status::internal("disk full"), State::Blocked, hour),
    ] {
        let logs = Logs::default();
        // The frame is too large, of its first half a record is refused, then there is trouble.
        logs.says(Err(Status::resource_exhausted("received message larger than max")));
        logs.says(partial());
        for _ in 0..1000 {
            logs.says(Err(trouble.clone()));
        }
        let server = logs.start(&[Zstd]).await;
        let (next, lines) = frame_with(1000, |_| false);
        let queue = Queue::of([frame_of_pods(Codec::Zstd, &[("cart-1", &lines)]), next]);
        let settings = settings(&server.url(), Setup::default());
        let running = Running::start(&settings, queue.clone(), drain);
        eventually("in trouble", || running.status().state == state).await;
        assert_eq!(running.status().rejected["partial_success"].records, 1);
        assert_eq!(running.finish().await, Drained::Unfinished);
        assert_eq!((queue.settled(), queue.unsettled(), queue.lost()), (0, 2, 0));

        logs.0.lock().script.clear();
        logs.says(partial());
        let running = Running::with(&settings, queue.clone());
        assert_eq!(running.ended().await, Drained::Complete);
        assert_eq!(queue.told(), [("partial_success", "cart-1".to_owned(), 1, 0)]);
    }
}

#[tokio::test]
async fn a_note_is_settled_and_never_sent() {
    let logs = Logs::default();
    let server = logs.start(&[Zstd]).await;
    let note = Frame::note(Vec::new(), Vec::new(), Vec::new());
    let (frame, sent) = frame_with(2, |_| false);
    let queue = Queue::of([note.clone(), frame, note]);
    let running = Running::with(&settings(&server.url(), Setup::default()), queue);
    eventually("settled", || running.queue.settled() == 3).await;
    assert_eq!(logs.lines(), sent);
    let greetings = logs.0.lock().greetings;
    assert_eq!((greetings, logs.0.lock().tries.len()), (1, 1));
    assert_eq!(running.status().frames, 1);
}
