//! What a pod or a container uses, put out under the names of either.
//!
//! In: a cgroup. Out: a [`Usage`], and its points. Always: the numbers are the kubelet's, by its formulas; what this
//! kernel does not count is left out.

use std::sync::Arc;

use hawsepipe_host::cgroup::{CgroupPath, Cgroups};
use hawsepipe_host::pressure::{Pressure, PressureKind};
use hawsepipe_host::{ReadError, meminfo, stat};
use hawsepipe_model::{Attributes, Resources};

use crate::collector::CollectError;
use crate::metric::Metric;
use crate::pods::{About, Entry, there};
use crate::points::{Points, ratio};
use crate::pressures::Asked;
use crate::tick::{Tick, now_unix_nano};

/// The metrics of whoever uses.
pub(crate) struct Names {
    pub(crate) cpu_time: &'static Metric,
    pub(crate) cpu_usage: &'static Metric,
    pub(crate) memory_available: &'static Metric,
    pub(crate) memory_usage: &'static Metric,
    pub(crate) memory_working_set: &'static Metric,
    pub(crate) memory_rss: &'static Metric,
    pub(crate) memory_page_faults: &'static Metric,
    pub(crate) memory_major_page_faults: &'static Metric,
    pub(crate) memory_swap: &'static Metric,
    pub(crate) pids: &'static Metric,
    pub(crate) uptime: &'static Metric,
    pub(crate) cpu_of_limit: &'static Metric,
    pub(crate) cpu_of_request: &'static Metric,
    pub(crate) cpu_of_node: &'static Metric,
    pub(crate) memory_of_limit: &'static Metric,
    pub(crate) memory_of_request: &'static Metric,
    pub(crate) memory_of_node: &'static Metric,
    /// Averages and total of each kind.
    pub(crate) pressure: [(PressureKind, &'static Metric, &'static Metric); 3],
}

/// What is used. Counters count from the beginning of whoever uses.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    /// Nanoseconds.
    pub(crate) cpu_time: Option<u64>,
    /// CPUs.
    pub(crate) cpu_usage: Option<f64>,
    /// Bytes below the limit, where there is one.
    pub(crate) memory_available: Option<u64>,
    pub(crate) memory_usage: Option<u64>,
    pub(crate) memory_working_set: Option<u64>,
    pub(crate) memory_rss: Option<u64>,
    pub(crate) memory_swap: Option<u64>,
    pub(crate) page_faults: Option<u64>,
    pub(crate) major_page_faults: Option<u64>,
    pub(crate) pids: Option<u64>,
    /// In the order of [`Names::pressure`].
    pub(crate) pressure: [Option<Pressure>; 3],
}

/// What a node has.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Capacity {
    cpus: Option<u64>,
    memory: Option<u64>,
}

// === impl Names ===

impl Names {
    /// What the node has, as far as somebody wants a part of it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn capacity(&self, tick: &Tick, out: &Points) -> Result<Capacity, CollectError> {
        let mut capacity = Capacity::default();
        if out.wants(self.cpu_of_node) {
            let cpus = tick.read(stat::read)?.cpus.len();
            capacity.cpus = Some(cpus as u64).filter(|cpus| *cpus > 0);
        }
        if out.wants(self.memory_of_node) {
            capacity.memory = tick.read(meminfo::read)?.total();
        }
        Ok(capacity)
    }

    /// Reads what a cgroup uses, which is in the last of those `above`, each of which is in the one before it.
    ///
    /// # Errors
    /// When it ended, and when something cannot be read.
    pub(crate) fn read(
        &self,
        tick: &Tick,
        cgroups: &Cgroups,
        above: &[&CgroupPath],
        path: &CgroupPath,
        entry: &mut Entry,
        out: &Points,
    ) -> Result<Usage, ReadError> {
        let mut usage = Usage::default();
        if let Some(memory) = there(cgroups.memory(path))? {
            usage.memory_usage = Some(memory.usage);
            usage.memory_working_set = Some(memory.working_set);
            usage.memory_rss = Some(memory.rss);
            usage.memory_swap = memory.swap;
            usage.page_faults = Some(memory.page_faults);
            usage.major_page_faults = Some(memory.major_page_faults);
            if out.wants(self.memory_available) {
                let limit =
                    entry.memory_limit(|| Ok(there(cgroups.memory_limit(path))?.flatten()))?;
                usage.memory_available =
                    limit.map(|limit| limit.saturating_sub(memory.working_set));
            }
        }
        if out.wants(self.pids) {
            usage.pids = there(cgroups.pids(path))?;
        }
        for (place, (kind, average, total)) in usage.pressure.iter_mut().zip(&self.pressure) {
            let averages = out.wants(average);
            if averages || out.wants(total) {
                let asked = Asked { tick: tick.at(), cgroups, kind: *kind, averages };
                *place = tick.sources().pressures.lock().read(asked, above, path)?;
            }
        }
        Ok(usage)
    }

    /// Puts out what `about` uses.
    pub(crate) fn put(&self, about: &About, usage: &Usage, node: Capacity, out: &mut Points) {
        let attributes: Arc<Attributes> = Arc::clone(&about.attributes);
        out.resource(attributes, about.start_unix_nano);
        let seconds = usage.cpu_time.map(|nanoseconds| nanoseconds as f64 / 1e9);
        out.metric(self.cpu_time).maybe(seconds, &[]);
        out.metric(self.cpu_usage).maybe(usage.cpu_usage, &[]);
        out.metric(self.memory_available).maybe(usage.memory_available, &[]);
        out.metric(self.memory_usage).maybe(usage.memory_usage, &[]);
        out.metric(self.memory_working_set).maybe(usage.memory_working_set, &[]);
        out.metric(self.memory_rss).maybe(usage.memory_rss, &[]);
        out.metric(self.memory_page_faults).maybe(usage.page_faults, &[]);
        out.metric(self.memory_major_page_faults).maybe(usage.major_page_faults, &[]);
        out.metric(self.memory_swap).maybe(usage.memory_swap, &[]);
        out.metric(self.pids).maybe(usage.pids, &[]);
        let up = now_unix_nano().saturating_sub(about.start_unix_nano) / 1_000_000_000;
        out.metric(self.uptime).push(up, &[]);
        self.put_parts(&about.resources, usage, node, out);
        for ((_, average, total), pressure) in self.pressure.iter().zip(&usage.pressure) {
            let Some(pressure) = pressure else { continue };
            let both = [("some", pressure.some), ("full", pressure.full)];
            let both = both.into_iter().filter_map(|(of, stall)| Some((of, stall?)));
            let mut series = out.metric(average);
            for (of, stall) in both.clone() {
                series.push(stall.average_10s * 100.0, &[of, "10s"]);
                series.push(stall.average_60s * 100.0, &[of, "60s"]);
                series.push(stall.average_300s * 100.0, &[of, "300s"]);
            }
            let mut series = out.metric(total);
            for (of, stall) in both {
                series.push(stall.total * 1e9, &[of]);
            }
        }
    }

    fn put_parts(&self, of: &Resources, usage: &Usage, node: Capacity, out: &mut Points) {
        let cpu = |whole: Option<f64>| {
            let whole = whole.filter(|whole| *whole > 0.0)?;
            Some(usage.cpu_usage? / whole)
        };
        let memory = |whole: Option<u64>| ratio(usage.memory_usage?, whole?);
        out.metric(self.cpu_of_limit).maybe(cpu(of.cpu_limit), &[]);
        out.metric(self.cpu_of_request).maybe(cpu(of.cpu_request), &[]);
        out.metric(self.cpu_of_node).maybe(cpu(node.cpus.map(|cpus| cpus as f64)), &[]);
        out.metric(self.memory_of_limit).maybe(memory(of.memory_limit), &[]);
        out.metric(self.memory_of_request).maybe(memory(of.memory_request), &[]);
        out.metric(self.memory_of_node).maybe(memory(node.memory), &[]);
    }
}
