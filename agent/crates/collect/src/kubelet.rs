//! What the kubelet says of the node, its pods and containers, and who they are.
//!
//! In: the kubelet, the [`PodDirectory`](hawsepipe_model::PodDirectory). Out: a [`Summary`], asked for once a tick by
//! whoever needs it first, a [`Cadvisor`] where the control groups are not seen, and for each pod and container the
//! attributes that it has elsewhere too.

use std::sync::Arc;

use hawsepipe_cluster::kubelet::{
    Cadvisor, CadvisorContainer, ContainerStats, CpuStats, KubeletError, KubeletSource,
    MemoryStats, PodStats, Summary, SwapStats,
};
use hawsepipe_model::{Attributes, PodMeta, Resources};
use jiff::Timestamp;

use crate::collector::CollectError;
use crate::pods::{About, run_attributes};
use crate::points::Points;
use crate::tick::{Sources, Tick};
use crate::usage::{Names, Usage};

/// Asks the kubelet. One that signed its certificate itself, as `kubeadm` sets them up, is not to be had until an admin
/// has decided whom to trust: no failure of this node's.
///
/// # Errors
/// When there is none, and when it does not answer as it should.
pub(crate) fn read(sources: &Sources) -> Result<Summary, CollectError> {
    ask(sources, |kubelet| kubelet.summary())
}

/// Asks the kubelet for what its summary leaves out.
fn read_cadvisor(sources: &Sources) -> Result<Cadvisor, CollectError> {
    ask(sources, |kubelet| kubelet.cadvisor())
}

fn ask<T>(
    sources: &Sources,
    what: impl FnOnce(&dyn KubeletSource) -> Result<T, KubeletError>,
) -> Result<T, CollectError> {
    let Some(kubelet) = &sources.kubelet else {
        return Err(CollectError::Unavailable("no kubelet is known here".to_owned()));
    };
    what(&**kubelet).map_err(|error| match error {
        KubeletError::Untrusted { .. } => CollectError::Unavailable(error.to_string()),
        _ => CollectError::Failed(error.to_string()),
    })
}

/// A pod that the kubelet tells of.
pub(crate) struct Told<'a> {
    pub(crate) stats: &'a PodStats,
    meta: Option<Arc<PodMeta>>,
}

/// The pods of a summary.
pub(crate) fn pods<'a>(
    summary: &'a Summary,
    sources: &'a Sources,
) -> impl Iterator<Item = Told<'a>> {
    let told = |stats: &'a PodStats| Told { meta: sources.pods.pod(&stats.pod_ref.uid), stats };
    summary.pods.iter().map(told)
}

impl Told<'_> {
    /// Who the pod is.
    pub(crate) fn about(&self) -> About {
        let mut attributes = self.named();
        let (mut started, mut resources) = (None, Resources::default());
        if let Some(meta) = &self.meta {
            attributes.extend(&meta.attributes);
            (started, resources) = (meta.started_unix_nano, meta.resources);
        }
        let start_unix_nano = started.or_else(|| unix_nano(&self.stats.start_time)).unwrap_or(0);
        About { attributes: Arc::new(attributes), start_unix_nano, resources }
    }

    /// Who a container of it is: the run that the pod's status names last.
    pub(crate) fn container(&self, container: &ContainerStats) -> About {
        let mut attributes = self.named();
        attributes.set("k8s.container.name", container.name.as_str());
        let mut resources = Resources::default();
        if let Some(meta) = &self.meta {
            let of = meta.containers.get(&container.name);
            resources = of.map(|of| of.resources).unwrap_or_default();
            match of.and_then(|of| of.ids.keys().next_back()) {
                Some(run) => attributes.extend(&run_attributes(meta, &container.name, *run)),
                None => attributes.extend(&meta.attributes),
            }
        }
        let start_unix_nano = unix_nano(&container.start_time).unwrap_or(0);
        About { attributes: Arc::new(attributes), start_unix_nano, resources }
    }

    /// The ID of the last run of a container, as the pod's status names it.
    fn last_id(&self, container: &str) -> Option<&str> {
        let of = self.meta.as_ref()?.containers.get(container)?;
        of.ids.values().next_back().map(String::as_str)
    }

    /// What the kubelet itself says of who it is.
    fn named(&self) -> Attributes {
        let pod = &self.stats.pod_ref;
        let mut attributes = Attributes::new();
        attributes.set("k8s.pod.uid", pod.uid.as_str());
        attributes.set("k8s.pod.name", pod.name.as_str());
        attributes.set("k8s.namespace.name", pod.namespace.as_str());
        attributes
    }
}

/// What the kubelet says that somebody uses.
pub(crate) fn usage(cpu: &CpuStats, memory: &MemoryStats, swap: &SwapStats) -> Usage {
    Usage {
        cpu_time: cpu.usage_core_nano_seconds,
        cpu_usage: cpu.usage_nano_cores.map(|nano| nano as f64 / 1e9),
        memory_available: memory.available_bytes,
        memory_usage: memory.usage_bytes,
        memory_working_set: memory.working_set_bytes,
        memory_rss: memory.rss_bytes,
        memory_swap: swap.swap_usage_bytes,
        page_faults: memory.page_faults,
        major_page_faults: memory.major_page_faults,
        ..Usage::default()
    }
}

/// Puts out what cAdvisor counts of a container.
pub(crate) type PutCounted = fn(&CadvisorContainer, &mut Points);

/// Whose numbers stand in for those of the control groups.
pub(crate) enum Of {
    /// With what the summary leaves out, if somebody wants it.
    Containers(Option<PutCounted>),
    Pods,
}

/// Puts out the kubelet's numbers where the control groups cannot be read, for `reason`.
///
/// # Errors
/// `reason`, where there is no kubelet; with the kubelet's own, where it does not answer; and where it does, that it
/// did.
pub(crate) fn stand_in(
    names: &Names,
    of: &Of,
    reason: CollectError,
    tick: &Tick,
    out: &mut Points,
) -> CollectError {
    if tick.sources().kubelet.is_none() {
        return reason;
    }
    let summary = match tick.ask(read) {
        Ok(summary) => summary,
        Err(error) => return CollectError::Failed(format!("{reason}; {error}")),
    };
    let node = match names.capacity(tick, out) {
        Ok(node) => node,
        Err(error) => return error,
    };
    let mut missing = String::new();
    let counted = match of {
        Of::Containers(Some(put)) => match tick.ask(read_cadvisor) {
            Ok(counted) => Some((counted, put)),
            Err(error) => {
                missing =
                    format!(", but for throttling, kills, processes, pressure and I/O: {error}");
                None
            }
        },
        _ => None,
    };
    for pod in pods(&summary, tick.sources()) {
        let told = &pod.stats.pod_ref;
        match of {
            Of::Pods => {
                let PodStats { cpu, memory, swap, .. } = pod.stats;
                names.put(&pod.about(), &usage(cpu, memory, swap), node, out);
            }
            Of::Containers(_) => {
                for container in &pod.stats.containers {
                    let ContainerStats { cpu, memory, swap, .. } = container;
                    names.put(&pod.container(container), &usage(cpu, memory, swap), node, out);
                    let Some((all, put)) = &counted else { continue };
                    let name = &container.name;
                    let id = pod.last_id(name);
                    let of = all.container(&told.namespace, &told.name, &told.uid, name, id);
                    of.into_iter().for_each(|of| put(of, out));
                }
            }
        }
    }
    CollectError::Unavailable(format!("{reason}; what the kubelet says is told instead{missing}"))
}

/// A time as the kubelet writes it (RFC 3339), in nanoseconds since the epoch.
fn unix_nano(time: &str) -> Option<u64> {
    let time: Timestamp = time.parse().ok()?;
    u64::try_from(time.as_nanosecond()).ok()
}
