//! How many connections the host's firewall follows.

use hawsepipe_host::conntrack;

use crate::collector::{CollectError, Collector, Need};
use crate::points::Points;
use crate::tick::Tick;

pub(crate) static COLLECTOR: Collector = Collector {
    name: "conntrack",
    about: "How many connections the host's firewall follows, and how many it can",
    reads: &["/proc/1/net/stat/nf_conntrack", "/proc/sys/net/netfilter/nf_conntrack_max"],
    needs: &[Need::Proc],
    default: false,
    metrics: METRICS,
    selects: None,
    top: None,
    new: |_options| Box::new(collect),
};

metrics! {
    /// Connections that are followed
    COUNT: UpDownCounter Int "system.network.conntrack.count" "{entries}" [] on;
    /// Connections that can be followed
    MAX: UpDownCounter Int "system.network.conntrack.max" "{entries}" [] on;
    /// What the firewall counted: entries that were put in or not (`insert`, `insert_failed`), packets that were dropped (`drop`) or could not be followed (`invalid`), and the like
    EVENTS: Counter Int "system.linux.conntrack.events" "{event}" ["type"] off;
}

fn collect(tick: &Tick, out: &mut Points) -> Result<(), CollectError> {
    let conntrack = tick
        .read(conntrack::read)
        .map_err(|error| error.or_unavailable("the host's firewall follows no connections"))?;
    out.metric(&COUNT).push(conntrack.entries, &[]);
    out.metric(&MAX).maybe(conntrack.max, &[]);
    let of = &conntrack.counters;
    let mut events = out.metric(&EVENTS);
    for (kind, count) in [
        ("found", of.found),
        ("invalid", of.invalid),
        ("ignore", of.ignore),
        ("insert", of.insert),
        ("insert_failed", of.insert_failed),
        ("drop", of.drop),
        ("early_drop", of.early_drop),
        ("search_restart", of.search_restart),
    ] {
        events.push(count, &[kind]);
    }
    Ok(())
}
