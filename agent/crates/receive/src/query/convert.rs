//! OpenTelemetry's messages as those of `hawsepipe.v1`.

use hawsepipe_proto::v1::{
    Attribute, AttributeList, Container, Record, Value, ValueList, value::Value as Ours,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value as Theirs;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::LogRecord;

use crate::otlp;
use crate::store::ContainerName;

pub(super) fn container(name: &ContainerName) -> Container {
    Container {
        namespace: name.namespace.clone(),
        pod: name.pod.clone(),
        container: name.container.clone(),
    }
}

pub(super) fn record(source: u32, record: &LogRecord, received: u64) -> Record {
    Record {
        source,
        time_unix_nano: record.time_unix_nano,
        observed_time_unix_nano: record.observed_time_unix_nano,
        received_unix_nano: received,
        stream: otlp::string(&record.attributes, "log.iostream").to_owned(),
        body: record.body.as_ref().map(value),
        attributes: attributes(&record.attributes),
        severity_number: record.severity_number,
        severity_text: record.severity_text.clone(),
    }
}

pub(super) fn attributes(theirs: &[KeyValue]) -> Vec<Attribute> {
    let attribute = |pair: &KeyValue| Attribute {
        key: pair.key.clone(),
        value: pair.value.as_ref().map(value),
    };
    theirs.iter().map(attribute).collect()
}

pub(super) fn value(theirs: &AnyValue) -> Value {
    let ours = theirs.value.as_ref().and_then(|value| match value {
        Theirs::StringValue(text) => Some(Ours::StringValue(text.clone())),
        Theirs::BoolValue(flag) => Some(Ours::BoolValue(*flag)),
        Theirs::IntValue(number) => Some(Ours::IntValue(*number)),
        Theirs::DoubleValue(number) => Some(Ours::DoubleValue(*number)),
        Theirs::ArrayValue(list) => Some(Ours::ListValue(ValueList {
            values: list.values.iter().map(self::value).collect(),
        })),
        Theirs::KvlistValue(map) => {
            Some(Ours::MapValue(AttributeList { attributes: attributes(&map.values) }))
        }
        Theirs::BytesValue(bytes) => Some(Ours::BytesValue(bytes.clone())),
        // An index into the string table of a profile; there is none in a log request.
        Theirs::StringValueStrindex(_) => None,
    });
    Value { value: ours }
}
