//! Runs one destination: takes the oldest frame, sends it until it is settled, takes the next.
//!
//! In: a [`FrameSource`], an [`Exporter`], the word to stop. Out: frames settled, in order; status, metrics and log
//! lines (`state`). A frame that is not settled when the time to stop is over stays unsettled: it is the queue's.

use std::sync::Arc;
use std::time::Duration;

use hawsepipe_model::{Frame, FrameSource, Outcome, PreferredCodec};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::exporter::{Exporter, Verdict};
use crate::metrics::ExportMetrics;
use crate::otlp::Otlp;
use crate::retry::{self, Backoff};
use crate::settings::Settings;
use crate::state::{Reporter, StatusHandle};
use crate::status::DestinationStatus;

/// How often a blocked destination looks whether the key has changed.
const KEY_POLL: Duration = Duration::from_secs(1);

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
        Self::new(name, endpoint, Otlp::new(settings, preferred), metrics)
    }
}

impl<E: Exporter> Destination<E> {
    /// A destination of any type.
    pub fn new(name: &str, endpoint: String, exporter: E, metrics: &ExportMetrics) -> Self {
        let status = DestinationStatus::new(name, E::TYPE, endpoint);
        Self { exporter, reporter: Reporter::new(status, metrics.of(name)) }
    }

    /// Shows its status, also while it runs.
    pub fn status(&self) -> StatusHandle {
        self.reporter.handle()
    }

    /// Sends what `source` gives until it gives no more. After `cancel` it goes on for at most `drain`; a
    /// destination that is blocked then is tried once more and given up.
    pub async fn run<S: FrameSource>(
        mut self,
        mut source: S,
        cancel: CancellationToken,
        drain: Duration,
    ) -> Drained {
        let time_is_over = async {
            cancel.cancelled().await;
            sleep(drain).await;
        };
        let drained = tokio::select! {
            biased;
            drained = work(&mut self.exporter, &mut self.reporter, &mut source, &cancel) => drained,
            () = time_is_over => Drained::Unfinished,
        };
        self.reporter.stopped(drained == Drained::Complete);
        drained
    }
}

/// Whether a frame is done with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Settled {
    Yes,
    GivenUp,
}

async fn work<E: Exporter, S: FrameSource>(
    exporter: &mut E,
    reporter: &mut Reporter,
    source: &mut S,
    cancel: &CancellationToken,
) -> Drained {
    // Before there is anything to send: a wrong key shows at once, and frames are made in the right codec.
    deliver(exporter, reporter, None, cancel).await;
    while let Some(frame) = source.next().await {
        if deliver(exporter, reporter, Some(&frame), cancel).await == Settled::GivenUp {
            return Drained::Unfinished;
        }
        source.settle();
    }
    Drained::Complete
}

/// Sends one frame, or none to greet, until the destination has settled it.
async fn deliver<E: Exporter>(
    exporter: &mut E,
    reporter: &mut Reporter,
    frame: Option<&Arc<Frame>>,
    cancel: &CancellationToken,
) -> Settled {
    let mut backoff = Backoff::new();
    let mut stopping = cancel.is_cancelled();
    loop {
        if !stopping && cancel.is_cancelled() {
            stopping = true;
            // Little time is left: tried as often as at the start of a trouble.
            backoff = Backoff::new();
        }
        if stopping && frame.is_none() {
            return Settled::Yes;
        }
        let started = Instant::now();
        let Verdict { outcome, label } = match frame {
            Some(frame) => exporter.send(frame).await,
            None => exporter.greet().await,
        };
        reporter.metrics.took(started.elapsed());
        reporter.reencoded(exporter.take_reencoded());
        match outcome {
            Outcome::Ack { rejected, message } => {
                reporter.connected(exporter.codec());
                if let Some(frame) = frame {
                    reporter.acknowledged(frame, rejected, &message);
                }
                return Settled::Yes;
            }
            Outcome::Reject { reason } => {
                reporter.connected(exporter.codec());
                if let Some(frame) = frame {
                    let bytes = frame.uncompressed_len as u64;
                    reporter.rejected(label, frame.records, bytes, &reason);
                }
                return Settled::Yes;
            }
            Outcome::Retry { after, reason } => {
                let delay = backoff.next(after);
                reporter.retrying(label, &reason, delay);
                // What the destination asked for holds when stopping too.
                let hurry = (!stopping && after.is_none()).then_some(cancel);
                wait(delay, hurry).await;
            }
            Outcome::Blocked { kind, reason } => {
                reporter.blocked(kind, label, &reason);
                if stopping {
                    return Settled::GivenUp;
                }
                tokio::select! {
                    () = wait(retry::blocked(), Some(cancel)) => {}
                    () = new_key(exporter) => {}
                }
            }
        }
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
