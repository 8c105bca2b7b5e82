//! OTLP, written straight to protobuf bytes.
//!
//! In: attributes and records as they are read. Out: an `ExportLogsServiceRequest`
//! (opentelemetry-proto v1, `opentelemetry/proto/collector/logs/v1/logs_service.proto`) that any OTLP
//! receiver decodes. Nothing is built in memory first: a record is written once, where it stays.

mod logs;
mod wire;

pub use logs::{LogRecord, LogsRequest, Marks, Stream, encode_resource};
