//! What the host's network interfaces are.

use hawsepipe_host::net_class::{self, InterfaceClass};

use crate::collector::{Collect, CollectError, Collector, Need};
use crate::points::Points;
use crate::settings::Globs;
use crate::tick::Tick;

pub(crate) static COLLECTOR: Collector = Collector {
    name: "interface",
    about: "What the host's network interfaces are: their carrier, speed and size of packets. A node has one for \
            each of its pods, and each costs a few small files. No receiver of the Collector tells it; the names are \
            ours",
    reads: &["/sys/class/net"],
    needs: &[Need::Sys],
    default: false,
    metrics: METRICS,
    selects: Some("interfaces by their name (`veth*`)"),
    top: None,
    new: |options| Box::new(Interfaces { select: options.select.clone() }),
};

metrics! {
    /// Whether the interface can be used (`up`, or `unknown` by drivers that do not know): 1 or 0
    UP: Gauge Int "system.linux.network.up" "1" ["device"] on;
    /// Whether it has a carrier: 1 or 0. One that is down does not say
    CARRIER: Gauge Int "system.linux.network.carrier" "1" ["device"] on;
    /// How often the carrier came or went
    CHANGES: Counter Int "system.linux.network.carrier_changes" "{change}" ["device"] on;
    /// Bits that it can carry in a second, where its driver says so
    SPEED: UpDownCounter Int "system.linux.network.speed" "bit/s" ["device"] on;
    /// The largest packet
    MTU: UpDownCounter Int "system.linux.network.mtu" "By" ["device"] on;
    /// Packets that can wait to be sent
    QUEUE: UpDownCounter Int "system.linux.network.transmit_queue_length" "{packet}" ["device"] on;
}

struct Interfaces {
    select: Globs,
}

impl Collect for Interfaces {
    fn collect(&mut self, tick: &Tick, out: &mut Points) -> Result<(), CollectError> {
        let read = tick.read(net_class::read);
        let all = read.map_err(|error| error.or_unavailable("the kernel has no network"))?;
        let told: Vec<_> = all.iter().filter(|it| self.select.take(&it.name)).collect();
        let mut tell = |metric, of: fn(&InterfaceClass) -> Option<u64>| {
            let mut series = out.metric(metric);
            for interface in &told {
                series.maybe(of(interface), &[&interface.name]);
            }
        };
        tell(&UP, |it| it.state.as_ref().map(|_| u64::from(it.is_up())));
        tell(&CARRIER, |it| it.carrier.map(u64::from));
        tell(&CHANGES, |it| it.carrier_changes);
        tell(&SPEED, |it| it.speed);
        tell(&MTU, |it| it.mtu);
        tell(&QUEUE, |it| it.transmit_queue_length);
        Ok(())
    }
}
