//! What goes over RDMA.

use hawsepipe_host::infiniband;

use crate::collector::{CollectError, Collector, Need};
use crate::points::Points;
use crate::tick::Tick;

pub(crate) static COLLECTOR: Collector = Collector {
    name: "infiniband",
    about: "What goes over the ports of RDMA devices (InfiniBand, RoCE). No receiver of the Collector tells it; \
            the names are ours",
    reads: &["/sys/class/infiniband"],
    needs: &[Need::Sys],
    default: true,
    metrics: METRICS,
    selects: None,
    top: None,
    new: |_options| Box::new(collect),
};

metrics! {
    /// Whether the port is active: 1 or 0
    ACTIVE: Gauge Int "system.linux.infiniband.active" "1" ["device", "port"] on;
    /// Bits that the link can carry in a second
    SPEED: UpDownCounter Int "system.linux.infiniband.speed" "bit/s" ["device", "port"] on;
    /// Bytes received and sent
    IO: Counter Int "system.linux.infiniband.io" "By" ["device", "port", "direction"] on;
    /// Packets received and sent
    PACKETS: Counter Int "system.linux.infiniband.packets" "{packet}"
        ["device", "port", "direction"] on;
    /// What else the port and its driver count (errors, most of it), by the kernel's names
    COUNTERS: Counter Int "system.linux.infiniband.events" "{event}"
        ["device", "port", "name"] on;
}

/// Counters of traffic, which have metrics of their own.
const TRAFFIC: [&str; 4] =
    ["port_rcv_data", "port_xmit_data", "port_rcv_packets", "port_xmit_packets"];

fn collect(tick: &Tick, out: &mut Points) -> Result<(), CollectError> {
    let read = tick.read(infiniband::read);
    let ports = read.map_err(|error| error.or_unavailable("the host has no RDMA device"))?;
    let named = || ports.iter().map(|port| (&*port.device, port.number.to_string(), port));
    let mut active = out.metric(&ACTIVE);
    for (device, number, port) in named() {
        active.push(u64::from(port.state.as_deref() == Some("ACTIVE")), &[device, &number]);
    }
    let mut speed = out.metric(&SPEED);
    for (device, number, port) in named() {
        speed.maybe(port.rate, &[device, &number]);
    }
    let mut io = out.metric(&IO);
    for (device, number, port) in named() {
        io.maybe(port.received_bytes(), &[device, &number, "receive"]);
        io.maybe(port.transmitted_bytes(), &[device, &number, "transmit"]);
    }
    let mut packets = out.metric(&PACKETS);
    for (device, number, port) in named() {
        packets.maybe(port.get("port_rcv_packets"), &[device, &number, "receive"]);
        packets.maybe(port.get("port_xmit_packets"), &[device, &number, "transmit"]);
    }
    let mut counters = out.metric(&COUNTERS);
    for (device, number, port) in named() {
        for (name, count) in port.iter().filter(|(name, _)| !TRAFFIC.contains(name)) {
            counters.push(count, &[device, &number, name]);
        }
    }
    Ok(())
}
