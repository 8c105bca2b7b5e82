//! What the kernel's load balancer does.

use hawsepipe_host::ipvs;

use crate::collector::{CollectError, Collector, Need};
use crate::points::Points;
use crate::tick::Tick;

pub(crate) static COLLECTOR: Collector = Collector {
    name: "ipvs",
    about: "What goes through the kernel's load balancer (IPVS), on nodes whose kube-proxy uses it. No receiver \
            of the Collector tells it; the names are ours",
    reads: &["/proc/1/net/ip_vs_stats"],
    needs: &[Need::Proc],
    default: true,
    metrics: METRICS,
    selects: None,
    top: None,
    new: |_options| Box::new(collect),
};

metrics! {
    /// Connections that were made
    CONNECTIONS: Counter Int "system.linux.ipvs.connections" "{connection}" [] on;
    /// Packets from clients (`receive`) and to them (`transmit`)
    PACKETS: Counter Int "system.linux.ipvs.packets" "{packet}" ["direction"] on;
    /// Bytes from clients (`receive`) and to them (`transmit`)
    IO: Counter Int "system.linux.ipvs.io" "By" ["direction"] on;
}

fn collect(tick: &Tick, out: &mut Points) -> Result<(), CollectError> {
    let read = tick.read(ipvs::read);
    let stats = read.map_err(|error| error.or_unavailable("the module is not loaded"))?;
    out.metric(&CONNECTIONS).push(stats.connections, &[]);
    let mut packets = out.metric(&PACKETS);
    packets.push(stats.incoming_packets, &["receive"]);
    packets.push(stats.outgoing_packets, &["transmit"]);
    let mut io = out.metric(&IO);
    io.push(stats.incoming_bytes, &["receive"]);
    io.push(stats.outgoing_bytes, &["transmit"]);
    Ok(())
}
