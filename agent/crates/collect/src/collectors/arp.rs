//! How many neighbours the host knows.

use hawsepipe_host::arp;

use crate::collector::{CollectError, Collector, Need};
use crate::points::Points;
use crate::tick::Tick;

pub(crate) static COLLECTOR: Collector = Collector {
    name: "arp",
    about: "How many IPv4 neighbours the host knows: when there are more than `net.ipv4.neigh.default.gc_thresh3`, pods \
            do not reach each other. No receiver of the Collector tells it; the names are ours",
    reads: &["/proc/1/net/arp"],
    needs: &[Need::Proc],
    default: false,
    metrics: METRICS,
    selects: None,
    top: None,
    new: |_options| Box::new(collect),
};

metrics! {
    /// Neighbours behind each interface, those too that have not answered
    ENTRIES: UpDownCounter Int "system.linux.arp.entries" "{neighbour}" ["device"] on;
}

fn collect(tick: &Tick, out: &mut Points) -> Result<(), CollectError> {
    let read = tick.read(arp::read);
    let arp = read.map_err(|error| error.or_unavailable("the host has no IPv4"))?;
    let mut entries = out.metric(&ENTRIES);
    for (device, count) in &arp.entries {
        entries.push(*count, &[device]);
    }
    Ok(())
}
