//! What the kernel itself does.

use hawsepipe_host::{entropy, kernel, stat, vmstat};

use crate::collector::{CollectError, Collector, Need};
use crate::points::Points;
use crate::tick::Tick;

pub(crate) static COLLECTOR: Collector = Collector {
    name: "kernel",
    about: "What the kernel itself does: switches between threads, interrupts, kills for want of memory. No \
            receiver of the Collector tells it; the names are ours",
    reads: &["/proc/stat", "/proc/vmstat", "/proc/sys/kernel"],
    needs: &[Need::Proc],
    default: true,
    metrics: METRICS,
    selects: None,
    top: None,
    new: |_options| Box::new(collect),
};

metrics! {
    /// Switches from one thread to another
    SWITCHES: Counter Int "system.linux.context_switches" "{switch}" [] on;
    /// Interrupts that were served
    INTERRUPTS: Counter Int "system.linux.interrupts" "{interrupt}" [] on;
    /// Soft interrupts that were served, by the kernel's names of them
    SOFT_INTERRUPTS: Counter Int "system.linux.soft_interrupts" "{interrupt}" ["name"] off;
    /// Processes that were killed because memory ran out, on the host or in a cgroup
    OOM_KILLS: Counter Int "system.linux.memory.oom_kills" "{process}" [] on;
    /// Threads that hung in the kernel for minutes (since Linux 6.13)
    HUNG: Counter Int "system.linux.hung_tasks" "{thread}" [] on;
    /// Threads that there can be (`kernel.threads-max`)
    THREADS: UpDownCounter Int "system.linux.threads.limit" "{thread}" [] off;
    /// The largest number of a process, and one (`kernel.pid_max`)
    PROCESSES: UpDownCounter Int "system.linux.pid.limit" "{process}" [] off;
    /// Entropy of the random number generator; since Linux 5.18 it is all that there can be, always
    ENTROPY: UpDownCounter Int "system.linux.entropy.available" "bit" [] off;
    /// Entropy that there can be
    ENTROPY_LIMIT: UpDownCounter Int "system.linux.entropy.limit" "bit" [] off;
}

fn collect(tick: &Tick, out: &mut Points) -> Result<(), CollectError> {
    let stat = tick.read(stat::read)?;
    out.metric(&SWITCHES).maybe(stat.context_switches, &[]);
    out.metric(&INTERRUPTS).maybe(stat.interrupts, &[]);
    if let Some(softirqs) = &stat.softirqs {
        let mut series = out.metric(&SOFT_INTERRUPTS);
        for (name, count) in stat::SOFTIRQS.into_iter().zip(softirqs.by_kind) {
            series.push(count, &[name]);
        }
    }
    out.metric(&OOM_KILLS).maybe(tick.read(vmstat::read)?.oom_kills(), &[]);
    let kernel = tick.read(kernel::read)?;
    out.metric(&HUNG).maybe(kernel.hung_tasks, &[]);
    out.metric(&THREADS).maybe(kernel.threads_max, &[]);
    out.metric(&PROCESSES).maybe(kernel.pid_max, &[]);
    if out.wants(&ENTROPY) || out.wants(&ENTROPY_LIMIT) {
        let entropy = tick.read(entropy::read)?;
        out.metric(&ENTROPY).push(entropy.available, &[]);
        out.metric(&ENTROPY_LIMIT).maybe(entropy.pool, &[]);
    }
    Ok(())
}
