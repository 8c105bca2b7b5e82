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
    /// Frequencies between which the governor may choose (`min`, `max`), and between which the hardware can (`hardware_min`, `hardware_max`)
    FREQUENCY_LIMIT: Gauge Double "system.linux.cpu.frequency.limit" "Hz" ["cpu", "type"] off;
    /// Time that each logical CPU spent in virtual machines; it is in `user` and `nice` of `system.cpu.time` too
    GUEST: Counter Double "system.linux.cpu.guest.time" "s" ["cpu", "state"] off;
    /// Logical CPUs that are online
    LOGICAL: UpDownCounter Int "system.cpu.logical.count" "{cpu}" [] on;
    /// Cores behind the logical CPUs, where the kernel says so
    PHYSICAL: UpDownCounter Int "system.cpu.physical.count" "{cpu}" [] off;
}

/// A CPU's idle time and its wait for disks are estimates of the kernel's and go back a little now and then; by more
/// than this, in seconds, only when the CPU was taken offline meanwhile.
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
            // No time passed on it, or it was offline meanwhile.
            if whole <= 0.0 {
                continue;
            }
            for ((state, now), (_, before)) in states(&cpu.times).into_iter().zip(states(last)) {
                utilization.push(((now - before) / whole).clamp(0.0, 1.0), &[name, state]);
            }
        }
        let mut guest = out.metric(&GUEST);
        for (cpu, name) in cpus.iter().zip(&names) {
            guest.push(cpu.times.guest, &[name, "user"]);
            guest.push(cpu.times.guest_nice, &[name, "nice"]);
        }
        // `/proc/stat` lists the CPUs that are online.
        out.metric(&LOGICAL).push(cpus.len() as u64, &[]);
        self.last = cpus;
        if out.wants(&FREQUENCY) || out.wants(&FREQUENCY_LIMIT) {
            let frequencies = tick.read(cpufreq::read)?;
            let mut series = out.metric(&FREQUENCY);
            for cpu in frequencies.iter() {
                series.maybe(cpu.current, &[&format!("cpu{}", cpu.number)]);
            }
            let mut series = out.metric(&FREQUENCY_LIMIT);
            for cpu in frequencies.iter() {
                for (kind, hertz) in [
                    ("min", cpu.scaling_min),
                    ("max", cpu.scaling_max),
                    ("hardware_min", cpu.hardware_min),
                    ("hardware_max", cpu.hardware_max),
                ] {
                    series.maybe(hertz, &[&format!("cpu{}", cpu.number), kind]);
                }
            }
        }
        if out.wants(&PHYSICAL) {
            out.metric(&PHYSICAL).maybe(tick.read(cpu_topology::read)?.physical, &[]);
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
    use std::path::Path;
    use std::sync::Arc;

    use hawsepipe_host::HostRoot;

    use super::*;
    use crate::reading::as_f64;
    use crate::tick::Sources;

    struct Host {
        folder: tempfile::TempDir,
        cpus: Cpus,
        out: Points,
    }

    impl Host {
        fn new() -> Self {
            let wanted = [&TIME, &UTILIZATION];
            let wanted = METRICS.iter().map(|it| wanted.iter().any(|of| std::ptr::eq(*it, *of)));
            let out = Points::new(&COLLECTOR, wanted.collect());
            Self { folder: tempfile::tempdir().unwrap(), cpus: Cpus::default(), out }
        }

        /// Reads once, when `/proc/stat` says this.
        fn tick(&mut self, stat: &str) {
            let folder: &Path = self.folder.path();
            std::fs::write(folder.join("stat"), format!("cpu 0 0 0 0\n{stat}")).unwrap();
            let sources = Sources::new(HostRoot::new(folder, folder, None));
            self.out.begin(1, 1);
            self.cpus.collect(&Tick::new(Arc::new(sources)), &mut self.out).unwrap();
        }

        /// What was told of a CPU and a state.
        fn value(
            &self,
            metric: &'static crate::metric::Metric,
            cpu: &str,
            state: &str,
        ) -> Option<f64> {
            let mut points = self.out.iter().filter(|point| {
                let values: Vec<_> = point.attributes().map(|(_, value)| value).collect();
                std::ptr::eq(point.metric, metric) && values == [cpu, state]
            });
            points.next().map(|point| as_f64(point.value))
        }
    }

    #[test]
    fn utilization_is_told_from_the_second_reading_on_and_adds_up() {
        let mut host = Host::new();
        host.tick("cpu0 100 0 100 800 0 0 0 0\n");
        assert_eq!(
            host.value(&UTILIZATION, "cpu0", "user"),
            None,
            "there is nothing to compare with"
        );
        host.tick("cpu0 125 0 100 875 0 0 0 0\n");
        let of = |state| host.value(&UTILIZATION, "cpu0", state).unwrap();
        assert_eq!((of("user"), of("system"), of("idle")), (0.25, 0.0, 0.75));
    }

    #[test]
    fn a_cpu_that_comes_is_told_of_from_its_second_reading_on() {
        let mut host = Host::new();
        host.tick("cpu0 1 0 0 0 0 0 0 0\n");
        host.tick("cpu0 2 0 0 0 0 0 0 0\ncpu1 900 0 0 0 0 0 0 0\n");
        assert_eq!(host.value(&UTILIZATION, "cpu1", "user"), None);
        assert_eq!(host.value(&UTILIZATION, "cpu0", "user"), Some(1.0));
        host.tick("cpu1 1000 0 0 100 0 0 0 0\n");
        assert_eq!(host.value(&UTILIZATION, "cpu1", "user"), Some(0.5));
        assert_eq!(host.value(&TIME, "cpu0", "user"), None, "one that is offline is not there");
    }

    #[test]
    fn a_small_step_back_of_idle_time_is_held_and_a_large_one_is_not() {
        let mut host = Host::new();
        host.tick("cpu0 0 0 0 100000 500 0 0 0\n");
        host.tick("cpu0 0 0 0 99990 499 0 0 0\n");
        assert_eq!(host.value(&TIME, "cpu0", "idle"), Some(1000.0));
        assert_eq!(host.value(&TIME, "cpu0", "wait"), Some(5.0));
        host.tick("cpu0 0 0 0 10 0 0 0 0\n");
        assert_eq!(host.value(&TIME, "cpu0", "idle"), Some(0.1));
    }
}
