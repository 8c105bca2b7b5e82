//! Log records, encoded as they are read.

use super::wire::{
    bytes_field_len, close_len, open_len, put_bytes, put_double, put_fixed64, put_key, put_len,
    put_uint, put_varint, varint_len,
};
use crate::{Attributes, Value};

/// The output stream of a container that a line was written to; `log.iostream` by OpenTelemetry's conventions
/// (general log attributes).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    /// The value of `log.iostream`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }

    /// The whole `attributes` field of a record that has this stream and nothing else to say.
    const fn encoded(self) -> &'static [u8] {
        // LogRecord.attributes = 6: KeyValue { key = 1, value = 2: AnyValue { string_value = 1 } }
        match self {
            Self::Stdout => b"\x32\x18\x0a\x0clog.iostream\x12\x08\x0a\x06stdout",
            Self::Stderr => b"\x32\x18\x0a\x0clog.iostream\x12\x08\x0a\x06stderr",
        }
    }
}

/// What had to be done to a line so that it could be delivered; each is an attribute of the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Marks {
    /// The line was longer than `logs.maxRecordBytes` and was cut: its whole length, in bytes.
    /// `hawsepipe.log.truncated`, `hawsepipe.log.original_bytes`.
    pub original_bytes: Option<u64>,
    /// Bytes that are no UTF-8 were replaced by U+FFFD. `hawsepipe.log.invalid_utf8`.
    pub invalid_utf8: bool,
    /// The line has not the form that the runtime writes; it is delivered as it is. Its time is not known (0), the
    /// observed time is that of reading. `hawsepipe.log.unparsed`.
    pub unparsed: bool,
}

/// One line, as it goes into a request.
#[derive(Debug, Clone, Copy)]
pub struct LogRecord<'a> {
    /// When the line was written, nanoseconds since the epoch; 0 where that is not known.
    pub time_unix_nano: u64,
    /// When it was read.
    pub observed_time_unix_nano: u64,
    /// Where it was written to, when that is known.
    pub stream: Option<Stream>,
    /// The line, without its newline.
    pub body: &'a str,
    /// What was done to it.
    pub marks: Marks,
}

/// Encodes a resource's attributes: the bytes of `opentelemetry.proto.resource.v1.Resource`.
#[must_use]
pub fn encode_resource(attributes: &Attributes) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    for (key, value) in attributes.iter() {
        put_attribute(&mut out, 1, key, value);
    }
    out
}

pub(super) fn put_attribute(out: &mut Vec<u8>, field: u32, key: &str, value: &Value) {
    let pair = open_len(out, field);
    put_bytes(out, 1, key.as_bytes());
    let any = open_len(out, 2);
    match value {
        Value::Str(text) => put_bytes(out, 1, text.as_bytes()),
        Value::Bool(flag) => put_uint(out, 2, u64::from(*flag)),
        Value::Int(number) => put_uint(out, 3, number.cast_unsigned()),
        Value::Double(number) => put_double(out, 4, *number),
        Value::Strings(list) => {
            let array = open_len(out, 5);
            for text in list {
                let item = open_len(out, 1);
                put_bytes(out, 1, text.as_bytes());
                close_len(out, item);
            }
            close_len(out, array);
        }
    }
    close_len(out, any);
    close_len(out, pair);
}

/// An `ExportLogsServiceRequest` under construction. Records of one resource stand in one block; the buffer is used
/// again from request to request.
#[derive(Debug, Default)]
pub struct LogsRequest {
    pub(super) bytes: Vec<u8>,
    pub(super) records: u64,
    /// Where the open block's two lengths stand: `ResourceLogs` and `ScopeLogs`.
    open: Option<(usize, usize)>,
}

impl LogsRequest {
    /// An empty request with room for `capacity` bytes.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self { bytes: Vec::with_capacity(capacity), ..Self::default() }
    }

    /// Bytes so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is no record in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// Records so far.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Begins the records of a resource, given as [`encode_resource`] made it.
    pub fn begin_resource(&mut self, resource: &[u8]) {
        self.end_resource();
        let block = open_len(&mut self.bytes, 1); // resource_logs
        put_bytes(&mut self.bytes, 1, resource);
        let scope = open_len(&mut self.bytes, 2); // scope_logs
        self.open = Some((block, scope));
    }

    fn end_resource(&mut self) {
        if let Some((block, scope)) = self.open.take() {
            close_len(&mut self.bytes, scope);
            close_len(&mut self.bytes, block);
        }
    }

    /// Writes one record into the open block.
    pub fn push(&mut self, record: &LogRecord<'_>) {
        let out = &mut self.bytes;
        let body_any = bytes_field_len(record.body.len());
        let stream = record.stream.map_or(&[][..], Stream::encoded);
        // Two fixed64 fields (key and eight bytes each), the body, the attributes.
        let plain = 9 + 9 + bytes_field_len(body_any) + stream.len();
        let marked = record.marks != Marks::default();
        let at = if marked {
            open_len(out, 2)
        } else {
            put_len(out, 2, plain); // log_records
            0
        };
        put_fixed64(out, 1, record.time_unix_nano);
        put_fixed64(out, 11, record.observed_time_unix_nano);
        put_key(out, 5, 2);
        put_varint(out, body_any as u64);
        put_bytes(out, 1, record.body.as_bytes());
        out.extend_from_slice(stream);
        if marked {
            put_marks(out, record.marks);
            close_len(out, at);
        }
        self.records += 1;
    }

    /// What [`push`](Self::push) would add, in bytes, at most.
    #[must_use]
    pub fn cost(record: &LogRecord<'_>) -> usize {
        record.body.len() + varint_len(record.body.len() as u64) * 3 + 256
    }

    /// Closes the request and gives its bytes; [`clear`](Self::clear) begins the next.
    pub fn finish(&mut self) -> &[u8] {
        self.end_resource();
        &self.bytes
    }

    /// Empties the request; its memory stays.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.records = 0;
        self.open = None;
    }
}

fn put_marks(out: &mut Vec<u8>, marks: Marks) {
    if let Some(bytes) = marks.original_bytes {
        put_truncated(out, bytes);
    }
    if marks.invalid_utf8 {
        put_attribute(out, 6, "hawsepipe.log.invalid_utf8", &Value::Bool(true));
    }
    if marks.unparsed {
        put_attribute(out, 6, "hawsepipe.log.unparsed", &Value::Bool(true));
    }
}

/// Marks the open record as one whose body was cut from `original_bytes`.
pub(super) fn put_truncated(out: &mut Vec<u8>, original_bytes: u64) {
    put_attribute(out, 6, "hawsepipe.log.truncated", &Value::Bool(true));
    let bytes = i64::try_from(original_bytes).unwrap_or(i64::MAX);
    put_attribute(out, 6, "hawsepipe.log.original_bytes", &Value::Int(bytes));
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
    use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
    use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
    use proptest::prelude::*;
    use prost::Message;

    fn attributes_of(list: &[KeyValue]) -> Vec<(String, Any)> {
        let value = |pair: &KeyValue| pair.value.clone().and_then(|v| v.value).unwrap();
        list.iter().map(|pair| (pair.key.clone(), value(pair))).collect()
    }

    #[test]
    fn every_kind_of_attribute_reads_back_from_the_resource() {
        let mut attributes = Attributes::new();
        attributes.set("text", "value");
        attributes.set("number", -3_i64);
        attributes.set("flag", true);
        attributes.set("list", vec!["a".to_owned(), "b".to_owned()]);
        attributes.set("empty", "");
        let mut request = LogsRequest::default();
        request.begin_resource(&encode_resource(&attributes));
        let decoded = ExportLogsServiceRequest::decode(request.finish()).unwrap();
        let resource = decoded.resource_logs[0].resource.clone().unwrap();
        let string = |text: &str| Any::StringValue(text.to_owned());
        let list = ["a", "b"].map(|t| AnyValue { value: Some(string(t)) }).to_vec();
        assert_eq!(
            attributes_of(&resource.attributes),
            vec![
                ("flag".to_owned(), Any::BoolValue(true)),
                (
                    "list".to_owned(),
                    Any::ArrayValue(opentelemetry_proto::tonic::common::v1::ArrayValue {
                        values: list
                    })
                ),
                ("number".to_owned(), Any::IntValue(-3)),
                ("text".to_owned(), string("value")),
            ]
        );
    }

    proptest! {
        #[test]
        fn prop_records_read_back_as_they_were_written(
            lines in proptest::collection::vec(
                (any::<u64>(), any::<u64>(), ".{0,300}", 0..3_u8, any::<(Option<u32>, bool, bool)>()),
                0..50,
            ),
            split in 1..10_usize,
        ) {
            let mut request = LogsRequest::default();
            request.begin_resource(b"");
            request.clear(); // memory of an earlier request must not show
            let mut expected = Vec::new();
            for (index, (time, observed, body, stream, marks)) in lines.iter().enumerate() {
                if index % split == 0 {
                    let mut attributes = Attributes::new();
                    attributes.set("block", index as i64);
                    request.begin_resource(&encode_resource(&attributes));
                }
                let stream = [None, Some(Stream::Stdout), Some(Stream::Stderr)][*stream as usize];
                let marks = Marks {
                    original_bytes: marks.0.map(u64::from),
                    invalid_utf8: marks.1,
                    unparsed: marks.2,
                };
                let record = LogRecord {
                    time_unix_nano: *time,
                    observed_time_unix_nano: *observed,
                    stream,
                    body,
                    marks,
                };
                let before = request.len();
                request.push(&record);
                prop_assert!(request.len() - before <= LogsRequest::cost(&record));
                let mut attributes = Vec::new();
                if let Some(stream) = stream {
                    attributes
                        .push(("log.iostream".to_owned(), Any::StringValue(stream.name().to_owned())));
                }
                if let Some(bytes) = marks.original_bytes {
                    attributes.push(("hawsepipe.log.truncated".to_owned(), Any::BoolValue(true)));
                    attributes.push((
                        "hawsepipe.log.original_bytes".to_owned(),
                        Any::IntValue(bytes as i64),
                    ));
                }
                if marks.invalid_utf8 {
                    attributes.push(("hawsepipe.log.invalid_utf8".to_owned(), Any::BoolValue(true)));
                }
                if marks.unparsed {
                    attributes.push(("hawsepipe.log.unparsed".to_owned(), Any::BoolValue(true)));
                }
                expected.push((index / split * split, *time, *observed, body.clone(), attributes));
            }
            prop_assert_eq!(request.records(), lines.len() as u64);
            let decoded = ExportLogsServiceRequest::decode(request.finish()).unwrap();
            let mut found = Vec::new();
            for block in &decoded.resource_logs {
                let resource = block.resource.clone().unwrap();
                let Any::IntValue(number) = attributes_of(&resource.attributes)[0].1 else {
                    panic!("the block's number is an integer");
                };
                for record in block.scope_logs.iter().flat_map(|scope| &scope.log_records) {
                    let Some(Any::StringValue(body)) = record.body.clone().and_then(|b| b.value)
                    else {
                        panic!("a body is a string");
                    };
                    found.push((
                        number as usize,
                        record.time_unix_nano,
                        record.observed_time_unix_nano,
                        body,
                        attributes_of(&record.attributes),
                    ));
                }
            }
            prop_assert_eq!(found, expected);
        }
    }
}
