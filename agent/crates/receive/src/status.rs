//! The receiver in numbers, for `/status`.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::Serialize;

use crate::metrics::{
    BOUNDS, ByReason, BySignal, Metrics, REFUSALS, ReasonLabel, SIGNALS, SignalLabel,
};
use crate::seen::SeenMetric;
use crate::store::StoreStatus;

/// The receiver in numbers. Counts are since the start of the process.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Where gRPC is served.
    pub grpc: SocketAddr,
    /// Where OTLP/HTTP is served.
    pub http: SocketAddr,
    /// Whether both speak TLS.
    pub tls: bool,
    /// What came in, by signal: `logs`, `metrics`, `traces`.
    pub received: BTreeMap<&'static str, Received>,
    /// Which metrics came in, by name.
    pub metrics: BTreeMap<String, SeenMetric>,
    /// Requests refused, by reason.
    pub refused: BTreeMap<&'static str, u64>,
    /// Log queries under way.
    pub queries: i64,
    /// The store.
    pub store: StoreStatus,
    /// Log records that the store let go, by the bound that was reached: `bytes`, `age`.
    pub dropped_records: BTreeMap<&'static str, u64>,
    /// Frames found damaged, at each reading.
    pub damaged_frames: u64,
}

/// What came in of a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Received {
    /// Export requests.
    pub requests: u64,
    /// Log records, data points or spans.
    pub records: u64,
    /// Bytes of protobuf.
    pub bytes: u64,
}

impl Status {
    pub(crate) fn new(
        grpc: SocketAddr,
        http: SocketAddr,
        tls: bool,
        metrics: &Metrics,
        store: StoreStatus,
        seen: BTreeMap<String, SeenMetric>,
    ) -> Self {
        let of = |family: &BySignal, signal| family.get_or_create(&SignalLabel { signal }).get();
        let received = |signal| Received {
            requests: of(&metrics.requests, signal),
            records: of(&metrics.records, signal),
            bytes: of(&metrics.bytes, signal),
        };
        Self {
            grpc,
            http,
            tls,
            received: SIGNALS.map(|signal| (signal, received(signal))).into(),
            metrics: seen,
            refused: by_reason(&metrics.refused, &REFUSALS),
            queries: metrics.queries_active.get(),
            store,
            dropped_records: by_reason(&metrics.dropped_records, &BOUNDS),
            damaged_frames: metrics.damaged_frames.get(),
        }
    }
}

fn by_reason(family: &ByReason, reasons: &[&'static str]) -> BTreeMap<&'static str, u64> {
    let count = |reason| family.get_or_create(&ReasonLabel { reason }).get();
    reasons.iter().map(|reason| (*reason, count(reason))).collect()
}
