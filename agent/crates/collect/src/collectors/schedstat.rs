//! For how long threads waited for a CPU.

use hawsepipe_host::schedstat;

use crate::collector::{CollectError, Collector, Need};
use crate::points::Points;
use crate::tick::Tick;

pub(crate) static COLLECTOR: Collector = Collector {
    name: "schedstat",
    about: "For how long the threads of each CPU ran, and waited for it. No receiver of the Collector tells it; \
            the names are ours",
    reads: &["/proc/schedstat"],
    needs: &[Need::Proc],
    default: false,
    metrics: METRICS,
    selects: None,
    top: None,
    new: |_options| Box::new(collect),
};

metrics! {
    /// Time that threads ran (`running`) and could run and did not (`waiting`), summed up over them
    TIME: Counter Double "system.linux.schedstat.time" "s" ["cpu", "state"] on;
    /// How often a thread was given the CPU
    SLICES: Counter Int "system.linux.schedstat.timeslices" "{timeslice}" ["cpu"] on;
}

fn collect(tick: &Tick, out: &mut Points) -> Result<(), CollectError> {
    let read = tick.read(schedstat::read);
    let all = read.map_err(|error| error.or_unavailable("the kernel does not count it"))?;
    let mut time = out.metric(&TIME);
    for of in &all.cpus {
        let name = format!("cpu{}", of.cpu);
        time.push(of.running, &[&name, "running"]);
        time.push(of.waiting, &[&name, "waiting"]);
    }
    let mut slices = out.metric(&SLICES);
    for of in &all.cpus {
        slices.push(of.timeslices, &[&format!("cpu{}", of.cpu)]);
    }
    Ok(())
}
