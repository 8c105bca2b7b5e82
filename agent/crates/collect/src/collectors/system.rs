//! How long the host has been up.

use hawsepipe_host::uptime;

use crate::collector::{CollectError, Collector, Need};
use crate::points::Points;
use crate::tick::Tick;

pub(crate) static COLLECTOR: Collector = Collector {
    name: "system",
    about: "How long the host has been up",
    reads: &["/proc/uptime"],
    needs: &[Need::Proc],
    default: true,
    metrics: METRICS,
    selects: None,
    top: None,
    new: |_options| Box::new(collect),
};

metrics! {
    /// Time since the host booted
    UPTIME: Gauge Double "system.uptime" "s" [] on;
}

fn collect(tick: &Tick, out: &mut Points) -> Result<(), CollectError> {
    out.metric(&UPTIME).push(tick.read(uptime::read)?.up, &[]);
    Ok(())
}
