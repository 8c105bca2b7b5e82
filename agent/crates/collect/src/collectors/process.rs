//! The largest processes, one by one.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use hawsepipe_host::process::{self, Top};
use hawsepipe_host::{ReadError, meminfo};
use hawsepipe_model::Attributes;

use crate::census::{self, Process};
use crate::collector::{Collect, CollectError, Collector, Need};
use crate::points::{Points, ratio};
use crate::tick::Tick;

pub(crate) static COLLECTOR: Collector = Collector {
    name: "process",
    about: "The processes that use most CPU and those that use most memory. Each is a resource with `process.pid`, \
            `process.parent_pid`, `process.executable.name`, `process.command` and `process.user.id`. \
            Arguments are not told: they hold secrets",
    reads: &[
        "/proc/*/stat",
        "/proc/PID/status",
        "/proc/PID/io",
        "/proc/PID/cmdline",
        "/proc/PID/fd",
    ],
    needs: &[Need::Proc],
    default: false,
    metrics: METRICS,
    selects: None,
    top: Some(10),
    new: |options| Box::new(Processes { top: options.top, last: None }),
};

metrics! {
    /// CPU time of the process
    CPU: Counter Double "process.cpu.time" "s" ["state"] on;
    /// Part of a CPU that the process used since the last reading; more than 1 with several threads
    UTILIZATION: Gauge Double "process.cpu.utilization" "1" ["state"] off;
    /// Memory of the process
    MEMORY: UpDownCounter Int "process.memory.usage" "By" [] on;
    /// Address space of the process
    VIRTUAL: UpDownCounter Int "process.memory.virtual" "By" [] on;
    /// Part of the host's memory
    MEMORY_PART: Gauge Double "process.memory.utilization" "1" [] off;
    /// Bytes from and to block devices, where the agent may trace the process
    DISK: Counter Int "process.disk.io" "By" ["direction"] on;
    /// Calls of read and write, where the agent may trace the process
    DISK_OPERATIONS: Counter Int "process.disk.operations" "{operations}" ["direction"] off;
    /// Threads of the process
    THREADS: UpDownCounter Int "process.threads" "{threads}" [] off;
    /// Files that the process has open, where the agent may trace it
    FILES: UpDownCounter Int "process.open_file_descriptors" "{count}" [] off;
    /// Page faults of the process
    FAULTS: Counter Int "process.paging.faults" "{faults}" ["type"] off;
    /// Times that the process was taken off its CPU
    SWITCHES: Counter Int "process.context_switches" "{count}" ["type"] off;
    /// Signals that wait for the process
    SIGNALS: UpDownCounter Int "process.signals_pending" "{signals}" [] off;
    /// Time since the process started
    UPTIME: Gauge Double "process.uptime" "s" [] off;
}

/// Longest `process.command`, in bytes.
const LONGEST: usize = 4096;

struct Processes {
    /// So many by CPU, and as many by memory.
    top: usize,
    last: Option<Last>,
}

/// The reading before.
struct Last {
    at: Instant,
    /// User and system time by pid and start.
    times: HashMap<(u32, u64), (f64, f64)>,
}

impl Collect for Processes {
    fn collect(&mut self, tick: &Tick, out: &mut Points) -> Result<(), CollectError> {
        let census = tick.read(census::read)?;
        let before = |process: &Process| {
            let last = self.last.as_ref()?;
            Some((*last.times.get(&(process.pid, process.start_ticks))?, last.at))
        };
        let (mut by_cpu, mut by_memory) = (Top::new(self.top), Top::new(self.top));
        for process in &census.processes {
            let used = before(process).map_or(0.0, |((user, system), _)| user + system);
            by_cpu.push(process.cpu() - used, || process);
            by_memory.push(process.resident as f64, || process);
        }
        let chosen = by_cpu.into_sorted().into_iter().chain(by_memory.into_sorted());
        let chosen: BTreeMap<u32, &Process> =
            chosen.map(|process| (process.pid, process)).collect();
        for process in chosen.into_values() {
            match tell(process, before(process), tick, out) {
                Ok(()) => {}
                // It ended meanwhile.
                Err(CollectError::Read(error)) if error.is_gone() => {}
                Err(error) => out.problem(error),
            }
        }
        let times = census.processes.iter();
        let times = times.map(|it| ((it.pid, it.start_ticks), (it.user, it.system))).collect();
        self.last = Some(Last { at: tick.at(), times });
        Ok(())
    }
}

fn tell(
    process: &Process,
    before: Option<((f64, f64), Instant)>,
    tick: &Tick,
    out: &mut Points,
) -> Result<(), CollectError> {
    let host = &tick.sources().host;
    let status = process::status(host, process.pid)?;
    let mut attributes = Attributes::new();
    attributes.set("process.pid", i64::from(process.pid));
    attributes.set("process.parent_pid", i64::from(process.parent));
    attributes.set("process.executable.name", process.name());
    let command = process::command_line(host, process.pid, LONGEST)?;
    attributes.set("process.command", command.split(' ').next().unwrap_or_default());
    if let Some(uid) = status.uid {
        attributes.set("process.user.id", i64::from(uid));
    }
    // `as` saturates.
    let since_boot = (process.start * 1e9) as u64;
    out.resource(attributes, tick.sources().boot_unix_nano().saturating_add(since_boot));
    let mut cpu = out.metric(&CPU);
    cpu.push(process.user, &["user"]);
    cpu.push(process.system, &["system"]);
    if let Some(((user, system), at)) = before {
        let seconds = tick.at().duration_since(at).as_secs_f64();
        let mut utilization = out.metric(&UTILIZATION);
        utilization.push((process.user - user).max(0.0) / seconds, &["user"]);
        utilization.push((process.system - system).max(0.0) / seconds, &["system"]);
    }
    out.metric(&MEMORY).push(process.resident, &[]);
    out.metric(&VIRTUAL).push(process.virtual_memory, &[]);
    if out.wants(&MEMORY_PART) {
        let total = tick.read(meminfo::read)?.total().unwrap_or(0);
        out.metric(&MEMORY_PART).maybe(ratio(process.resident, total), &[]);
    }
    if (out.wants(&DISK) || out.wants(&DISK_OPERATIONS))
        && let Some(io) = permitted(process::io(host, process.pid))?
    {
        let mut disk = out.metric(&DISK);
        disk.push(io.read_bytes, &["read"]);
        disk.push(io.write_bytes, &["write"]);
        let mut calls = out.metric(&DISK_OPERATIONS);
        calls.push(io.read_calls, &["read"]);
        calls.push(io.write_calls, &["write"]);
    }
    out.metric(&THREADS).push(process.threads, &[]);
    if out.wants(&FILES) {
        let files = permitted(process::open_files(host, process.pid))?;
        out.metric(&FILES).maybe(files, &[]);
    }
    let mut faults = out.metric(&FAULTS);
    faults.push(process.major_faults, &["major"]);
    faults.push(process.minor_faults, &["minor"]);
    let mut switches = out.metric(&SWITCHES);
    switches.maybe(status.voluntary_context_switches, &["voluntary"]);
    switches.maybe(status.involuntary_context_switches, &["involuntary"]);
    out.metric(&SIGNALS).maybe(status.signals_pending, &[]);
    if out.wants(&UPTIME) {
        let up = tick.read(hawsepipe_host::uptime::read)?.up - process.start;
        out.metric(&UPTIME).push(up.max(0.0), &[]);
    }
    Ok(())
}

/// What only who may trace a process may read; `None` where the agent may not.
fn permitted<T>(read: Result<T, ReadError>) -> Result<Option<T>, ReadError> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(ReadError::Io { source, .. })
            if source.kind() == std::io::ErrorKind::PermissionDenied =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
