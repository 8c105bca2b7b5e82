//! Runs one destination: takes a frame, sends it until it is settled, takes the next.
//!
//! In: a [`FrameSource`], an [`Exporter`], the word to stop. Out: frames settled, in the source's order, each with what was lost of it;
//! status, metrics and log lines (`state`). A frame that is not settled when the time to stop is over stays unsettled: it
//! is the queue's; what was acknowledged of its parts is then sent again, what was refused of them is refused again and
//! counted then.

use std::sync::Arc;
use std::time::Duration;

use hawsepipe_model::{
    BlockedReason, Frame, FrameSource, Loss, LossReason, Measured, Outcome, PreferredCodec, Signal,
};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::delta::Deltas;
use crate::exporter::{Exporter, Verdict};
use crate::limits::Limits;
use crate::losses::Losses;
use crate::metrics::ExportMetrics;
use crate::otlp::Otlp;
use crate::parts::{Next, Parts, Refused, is_divisible};
use crate::retry::{self, Backoff};
use crate::settings::{Settings, Temporality};
use crate::state::{Reporter, StatusHandle};
use crate::status::DestinationStatus;
use crate::verdict;

/// How often a blocked destination looks whether the key has changed.
const KEY_POLL: Duration = Duration::from_secs(1);

/// Failures that a request may meet for its size without a word of it: for years grpc-java reset the stream
/// (grpc/grpc-java issue 3996), some servers say `RESOURCE_EXHAUSTED` and nothing else.
const SILENCES: [&str; 3] = ["transport", "cancelled", "resource_exhausted"];

/// After so many of them in a row, with an empty request taken in between, the frame is halved. Nothing is ever refused
/// for it: under a quota, which looks the same, its first part gets smaller at most down to [`SILENT_LEAST`].
const SILENT_TRIES: u32 = 5;

/// Requests of this size, in bytes before compression, are not halved without a word: no server has such a limit.
const SILENT_LEAST: usize = 64 * 1024;

/// Nobody who takes telemetry refuses requests of this size for their size, in bytes before compression.
const PLAUSIBLE: usize = 8 * 1024;

/// How a destination ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// The queue was closed and everything in it is settled.
    Complete,
    /// The time was over, or the destination was blocked, with frames left unsettled.
    Unfinished,
}

/// One destination.
#[derive(Debug)]
pub struct Destination<E = Otlp> {
    exporter: E,
    reporter: Reporter,
    /// `None`: counters are cumulative.
    deltas: Option<Deltas>,
}

impl Destination<Otlp> {
    /// An OTLP/gRPC destination by the name `name`.
    #[must_use]
    pub fn otlp(
        name: &str,
        settings: &Settings,
        preferred: Arc<PreferredCodec>,
        metrics: &ExportMetrics,
    ) -> Self {
        let endpoint = settings.endpoint().to_string();
        let deltas = (settings.temporality() == Temporality::Delta).then(Deltas::new);
        Self { deltas, ..Self::new(name, endpoint, Otlp::new(settings, preferred), metrics) }
    }
}

impl<E: Exporter> Destination<E> {
    /// A destination of any type.
    pub fn new(name: &str, endpoint: String, exporter: E, metrics: &ExportMetrics) -> Self {
        let status = DestinationStatus::new(name, E::TYPE, endpoint);
        Self { exporter, reporter: Reporter::new(status, metrics.of(name)), deltas: None }
    }

    /// Shows its status, also while it runs.
    pub fn status(&self) -> StatusHandle {
        self.reporter.handle()
    }

    /// Sends what `source` gives until it gives no more. After `cancel` it goes on for at most `drain`; a
    /// destination that is blocked then is tried once more and given up.
    pub async fn run<S: FrameSource>(
        self,
        mut source: S,
        cancel: CancellationToken,
        drain: Duration,
    ) -> Drained {
        let Self { mut exporter, mut reporter, deltas } = self;
        let time_is_over = async {
            cancel.cancelled().await;
            sleep(drain).await;
        };
        let drained = tokio::select! {
            biased;
            drained = work(&mut exporter, &mut reporter, deltas.as_ref(), &mut source, &cancel) => drained,
            () = time_is_over => Drained::Unfinished,
        };
        reporter.stopped(drained == Drained::Complete);
        drained
    }
}

async fn work<E: Exporter, S: FrameSource>(
    exporter: &mut E,
    reporter: &mut Reporter,
    deltas: Option<&Deltas>,
    source: &mut S,
    cancel: &CancellationToken,
) -> Drained {
    // Before there is anything to send: a wrong key shows at once, and frames are made in the right codec.
    answer(exporter, reporter, None, cancel).await;
    let mut limits = Limits::default();
    while let Some(frame) = source.next().await {
        let settled = if frame.is_note() {
            Some(Vec::new())
        } else {
            deliver(exporter, reporter, deltas, &mut limits, frame, cancel).await
        };
        let Some(losses) = settled else { return Drained::Unfinished };
        source.settle(losses).await;
    }
    Drained::Complete
}

/// Sends one frame, in parts where it must be, until the destination has settled all of it; what was lost of it. `None`:
/// there is no time left, nothing of the frame is settled.
async fn deliver<E: Exporter>(
    exporter: &mut E,
    reporter: &mut Reporter,
    deltas: Option<&Deltas>,
    limits: &mut Limits,
    mut frame: Arc<Frame>,
    cancel: &CancellationToken,
) -> Option<Vec<Loss>> {
    // Once for all tries.
    let mut told = None;
    if let Some(deltas) = deltas.filter(|_| frame.signal == Signal::Metrics) {
        let codec = exporter.codec().unwrap_or(frame.codec);
        let (converted, points) = deltas.of(&frame, codec).await;
        if converted.is_note() {
            // Nothing but baselines: there is nothing to tell.
            return Some(Vec::new());
        }
        frame = converted;
        told = Some((deltas, points));
    }
    let mut losses = Losses::at(&reporter.name());
    let (mut delivered, mut split) = (false, false);
    // A frame that was halved without a word about its size: whether that helps is not known yet.
    let mut suspect: Option<Arc<Frame>> = None;
    let records = frame.records;
    let mut parts = Parts::of(frame);
    loop {
        let part = match parts.next(limits, exporter.codec()).await {
            Next::Send(part) => part,
            Next::GiveUp(Refused { part, reason, words }) => {
                reporter.rejected(reason, part.whole(), &words);
                losses.refused(&part, reason, &words).await;
                continue;
            }
            Next::Done => break,
        };
        if part.frame.records < records && !split {
            split = true;
            reporter.split();
        }
        match answer(exporter, reporter, Some(&part.frame), cancel).await {
            Answer::Taken { rejected, message, failures } => {
                delivered = true;
                // A frame of metrics is one part. If the destination has some of it, which is not said.
                if rejected < part.frame.records
                    && let Some((deltas, points)) = told.take()
                {
                    deltas.taken(points);
                }
                if let Some(suspect) = suspect.take()
                    && failures == 0
                {
                    limits.learn(&suspect, suspect.codec, None, Measured::Plain);
                }
                reporter.acknowledged(&part, rejected, &message);
                losses.taken(&part, rejected, &message).await;
            }
            Answer::Refused { reason, words } => parts.refuse(part, reason, words),
            Answer::Unserved { words } => reporter.unserved(&part.frame, &words),
            Answer::TooLarge { limit, measured, reason } => {
                let codec = exporter.codec().unwrap_or(part.frame.codec);
                if is_divisible(&part.frame) {
                    limits.learn(&part.frame, codec, limit, measured);
                }
                let told = limit.filter(|_| measured == Measured::Plain);
                parts.shrink(part, told, exporter.codec(), reason).await;
            }
            Answer::Silence => {
                suspect = Some(Arc::clone(&part.frame));
                parts.halve(part, exporter.codec()).await;
            }
            Answer::GivenUp => return None,
        }
        reporter.limited(limits.smallest());
    }
    if delivered {
        reporter.frame_delivered();
    }
    Some(losses.into_list())
}

/// The final word on one request.
#[derive(Debug)]
enum Answer {
    /// Taken, but for `rejected` records, after so many failures.
    Taken { rejected: u64, message: String, failures: u32 },
    /// Its data is refused.
    Refused { reason: LossReason, words: String },
    /// Nothing of its signal is taken.
    Unserved { words: String },
    /// It is larger than what is taken.
    TooLarge { limit: Option<usize>, measured: Measured, reason: String },
    /// It fails again and again while empty requests are taken: it may be too large.
    Silence,
    /// There is no time left.
    GivenUp,
}

/// Sends one request, or none to greet, until there is a word on it.
async fn answer<E: Exporter>(
    exporter: &mut E,
    reporter: &mut Reporter,
    frame: Option<&Arc<Frame>>,
    cancel: &CancellationToken,
) -> Answer {
    let mut backoff = Backoff::new();
    let mut stopping = cancel.is_cancelled();
    let mut failures = 0;
    let mut silences = 0;
    loop {
        if !stopping && cancel.is_cancelled() {
            stopping = true;
            // Little time is left: tried as often as at the start of a trouble.
            backoff = Backoff::new();
        }
        if stopping && frame.is_none() {
            return Answer::GivenUp;
        }
        let started = Instant::now();
        let Verdict { outcome, label } = match frame {
            Some(frame) => implausible(exporter.send(frame).await, frame),
            None => exporter.greet().await,
        };
        reporter.metrics.took(started.elapsed());
        reporter.reencoded(exporter.take_reencoded());
        match outcome {
            Outcome::Ack { rejected, message } => {
                reporter.connected(exporter.codec());
                return Answer::Taken { rejected, message, failures };
            }
            Outcome::Reject { reason } => {
                reporter.connected(exporter.codec());
                return Answer::Refused { reason: LossReason::from_name(label), words: reason };
            }
            Outcome::Unserved { reason } => {
                reporter.connected(exporter.codec());
                return Answer::Unserved { words: reason };
            }
            Outcome::TooLarge { limit, measured, reason } => {
                reporter.connected(exporter.codec());
                return Answer::TooLarge { limit, measured, reason };
            }
            Outcome::Retry { after, reason } => {
                failures += 1;
                let delay = backoff.next(after);
                reporter.retrying(label, &reason, delay);
                // What the destination asked for holds when stopping too.
                let hurry = (!stopping && after.is_none()).then_some(cancel);
                wait(delay, hurry).await;
                let silent = after.is_none() && SILENCES.contains(&label);
                silences = if silent { silences + 1 } else { 0 };
                if silences >= SILENT_TRIES && !stopping && frame.is_some_and(|it| may_halve(it)) {
                    silences = 0;
                    if let Outcome::Ack { .. } = exporter.greet().await.outcome {
                        return Answer::Silence;
                    }
                }
            }
            Outcome::Blocked { kind, reason } => {
                reporter.blocked(kind, label, &reason);
                if stopping {
                    return Answer::GivenUp;
                }
                tokio::select! {
                    () = wait(retry::blocked(), Some(cancel)) => {}
                    () = new_key(exporter) => {}
                }
            }
        }
    }
}

fn may_halve(frame: &Frame) -> bool {
    is_divisible(frame) && frame.records > 1 && frame.uncompressed_len > SILENT_LEAST
}

/// A destination that calls the smallest requests too large, and does not say what it takes, means something else:
/// held, not cut to nothing.
fn implausible(verdict: Verdict, frame: &Frame) -> Verdict {
    match verdict.outcome {
        Outcome::TooLarge { limit, reason, .. }
            if frame.uncompressed_len < PLAUSIBLE
                && limit.is_none_or(|limit| limit >= frame.uncompressed_len) =>
        {
            let reason = format!(
                "a request of {} bytes is called too large ({reason}); look at the limits of the destination and of \
                 proxies before it",
                frame.uncompressed_len
            );
            verdict::blocked(BlockedReason::Destination, reason)
        }
        _ => verdict,
    }
}

/// Waits for `delay`, or until `hurry` is cancelled.
async fn wait(delay: Duration, hurry: Option<&CancellationToken>) {
    // A delay past the end of time is far in the future for tokio.
    let until = Instant::now().checked_add(delay);
    let slept = async {
        match until {
            Some(until) => sleep_until(until).await,
            None => std::future::pending().await,
        }
    };
    match hurry {
        Some(cancel) => tokio::select! {
            () = slept => {}
            () = cancel.cancelled() => {}
        },
        None => slept.await,
    }
}

/// Waits until the exporter's key is another.
async fn new_key<E: Exporter>(exporter: &E) {
    loop {
        sleep(KEY_POLL).await;
        if exporter.key_changed() {
            return;
        }
    }
}
