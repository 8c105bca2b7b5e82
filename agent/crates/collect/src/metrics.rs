//! What the collectors count about themselves.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::{Registry, Unit};

/// The name of a collector.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Of {
    pub(crate) collector: &'static str,
}

type ByCollector = Family<Of, Counter>;

/// Counters of the collectors. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    pub(crate) runs: ByCollector,
    pub(crate) errors: ByCollector,
    pub(crate) skipped: ByCollector,
    pub(crate) points: ByCollector,
    pub(crate) seconds: Family<Of, Counter<f64, AtomicU64>>,
    dropped: Counter,
}

impl Metrics {
    /// Data points that were put into the queue so far.
    #[must_use]
    pub fn points_of(&self, collector: &'static str) -> u64 {
        self.points.get_or_create(&Of { collector }).get()
    }

    /// Counts data points for which the queue had no room; also those of whoever else puts metrics into it.
    pub fn dropped(&self, points: u64) {
        self.dropped.inc_by(points);
    }

    /// All counters of a collector stand at zero from the start.
    pub(crate) fn begin(&self, collector: &'static str) {
        let of = Of { collector };
        for family in [&self.runs, &self.errors, &self.skipped, &self.points] {
            drop(family.get_or_create(&of));
        }
        drop(self.seconds.get_or_create(&of));
    }

    /// Registers everything under its name; `registry` is the agent's, with its prefix `hawsepipe`.
    pub fn register(&self, registry: &mut Registry) {
        let collector = registry.sub_registry_with_prefix("collector");
        collector.register("runs", "Times that a collector has read", self.runs.clone());
        collector.register(
            "errors",
            "Times that a collector could not read something",
            self.errors.clone(),
        );
        collector.register(
            "skipped",
            "Ticks that a collector left out because it was still reading",
            self.skipped.clone(),
        );
        collector.register("points", "Data points that a collector has read", self.points.clone());
        collector.register_with_unit(
            "duration",
            "Time that a collector has spent reading",
            Unit::Seconds,
            self.seconds.clone(),
        );
        registry.register(
            "metrics_dropped_points",
            "Data points for which the spool had no room",
            self.dropped.clone(),
        );
    }
}
