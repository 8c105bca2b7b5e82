//! What was written, read back with the types of OpenTelemetry.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{NumberDataPoint, ResourceMetrics};
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;

use super::*;
use crate::codec::decompress;
use crate::otlp::encode_resource;

type Attribute = (String, String);
type Point = (u64, u64, Number, Vec<Attribute>);
type Written = (String, Vec<(String, Instrument, Vec<Point>)>);

fn resource(name: &str) -> Vec<u8> {
    let mut attributes = Attributes::new();
    attributes.set("host.name", name);
    encode_resource(&attributes)
}

fn text(value: Option<Any>) -> String {
    match value {
        Some(Any::StringValue(text)) => text,
        other => panic!("no text: {other:?}"),
    }
}

fn point(point: NumberDataPoint) -> Point {
    let value = match point.value.unwrap() {
        Value::AsInt(value) => Number::Int(value),
        Value::AsDouble(value) => Number::Double(value),
    };
    let attributes = point.attributes.into_iter();
    let attributes = attributes.map(|pair| (pair.key, text(pair.value.unwrap().value)));
    (point.start_time_unix_nano, point.time_unix_nano, value, attributes.collect())
}

fn read_back(block: ResourceMetrics) -> Written {
    let name = block.resource.unwrap().attributes.remove(0).value.unwrap().value;
    let [scope] = <[_; 1]>::try_from(block.scope_metrics).unwrap();
    let named = scope.scope.unwrap();
    assert_eq!((named.name.as_str(), &*named.version), ("hawsepipe", env!("CARGO_PKG_VERSION")));
    assert_eq!(scope.schema_url, SCHEMA_URL);
    let metrics = scope.metrics.into_iter().map(|metric| {
        assert_eq!((metric.description.as_str(), metric.unit.as_str()), ("words", "By"));
        let (instrument, points) = match metric.data.unwrap() {
            Data::Gauge(gauge) => (Instrument::Gauge, gauge.data_points),
            Data::Sum(sum) => {
                assert_eq!(sum.aggregation_temporality, 2);
                let up = sum.is_monotonic;
                let kind = if up { Instrument::Counter } else { Instrument::UpDownCounter };
                (kind, sum.data_points)
            }
            other => panic!("neither: {other:?}"),
        };
        (metric.name, instrument, points.into_iter().map(point).collect())
    });
    (text(name), metrics.collect())
}

fn number() -> impl Strategy<Value = Number> {
    prop_oneof![any::<i64>().prop_map(Number::Int), (-1e9..1e9).prop_map(Number::Double)]
}

fn instrument() -> impl Strategy<Value = Instrument> {
    prop_oneof![Just(Instrument::Counter), Just(Instrument::UpDownCounter), Just(Instrument::Gauge)]
}

fn written() -> impl Strategy<Value = Vec<Written>> {
    let attributes = vec(("[a-z.]{1,9}", "[a-z0]{0,200}"), 0..3);
    let points = vec((0..9_u64, any::<u64>(), number(), attributes), 0..4);
    vec(("[ab]", vec(("[a-z.]{1,9}", instrument(), points), 0..4)), 0..5)
}

/// What stands behind each other under one resource is one block; what is empty is not there.
fn expected(written: &[Written]) -> Vec<Written> {
    let mut blocks: Vec<Written> = Vec::new();
    for (name, metrics) in written {
        let metrics = metrics.iter().filter(|(_, _, points)| !points.is_empty()).cloned();
        match blocks.last_mut().filter(|(last, _)| last == name) {
            Some((_, before)) => before.extend(metrics),
            None => blocks.push((name.clone(), metrics.collect())),
        }
    }
    blocks.retain(|(_, metrics)| !metrics.is_empty());
    blocks
}

proptest! {
    #[test]
    fn prop_metrics_read_back_as_they_were_written(written in written()) {
        let mut request = MetricsRequest::default();
        for (name, metrics) in &written {
            request.begin_resource(&resource(name));
            for (name, instrument, points) in metrics {
                let metric =
                    Metric { name, description: "words", unit: "By", instrument: *instrument };
                request.begin_metric(&metric);
                for (start, time, value, attributes) in points {
                    let point = DataPoint {
                        start_unix_nano: *start, time_unix_nano: *time, value: *value,
                    };
                    request.push(point, attributes.iter().map(|(k, v)| (&**k, &**v)));
                }
            }
        }
        let decoded = ExportMetricsServiceRequest::decode(request.finish()).unwrap();
        let found: Vec<_> = decoded.resource_metrics.into_iter().map(read_back).collect();
        // Blocks of one resource may stand apart where there was an empty one between them.
        prop_assert_eq!(expected(&found), expected(&expected(&written)));
    }
}

fn one_point(request: &mut MetricsRequest) {
    let instrument = Instrument::Gauge;
    let metric = Metric { name: "a", description: "words", unit: "By", instrument };
    let value = Number::Int(1);
    request.begin_resource(&resource("n"));
    request.begin_metric(&metric);
    request.push(DataPoint { start_unix_nano: 0, time_unix_nano: 1, value }, [("k", "v")]);
}

#[test]
fn a_request_becomes_a_frame_and_is_empty_then() {
    let mut request = MetricsRequest::default();
    let mut compressor = Compressor::new().unwrap();
    assert!(request.frame(Codec::Zstd, &mut compressor).unwrap().is_none());
    for _ in 0..2 {
        one_point(&mut request);
        let frame = request.frame(Codec::Zstd, &mut compressor).unwrap().unwrap();
        assert_eq!((frame.signal, frame.records), (Signal::Metrics, 1));
        assert!(request.is_empty() && request.finish().is_empty());
        let plain = decompress(Codec::Zstd, &frame.payload, frame.uncompressed_len).unwrap();
        assert_eq!(plain.len(), frame.uncompressed_len);
        let decoded = ExportMetricsServiceRequest::decode(&*plain).unwrap();
        assert_eq!(decoded.resource_metrics.len(), 1);
    }
}

#[test]
fn a_request_is_full_at_about_the_size_of_a_frame() {
    let mut request = MetricsRequest::default();
    while !request.is_full() {
        one_point(&mut request);
    }
    assert!((FULL..FULL + 1024).contains(&request.len()));
}

#[test]
fn an_attribute_that_is_a_number_reads_back_as_one() {
    let mut request = MetricsRequest::default();
    let instrument = Instrument::Gauge;
    request.begin_resource(&resource("n"));
    request.begin_metric(&Metric { name: "a", description: "", unit: "", instrument });
    let value = Number::Int(1);
    let attributes = [0, 4, 300, -1].map(|number| ("version", AttributeValue::Int(number)));
    request.push(DataPoint { start_unix_nano: 0, time_unix_nano: 1, value }, attributes);
    let mut decoded = ExportMetricsServiceRequest::decode(request.finish()).unwrap();
    let metric = decoded.resource_metrics[0].scope_metrics[0].metrics.remove(0);
    let Some(Data::Gauge(gauge)) = metric.data else { panic!("a gauge") };
    let pairs = gauge.data_points[0].attributes.iter();
    let values = pairs.map(|pair| pair.value.clone().unwrap().value.unwrap());
    assert_eq!(values.collect::<Vec<_>>(), [0, 4, 300, -1].map(Any::IntValue));
}

#[test]
fn a_histogram_reads_back() {
    let mut request = MetricsRequest::default();
    let instrument = Instrument::Histogram;
    request.begin_resource(&resource("n"));
    request.begin_metric(&Metric { name: "a", description: "", unit: "s", instrument });
    let (bounds, counts) = ([0.5, 1.0], [1, 2, 3]);
    let point = HistogramPoint {
        start_unix_nano: 7,
        time_unix_nano: 9,
        count: 6,
        sum: 4.5,
        bounds: &bounds,
        counts: &counts,
    };
    request.push_histogram(&point, [("k", "v")]);
    let mut decoded = ExportMetricsServiceRequest::decode(request.finish()).unwrap();
    let metric = decoded.resource_metrics[0].scope_metrics[0].metrics.remove(0);
    let Some(Data::Histogram(histogram)) = metric.data else { panic!("a histogram") };
    assert_eq!(histogram.aggregation_temporality, 2);
    let point = &histogram.data_points[0];
    assert_eq!((point.start_time_unix_nano, point.time_unix_nano), (7, 9));
    assert_eq!((point.count, point.sum), (6, Some(4.5)));
    assert_eq!((&*point.explicit_bounds, &*point.bucket_counts), (&bounds[..], &counts[..]));
    assert_eq!(point.attributes[0].key, "k");
}

#[test]
fn a_resource_names_the_entities_whose_identity_it_holds() {
    let mut attributes = Attributes::new();
    attributes.set("host.id", "1");
    attributes.set("host.name", "n");
    attributes.set("k8s.node.name", "n");
    attributes.set("k8s.pod.uid", "2");
    let mut request = MetricsRequest::default();
    let encoded = encode_entity(&attributes);
    request.begin_resource(&encoded);
    let metric = Metric { name: "a", description: "", unit: "", instrument: Instrument::Gauge };
    request.begin_metric(&metric);
    let value = Number::Double(1.5);
    let none: [(&str, &str); 0] = [];
    request.push(DataPoint { start_unix_nano: 0, time_unix_nano: 1, value }, none);
    let decoded = ExportMetricsServiceRequest::decode(request.finish()).unwrap();
    let resource = decoded.resource_metrics[0].resource.clone().unwrap();
    assert_eq!(resource.attributes.len(), 4);
    let refs = resource.entity_refs.iter().map(|entity| {
        (entity.r#type.as_str(), entity.id_keys.clone(), entity.description_keys.clone())
    });
    let list = |keys: &[&str]| keys.iter().map(ToString::to_string).collect::<Vec<_>>();
    let expected = vec![
        ("host", list(&["host.id"]), list(&["host.name"])),
        ("k8s.pod", list(&["k8s.pod.uid"]), list(&[])),
    ];
    assert_eq!(refs.collect::<Vec<_>>(), expected, "a node without its UID is no entity");
}
