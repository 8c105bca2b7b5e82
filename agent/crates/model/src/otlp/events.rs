//! Log records that are no lines of a container: events, with a severity, a name and attributes of their own.
//!
//! In: an [`EventRecord`]. Out: the same requests and frames as for lines.

use super::logs::{put_attribute, put_truncated};
use super::wire::{close_len, open_len, put_bytes, put_fixed64, put_uint};
use super::{LogsRequest, Severity};
use crate::codec::{CodecError, Compressor};
use crate::{Attributes, Codec, Frame, Signal};

/// One event, as it goes into a request.
#[derive(Debug, Clone, Copy)]
pub struct EventRecord<'a> {
    /// When it happened, nanoseconds since the epoch; 0 where that is not known.
    pub time_unix_nano: u64,
    /// When it was seen.
    pub observed_time_unix_nano: u64,
    /// How grave it is.
    pub severity: Severity,
    /// The word for that where it came from; empty where there is none.
    pub severity_text: &'a str,
    /// What kind of event it is: all of a kind have the same attributes (OpenTelemetry, logs data model, "EventName").
    pub name: &'a str,
    /// The words for people.
    pub body: &'a str,
    /// The words were longer and were cut: their whole length, in bytes.
    pub original_bytes: Option<u64>,
    /// What it says besides.
    pub attributes: &'a Attributes,
}

impl LogsRequest {
    /// Writes one event into the open block.
    pub fn push_event(&mut self, event: &EventRecord<'_>) {
        // opentelemetry-proto, logs/v1/logs.proto, LogRecord.
        let out = &mut self.bytes;
        let record = open_len(out, 2); // ScopeLogs.log_records
        put_fixed64(out, 1, event.time_unix_nano);
        put_fixed64(out, 11, event.observed_time_unix_nano);
        if event.severity != Severity::Unspecified {
            put_uint(out, 2, event.severity.number());
        }
        if !event.severity_text.is_empty() {
            put_bytes(out, 3, event.severity_text.as_bytes());
        }
        let body = open_len(out, 5);
        put_bytes(out, 1, event.body.as_bytes());
        close_len(out, body);
        for (key, value) in event.attributes.iter() {
            put_attribute(out, 6, key, value);
        }
        if let Some(bytes) = event.original_bytes {
            put_truncated(out, bytes);
        }
        if !event.name.is_empty() {
            put_bytes(out, 12, event.name.as_bytes());
        }
        close_len(out, record);
        self.records += 1;
    }

    /// Closes the request and gives it as a frame that covers nothing, `None` when there is no record in it; the next
    /// one begins.
    ///
    /// # Errors
    /// When it cannot be compressed. Its records are lost.
    pub fn frame(
        &mut self,
        codec: Codec,
        compressor: &mut Compressor,
    ) -> Result<Option<Frame>, CodecError> {
        let records = self.records();
        let request = self.finish();
        let uncompressed_len = request.len();
        let packed = (records > 0).then(|| compressor.compress(codec, request)).transpose();
        self.clear();
        Ok(packed?.map(|payload| Frame {
            signal: Signal::Logs,
            codec,
            uncompressed_len,
            records,
            payload: payload.into(),
            ..Frame::note(Vec::new(), Vec::new(), Vec::new())
        }))
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
    use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
    use proptest::prelude::*;
    use prost::Message;

    use super::*;
    use crate::codec::decompress;
    use crate::otlp::encode_resource;

    proptest! {
        #[test]
        fn prop_events_read_back_as_they_were_written(
            events in proptest::collection::vec(
                (any::<u64>(), any::<u64>(), 0..4_usize, "[A-Za-z]{0,9}", "[a-z.]{0,9}", ".{0,300}",
                 any::<Option<u32>>(), ".{1,20}", any::<i64>(), -1e9..1e9_f64),
                1..20,
            ),
        ) {
            let severities =
                [Severity::Unspecified, Severity::Info, Severity::Warn, Severity::Error];
            let mut request = LogsRequest::default();
            let mut resource = Attributes::new();
            resource.set("k8s.object.name", "web");
            request.begin_resource(&encode_resource(&resource));
            for (time, observed, severity, text, name, body, original, attribute, count, seconds) in &events {
                let mut attributes = Attributes::new();
                attributes.set("text", attribute.as_str());
                attributes.set("count", *count);
                attributes.set("seconds", *seconds);
                request.push_event(&EventRecord {
                    time_unix_nano: *time,
                    observed_time_unix_nano: *observed,
                    severity: severities[*severity],
                    severity_text: text,
                    name,
                    body,
                    original_bytes: original.map(u64::from),
                    attributes: &attributes,
                });
            }
            let frame = request.frame(Codec::Zstd, &mut Compressor::new().unwrap()).unwrap().unwrap();
            prop_assert_eq!(frame.records, events.len() as u64);
            prop_assert!(request.is_empty());
            let bytes = decompress(frame.codec, &frame.payload, 64 << 20).unwrap();
            let decoded = ExportLogsServiceRequest::decode(&bytes[..]).unwrap();
            let records = &decoded.resource_logs[0].scope_logs[0].log_records;
            prop_assert_eq!(records.len(), events.len());
            for (record, event) in records.iter().zip(&events) {
                let (time, observed, severity, text, name, body, original, attribute, count, seconds) = event;
                prop_assert_eq!(record.time_unix_nano, *time);
                prop_assert_eq!(record.observed_time_unix_nano, *observed);
                prop_assert_eq!(record.severity_number, [0, 9, 13, 17][*severity]);
                prop_assert_eq!(&record.severity_text, text);
                prop_assert_eq!(&record.event_name, name);
                let Some(Any::StringValue(found)) = record.body.clone().and_then(|it| it.value) else {
                    panic!("a body is a string");
                };
                prop_assert_eq!(&found, body);
                let value = |key: &str| {
                    let pair = record.attributes.iter().find(|pair| pair.key == key);
                    pair.and_then(|pair| pair.value.clone()).and_then(|it| it.value)
                };
                prop_assert_eq!(value("text"), Some(Any::StringValue(attribute.clone())));
                prop_assert_eq!(value("count"), Some(Any::IntValue(*count)));
                prop_assert_eq!(value("seconds"), Some(Any::DoubleValue(*seconds)));
                let cut = original.map(|bytes| Any::IntValue(i64::from(bytes)));
                prop_assert_eq!(value("hawsepipe.log.original_bytes"), cut);
            }
        }
    }

    #[test]
    fn a_request_without_events_is_no_frame() {
        let mut compressor = Compressor::new().unwrap();
        assert!(LogsRequest::default().frame(Codec::Gzip, &mut compressor).unwrap().is_none());
    }
}
