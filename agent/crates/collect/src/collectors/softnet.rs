//! What CPUs do with packets.

use hawsepipe_host::softnet::{self, CpuSoftnet};

use crate::collector::{CollectError, Collector, Need};
use crate::points::Points;
use crate::tick::Tick;

pub(crate) static COLLECTOR: Collector = Collector {
    name: "softnet",
    about: "What each CPU did with the packets that came in. No receiver of the Collector tells it; the names \
            are ours",
    reads: &["/proc/1/net/softnet_stat"],
    needs: &[Need::Proc],
    default: true,
    metrics: METRICS,
    selects: None,
    top: None,
    new: |_options| Box::new(collect),
};

metrics! {
    /// Packets that the CPU took
    PROCESSED: Counter Int "system.linux.softnet.processed" "{packet}" ["cpu"] on;
    /// Packets that it dropped for want of room in its queue
    DROPPED: Counter Int "system.linux.softnet.dropped" "{packet}" ["cpu"] on;
    /// Times that it stopped with work left, since its time or its number of packets was up
    SQUEEZED: Counter Int "system.linux.softnet.squeezed" "{time}" ["cpu"] on;
    /// Times that another CPU woke it to take packets
    RPS: Counter Int "system.linux.softnet.received_rps" "{time}" ["cpu"] off;
    /// Packets that were dropped since one flow had too many
    FLOW_LIMITED: Counter Int "system.linux.softnet.flow_limited" "{packet}" ["cpu"] off;
    /// Packets in its queue now
    BACKLOG: UpDownCounter Int "system.linux.softnet.backlog" "{packet}" ["cpu"] off;
}

fn collect(tick: &Tick, out: &mut Points) -> Result<(), CollectError> {
    let read = tick.read(softnet::read);
    let all = read.map_err(|error| error.or_unavailable("the kernel has no network"))?;
    let mut tell = |metric, of: fn(&CpuSoftnet) -> Option<u64>| {
        let mut series = out.metric(metric);
        for cpu in &all.cpus {
            series.maybe(of(cpu), &[&format!("cpu{}", cpu.cpu)]);
        }
    };
    tell(&PROCESSED, |it| Some(it.processed));
    tell(&DROPPED, |it| Some(it.dropped));
    tell(&SQUEEZED, |it| Some(it.squeezed));
    tell(&RPS, |it| it.received_rps);
    tell(&FLOW_LIMITED, |it| it.flow_limited);
    tell(&BACKLOG, |it| it.backlog);
    Ok(())
}
