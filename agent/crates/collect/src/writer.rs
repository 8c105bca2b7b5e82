//! From points to frames in the queue.
//!
//! In: the points of collectors. Out: frames of at most about 1 MiB, in the sink. Always: what the sink does not take
//! is counted; metrics do not wait.

use std::sync::Arc;

use hawsepipe_model::codec::Compressor;
use hawsepipe_model::otlp::{
    self, AttributeValue, DataPoint, Instrument, MetricsRequest, encode_entity,
};
use hawsepipe_model::{AppendError, Attributes, FrameSink, PodDirectory, PreferredCodec};

use crate::collector::Scope;
use crate::metrics::Metrics;
use crate::points::{Points, View};
use crate::tick::Sources;

/// Where frames go, and what all of them say.
pub(crate) struct Outlet {
    pub(crate) sink: Arc<dyn FrameSink>,
    pub(crate) codec: Arc<PreferredCodec>,
    pub(crate) pods: Arc<dyn PodDirectory>,
    /// What the admin adds to everything.
    pub(crate) attributes: Attributes,
    pub(crate) metrics: Metrics,
}

impl Outlet {
    /// What all points say: the node's attributes as they are known now, or the cluster's.
    fn common(&self, sources: &Sources) -> Attributes {
        let mut common = sources.attributes();
        if sources.scope() == Scope::Node {
            common.extend(&self.pods.node().attributes);
        }
        common.extend(&self.attributes);
        common
    }
}

/// A request under construction: what is written in one tick.
#[derive(Default)]
pub(crate) struct Writer {
    request: MetricsRequest,
    /// What all points say, as it is and as it is sent. It is asked for once a tick.
    common: Option<Arc<(Attributes, Vec<u8>)>>,
}

impl Writer {
    /// Writes the points; what is full on the way is sent.
    pub(crate) fn write(&mut self, points: &Points, sources: &Sources, outlet: &Outlet) {
        let common = self.common.get_or_insert_with(|| {
            let common = outlet.common(sources);
            let encoded = encode_entity(&common);
            Arc::new((common, encoded))
        });
        let common = Arc::clone(common);
        let (common, of_common) = &*common;
        let mut encoded = Vec::new();
        let mut last: Option<View<'_>> = None;
        for point in points.iter() {
            let resource = |view: &View<'_>| view.resource.map(std::ptr::from_ref);
            let same_resource = last.is_some_and(|last| resource(&last) == resource(&point));
            if !same_resource && let Some(about) = point.resource {
                let mut attributes = common.clone();
                attributes.extend(about);
                // What the admin adds wins.
                attributes.extend(&outlet.attributes);
                encoded = encode_entity(&attributes);
            }
            let full = self.request.is_full();
            if full {
                self.send(outlet);
            }
            if full || !same_resource {
                let resource = if point.resource.is_some() { &encoded } else { of_common };
                self.request.begin_resource(resource);
            }
            let metric = point.metric;
            let same_metric = last.is_some_and(|last| std::ptr::eq(last.metric, metric));
            if full || !same_resource || !same_metric {
                self.request.begin_metric(&otlp::Metric {
                    name: metric.name,
                    description: metric.description(),
                    unit: metric.unit,
                    instrument: metric.instrument,
                });
            }
            let gauge = metric.instrument == Instrument::Gauge;
            let data = DataPoint {
                start_unix_nano: if gauge { 0 } else { point.start_unix_nano },
                time_unix_nano: point.time_unix_nano,
                value: point.value,
            };
            self.request.push(data, point.attributes().map(typed));
            last = Some(point);
        }
    }

    /// Puts what there is into the queue.
    pub(crate) fn send(&mut self, outlet: &Outlet) {
        let points = self.request.points();
        let framed = Compressor::new()
            .and_then(|mut compressor| self.request.frame(outlet.codec.get(), &mut compressor));
        let dropped: &dyn std::fmt::Display = match framed {
            Ok(None) => return,
            Ok(Some(frame)) => match outlet.sink.append(frame) {
                Ok(()) => return,
                Err(AppendError::Full(_)) => &"the spool has no room",
                Err(AppendError::TooLarge { .. }) => &"the spool can never hold them",
            },
            Err(ref error) => error,
        };
        outlet.metrics.dropped(points);
        tracing::warn!(points, reason = %dropped, "data points are dropped");
        self.request.clear();
    }
}

/// Attributes whose values are whole numbers, by their conventions; all others are texts.
const WHOLE: [&str; 1] = ["onc_rpc.version"];

fn typed<'a>((key, value): (&'a str, &'a str)) -> (&'a str, AttributeValue<'a>) {
    let number = WHOLE.contains(&key).then(|| value.parse().ok()).flatten();
    (key, number.map_or(AttributeValue::Str(value), AttributeValue::Int))
}
