//! Metrics of the destinations, for Prometheus.

use std::time::Duration;

use hawsepipe_model::Signal;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// Request durations up to the default time limit, in seconds.
const BUCKETS: [f64; 12] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 30.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByDestination {
    destination: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByReason {
    destination: String,
    reason: &'static str,
}

fn duration_histogram() -> Histogram {
    Histogram::new(BUCKETS)
}

/// The metrics of all destinations. Clones share them.
#[derive(Debug, Clone)]
pub struct ExportMetrics {
    frames: Family<ByDestination, Counter>,
    records: Family<ByDestination, Counter>,
    data_points: Family<ByDestination, Counter>,
    bytes: Family<ByDestination, Counter>,
    retries: Family<ByReason, Counter>,
    rejected_records: Family<ByReason, Counter>,
    rejected_bytes: Family<ByReason, Counter>,
    cut_records: Family<ByDestination, Counter>,
    cut_bytes: Family<ByDestination, Counter>,
    split_frames: Family<ByDestination, Counter>,
    reencoded_frames: Family<ByDestination, Counter>,
    blocked: Family<ByDestination, Gauge>,
    duration: Family<ByDestination, Histogram, fn() -> Histogram>,
}

impl Default for ExportMetrics {
    fn default() -> Self {
        Self {
            frames: Family::default(),
            records: Family::default(),
            data_points: Family::default(),
            bytes: Family::default(),
            retries: Family::default(),
            rejected_records: Family::default(),
            rejected_bytes: Family::default(),
            cut_records: Family::default(),
            cut_bytes: Family::default(),
            split_frames: Family::default(),
            reencoded_frames: Family::default(),
            blocked: Family::default(),
            duration: Family::new_with_constructor(duration_histogram),
        }
    }
}

impl ExportMetrics {
    /// Registers everything; `registry` is the agent's, with its prefix `hawsepipe`.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("export");
        registry.register("frames", "Frames acknowledged, at least in part", self.frames.clone());
        registry.register("records", "Log records acknowledged", self.records.clone());
        registry.register(
            "data_points",
            "Data points of metrics acknowledged",
            self.data_points.clone(),
        );
        registry.register(
            "bytes",
            "Bytes of acknowledged frames, compressed as they were made",
            self.bytes.clone(),
        );
        registry.register(
            "retries",
            "Requests that failed and were repeated, by reason",
            self.retries.clone(),
        );
        registry.register(
            "rejected_records",
            "Records and data points that the destination refused for good, by reason; unserved: it takes none of that signal",
            self.rejected_records.clone(),
        );
        registry.register(
            "rejected_bytes",
            "Bytes before compression of requests that the destination refused for good, by reason",
            self.rejected_bytes.clone(),
        );
        registry.register(
            "cut_records",
            "Records that the destination took only when their body was cut",
            self.cut_records.clone(),
        );
        registry.register(
            "cut_bytes",
            "Bytes cut off the bodies of such records",
            self.cut_bytes.clone(),
        );
        registry.register(
            "split_frames",
            "Frames that were sent in parts, because they were too large or held records that were refused",
            self.split_frames.clone(),
        );
        registry.register(
            "reencoded_frames",
            "Frames compressed anew because the destination takes another codec",
            self.reencoded_frames.clone(),
        );
        registry.register(
            "blocked",
            "1 while nothing can be sent until someone changes something",
            self.blocked.clone(),
        );
        registry.register_with_unit(
            "request_duration",
            "Time of one try, connecting included",
            Unit::Seconds,
            self.duration.clone(),
        );
    }

    /// The metrics of one destination, at zero from the start so that a first event is an increase.
    pub(crate) fn of(&self, destination: &str) -> DestinationMetrics {
        let by = ByDestination { destination: destination.to_owned() };
        DestinationMetrics {
            destination: destination.to_owned(),
            frames: self.frames.get_or_create_owned(&by),
            records: self.records.get_or_create_owned(&by),
            data_points: self.data_points.get_or_create_owned(&by),
            bytes: self.bytes.get_or_create_owned(&by),
            cut_records: self.cut_records.get_or_create_owned(&by),
            cut_bytes: self.cut_bytes.get_or_create_owned(&by),
            split_frames: self.split_frames.get_or_create_owned(&by),
            reencoded_frames: self.reencoded_frames.get_or_create_owned(&by),
            blocked: self.blocked.get_or_create_owned(&by),
            duration: self.duration.get_or_create_owned(&by),
            all: self.clone(),
        }
    }
}

/// The metrics of one destination.
#[derive(Debug)]
pub(crate) struct DestinationMetrics {
    destination: String,
    frames: Counter,
    records: Counter,
    data_points: Counter,
    bytes: Counter,
    cut_records: Counter,
    cut_bytes: Counter,
    split_frames: Counter,
    reencoded_frames: Counter,
    blocked: Gauge,
    duration: Histogram,
    all: ExportMetrics,
}

impl DestinationMetrics {
    fn by(&self, reason: &'static str) -> ByReason {
        ByReason { destination: self.destination.clone(), reason }
    }

    pub(crate) fn acknowledged(&self, signal: Signal, records: u64, bytes: u64) {
        match signal {
            Signal::Logs => self.records.inc_by(records),
            Signal::Metrics => self.data_points.inc_by(records),
        };
        self.bytes.inc_by(bytes);
    }

    /// A frame is settled, and some of it was acknowledged.
    pub(crate) fn frame_delivered(&self) {
        self.frames.inc();
    }

    pub(crate) fn cut(&self, records: u64, bytes: u64) {
        self.cut_records.inc_by(records);
        self.cut_bytes.inc_by(bytes);
    }

    pub(crate) fn split(&self) {
        self.split_frames.inc();
    }

    pub(crate) fn retried(&self, reason: &'static str) {
        self.all.retries.get_or_create(&self.by(reason)).inc();
    }

    pub(crate) fn rejected(&self, reason: &'static str, records: u64, bytes: u64) {
        self.all.rejected_records.get_or_create(&self.by(reason)).inc_by(records);
        self.all.rejected_bytes.get_or_create(&self.by(reason)).inc_by(bytes);
    }

    pub(crate) fn reencoded(&self, frames: u64) {
        self.reencoded_frames.inc_by(frames);
    }

    pub(crate) fn set_blocked(&self, blocked: bool) {
        self.blocked.set(i64::from(blocked));
    }

    pub(crate) fn took(&self, duration: Duration) {
        self.duration.observe(duration.as_secs_f64());
    }
}
