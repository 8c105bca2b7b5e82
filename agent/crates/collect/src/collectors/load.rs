//! How many threads run or wait, on average.

use hawsepipe_host::loadavg;

use crate::collector::{CollectError, Collector, Need};
use crate::points::Points;
use crate::tick::Tick;

pub(crate) static COLLECTOR: Collector = Collector {
    name: "load",
    about: "How many threads run or wait, on average",
    reads: &["/proc/loadavg"],
    needs: &[Need::Proc],
    default: true,
    metrics: METRICS,
    selects: None,
    top: None,
    new: |_options| Box::new(collect),
};

metrics! {
    /// Threads that run, could run or wait for a disk, on average over a minute
    ONE: Gauge Double "system.cpu.load_average.1m" "{thread}" [] on;
    /// Threads that run, could run or wait for a disk, on average over 5 minutes
    FIVE: Gauge Double "system.cpu.load_average.5m" "{thread}" [] on;
    /// Threads that run, could run or wait for a disk, on average over 15 minutes
    FIFTEEN: Gauge Double "system.cpu.load_average.15m" "{thread}" [] on;
}

fn collect(tick: &Tick, out: &mut Points) -> Result<(), CollectError> {
    let load = tick.read(loadavg::read)?;
    out.metric(&ONE).push(load.one_minute, &[]);
    out.metric(&FIVE).push(load.five_minutes, &[]);
    out.metric(&FIFTEEN).push(load.fifteen_minutes, &[]);
    Ok(())
}
