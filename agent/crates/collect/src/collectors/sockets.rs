//! How many sockets there are.

use hawsepipe_host::{sockets, sockstat};

use crate::collector::{CollectError, Collector, Need};
use crate::points::Points;
use crate::tick::Tick;

pub(crate) static COLLECTOR: Collector = Collector {
    name: "sockets",
    about: "How many sockets the host has, and what waits in them. No receiver of the Collector tells it; the \
            names are ours",
    reads: &[
        "/proc/1/net/sockstat",
        "/proc/1/net/sockstat6",
        "/proc/1/net/udp",
        "/proc/1/net/udp6",
    ],
    needs: &[Need::Proc],
    default: true,
    metrics: METRICS,
    selects: None,
    top: None,
    new: |_options| Box::new(collect),
};

metrics! {
    /// Sockets of every kind that are open
    USED: UpDownCounter Int "system.linux.sockets.used" "{socket}" [] on;
    /// Sockets by protocol: `in_use`, `orphan` and `time_wait` of the host's own network, `allocated` of pods too
    COUNT: UpDownCounter Int "system.linux.sockets.count" "{socket}" ["protocol", "state"] on;
    /// Memory of the protocol's buffers, of pods too
    MEMORY: UpDownCounter Int "system.linux.sockets.memory" "By" ["protocol"] on;
    /// What waits in UDP sockets to be sent, and to be read
    QUEUED: UpDownCounter Int "system.linux.sockets.udp.queued" "By" ["protocol", "direction"] on;
    /// Datagrams that found no room in a UDP socket that is open now
    DROPS: UpDownCounter Int "system.linux.sockets.udp.dropped" "{packet}" ["protocol"] on;
}

fn collect(tick: &Tick, out: &mut Points) -> Result<(), CollectError> {
    let read = tick.read(sockstat::read);
    let v4 = read.map_err(|error| error.or_unavailable("the host has no IPv4"))?;
    let v6 = tick.read_if_there(sockstat::read6)?;
    let protocols = || v4.protocols.iter().chain(v6.iter().flat_map(|v6| &v6.protocols));
    out.metric(&USED).maybe(v4.used, &[]);
    let mut count = out.metric(&COUNT);
    for of in protocols() {
        count.maybe(of.in_use, &[&of.name, "in_use"]);
        count.maybe(of.orphan, &[&of.name, "orphan"]);
        count.maybe(of.time_wait, &[&of.name, "time_wait"]);
        count.maybe(of.allocated, &[&of.name, "allocated"]);
    }
    let mut memory = out.metric(&MEMORY);
    for of in protocols() {
        memory.maybe(of.memory, &[&of.name]);
    }
    if !out.wants(&QUEUED) && !out.wants(&DROPS) {
        return Ok(());
    }
    let udp =
        [("UDP", tick.read_if_there(sockets::udp4)?), ("UDP6", tick.read_if_there(sockets::udp6)?)];
    let told = || udp.iter().filter_map(|(name, of)| Some((*name, of.as_deref()?)));
    let mut queued = out.metric(&QUEUED);
    for (name, of) in told() {
        queued.push(of.queues.receive, &[name, "receive"]);
        queued.push(of.queues.transmit, &[name, "transmit"]);
    }
    let mut drops = out.metric(&DROPS);
    for (name, of) in told() {
        drops.push(of.drops, &[name]);
    }
    Ok(())
}
