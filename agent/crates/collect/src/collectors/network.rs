//! What goes over the host's network interfaces, and its TCP connections.

use hawsepipe_host::net_dev::{self, Interface};
use hawsepipe_host::sockets;

use crate::collector::{Collect, CollectError, Collector, Need};
use crate::points::{Points, Series};
use crate::settings::Globs;
use crate::tick::Tick;

pub(crate) static COLLECTOR: Collector = Collector {
    name: "network",
    about: "What goes over the host's network interfaces, and the states of its TCP connections",
    reads: &["/proc/1/net/dev", "/proc/1/net/tcp", "/proc/1/net/tcp6"],
    needs: &[Need::Proc],
    default: true,
    metrics: METRICS,
    selects: Some("interfaces by their name (`veth*`)"),
    top: None,
    new: |options| Box::new(Network { select: options.select.clone() }),
};

metrics! {
    /// Bytes received and sent
    IO: Counter Int "system.network.io" "By" ["device", "direction"] on;
    /// Packets received and sent
    PACKETS: Counter Int "system.network.packets" "{packets}" ["device", "direction"] on;
    /// Packets that were dropped
    DROPPED: Counter Int "system.network.dropped" "{packets}" ["device", "direction"] on;
    /// Packets with an error
    ERRORS: Counter Int "system.network.errors" "{errors}" ["device", "direction"] on;
    /// What else the interface counts: `multicast`, `compressed`, and kinds of errors (`fifo`, `frame`, `collisions`, `carrier`)
    EVENTS: Counter Int "system.linux.network.events" "{event}" ["device", "direction", "type"] off;
    /// TCP sockets of the host (IPv4 and IPv6) in each state, by the kernel's names of them
    CONNECTIONS: UpDownCounter Int "system.network.connections" "{connections}"
        ["protocol", "state"] on;
}

struct Network {
    select: Globs,
}

impl Collect for Network {
    fn collect(&mut self, tick: &Tick, out: &mut Points) -> Result<(), CollectError> {
        if out.wants(&CONNECTIONS)
            && let Err(error) = connections(tick, out)
        {
            out.problem(error);
        }
        let all = tick.read(net_dev::read)?;
        let told = |interface: &&Interface| self.select.take(&interface.name);
        let interfaces: Vec<_> = all.interfaces.iter().filter(told).collect();
        let both = |mut series: Series<'_>, of: fn(&Interface) -> (u64, u64)| {
            for interface in &interfaces {
                let (receive, transmit) = of(interface);
                series.push(receive, &[&interface.name, "receive"]);
                series.push(transmit, &[&interface.name, "transmit"]);
            }
        };
        both(out.metric(&IO), |it| (it.receive.bytes, it.transmit.bytes));
        both(out.metric(&PACKETS), |it| (it.receive.packets, it.transmit.packets));
        both(out.metric(&DROPPED), |it| (it.receive.dropped, it.transmit.dropped));
        both(out.metric(&ERRORS), |it| (it.receive.errors, it.transmit.errors));
        let mut events = out.metric(&EVENTS);
        for interface in &interfaces {
            for (direction, kind, count) in events_of(interface) {
                events.push(count, &[&interface.name, direction, kind]);
            }
        }
        Ok(())
    }
}

fn events_of(of: &Interface) -> [(&'static str, &'static str, u64); 8] {
    [
        ("receive", "fifo", of.receive.fifo),
        ("receive", "frame", of.receive.frame),
        ("receive", "compressed", of.receive.compressed),
        ("receive", "multicast", of.receive.multicast),
        ("transmit", "fifo", of.transmit.fifo),
        ("transmit", "collisions", of.transmit.collisions),
        ("transmit", "carrier", of.transmit.carrier),
        ("transmit", "compressed", of.transmit.compressed),
    ]
}

fn connections(tick: &Tick, out: &mut Points) -> Result<(), CollectError> {
    let v4 = tick.read(sockets::tcp4)?;
    let v6 = match tick.read(sockets::tcp6) {
        Ok(v6) => Some(v6),
        // A host without IPv6.
        Err(CollectError::Read(error)) if error.is_missing() => None,
        Err(error) => return Err(error),
    };
    let mut series = out.metric(&CONNECTIONS);
    for (at, (state, count)) in v4.iter().enumerate() {
        let more = v6.as_ref().and_then(|v6| v6.states.get(at)).copied().unwrap_or(0);
        series.push(count + more, &["tcp", state]);
    }
    Ok(())
}
