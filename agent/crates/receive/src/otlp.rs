//! Small readings of OTLP messages.

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::LogRecord;

/// The string value of attribute `key`, empty if there is none.
pub(crate) fn string<'a>(attributes: &'a [KeyValue], key: &str) -> &'a str {
    let found = attributes.iter().find(|attribute| attribute.key == key);
    match found.and_then(|attribute| attribute.value.as_ref()) {
        Some(AnyValue { value: Some(Value::StringValue(text)) }) => text,
        _ => "",
    }
}

/// The time that a record is selected by: its own, else when it was observed, else when it was received.
pub(crate) fn time(record: &LogRecord, received: u64) -> u64 {
    match (record.time_unix_nano, record.observed_time_unix_nano) {
        (0, 0) => received,
        (0, observed) => observed,
        (time, _) => time,
    }
}
