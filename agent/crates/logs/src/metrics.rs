//! What the log path counts about itself. What it lost stands in the ledger that the queue keeps, and not here.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

/// Counters and gauges of the log path. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    pub(crate) read_bytes: Counter,
    pub(crate) records: Counter,
    pub(crate) frames: Counter,
    pub(crate) frame_bytes: Counter,
    pub(crate) invalid_utf8: Counter,
    pub(crate) unparsed: Counter,
    pub(crate) incomplete_metadata: Counter,
    pub(crate) file_errors: Counter,
    pub(crate) truncated_files: Counter,
    pub(crate) streams: Gauge,
    pub(crate) open_files: Gauge,
    pub(crate) pinned_bytes: Gauge,
    pub(crate) waiting: Gauge,
    pub(crate) blocked_seconds: Counter<f64, AtomicU64>,
}

impl Metrics {
    /// Log records that were put into the queue so far.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.records.get()
    }

    /// Bytes that were read so far.
    #[must_use]
    pub fn read_bytes(&self) -> u64 {
        self.read_bytes.get()
    }

    /// Bytes of deleted files that are held open now.
    #[must_use]
    pub fn pinned_bytes(&self) -> i64 {
        self.pinned_bytes.get()
    }

    /// Registers everything under its name; `registry` is the agent's, with its prefix `hawsepipe`.
    pub fn register(&self, registry: &mut Registry) {
        let logs = registry.sub_registry_with_prefix("logs");
        let bytes = |registry: &mut Registry, name: &str, help: &str, counter: &Counter| {
            registry.register_with_unit(name, help, Unit::Bytes, counter.clone());
        };
        bytes(logs, "read", "Bytes read from log files", &self.read_bytes);
        bytes(logs, "frame", "Bytes of frames after compression", &self.frame_bytes);
        logs.register("records", "Log records encoded", self.records.clone());
        logs.register("frames", "Frames put into the spool", self.frames.clone());
        logs.register(
            "invalid_utf8_records",
            "Records in which bytes that are no UTF-8 were replaced",
            self.invalid_utf8.clone(),
        );
        logs.register(
            "unparsed_records",
            "Lines that had not the runtime's form and were delivered as they were",
            self.unparsed.clone(),
        );
        logs.register(
            "incomplete_metadata_streams",
            "Runs of containers whose metadata did not come in time",
            self.incomplete_metadata.clone(),
        );
        logs.register(
            "file_errors",
            "Failed attempts to open or read a log file",
            self.file_errors.clone(),
        );
        logs.register(
            "truncated_files",
            "Log files that became shorter than what had been read of them",
            self.truncated_files.clone(),
        );
        logs.register("streams", "Containers whose logs are followed", self.streams.clone());
        logs.register_with_unit(
            "pinned",
            "Bytes of deleted log files that are held open until they are read",
            Unit::Bytes,
            self.pinned_bytes.clone(),
        );
        logs.register("open_files", "Log files held open", self.open_files.clone());
        logs.register(
            "waiting_streams",
            "Streams that wait for their pod's metadata",
            self.waiting.clone(),
        );
        logs.register_with_unit(
            "blocked",
            "Time in which nothing was read because the spool was full",
            Unit::Seconds,
            self.blocked_seconds.clone(),
        );
    }
}
