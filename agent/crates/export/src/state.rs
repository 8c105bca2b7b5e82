//! The state of one destination: who is told when it changes.
//!
//! In: verdicts. Out: the [`DestinationStatus`] that `/status` shows, the metrics, and the log: one line for a
//! change of state, not one for a retry. A destination that fails every other request changes state twice a request,
//! so a trouble that comes back within a minute is told of once a minute at most.

use std::sync::Arc;
use std::time::Duration;

use hawsepipe_model::{BlockedReason, Codec, Frame, LossReason, Signal};
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::metrics::DestinationMetrics;
use crate::parts::{Cut, Part};
use crate::status::{DestinationStatus, State};

/// The least time between two lines on the same trouble.
const QUIET: Duration = Duration::from_secs(60);

/// Shows the status of one destination, from anywhere.
#[derive(Debug, Clone)]
pub struct StatusHandle(Arc<Mutex<DestinationStatus>>);

impl StatusHandle {
    /// The status as it is now.
    #[must_use]
    pub fn get(&self) -> DestinationStatus {
        self.0.lock().clone()
    }
}

/// Keeps the status of one destination.
#[derive(Debug)]
pub(crate) struct Reporter {
    status: Arc<Mutex<DestinationStatus>>,
    pub(crate) metrics: DestinationMetrics,
    trouble: Option<Trouble>,
    retrying_told: Option<Instant>,
    blocked_told: Option<(BlockedReason, Instant)>,
    rejected_told: Option<Instant>,
    rejected_untold: u64,
    unserved_told: bool,
}

/// Since the last success.
#[derive(Debug)]
struct Trouble {
    since: Instant,
    tries: u64,
    told: bool,
    told_blocked: Option<BlockedReason>,
}

impl Reporter {
    pub(crate) fn new(status: DestinationStatus, metrics: DestinationMetrics) -> Self {
        Self {
            status: Arc::new(Mutex::new(status)),
            metrics,
            trouble: None,
            retrying_told: None,
            blocked_told: None,
            rejected_told: None,
            rejected_untold: 0,
            unserved_told: false,
        }
    }

    pub(crate) fn handle(&self) -> StatusHandle {
        StatusHandle(Arc::clone(&self.status))
    }

    fn enter(&self, state: State, reason: Option<String>, blocked: Option<BlockedReason>) {
        let mut status = self.status.lock();
        let blocked = blocked.map(|kind| kind.to_string());
        if status.state != state || status.blocked != blocked {
            status.since = Timestamp::now();
        }
        status.state = state;
        status.reason = reason;
        status.blocked = blocked;
        self.metrics.set_blocked(state == State::Blocked);
    }

    /// The destination answered as it should.
    pub(crate) fn connected(&mut self, codec: Option<Codec>) {
        let first = self.status.lock().state == State::Starting;
        self.enter(State::Connected, None, None);
        let (name, endpoint) = {
            let mut status = self.status.lock();
            status.codec = codec.map(|codec| codec.name().to_owned());
            (status.name.clone(), status.endpoint.clone())
        };
        let codec = codec.map_or("none", Codec::name);
        match self.trouble.take() {
            Some(trouble) if trouble.told => {
                let seconds = trouble.since.elapsed().as_secs();
                let tries = trouble.tries;
                info!(
                    destination = name,
                    endpoint,
                    codec,
                    tries,
                    seconds,
                    "destination recovered after {tries} tries and {seconds} s"
                );
            }
            _ if first => info!(destination = name, endpoint, codec, "destination connected"),
            _ => {}
        }
    }

    /// A try failed in a way that passes.
    pub(crate) fn retrying(&mut self, label: &'static str, reason: &str, delay: Duration) {
        self.metrics.retried(label);
        self.enter(State::Retrying, Some(reason.to_owned()), None);
        let now = Instant::now();
        let quiet = self.retrying_told.is_some_and(|told| now - told < QUIET);
        let trouble = self.failed();
        if !trouble.told && !quiet {
            trouble.told = true;
            self.retrying_told = Some(now);
            let (name, endpoint) = self.names();
            let delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
            warn!(
                destination = name,
                endpoint,
                reason,
                delay_ms,
                "destination cannot be sent to, trying again until it can"
            );
        }
    }

    /// Nothing can be sent until someone changes something.
    pub(crate) fn blocked(&mut self, kind: BlockedReason, label: &'static str, reason: &str) {
        self.metrics.retried(label);
        self.enter(State::Blocked, Some(reason.to_owned()), Some(kind));
        let now = Instant::now();
        let quiet =
            self.blocked_told.is_some_and(|(told, when)| told == kind && now - when < QUIET);
        let trouble = self.failed();
        if trouble.told_blocked != Some(kind) && !quiet {
            trouble.told = true;
            trouble.told_blocked = Some(kind);
            self.blocked_told = Some((kind, now));
            let (name, endpoint) = self.names();
            let blocked = kind.to_string();
            warn!(
                destination = name,
                endpoint, blocked, reason, "destination blocked, everything for it is held"
            );
        }
    }

    fn failed(&mut self) -> &mut Trouble {
        self.status.lock().retries += 1;
        let trouble = self.trouble.get_or_insert_with(|| Trouble {
            since: Instant::now(),
            tries: 0,
            told: false,
            told_blocked: None,
        });
        trouble.tries += 1;
        trouble
    }

    /// The destination has a part of a frame, but for `rejected` of its records.
    pub(crate) fn acknowledged(&mut self, part: &Part, rejected: u64, message: &str) {
        let frame = &part.frame;
        let records = frame.records.saturating_sub(rejected);
        let bytes = frame.payload.len() as u64;
        {
            let mut status = self.status.lock();
            status.last_success = Some(Timestamp::now());
            match frame.signal {
                Signal::Logs => status.records += records,
                Signal::Metrics => status.data_points += records,
            }
            status.bytes += bytes;
        }
        self.metrics.acknowledged(frame.signal, records, bytes);
        if rejected > 0 {
            self.refused(LossReason::PartialSuccess, rejected, 0, message);
        } else if !message.is_empty() {
            self.warned(message);
        }
        if let Some(cut) = &part.cut
            && records > 0
        {
            self.cut(cut);
        }
    }

    /// A frame is settled, and some of it was acknowledged.
    pub(crate) fn frame_delivered(&self) {
        self.status.lock().frames += 1;
        self.metrics.frame_delivered();
    }

    /// A frame goes on in parts.
    pub(crate) fn split(&self) {
        self.status.lock().split_frames += 1;
        self.metrics.split();
    }

    /// The largest request that is sent.
    pub(crate) fn limited(&self, limit: Option<u64>) {
        self.status.lock().request_limit = limit;
    }

    fn cut(&mut self, cut: &Cut) {
        {
            let mut status = self.status.lock();
            status.cut_records += 1;
            status.cut_bytes += cut.bytes;
        }
        self.metrics.cut(1, cut.bytes);
        if self.may_tell_of_data() {
            let (name, endpoint) = self.names();
            let (bytes, message) = (cut.bytes, &cut.words);
            warn!(
                destination = name,
                endpoint, bytes, message, "destination takes no record of this size, it was cut"
            );
        }
    }

    /// A destination's warning beside an acknowledgement (OTLP, "Partial Success").
    fn warned(&mut self, message: &str) {
        if self.may_tell_of_data() {
            let (name, endpoint) = self.names();
            warn!(
                destination = name,
                endpoint, message, "destination took the data with a warning"
            );
        }
    }

    /// A part of a frame is refused for good. `frame` is it, as it was before it was cut.
    pub(crate) fn rejected(&mut self, reason: LossReason, frame: &Frame, words: &str) {
        self.refused(reason, frame.records, frame.uncompressed_len as u64, words);
    }

    /// The destination takes no data of the frame's signal: nobody's loss, said once and counted.
    pub(crate) fn unserved(&mut self, frame: &Frame, words: &str) {
        self.count("unserved", frame.records, frame.uncompressed_len as u64, words);
        if !std::mem::replace(&mut self.unserved_told, true) {
            let (name, endpoint) = self.names();
            let signal = frame.signal.name();
            warn!(
                destination = name,
                endpoint,
                signal,
                message = words,
                "destination takes no data of this signal, it gets none"
            );
        }
    }

    fn count(&self, label: &'static str, records: u64, bytes: u64, words: &str) {
        self.metrics.rejected(label, records, bytes);
        let mut status = self.status.lock();
        let rejected = status.rejected.entry(label.to_owned()).or_default();
        rejected.records += records;
        rejected.bytes += bytes;
        words.clone_into(&mut rejected.last_message);
        rejected.last = Some(Timestamp::now());
    }

    fn refused(&mut self, reason: LossReason, records: u64, bytes: u64, words: &str) {
        let label = reason.name();
        self.count(label, records, bytes, words);
        self.rejected_untold += records;
        if self.may_tell_of_data() {
            let (name, endpoint) = self.names();
            let records = std::mem::take(&mut self.rejected_untold);
            warn!(
                destination = name,
                endpoint,
                records,
                reason = label,
                message = words,
                "destination refused records, they are lost and counted"
            );
        }
    }

    fn may_tell_of_data(&mut self) -> bool {
        let now = Instant::now();
        let may = self.rejected_told.is_none_or(|told| now - told >= QUIET);
        if may {
            self.rejected_told = Some(now);
        }
        may
    }

    pub(crate) fn reencoded(&self, frames: u64) {
        if frames > 0 {
            self.status.lock().reencoded_frames += frames;
            self.metrics.reencoded(frames);
        }
    }

    pub(crate) fn stopped(&self, complete: bool) {
        let reason = (!complete).then(|| "stopped with unsent frames".to_owned());
        self.enter(State::Stopped, reason, None);
        let (name, endpoint) = self.names();
        if complete {
            info!(destination = name, endpoint, "destination stopped, everything was sent");
        } else {
            warn!(destination = name, endpoint, "destination stopped before everything was sent");
        }
    }

    /// The destination's name.
    pub(crate) fn name(&self) -> String {
        self.status.lock().name.clone()
    }

    fn names(&self) -> (String, String) {
        let status = self.status.lock();
        (status.name.clone(), status.endpoint.clone())
    }
}
