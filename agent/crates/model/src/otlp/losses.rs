//! The ledger of losses as metrics: `hawsepipe.loss.*`.
//!
//! In: a [`Ledger`]. Out: an `ExportMetricsServiceRequest` (opentelemetry-proto v1,
//! `opentelemetry/proto/metrics/v1/metrics.proto`), not compressed. What always holds:
//!
//! - every sum is cumulative, counted from the ledger's birth, so that a request that is missed costs nothing and a restart
//!   of the agent is no reset;
//! - what one pod lost stands under one resource, which is named as the resource of the pod's logs is
//!   (`k8s.namespace.name`, `k8s.pod.name`): "did this pod lose anything" is one query;
//! - what is zero is left out.

use super::logs::{encode_resource, put_attribute};
use super::wire::{close_len, open_len, put_bytes, put_fixed64, put_uint};
use crate::{Attributes, Entry, Extent, Ledger, LossKey, Value};

/// `AGGREGATION_TEMPORALITY_CUMULATIVE`.
const CUMULATIVE: u64 = 2;

/// A metric: its name, what it says, its unit, and where its value stands.
struct Metric(&'static str, &'static str, &'static str, fn(Extent) -> u64);

const METRICS: [Metric; 3] = [
    Metric(
        "hawsepipe.loss.records",
        "Log records that were not delivered, or not whole",
        "{record}",
        |extent| extent.records,
    ),
    Metric("hawsepipe.loss.bytes", "Bytes of logs that were not delivered", "By", |extent| {
        extent.bytes
    }),
    Metric(
        "hawsepipe.loss.unknown_extent",
        "Losses of which neither records nor bytes are known",
        "{loss}",
        |extent| extent.unknown,
    ),
];

/// Encodes what `ledger` sums up since `start_unix_nano`, under `resource` (the node, the cluster); with the number of
/// data points in it. `None` when nothing was lost.
#[must_use]
pub fn encode_losses(
    ledger: &Ledger,
    resource: &Attributes,
    start_unix_nano: u64,
    now_unix_nano: u64,
) -> Option<(Vec<u8>, u64)> {
    let entries: Vec<_> =
        ledger.entries().filter(|(_, entry)| entry.extent != Extent::default()).collect();
    let mut out = Vec::new();
    let mut points = 0;
    // They come by namespace and pod.
    for of_pod in
        entries.chunk_by(|(a, _), (b, _)| (&a.namespace, &a.pod) == (&b.namespace, &b.pod))
    {
        let mut attributes = resource.clone();
        if let Some((key, _)) = of_pod.first() {
            attributes.set("k8s.namespace.name", &*key.namespace);
            attributes.set("k8s.pod.name", &*key.pod);
        }
        let block = open_len(&mut out, 1); // resource_metrics
        put_bytes(&mut out, 1, &encode_resource(&attributes));
        let scope = open_len(&mut out, 2); // scope_metrics
        for metric in &METRICS {
            points += put_metric(&mut out, metric, of_pod, start_unix_nano, now_unix_nano);
        }
        close_len(&mut out, scope);
        close_len(&mut out, block);
    }
    (points > 0).then_some((out, points))
}

/// Writes `metric` of one pod, if there is any; how many data points it has.
fn put_metric(
    out: &mut Vec<u8>,
    Metric(name, description, unit, value): &Metric,
    of_pod: &[(&LossKey, &Entry)],
    start_unix_nano: u64,
    now_unix_nano: u64,
) -> u64 {
    let values = of_pod.iter().map(|(key, entry)| (*key, value(entry.extent)));
    let values: Vec<_> = values.filter(|(_, value)| *value > 0).collect();
    if values.is_empty() {
        return 0;
    }
    let metric = open_len(out, 2); // metrics
    put_bytes(out, 1, name.as_bytes());
    put_bytes(out, 2, description.as_bytes());
    put_bytes(out, 3, unit.as_bytes());
    let sum = open_len(out, 7);
    for (key, value) in &values {
        let point = open_len(out, 1); // data_points
        put_fixed64(out, 2, start_unix_nano);
        put_fixed64(out, 3, now_unix_nano);
        put_fixed64(out, 6, (*value).min(i64::MAX as u64)); // as_int, signed
        put_attribute(out, 7, "reason", &Value::from(key.reason.name()));
        if let Some(destination) = &key.destination {
            put_attribute(out, 7, "destination", &Value::from(&**destination));
        }
        close_len(out, point);
    }
    put_uint(out, 2, CUMULATIVE);
    put_uint(out, 3, 1); // is_monotonic
    close_len(out, sum);
    close_len(out, metric);
    values.len() as u64
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
    use opentelemetry_proto::tonic::common::v1::KeyValue;
    use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
    use opentelemetry_proto::tonic::metrics::v1::metric::Data;
    use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use prost::Message;

    use super::*;
    use crate::{Loss, LossReason};

    /// Namespace, pod, metric, unit, reason, destination.
    type Series = (String, String, String, String, String, Option<String>);

    fn text(attributes: &[KeyValue], key: &str) -> Option<String> {
        let pair = attributes.iter().find(|pair| pair.key == key)?;
        match pair.value.clone()?.value? {
            Any::StringValue(text) => Some(text),
            other => panic!("{key} is no text: {other:?}"),
        }
    }

    /// Every data point of a request, with what must hold for each.
    fn decoded(request: &[u8]) -> BTreeMap<Series, i64> {
        let request = ExportMetricsServiceRequest::decode(request).unwrap();
        let mut pods = Vec::new();
        let mut found = BTreeMap::new();
        for block in request.resource_metrics {
            let resource = block.resource.unwrap().attributes;
            assert_eq!(text(&resource, "k8s.node.name").as_deref(), Some("node-1"));
            let namespace = text(&resource, "k8s.namespace.name").unwrap_or_default();
            let pod = text(&resource, "k8s.pod.name").unwrap_or_default();
            assert_eq!(
                resource.len(),
                1 + usize::from(!namespace.is_empty()) + usize::from(!pod.is_empty())
            );
            pods.push((namespace.clone(), pod.clone()));
            for metric in block.scope_metrics.into_iter().flat_map(|scope| scope.metrics) {
                assert!(!metric.description.is_empty());
                let Some(Data::Sum(sum)) = metric.data else { panic!("a sum") };
                assert_eq!((sum.aggregation_temporality, sum.is_monotonic), (2, true));
                for point in sum.data_points {
                    assert_eq!((point.start_time_unix_nano, point.time_unix_nano), (7, 9));
                    let Some(Number::AsInt(value)) = point.value else { panic!("an integer") };
                    let reason = text(&point.attributes, "reason").unwrap();
                    let destination = text(&point.attributes, "destination");
                    assert_eq!(point.attributes.len(), 1 + usize::from(destination.is_some()));
                    let (name, unit) = (metric.name.clone(), metric.unit.clone());
                    let series = (namespace.clone(), pod.clone(), name, unit, reason, destination);
                    assert_eq!(found.insert(series, value), None, "a series twice");
                }
            }
        }
        let all = pods.len();
        pods.sort();
        pods.dedup();
        assert_eq!(pods.len(), all, "one resource for each pod");
        found
    }

    fn node() -> Attributes {
        let mut node = Attributes::new();
        node.set("k8s.node.name", "node-1");
        node
    }

    fn loss() -> impl Strategy<Value = Loss> {
        let key = ("[ab]?", "[xyz]?", proptest::option::of("[mn]"), 0..LossReason::ALL.len());
        (key, 0..4_u64, 0..4_u64, 0..2_u64).prop_map(
            |((namespace, pod, destination, reason), records, bytes, unknown)| Loss {
                key: LossKey {
                    namespace: namespace.into(),
                    pod: pod.into(),
                    destination: destination.map(Into::into),
                    reason: LossReason::ALL[reason],
                },
                extent: Extent { records, bytes, unknown },
                words: "".into(),
            },
        )
    }

    proptest! {
        #[test]
        fn prop_every_sum_reads_back_once_under_its_pod(losses in vec(loss(), 0..60)) {
            let mut ledger = Ledger::default();
            losses.iter().for_each(|loss| ledger.add(loss, 1));
            let mut expected = BTreeMap::new();
            for (key, entry) in ledger.entries() {
                let extent = entry.extent;
                for (name, unit, value) in [
                    ("records", "{record}", extent.records),
                    ("bytes", "By", extent.bytes),
                    ("unknown_extent", "{loss}", extent.unknown),
                ] {
                    let series = (
                        key.namespace.to_string(),
                        key.pod.to_string(),
                        format!("hawsepipe.loss.{name}"),
                        unit.to_owned(),
                        key.reason.name().to_owned(),
                        key.destination.as_deref().map(str::to_owned),
                    );
                    if value > 0 {
                        expected.insert(series, value as i64);
                    }
                }
            }
            let Some((request, points)) = encode_losses(&ledger, &node(), 7, 9) else {
                prop_assert!(expected.is_empty());
                return Ok(());
            };
            prop_assert_eq!(points, expected.len() as u64);
            prop_assert_eq!(decoded(&request), expected);
        }
    }

    #[test]
    fn a_ledger_without_losses_is_no_request() {
        assert_eq!(encode_losses(&Ledger::default(), &node(), 7, 9), None);
        let mut ledger = Ledger::default();
        let key = LossKey {
            namespace: "a".into(),
            pod: "b".into(),
            destination: None,
            reason: LossReason::NulBytes,
        };
        ledger.put(key, Entry::default());
        assert_eq!(encode_losses(&ledger, &node(), 7, 9), None, "a sum of nothing");
    }

    #[test]
    fn a_number_that_no_signed_one_holds_is_the_largest_and_not_negative() {
        let mut ledger = Ledger::default();
        let key = LossKey {
            namespace: "a".into(),
            pod: "b".into(),
            destination: None,
            reason: LossReason::SpoolDamage,
        };
        ledger.put(key, Entry { extent: Extent::known(u64::MAX, 0), ..Entry::default() });
        let (request, points) = encode_losses(&ledger, &node(), 7, 9).unwrap();
        assert_eq!(points, 1);
        assert_eq!(decoded(&request).into_values().collect::<Vec<_>>(), [i64::MAX]);
    }
}
