//! OTLP, written straight to protobuf bytes.
//!
//! In: attributes, records and data points as they are read, or the ledger of losses. Out: an `ExportLogsServiceRequest` or an
//! `ExportMetricsServiceRequest` (opentelemetry-proto v1, `opentelemetry/proto/collector/*/v1/*_service.proto`) that any
//! OTLP receiver decodes. Nothing is built in memory first: a record is written once, where it stays. And the other way
//! round: a logs request taken apart into smaller ones ([`split`]), its records copied as they are.

mod events;
mod logs;
mod losses;
mod metrics;
mod severity;
pub mod split;
mod wire;

pub use events::EventRecord;
pub use logs::{LogRecord, LogsRequest, Marks, Stream, encode_resource};
pub use losses::write_losses;
pub use metrics::{
    AttributeValue, DataPoint, HistogramPoint, Instrument, Metric, MetricsRequest, Number,
    encode_entity,
};
pub use severity::Severity;
pub use wire::WireError;
