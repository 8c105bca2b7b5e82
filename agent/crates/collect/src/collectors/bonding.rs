//! Whether the links below bonded interfaces are up.

use hawsepipe_host::bonding;

use crate::collector::{CollectError, Collector, Need};
use crate::points::Points;
use crate::tick::Tick;

pub(crate) static COLLECTOR: Collector = Collector {
    name: "bonding",
    about: "Network interfaces that are made of others (bonds), and how many of those are up. No receiver of the \
            Collector tells it; the names are ours",
    reads: &["/sys/class/net/bonding_masters", "/sys/class/net/*/bonding"],
    needs: &[Need::Sys],
    default: true,
    metrics: METRICS,
    selects: None,
    top: None,
    new: |_options| Box::new(collect),
};

metrics! {
    /// Interfaces that the bond is made of, by whether their link is `up` or `down`
    MEMBERS: UpDownCounter Int "system.linux.bonding.members" "{interface}" ["device", "state"] on;
}

fn collect(tick: &Tick, out: &mut Points) -> Result<(), CollectError> {
    let read = tick.read(bonding::read);
    let bonds = read.map_err(|error| error.or_unavailable("the host bonds no interfaces"))?;
    let mut members = out.metric(&MEMBERS);
    for bond in bonds.iter() {
        let up = bond.members.iter().filter(|member| member.is_up).count();
        members.push(up as u64, &[&bond.name, "up"]);
        members.push((bond.members.len() - up) as u64, &[&bond.name, "down"]);
    }
    Ok(())
}
