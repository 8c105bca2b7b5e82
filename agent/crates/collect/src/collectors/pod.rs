//! What each pod of the node uses.

use hawsepipe_host::pressure::PressureKind;

use crate::collector::{Collect, CollectError, Collector, Need};
use crate::kubelet::{Of, stand_in};
use crate::pods::{self, Book, Pod, Pods, there};
use crate::points::Points;
use crate::tick::Tick;
use crate::usage::{Capacity, Names};

pub(crate) static COLLECTOR: Collector = Collector {
    name: "pod",
    about: "What each pod of the node uses, all of its containers together with its sandbox and its volumes in \
            memory, by its control group. Each is a resource with the attributes that Kubernetes' metadata gives it; \
            without metadata that is `k8s.pod.uid`. Up to `k8s.pod.uptime` the names are those of the Collector's \
            kubeletstats receiver",
    reads: &["/sys/fs/cgroup", "/proc/1/mountinfo"],
    needs: &[Need::Proc, Need::Sys],
    default: true,
    metrics: METRICS,
    selects: None,
    top: None,
    new: |_options| Box::new(PodsOfNode::default()),
};

metrics! {
    /// CPU time of the pod
    CPU_TIME: Counter Double "k8s.pod.cpu.time" "s" [] on;
    /// CPUs that the pod used since the last reading
    CPU_USAGE: Gauge Double "k8s.pod.cpu.usage" "{cpu}" [] on;
    /// Memory between the working set and the limit, where the pod has a limit
    AVAILABLE: Gauge Int "k8s.pod.memory.available" "By" [] on;
    /// Memory of the pod, with caches and what the kernel holds for it
    USAGE: Gauge Int "k8s.pod.memory.usage" "By" [] on;
    /// Memory without the cache that was not used lately: what evictions and OOM kills go by
    WORKING_SET: Gauge Int "k8s.pod.memory.working_set" "By" [] on;
    /// Memory that no file is behind
    RSS: Gauge Int "k8s.pod.memory.rss" "By" [] on;
    /// Page faults since the pod started
    PAGE_FAULTS: Gauge Int "k8s.pod.memory.page_faults" "1" [] on;
    /// Page faults that waited for a disk, since the pod started
    MAJOR_PAGE_FAULTS: Gauge Int "k8s.pod.memory.major_page_faults" "1" [] on;
    /// Part of its CPU limits that the pod used since the last reading; none where a container has no limit
    CPU_OF_LIMIT: Gauge Double "k8s.pod.cpu_limit_utilization" "1" [] off;
    /// Part of its CPU requests that the pod used since the last reading; none where a container has no request
    CPU_OF_REQUEST: Gauge Double "k8s.pod.cpu_request_utilization" "1" [] off;
    /// Part of the node's CPUs that the pod used since the last reading
    CPU_OF_NODE: Gauge Double "k8s.pod.cpu.node.utilization" "1" [] off;
    /// Part of its memory limits that the pod uses; none where a container has no limit
    MEMORY_OF_LIMIT: Gauge Double "k8s.pod.memory_limit_utilization" "1" [] off;
    /// Part of its memory requests that the pod uses; none where a container has no request
    MEMORY_OF_REQUEST: Gauge Double "k8s.pod.memory_request_utilization" "1" [] off;
    /// Part of the node's memory that the pod uses
    MEMORY_OF_NODE: Gauge Double "k8s.pod.memory.node.utilization" "1" [] off;
    /// Average share of the last 10, 60 and 300 seconds in which threads waited for a CPU, in percent
    CPU_PRESSURE: Gauge Double "k8s.pod.cpu.pressure.avg" "%" ["pressure.type", "pressure.window"] off;
    /// Time in which at least one thread (`some`), or every one (`full`), waited for a CPU
    CPU_PRESSURE_TOTAL: Counter Int "k8s.pod.cpu.pressure.total" "ns" ["pressure.type"] on;
    /// Average share of the last 10, 60 and 300 seconds in which threads waited for memory, in percent
    MEMORY_PRESSURE: Gauge Double "k8s.pod.memory.pressure.avg" "%" ["pressure.type", "pressure.window"] off;
    /// Time in which at least one thread (`some`), or every one (`full`), waited for memory
    MEMORY_PRESSURE_TOTAL: Counter Int "k8s.pod.memory.pressure.total" "ns" ["pressure.type"] on;
    /// Average share of the last 10, 60 and 300 seconds in which threads waited for disks, in percent
    IO_PRESSURE: Gauge Double "k8s.pod.io.pressure.avg" "%" ["pressure.type", "pressure.window"] off;
    /// Time in which at least one thread (`some`), or every one (`full`), waited for disks
    IO_PRESSURE_TOTAL: Counter Int "k8s.pod.io.pressure.total" "ns" ["pressure.type"] on;
    /// Time since the pod started
    UPTIME: Counter Int "k8s.pod.uptime" "s" [] off;
    /// Memory of the pod that is swapped out
    SWAP: Gauge Int "k8s.pod.memory.swap" "By" [] on;
    /// Processes and threads of the pod
    PIDS: UpDownCounter Int "k8s.pod.pids.count" "{pids}" [] on;
}

static NAMES: Names = Names {
    cpu_time: &CPU_TIME,
    cpu_usage: &CPU_USAGE,
    memory_available: &AVAILABLE,
    memory_usage: &USAGE,
    memory_working_set: &WORKING_SET,
    memory_rss: &RSS,
    memory_page_faults: &PAGE_FAULTS,
    memory_major_page_faults: &MAJOR_PAGE_FAULTS,
    memory_swap: &SWAP,
    pids: &PIDS,
    uptime: &UPTIME,
    cpu_of_limit: &CPU_OF_LIMIT,
    cpu_of_request: &CPU_OF_REQUEST,
    cpu_of_node: &CPU_OF_NODE,
    memory_of_limit: &MEMORY_OF_LIMIT,
    memory_of_request: &MEMORY_OF_REQUEST,
    memory_of_node: &MEMORY_OF_NODE,
    pressure: [
        (PressureKind::Cpu, &CPU_PRESSURE, &CPU_PRESSURE_TOTAL),
        (PressureKind::Memory, &MEMORY_PRESSURE, &MEMORY_PRESSURE_TOTAL),
        (PressureKind::Io, &IO_PRESSURE, &IO_PRESSURE_TOTAL),
    ],
};

#[derive(Default)]
struct PodsOfNode {
    book: Book,
}

impl Collect for PodsOfNode {
    fn collect(&mut self, tick: &Tick, out: &mut Points) -> Result<(), CollectError> {
        let pods = match tick.ask(pods::read) {
            Ok(pods) => pods,
            Err(error) => return Err(stand_in(&NAMES, &Of::Pods, error, tick, out)),
        };
        let node = NAMES.capacity(tick, out)?;
        self.book.begin();
        // A control group without containers is what is left of a pod, or not one yet.
        for pod in pods.pods.iter().filter(|pod| !pod.cgroup.containers.is_empty()) {
            match self.tell(tick, &pods, pod, node, out) {
                Ok(()) => {}
                // It ended meanwhile.
                Err(CollectError::Read(error)) if error.is_gone() => {}
                Err(error) => out.problem(error),
            }
        }
        self.book.end();
        Ok(())
    }
}

impl PodsOfNode {
    fn tell(
        &mut self,
        tick: &Tick,
        pods: &Pods,
        pod: &Pod,
        node: Capacity,
        out: &mut Points,
    ) -> Result<(), CollectError> {
        let entry = self.book.see(&pod.cgroup.uid);
        let Some(about) = pods.pod(pod, entry).cloned() else { return Ok(()) };
        let (cgroups, path) = (&pods.cgroups, &pod.cgroup.path);
        let cpu_time = there(cgroups.cpu_time(path))?;
        let mut usage = NAMES.read(tick, cgroups, &[&path.parent()], path, entry, out)?;
        usage.cpu_time = cpu_time;
        usage.cpu_usage = usage.cpu_time.and_then(|time| entry.cpu_usage(time));
        NAMES.put(&about, &usage, node, out);
        Ok(())
    }
}
