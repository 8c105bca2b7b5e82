//! What the receiver counts about itself. `status()` and `/metrics` read the same numbers.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

/// Label `signal`: logs, metrics, traces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct SignalLabel {
    pub(crate) signal: &'static str,
}

/// Label `reason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ReasonLabel {
    pub(crate) reason: &'static str,
}

/// The signals, as they are called in metrics and status.
pub(crate) const SIGNALS: [&str; 3] = ["logs", "metrics", "traces"];

/// Why requests are refused.
pub(crate) const REFUSALS: [&str; 8] = [
    "bad_query",
    "key_missing",
    "key_wrong",
    "malformed",
    "store",
    "too_large",
    "unknown_method",
    "unsupported",
];

/// Why the store lets segments go.
pub(crate) const BOUNDS: [&str; 2] = ["age", "bytes"];

pub(crate) type BySignal = Family<SignalLabel, Counter>;
pub(crate) type ByReason = Family<ReasonLabel, Counter>;
type Bytes = Gauge<u64, AtomicU64>;

/// All of the receiver's counters and gauges; clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Metrics(Arc<Inner>);

#[derive(Debug, Default)]
pub(crate) struct Inner {
    pub(crate) requests: BySignal,
    pub(crate) records: BySignal,
    pub(crate) bytes: BySignal,
    pub(crate) refused: ByReason,
    pub(crate) queries: Counter,
    pub(crate) queries_active: Gauge,
    pub(crate) store_bytes: Bytes,
    pub(crate) store_segments: Gauge,
    pub(crate) dropped_segments: ByReason,
    pub(crate) dropped_bytes: ByReason,
    pub(crate) dropped_records: ByReason,
    pub(crate) damaged_frames: Counter,
    pub(crate) torn_bytes: Counter,
    pub(crate) set_aside: Counter,
    pub(crate) write_errors: Counter,
}

impl std::ops::Deref for Metrics {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl Metrics {
    /// Counts a refused request.
    pub(crate) fn refuse(&self, reason: &'static str) {
        self.refused.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// Counts what came in.
    pub(crate) fn receive(&self, signal: &'static str, records: u64, bytes: u64) {
        let label = SignalLabel { signal };
        self.requests.get_or_create(&label).inc();
        self.records.get_or_create(&label).inc_by(records);
        self.bytes.get_or_create(&label).inc_by(bytes);
    }

    /// Makes everything visible, as `receiver_*`; `registry` has the prefix `hawsepipe`.
    pub(crate) fn register(&self, registry: &mut Registry) {
        // A counter that is not there yet cannot be alerted on.
        for signal in SIGNALS {
            let label = SignalLabel { signal };
            for family in [&self.requests, &self.records, &self.bytes] {
                drop(family.get_or_create(&label));
            }
        }
        for reason in REFUSALS {
            drop(self.refused.get_or_create(&ReasonLabel { reason }));
        }
        for reason in BOUNDS {
            let label = ReasonLabel { reason };
            for family in [&self.dropped_segments, &self.dropped_bytes, &self.dropped_records] {
                drop(family.get_or_create(&label));
            }
        }
        let to = registry.sub_registry_with_prefix("receiver");
        to.register("received_requests", "Export requests taken, by signal", self.requests.clone());
        to.register(
            "received_records",
            "Log records, data points and spans taken, by signal",
            self.records.clone(),
        );
        to.register_with_unit(
            "received",
            "Protobuf bytes taken after decompression, by signal",
            Unit::Bytes,
            self.bytes.clone(),
        );
        to.register("refused_requests", "Requests refused, by reason", self.refused.clone());
        to.register("queries", "Log queries begun", self.queries.clone());
        to.register("queries_active", "Log queries under way", self.queries_active.clone());
        self.register_store(to);
    }

    fn register_store(&self, to: &mut Registry) {
        to.register_with_unit(
            "store",
            "Size of the store's files",
            Unit::Bytes,
            self.store_bytes.clone(),
        );
        to.register("store_segments", "Files of the store", self.store_segments.clone());
        to.register(
            "dropped_segments",
            "Files let go, by the bound that was reached",
            self.dropped_segments.clone(),
        );
        to.register_with_unit(
            "dropped",
            "Bytes let go with them",
            Unit::Bytes,
            self.dropped_bytes.clone(),
        );
        to.register(
            "dropped_records",
            "Log records let go with them",
            self.dropped_records.clone(),
        );
        to.register(
            "store_damaged_frames",
            "Frames found damaged, at each reading",
            self.damaged_frames.clone(),
        );
        to.register_with_unit(
            "store_torn",
            "Bytes cut from torn tails when the store was opened",
            Unit::Bytes,
            self.torn_bytes.clone(),
        );
        to.register(
            "store_set_aside_segments",
            "Files that cannot be read, renamed when the store was opened",
            self.set_aside.clone(),
        );
        to.register(
            "store_write_errors",
            "Requests that could not be written to the store",
            self.write_errors.clone(),
        );
    }
}
