//! Parts against opentelemetry-proto's decoder.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;

use super::*;

/// A record with everything that it stands under.
type Flat = (Option<Resource>, String, Option<InstrumentationScope>, String, LogRecord);

fn flat(request: &[u8]) -> Vec<Flat> {
    let decoded = ExportLogsServiceRequest::decode(request).unwrap();
    let mut all = Vec::new();
    for block in decoded.resource_logs {
        for scope in block.scope_logs {
            for record in scope.log_records {
                all.push((
                    block.resource.clone(),
                    block.schema_url.clone(),
                    scope.scope.clone(),
                    scope.schema_url.clone(),
                    record,
                ));
            }
        }
    }
    all
}

fn text(text: &str) -> Option<AnyValue> {
    Some(AnyValue { value: Some(Value::StringValue(text.to_owned())) })
}

fn attribute(key: &str, value: &str) -> KeyValue {
    KeyValue { key: key.to_owned(), value: text(value), ..KeyValue::default() }
}

fn attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    vec(("[a-z.]{0,9}", ".{0,9}").prop_map(|(key, value)| attribute(&key, &value)), 0..3)
}

fn record() -> impl Strategy<Value = LogRecord> {
    let fields = (any::<u64>(), any::<u32>(), ".{0,40}", attributes(), any::<bool>());
    fields.prop_map(|(time, flags, body, attributes, with_body)| LogRecord {
        time_unix_nano: time,
        flags,
        body: if with_body { text(&body) } else { None },
        attributes,
        severity_number: 9,
        trace_id: vec![7; 16],
        ..LogRecord::default()
    })
}

fn request() -> impl Strategy<Value = ExportLogsServiceRequest> {
    let scope =
        (vec(record(), 0..6), "[a-z]{0,6}", any::<bool>()).prop_map(|(records, url, named)| {
            let scope =
                InstrumentationScope { name: url.clone(), ..InstrumentationScope::default() };
            ScopeLogs { scope: named.then_some(scope), log_records: records, schema_url: url }
        });
    let block = (vec(scope, 0..4), attributes(), "[a-z]{0,6}", any::<bool>());
    let block = block.prop_map(|(scope_logs, attributes, schema_url, known)| {
        let resource = Resource { attributes, ..Resource::default() };
        ResourceLogs { resource: known.then_some(resource), scope_logs, schema_url }
    });
    vec(block, 0..4).prop_map(|resource_logs| ExportLogsServiceRequest { resource_logs })
}

fn one(body: &str) -> Vec<u8> {
    let record = LogRecord {
        time_unix_nano: 1,
        body: text(body),
        attributes: vec![attribute("log.iostream", "stdout")],
        ..LogRecord::default()
    };
    of(vec![("shop", "cart-1", vec![record])])
}

fn of(blocks: Vec<(&str, &str, Vec<LogRecord>)>) -> Vec<u8> {
    let block = |(namespace, pod, log_records)| ResourceLogs {
        resource: Some(Resource {
            attributes: vec![
                attribute("k8s.namespace.name", namespace),
                attribute("k8s.pod.name", pod),
            ],
            ..Resource::default()
        }),
        scope_logs: vec![ScopeLogs { log_records, ..ScopeLogs::default() }],
        ..ResourceLogs::default()
    };
    let resource_logs = blocks.into_iter().map(block).collect();
    ExportLogsServiceRequest { resource_logs }.encode_to_vec()
}

fn line(body: &str) -> LogRecord {
    LogRecord { body: text(body), ..LogRecord::default() }
}

proptest! {
    #[test]
    fn prop_the_parts_hold_the_records_of_the_whole_in_order(request in request(), max in 0usize..600) {
        let whole = request.encode_to_vec();
        let records = Records::read(&whole).unwrap();
        let expected = flat(&whole);
        prop_assert_eq!(records.len(), expected.len());
        for ranges in [records.halves(), records.fitting(max)] {
            let mut found = Vec::new();
            for range in ranges {
                let part = records.encode(range.clone());
                prop_assert_eq!(Records::read(&part).unwrap().len(), range.len());
                found.extend(flat(&part));
            }
            prop_assert_eq!(&found, &expected);
        }
    }

    #[test]
    fn prop_parts_that_must_fit_do_and_are_not_smaller_than_they_must(request in request(), max in 200usize..900) {
        let whole = request.encode_to_vec();
        let records = Records::read(&whole).unwrap();
        let ranges = records.fitting(max);
        for range in &ranges {
            prop_assert!(!range.is_empty());
            prop_assert!(range.len() == 1 || records.encode(range.clone()).len() <= max);
        }
        for pair in ranges.windows(2) {
            let one_more = records.encode(pair[0].start..pair[0].end + 1);
            prop_assert!(one_more.len() > max, "the next record would have fit");
        }
    }

    #[test]
    fn prop_garbage_is_an_error_and_no_panic(mut bytes in vec(any::<u8>(), 0..300), at in 0usize..300, request in request()) {
        for input in [bytes.clone(), {
            // A request with one byte changed and its end torn off.
            let mut whole = request.encode_to_vec();
            if let (Some(byte), Some(other)) = (whole.get_mut(at), bytes.pop()) {
                *byte = other;
            }
            whole.truncate(at.max(1) * 7);
            whole
        }] {
            if let Ok(records) = Records::read(&input) {
                let _origins = records.origins();
                let again = records.encode(0..records.len());
                prop_assert_eq!(Records::read(&again).unwrap().len(), records.len());
            }
            let _shortened = shorten(&input, at);
        }
    }

    #[test]
    fn prop_what_the_decoder_takes_can_be_split(bytes in vec(any::<u8>(), 0..60)) {
        // Groups (wire types 3 and 4) are the exception: nothing in OTLP has one.
        if let Ok(decoded) = ExportLogsServiceRequest::decode(&bytes[..]) {
            let expected = flat(&decoded.encode_to_vec());
            match Records::read(&bytes) {
                Ok(records) => prop_assert_eq!(flat(&records.encode(0..records.len())), expected),
                Err(error) => prop_assert!(matches!(error, WireError::WireType(_)), "{}", error),
            }
        }
    }

    #[test]
    fn prop_a_record_that_is_cut_fits_and_keeps_a_whole_beginning(body in "\\PC{60,400}", max in 150usize..700) {
        let whole = one(&body);
        let Some(short) = shorten(&whole, max).unwrap() else {
            prop_assert!(whole.len() + MARKS + 5 * OPEN <= max || max < whole.len() - body.len() + MARKS + 5 * OPEN + 4);
            return Ok(());
        };
        prop_assert!(short.request.len() <= max);
        let (before, after) = (flat(&whole).remove(0), flat(&short.request).remove(0));
        let Some(Value::StringValue(kept)) = after.4.body.clone().unwrap().value else {
            panic!("a body that was text stays text");
        };
        prop_assert!(body.starts_with(&kept) && !kept.is_empty());
        prop_assert_eq!(short.cut as usize, body.len() - kept.len());
        prop_assert_eq!(&after.0, &before.0);
        prop_assert_eq!(after.4.time_unix_nano, 1);
        let marks = &after.4.attributes[1..];
        prop_assert_eq!(&after.4.attributes[0], &before.4.attributes[0]);
        prop_assert_eq!(&marks[0].key, "hawsepipe.log.truncated");
        prop_assert_eq!(&marks[1].key, "hawsepipe.log.original_bytes");
        let length = marks[1].value.clone().unwrap().value;
        prop_assert_eq!(length, Some(Value::IntValue(body.len() as i64)));
    }
}

#[test]
fn a_record_cut_twice_says_how_long_it_was_at_first() {
    let body = "x".repeat(2000);
    let once = shorten(&one(&body), 1500).unwrap().unwrap();
    let twice = shorten(&once.request, 700).unwrap().unwrap();
    let record = flat(&twice.request).remove(0).4;
    let lengths: Vec<_> =
        record.attributes.iter().filter(|pair| pair.key.ends_with("original_bytes")).collect();
    assert_eq!(lengths.len(), 1);
    assert_eq!(lengths[0].value.clone().unwrap().value, Some(Value::IntValue(2000)));
    assert!(once.cut + twice.cut > 1300);
}

#[test]
fn what_cannot_be_cut_is_left_alone() {
    let short = one("short");
    assert_eq!(shorten(&short, 20).unwrap(), None, "nothing would be left");
    let two = of(vec![("a", "b", vec![line("one"), line("two")])]);
    assert_eq!(shorten(&two, 10).unwrap(), None, "two records");
    let bytes = Some(AnyValue { value: Some(Value::BytesValue(vec![1; 900])) });
    let bytes = of(vec![("a", "b", vec![LogRecord { body: bytes, ..LogRecord::default() }])]);
    assert_eq!(shorten(&bytes, 600).unwrap(), None, "no text");
}

#[test]
fn lines_and_bytes_are_told_by_pod() {
    let request = of(vec![
        ("shop", "cart-1", vec![line("four"), line("")]),
        ("shop", "cart-2", vec![line("seven77")]),
        ("shop", "cart-1", vec![line("1")]),
    ]);
    let origins = Records::read(&request).unwrap().origins();
    let told: Vec<_> = origins
        .iter()
        .map(|origin| (origin.pod.as_deref().unwrap(), origin.records, origin.bytes))
        .collect();
    assert_eq!(told, [("cart-1", 3, 5), ("cart-2", 1, 7)]);
    assert!(origins.iter().all(|origin| origin.namespace.as_deref() == Some("shop")));
}

#[test]
fn more_pods_than_are_told_apart_fold_into_their_namespace() {
    let pods: Vec<String> = (0..1000).map(|number| format!("pod-{number}")).collect();
    let request = of(pods.iter().map(|pod| ("shop", &pod[..], vec![line("x")])).collect());
    let origins = Records::read(&request).unwrap().origins();
    assert_eq!(origins.len(), MAX_ORIGINS + 1);
    assert_eq!(origins.iter().map(|origin| origin.records).sum::<u64>(), 1000);
    let folded = origins.iter().find(|origin| origin.pod.is_none()).unwrap();
    assert_eq!((folded.namespace.as_deref(), folded.records), (Some("shop"), 744));
}
