//! What each container of the node uses.

use std::time::Instant;

use hawsepipe_cluster::kubelet::{CadvisorContainer, DiskIo};
use hawsepipe_host::cgroup::{ContainerCgroup, DeviceIo, IoStats};
use hawsepipe_host::diskstats::{self, Disks};
use hawsepipe_host::pressure::PressureKind;
use hawsepipe_host::vmstat;

use crate::collector::{Collect, CollectError, Collector, Need};
use crate::kubelet::{Of, stand_in};
use crate::metric::Metric;
use crate::pods::{self, Book, Pod, Pods, run_attributes, there};
use crate::points::Points;
use crate::tick::Tick;
use crate::usage::{Capacity, Names};

pub(crate) static COLLECTOR: Collector = Collector {
    name: "container",
    about: "What each container of the node's pods uses, by its control group. Each is a resource with the \
            attributes that its log records have; without Kubernetes' metadata these are `k8s.pod.uid` and \
            `container.id`, and the pods' sandboxes are told of too. Up to `container.uptime` the names are those of \
            the Collector's kubeletstats receiver, `k8s.container.restarts` of its k8s_cluster receiver, \
            `container.cpu.throttling_data.*` and `container.pids.count` of its docker_stats receiver. Where the \
            control groups of pods are not seen, the kubelet's numbers are told: those of `/stats/summary`, and where \
            `nodes/metrics` is granted too those of `/metrics/cadvisor`",
    reads: &["/sys/fs/cgroup", "/proc/1/mountinfo", "/proc/diskstats", "/proc/vmstat"],
    needs: &[Need::Proc, Need::Sys],
    default: true,
    metrics: METRICS,
    selects: None,
    top: None,
    new: |_options| Box::new(Containers::default()),
};

metrics! {
    /// CPU time of the container
    CPU_TIME: Counter Double "container.cpu.time" "s" [] on;
    /// CPUs that the container used since the last reading
    CPU_USAGE: Gauge Double "container.cpu.usage" "{cpu}" [] on;
    /// Memory between the working set and the limit, where there is a limit
    AVAILABLE: Gauge Int "container.memory.available" "By" [] on;
    /// Memory of the container, with caches and what the kernel holds for it
    USAGE: Gauge Int "container.memory.usage" "By" [] on;
    /// Memory without the cache that was not used lately: what evictions and OOM kills go by
    WORKING_SET: Gauge Int "container.memory.working_set" "By" [] on;
    /// Memory that no file is behind
    RSS: Gauge Int "container.memory.rss" "By" [] on;
    /// Page faults since the container started
    PAGE_FAULTS: Gauge Int "container.memory.page_faults" "1" [] on;
    /// Page faults that waited for a disk, since the container started
    MAJOR_PAGE_FAULTS: Gauge Int "container.memory.major_page_faults" "1" [] on;
    /// Part of the CPU limit that the container used since the last reading; none without a limit
    CPU_OF_LIMIT: Gauge Double "k8s.container.cpu_limit_utilization" "1" [] off;
    /// Part of the CPU request that the container used since the last reading; none without a request
    CPU_OF_REQUEST: Gauge Double "k8s.container.cpu_request_utilization" "1" [] off;
    /// Part of the node's CPUs that the container used since the last reading
    CPU_OF_NODE: Gauge Double "k8s.container.cpu.node.utilization" "1" [] off;
    /// Part of the memory limit that the container uses; none without a limit
    MEMORY_OF_LIMIT: Gauge Double "k8s.container.memory_limit_utilization" "1" [] off;
    /// Part of the memory request that the container uses; none without a request
    MEMORY_OF_REQUEST: Gauge Double "k8s.container.memory_request_utilization" "1" [] off;
    /// Part of the node's memory that the container uses
    MEMORY_OF_NODE: Gauge Double "k8s.container.memory.node.utilization" "1" [] off;
    /// Average share of the last 10, 60 and 300 seconds in which threads waited for a CPU, in percent
    CPU_PRESSURE: Gauge Double "container.cpu.pressure.avg" "%" ["pressure.type", "pressure.window"] off;
    /// Time in which at least one thread (`some`), or every one (`full`), waited for a CPU
    CPU_PRESSURE_TOTAL: Counter Int "container.cpu.pressure.total" "ns" ["pressure.type"] on;
    /// Average share of the last 10, 60 and 300 seconds in which threads waited for memory, in percent
    MEMORY_PRESSURE: Gauge Double "container.memory.pressure.avg" "%" ["pressure.type", "pressure.window"] off;
    /// Time in which at least one thread (`some`), or every one (`full`), waited for memory
    MEMORY_PRESSURE_TOTAL: Counter Int "container.memory.pressure.total" "ns" ["pressure.type"] on;
    /// Average share of the last 10, 60 and 300 seconds in which threads waited for disks, in percent
    IO_PRESSURE: Gauge Double "container.io.pressure.avg" "%" ["pressure.type", "pressure.window"] off;
    /// Time in which at least one thread (`some`), or every one (`full`), waited for disks
    IO_PRESSURE_TOTAL: Counter Int "container.io.pressure.total" "ns" ["pressure.type"] on;
    /// Time since the container started
    UPTIME: Counter Int "container.uptime" "s" [] off;
    /// How often the container was restarted, as the pod's status says
    RESTARTS: Gauge Int "k8s.container.restarts" "{restart}" [] on;
    /// Periods of the CPU limit in which the container ran
    PERIODS: Counter Int "container.cpu.throttling_data.periods" "{periods}" [] on;
    /// Periods of the CPU limit in which the container had to wait for the next
    THROTTLED_PERIODS: Counter Int "container.cpu.throttling_data.throttled_periods" "{periods}" [] on;
    /// For how long the container had to wait for the next period, summed up over its CPUs
    THROTTLED_TIME: Counter Int "container.cpu.throttling_data.throttled_time" "ns" [] on;
    /// Processes of the container that were killed because its memory ran out
    OOM_KILLS: Counter Int "container.memory.oom_kills" "{process}" [] on;
    /// Memory of the container that is swapped out
    SWAP: Gauge Int "container.memory.swap" "By" [] on;
    /// Processes and threads of the container
    PIDS: UpDownCounter Int "container.pids.count" "{pids}" [] on;
    /// Bytes from and to block devices
    DISK: Counter Int "container.disk.io" "By" ["device", "direction"] on;
    /// Reads from and writes to block devices
    DISK_OPERATIONS: Counter Int "container.disk.operations" "{operation}" ["device", "direction"] off;
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
struct Containers {
    book: Book,
}

/// Where in a tick it is.
struct At<'a> {
    tick: &'a Tick,
    pods: &'a Pods,
    node: Capacity,
    /// How many processes were killed on the host because memory ran out.
    oom_kills: Option<u64>,
    pod: &'a Pod,
    /// When the first container of the pod was seen.
    eldest: Instant,
}

impl Collect for Containers {
    fn collect(&mut self, tick: &Tick, out: &mut Points) -> Result<(), CollectError> {
        let pods = match tick.ask(pods::read) {
            Ok(pods) => pods,
            Err(error) => {
                let wanted = COUNTED.iter().any(|metric| out.wants(metric));
                let of = Of::Containers(wanted.then_some(put_counted));
                return Err(stand_in(&NAMES, &of, error, tick, out));
            }
        };
        let node = NAMES.capacity(tick, out)?;
        // Before any control group's own number is read.
        let host = out.wants(&OOM_KILLS).then(|| tick.read(vmstat::read).ok()).flatten();
        let oom_kills = host.and_then(|host| host.oom_kills());
        self.book.begin();
        for pod in &pods.pods {
            let containers = pod.cgroup.containers.iter();
            let seen = containers.map(|container| self.book.see(&container.id).first_seen);
            let Some(eldest) = seen.min() else { continue };
            let at = At { tick, pods: &pods, node, oom_kills, pod, eldest };
            for container in &pod.cgroup.containers {
                match self.tell(&at, container, out) {
                    Ok(()) => {}
                    // It ended meanwhile.
                    Err(CollectError::Read(error)) if error.is_gone() => {}
                    Err(error) => out.problem(error),
                }
            }
            tell_of_those_that_wait(pod, out);
        }
        self.book.end();
        Ok(())
    }
}

impl Containers {
    fn tell(
        &mut self,
        at: &At<'_>,
        container: &ContainerCgroup,
        out: &mut Points,
    ) -> Result<(), CollectError> {
        let entry = self.book.see(&container.id);
        let about = at.pods.container(at.pod, container, at.eldest, entry);
        let Some(about) = about.cloned() else { return Ok(()) };
        // All of it before any of it is put out: of a container that ends meanwhile nothing is told.
        let (cgroups, path) = (&at.pods.cgroups, &container.path);
        let cpu = there(entry.cpu(cgroups, path))?;
        let pod = &at.pod.cgroup.path;
        let mut usage = NAMES.read(at.tick, cgroups, &[&pod.parent(), pod], path, entry, out)?;
        usage.cpu_time = cpu.map(|cpu| cpu.usage_ns);
        usage.cpu_usage = usage.cpu_time.and_then(|time| entry.cpu_usage(time));
        let kills = || there(cgroups.oom_kills(path));
        let kills =
            if out.wants(&OOM_KILLS) { entry.oom_kills(at.oom_kills, kills)? } else { None };
        let operations = out.wants(&DISK_OPERATIONS);
        let wants_io = out.wants(&DISK) || operations;
        let io = if wants_io { there(cgroups.io(path, operations))? } else { None };
        NAMES.put(&about, &usage, at.node, out);
        let run = at.pod.meta.as_ref().and_then(|meta| meta.run(&container.id));
        out.metric(&RESTARTS).maybe(run.and_then(|(_, of, _)| of.restarts.map(u64::from)), &[]);
        if let Some(cpu) = cpu {
            put_throttling(cpu.periods, cpu.throttled_periods, cpu.throttled_ns, out);
        }
        out.metric(&OOM_KILLS).maybe(kills, &[]);
        if let Some(io) = io.filter(|io| !io.devices.is_empty()) {
            put_io(&io, at.tick.read(diskstats::read).ok().as_deref(), out);
        }
        Ok(())
    }
}

/// Containers whose run is over and whose next has not begun have no control group. How often that happened is told all
/// the same: it is what a crash loop is seen by.
fn tell_of_those_that_wait(pod: &Pod, out: &mut Points) {
    let Some(meta) = &pod.meta else { return };
    for (name, container) in &meta.containers {
        let last = container.ids.iter().next_back();
        let (Some(restarts), Some((run, id))) = (container.restarts, last) else { continue };
        if pod.cgroup.containers.iter().all(|cgroup| *cgroup.id != **id) {
            out.resource(run_attributes(meta, name, *run), 0);
            out.metric(&RESTARTS).push(u64::from(restarts), &[]);
        }
    }
}

fn put_io(of: &IoStats, disks: Option<&Disks>, out: &mut Points) {
    let name = |device: &DeviceIo| {
        let mut known = disks.into_iter().flat_map(|disks| &disks.disks);
        let known = known.find(|disk| (disk.major, disk.minor) == (device.major, device.minor));
        // As the kernel writes it where it has no name.
        known.map_or_else(|| format!("{}:{}", device.major, device.minor), |it| it.name.to_string())
    };
    let names: Vec<_> = of.devices.iter().map(name).collect();
    let io = |device: &DeviceIo| DiskIo {
        read_bytes: Some(device.read_bytes),
        write_bytes: Some(device.write_bytes),
        reads: Some(device.read_operations),
        writes: Some(device.write_operations),
    };
    let all = of.devices.iter().map(io);
    put_disks(names.iter().map(String::as_str).zip(all), out);
}

fn put_disks<'a>(disks: impl Iterator<Item = (&'a str, DiskIo)> + Clone, out: &mut Points) {
    let mut bytes = out.metric(&DISK);
    for (name, io) in disks.clone() {
        bytes.maybe(io.read_bytes, &[name, "read"]);
        bytes.maybe(io.write_bytes, &[name, "write"]);
    }
    let mut operations = out.metric(&DISK_OPERATIONS);
    for (name, io) in disks {
        operations.maybe(io.reads, &[name, "read"]);
        operations.maybe(io.writes, &[name, "write"]);
    }
}

fn put_throttling(
    periods: Option<u64>,
    throttled: Option<u64>,
    time_ns: Option<u64>,
    out: &mut Points,
) {
    // Without a limit there are no periods.
    if periods.is_some_and(|periods| periods > 0) {
        out.metric(&PERIODS).maybe(periods, &[]);
        out.metric(&THROTTLED_PERIODS).maybe(throttled, &[]);
        out.metric(&THROTTLED_TIME).maybe(time_ns, &[]);
    }
}

/// What cAdvisor counts and the kubelet's summary does not tell.
static COUNTED: [&Metric; 10] = [
    &PERIODS,
    &THROTTLED_PERIODS,
    &THROTTLED_TIME,
    &OOM_KILLS,
    &PIDS,
    &CPU_PRESSURE_TOTAL,
    &MEMORY_PRESSURE_TOTAL,
    &IO_PRESSURE_TOTAL,
    &DISK,
    &DISK_OPERATIONS,
];

fn put_counted(counted: &CadvisorContainer, out: &mut Points) {
    let CadvisorContainer { periods, throttled_periods, throttled_ns, .. } = *counted;
    put_throttling(periods, throttled_periods, throttled_ns, out);
    out.metric(&OOM_KILLS).maybe(counted.oom_kills, &[]);
    out.metric(&PIDS).maybe(counted.threads, &[]);
    let totals = NAMES.pressure.iter().map(|(_, _, total)| *total);
    for ((total, waiting), stalled) in totals.zip(counted.waiting_ns).zip(counted.stalled_ns) {
        let mut series = out.metric(total);
        series.maybe(waiting, &["some"]);
        series.maybe(stalled, &["full"]);
    }
    put_disks(counted.disks.iter().map(|(name, io)| (&**name, *io)), out);
}
