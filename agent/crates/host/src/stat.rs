//! `/proc/stat`: what the CPUs did since boot, and the kernel's counters beside it.
//!
//! Format: `proc_pid_stat(5)`'s neighbour `proc_stat(5)`, written by `fs/proc/stat.c`. The numbers of a CPU that is
//! offline are not there; it is left out, not zero.

use crate::error::{ParseError, Problem, ReadError, Skipped};
use crate::text::{self, Fields};
use crate::{HostRoot, file};

/// All that `/proc/stat` says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stat {
    /// All CPUs together.
    pub total: CpuTimes,
    /// Each CPU that is online, in the kernel's order.
    pub cpus: Vec<Cpu>,
    /// Context switches since boot.
    pub context_switches: Option<u64>,
    /// Interrupts served since boot, of all kinds.
    pub interrupts: Option<u64>,
    /// When the host booted, in seconds since 1970. It follows the clock when that is set.
    pub boot_time: Option<u64>,
    /// Processes and threads created since boot.
    pub processes_created: Option<u64>,
    /// Threads that run or could run now.
    pub running: Option<u64>,
    /// Threads that wait for I/O and cannot be interrupted, now.
    pub blocked: Option<u64>,
    /// Soft interrupts served since boot, all and by kind.
    pub softirqs: Option<Softirqs>,
    /// What was not understood.
    pub skipped: Skipped,
}

/// One CPU.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cpu {
    /// Its number: the `N` of `cpuN`.
    pub number: u32,
    /// What it did.
    pub times: CpuTimes,
}

/// What a CPU spent its time with since boot, in seconds. A state that a kernel does not tell apart (before 2.6.33)
/// is 0.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct CpuTimes {
    /// Programs at normal priority. Holds `guest`.
    pub user: f64,
    /// Programs at low priority. Holds `guest_nice`.
    pub nice: f64,
    /// The kernel.
    pub system: f64,
    /// Nothing.
    pub idle: f64,
    /// Nothing, while a thread of this CPU waited for a disk. May go back.
    pub iowait: f64,
    /// Interrupts.
    pub irq: f64,
    /// Soft interrupts.
    pub softirq: f64,
    /// Time that the hypervisor gave to others.
    pub steal: f64,
    /// A virtual CPU of a guest; also in `user`.
    pub guest: f64,
    /// A virtual CPU of a guest at low priority; also in `nice`.
    pub guest_nice: f64,
}

impl CpuTimes {
    /// All of the time, each second once: `guest` is in `user`, `guest_nice` in `nice`.
    #[must_use]
    pub fn sum(&self) -> f64 {
        self.user
            + self.nice
            + self.system
            + self.idle
            + self.iowait
            + self.irq
            + self.softirq
            + self.steal
    }
}

/// Soft interrupts since boot, in the order of `enum` in `include/linux/interrupt.h`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Softirqs {
    /// All of them.
    pub total: u64,
    /// Each of [`SOFTIRQS`].
    pub by_kind: [u64; SOFTIRQS.len()],
}

/// Names of the soft interrupts, as in `/proc/softirqs`.
pub const SOFTIRQS: [&str; 10] =
    ["HI", "TIMER", "NET_TX", "NET_RX", "BLOCK", "IRQ_POLL", "TASKLET", "SCHED", "HRTIMER", "RCU"];

/// Ticks in a second, for everything in `/proc` that counts in ticks: `USER_HZ`.
#[must_use]
pub fn ticks_per_second() -> f64 {
    // At most a few hundred, 100 on every architecture that this runs on.
    u32::try_from(rustix::param::clock_ticks_per_second()).map_or(100.0, f64::from)
}

/// Reads `/proc/stat`.
///
/// # Errors
/// When the file cannot be read, or has no line `cpu`.
pub fn read(root: &HostRoot) -> Result<Stat, ReadError> {
    file::parse(root.proc("stat"), parse)
}

/// Parses the text of `/proc/stat`.
///
/// # Errors
/// When there is no line `cpu`.
pub fn parse(bytes: &[u8]) -> Result<Stat, ParseError> {
    let mut stat = Stat::default();
    let (mut total, mut last) = (None, 1);
    let ticks = ticks_per_second();
    for mut line in text::lines(bytes) {
        last = line.line();
        let Some(key) = line.next() else { continue };
        let skipped = &mut stat.skipped;
        match key {
            b"cpu" => total = skipped.keep(times(&mut line, ticks)).or(total),
            b"ctxt" => stat.context_switches = skipped.keep(line.u64("ctxt")),
            b"intr" => stat.interrupts = skipped.keep(line.u64("intr")),
            b"btime" => stat.boot_time = skipped.keep(line.u64("btime")),
            b"processes" => stat.processes_created = skipped.keep(line.u64("processes")),
            b"procs_running" => stat.running = skipped.keep(line.u64("procs_running")),
            b"procs_blocked" => stat.blocked = skipped.keep(line.u64("procs_blocked")),
            b"softirq" => stat.softirqs = skipped.keep(softirqs(&mut line)),
            _ => {
                if let Some(number) = key.strip_prefix(b"cpu") {
                    let cpu = cpu(number, &mut line, ticks);
                    stat.cpus.extend(skipped.keep(cpu));
                }
            }
        }
    }
    let problem = Problem::Missing;
    stat.total = total.ok_or(ParseError { line: last, field: "cpu", problem })?;
    Ok(stat)
}

fn cpu(number: &[u8], line: &mut Fields<'_>, ticks: f64) -> Result<Cpu, ParseError> {
    let number = text::u32(number).ok_or_else(|| line.error("cpu", Problem::NotANumber))?;
    Ok(Cpu { number, times: times(line, ticks)? })
}

fn times(line: &mut Fields<'_>, ticks: f64) -> Result<CpuTimes, ParseError> {
    // 2^53 ticks are three million years: nothing is lost.
    #[allow(clippy::cast_precision_loss)]
    let seconds = |count: u64| count as f64 / ticks;
    let mut newer = |field| Ok(line.newer_u64(field)?.map_or(0.0, seconds));
    let [user, nice, system] = [newer("user")?, newer("nice")?, newer("system")?];
    let idle = line.u64("idle").map(seconds)?;
    let mut newer = |field| Ok(line.newer_u64(field)?.map_or(0.0, seconds));
    Ok(CpuTimes {
        user,
        nice,
        system,
        idle,
        iowait: newer("iowait")?,
        irq: newer("irq")?,
        softirq: newer("softirq")?,
        steal: newer("steal")?,
        guest: newer("guest")?,
        guest_nice: newer("guest_nice")?,
    })
}

fn softirqs(line: &mut Fields<'_>) -> Result<Softirqs, ParseError> {
    let mut counts = Softirqs { total: line.u64("softirq")?, ..Softirqs::default() };
    for (count, name) in counts.by_kind.iter_mut().zip(SOFTIRQS) {
        *count = line.newer_u64(name)?.unwrap_or(0);
    }
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cpu_that_is_not_understood_costs_that_cpu() {
        let text = b"cpu  100 0 200 400 0 0 0 0 0 0 77\ncpu0 50 x 100 200\ncpu1 50 0 100 200\ncpux 1 2 3 4\nbtime 5\nnew_thing 1 2\n";
        let stat = parse(text).expect("parsed");
        assert_eq!(stat.total.user, 1.0);
        assert_eq!(stat.total.system, 2.0);
        assert_eq!(stat.total.idle, 4.0);
        assert_eq!(stat.cpus.iter().map(|cpu| cpu.number).collect::<Vec<_>>(), [1]);
        assert_eq!(stat.boot_time, Some(5));
        assert_eq!(stat.context_switches, None);
        assert_eq!(stat.skipped.lines, 2);
        let first = ParseError { line: 2, field: "nice", problem: Problem::NotANumber };
        assert_eq!(stat.skipped.first, Some(first));
    }

    #[test]
    fn a_line_that_is_cut_before_idle_is_no_cpu() {
        let error = parse(b"cpu 1 2 3\n").expect_err("no cpu");
        assert_eq!(error, ParseError { line: 1, field: "cpu", problem: Problem::Missing });
        assert!(parse(b"").is_err());
    }

    #[test]
    fn guests_are_counted_once() {
        let stat = parse(b"cpu 100 10 1 1 1 1 1 1 100 10\n").expect("parsed");
        assert!((stat.total.sum() - 1.16).abs() < 1e-9);
    }
}
