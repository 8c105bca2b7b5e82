//! Metrics of the connection to the API server.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::{Registry, Unit};

use crate::failure::{Kind, Resource};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByResource {
    resource: Resource,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByError {
    resource: Resource,
    kind: Kind,
}

/// Counters and gauges, cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Metrics {
    watch_restarts: Family<ByResource, Counter>,
    relists: Family<ByResource, Counter>,
    errors: Family<ByError, Counter>,
    connected: Family<ByResource, Gauge>,
    restores: Counter,
    pods: Gauge,
    deleted_pods: Gauge,
    last_event: LastEvent,
}

impl Metrics {
    /// Registers all of them. Names begin with `kubernetes_`, behind whatever prefix `registry` has.
    pub(crate) fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("kubernetes");
        registry.register(
            "watch_restarts",
            "Watches of the API server that ended and were taken up again where they were",
            self.watch_restarts.clone(),
        );
        registry.register(
            "relists",
            "Lists of all objects of a watch, the first one included",
            self.relists.clone(),
        );
        registry.register(
            "errors",
            "Requests to the API server that failed, and watches that broke",
            self.errors.clone(),
        );
        registry.register(
            "connected",
            "Whether the last request for the resource was answered (1) or not (0)",
            self.connected.clone(),
        );
        registry.register(
            "restores",
            "Times that the API server had gone back, as after a backup was restored",
            self.restores.clone(),
        );
        registry.register("pods", "Pods of this node that are known", self.pods.clone());
        registry.register(
            "deleted_pods",
            "Deleted pods that are remembered for their unread lines",
            self.deleted_pods.clone(),
        );
        registry.register_collector(Box::new(self.last_event.clone()));
    }

    pub(crate) fn count_watch_restart(&self, resource: Resource) {
        self.watch_restarts.get_or_create(&ByResource { resource }).inc();
    }

    pub(crate) fn count_relist(&self, resource: Resource) {
        self.relists.get_or_create(&ByResource { resource }).inc();
    }

    pub(crate) fn count_error(&self, resource: Resource, kind: Kind) {
        self.errors.get_or_create(&ByError { resource, kind }).inc();
    }

    pub(crate) fn count_restore(&self) {
        self.restores.inc();
    }

    pub(crate) fn set_connected(&self, resource: Resource, connected: bool) {
        self.connected.get_or_create(&ByResource { resource }).set(i64::from(connected));
    }

    pub(crate) fn set_pods(&self, live: usize, deleted: usize) {
        self.pods.set(i64::try_from(live).unwrap_or(i64::MAX));
        self.deleted_pods.set(i64::try_from(deleted).unwrap_or(i64::MAX));
    }

    /// The watch of pods said something.
    pub(crate) fn heard(&self) {
        *self.last_event.0.lock() = Some(Instant::now());
    }

    /// Seconds since the watch of pods said something.
    pub(crate) fn silence(&self) -> Option<f64> {
        (*self.last_event.0.lock()).map(|at| at.elapsed().as_secs_f64())
    }
}

/// When the watch of pods last said something; its age is told at each scrape.
#[derive(Clone, Default)]
struct LastEvent(Arc<Mutex<Option<Instant>>>);

impl fmt::Debug for LastEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LastEvent").field(&*self.0.lock()).finish()
    }
}

impl Collector for LastEvent {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(at) = *self.0.lock() else {
            return Ok(());
        };
        let age = ConstGauge::new(at.elapsed().as_secs_f64());
        let metric = encoder.encode_descriptor(
            "last_event_age",
            "Time since the watch of pods said something, bookmarks included",
            Some(&Unit::Seconds),
            MetricType::Gauge,
        )?;
        age.encode(metric)
    }
}
