//! The ledger of losses as metrics: `hawsepipe.loss.*`.
//!
//! In: a [`Ledger`]. Out: its sums in a [`MetricsRequest`]. What always holds:
//!
//! - every sum is cumulative, counted from the ledger's birth, so that a request that is missed costs nothing and a restart
//!   of the agent is no reset;
//! - what one pod lost stands under one resource, which is named as the resource of the pod's logs is
//!   (`k8s.namespace.name`, `k8s.pod.name`): "did this pod lose anything" is one query;
//! - what is zero is left out.

use super::encode_resource;
use super::metrics::{DataPoint, Instrument, Metric, MetricsRequest, Number};
use crate::{Attributes, Extent, Ledger, LossKey};

/// A metric, and where its value stands.
struct Told(&'static str, &'static str, &'static str, fn(Extent) -> u64);

const METRICS: [Told; 3] = [
    Told(
        "hawsepipe.loss.records",
        "Log records that were not delivered, or not whole",
        "{record}",
        |extent| extent.records,
    ),
    Told("hawsepipe.loss.bytes", "Bytes of logs that were not delivered", "By", |extent| {
        extent.bytes
    }),
    Told(
        "hawsepipe.loss.unknown_extent",
        "Losses of which neither records nor bytes are known",
        "{loss}",
        |extent| extent.unknown,
    ),
];

/// Writes what `ledger` sums up since `start_unix_nano` into `request`, under `resource` (the node, the cluster). It
/// stays empty when nothing was lost.
pub fn write_losses(
    request: &mut MetricsRequest,
    ledger: &Ledger,
    resource: &Attributes,
    start_unix_nano: u64,
    now_unix_nano: u64,
) {
    let entries: Vec<_> =
        ledger.entries().filter(|(_, entry)| entry.extent != Extent::default()).collect();
    // They come by namespace and pod.
    for of_pod in
        entries.chunk_by(|(a, _), (b, _)| (&a.namespace, &a.pod) == (&b.namespace, &b.pod))
    {
        let mut attributes = resource.clone();
        if let Some((key, _)) = of_pod.first() {
            attributes.set("k8s.namespace.name", &*key.namespace);
            attributes.set("k8s.pod.name", &*key.pod);
        }
        request.begin_resource(&encode_resource(&attributes));
        for Told(name, description, unit, value) in &METRICS {
            let instrument = Instrument::Counter;
            request.begin_metric(&Metric { name, description, unit, instrument });
            let values = of_pod.iter().map(|(key, entry)| (*key, value(entry.extent)));
            for (key, value) in values.filter(|(_, value)| *value > 0) {
                let value = Number::Int(i64::try_from(value).unwrap_or(i64::MAX));
                let time_unix_nano = now_unix_nano;
                request.push(DataPoint { start_unix_nano, time_unix_nano, value }, labels(key));
            }
        }
    }
}

fn labels(key: &LossKey) -> impl Iterator<Item = (&str, &str)> {
    let destination = key.destination.as_deref().map(|name| ("destination", name));
    [("reason", key.reason.name())].into_iter().chain(destination)
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
    use crate::{Entry, Loss, LossReason};

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
            let mut request = MetricsRequest::default();
            write_losses(&mut request, &ledger, &node(), 7, 9);
            prop_assert_eq!(request.points(), expected.len() as u64);
            prop_assert_eq!(decoded(request.finish()), expected);
        }
    }

    #[test]
    fn a_ledger_without_losses_is_no_request() {
        let mut request = MetricsRequest::default();
        write_losses(&mut request, &Ledger::default(), &node(), 7, 9);
        assert!(request.finish().is_empty());
        let mut ledger = Ledger::default();
        let key = LossKey {
            namespace: "a".into(),
            pod: "b".into(),
            destination: None,
            reason: LossReason::NulBytes,
        };
        ledger.put(key, Entry::default());
        write_losses(&mut request, &ledger, &node(), 7, 9);
        assert!(request.finish().is_empty(), "a sum of nothing");
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
        let mut request = MetricsRequest::default();
        write_losses(&mut request, &ledger, &node(), 7, 9);
        assert_eq!(request.points(), 1);
        assert_eq!(decoded(request.finish()).into_values().collect::<Vec<_>>(), [i64::MAX]);
    }
}
