//! What the CPUs spend their time with.

use hawsepipe_host::stat::{self, Cpu, CpuTimes};
use hawsepipe_host::{cpu_topology, cpufreq};

use crate::collector::{Collect, CollectError, Collector, Need};
use crate::points::Points;
use crate::tick::Tick;

pub(crate) static COLLECTOR: Collector = Collector {
    name: "cpu",
    about: "What the CPUs spend their time with",
    reads: &["/proc/stat", "/sys/devices/system/cpu"],
    needs: &[Need::Proc, Need::Sys],
    default: true,
    metrics: METRICS,
    selects: None,
    top: None,
    new: |_options| Box::new(Cpus::default()),
};

metrics! {
    /// Time that each logical CPU spent in each state
    TIME: Counter Double "system.cpu.time" "s" ["cpu", "state"] on;
    /// Part of the time since the last reading that each logical CPU spent in each state
    UTILIZATION: Gauge Double "system.cpu.utilization" "1" ["cpu", "state"] off;
    /// Frequency at which each logical CPU runs, where its driver says so
    FREQUENCY: Gauge Double "system.cpu.frequency" "Hz" ["cpu"] off;
    /// Logical CPUs that are online
    LOGICAL: UpDownCounter Int "system.cpu.logical.count" "{cpu}" [] off;
    /// Cores behind the logical CPUs, where the kernel says so
    PHYSICAL: UpDownCounter Int "system.cpu.physical.count" "{cpu}" [] off;
}

/// A CPU's idle time and its wait for disks are estimates of the kernel's and go back a little now and then; by more than
/// this, in seconds, only when the CPU was taken offline meanwhile.
const STEP_BACK: f64 = 3.0;

#[derive(Default)]
struct Cpus {
    last: Vec<Cpu>,
}

impl Collect for Cpus {
    fn collect(&mut self, tick: &Tick, out: &mut Points) -> Result<(), CollectError> {
        let stat = tick.read(stat::read)?;
        let mut cpus = stat.cpus.clone();
        for cpu in &mut cpus {
            if let Some(last) = last_of(&self.last, cpu.number) {
                hold(&mut cpu.times.idle, last.idle);
                hold(&mut cpu.times.iowait, last.iowait);
            }
        }
        let names: Vec<_> = cpus.iter().map(|cpu| format!("cpu{}", cpu.number)).collect();
        let mut time = out.metric(&TIME);
        for (cpu, name) in cpus.iter().zip(&names) {
            for (state, seconds) in states(&cpu.times) {
                time.push(seconds, &[name, state]);
            }
        }
        let mut utilization = out.metric(&UTILIZATION);
        for (cpu, name) in cpus.iter().zip(&names) {
            let Some(last) = last_of(&self.last, cpu.number) else { continue };
            let whole = cpu.times.sum() - last.sum();
            for ((state, now), (_, before)) in states(&cpu.times).into_iter().zip(states(last)) {
                // Nothing is left out where no time passed: 0/0 is no number.
                utilization.push(((now - before) / whole).clamp(0.0, 1.0), &[name, state]);
            }
        }
        self.last = cpus;
        if out.wants(&FREQUENCY) {
            let frequencies = tick.read(cpufreq::read)?;
            let mut series = out.metric(&FREQUENCY);
            for cpu in frequencies.iter() {
                series.maybe(cpu.current, &[&format!("cpu{}", cpu.number)]);
            }
        }
        if out.wants(&LOGICAL) || out.wants(&PHYSICAL) {
            let topology = tick.read(cpu_topology::read)?;
            out.metric(&LOGICAL).push(topology.logical, &[]);
            out.metric(&PHYSICAL).maybe(topology.physical, &[]);
        }
        Ok(())
    }
}

fn last_of(last: &[Cpu], number: u32) -> Option<&CpuTimes> {
    last.iter().find(|cpu| cpu.number == number).map(|cpu| &cpu.times)
}

/// The states by the names of the Collector's hostmetrics receiver.
fn states(times: &CpuTimes) -> [(&'static str, f64); 8] {
    [
        ("user", times.user),
        ("system", times.system),
        ("idle", times.idle),
        ("interrupt", times.irq),
        ("nice", times.nice),
        ("softirq", times.softirq),
        ("steal", times.steal),
        ("wait", times.iowait),
    ]
}

/// A small step back is none.
fn hold(now: &mut f64, last: f64) {
    if *now < last && last - *now < STEP_BACK {
        *now = last;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_step_back_is_held_and_a_large_one_is_a_new_beginning() {
        let mut now = 99.5;
        hold(&mut now, 100.0);
        assert_eq!(now, 100.0);
        now = 1.0;
        hold(&mut now, 100.0);
        assert_eq!(now, 1.0);
    }
}
