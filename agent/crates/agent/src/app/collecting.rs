//! The collectors of the node's metrics, and of the agent's own, put to work.

use std::sync::Arc;

use hawsepipe_cluster::PodIndex;
use hawsepipe_cluster::kubelet::{Kubelet, KubeletSource};
use hawsepipe_collect as collect;
use hawsepipe_model::{FrameSink, PodDirectory, PreferredCodec};
use hawsepipe_spool::Spool;
use prometheus_client::registry::Registry;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Metrics};
use crate::own_metrics;

/// Where metrics go, and who knows the node.
pub(super) struct Queue<'a> {
    pub(super) spool: &'a Arc<Spool>,
    pub(super) pods: &'a Arc<dyn PodDirectory>,
    pub(super) codec: &'a Arc<PreferredCodec>,
    pub(super) metrics: collect::Metrics,
    /// The node's kubelet, where there is one.
    pub(super) kubelet: Option<Arc<Kubelet>>,
    /// The jobs that send heartbeats, where they are taken.
    pub(super) jobs: Option<Arc<collect::Jobs>>,
}

/// The node's kubelet, where there is one; `index` knows its address, where there is a cluster. Asked on this runtime.
pub(crate) fn kubelet(metrics: &Metrics, index: Option<Arc<PodIndex>>) -> Option<Arc<Kubelet>> {
    let settings = metrics.kubelet.clone()?;
    Some(Arc::new(Kubelet::new(settings, index, Handle::current())))
}

impl Queue<'_> {
    /// Collectors at work until `cancel`, unless none are `chosen`; they tell how they do.
    pub(super) fn start_collectors(
        &self,
        chosen: Option<&Metrics>,
        config: &Config,
        cancel: &CancellationToken,
    ) -> Option<collect::Status> {
        let chosen = chosen?;
        let settings = collect::Settings {
            sources: collect::Sources::new(chosen.host.clone())
                .with_kubelet(self.kubelet.clone().map(|it| it as Arc<dyn KubeletSource>))
                .with_jobs(self.jobs.clone()),
            choices: chosen.of_node.clone(),
            interval: chosen.interval,
            node_name: config.node_name.clone(),
            attributes: config.attributes.clone(),
        };
        let sink = Arc::new(self.spool.sampled().clone()) as Arc<dyn FrameSink>;
        let (pods, codec) = (Arc::clone(self.pods), Arc::clone(self.codec));
        let collection =
            collect::Collection::new(settings, sink, pods, codec, self.metrics.clone());
        let status = collection.status();
        tokio::spawn(collection.run(cancel.clone()));
        Some(status)
    }

    /// Sends what stands in `registry` until `cancel`, unless the configuration does not want it.
    pub(super) fn start_own_metrics(
        &self,
        config: &Config,
        registry: &Arc<Registry>,
        cancel: &CancellationToken,
    ) {
        let Some(metrics) = config.metrics.as_ref().filter(|metrics| metrics.agent) else { return };
        let sender = own_metrics::Sender {
            registry: Arc::clone(registry),
            metrics: self.metrics.clone(),
            spool: Arc::clone(self.spool),
            codec: Arc::clone(self.codec),
            pods: Arc::clone(self.pods),
            attributes: config.attributes.clone(),
            interval: metrics.interval,
        };
        tokio::spawn(sender.run(cancel.clone()));
    }
}
