//! The cache of ZFS.

use hawsepipe_host::zfs;

use crate::collector::{CollectError, Collector, Need};
use crate::points::Points;
use crate::tick::Tick;

pub(crate) static COLLECTOR: Collector = Collector {
    name: "zfs",
    about: "The cache of ZFS (ARC), which is memory that the kernel does not call a cache. No receiver of the \
            Collector tells it; the names are ours",
    reads: &["/proc/spl/kstat/zfs/arcstats"],
    needs: &[Need::Proc],
    default: true,
    metrics: METRICS,
    selects: None,
    top: None,
    new: |_options| Box::new(collect),
};

metrics! {
    /// Memory that the cache has
    SIZE: UpDownCounter Int "system.linux.zfs.arc.usage" "By" [] on;
    /// Memory that it aims at (`target`), and between what that may be (`min`, `max`)
    LIMIT: UpDownCounter Int "system.linux.zfs.arc.limit" "By" ["type"] on;
    /// Reads by whether the cache had the answer
    REQUESTS: Counter Int "system.linux.zfs.arc.requests" "{request}" ["result"] on;
}

fn collect(tick: &Tick, out: &mut Points) -> Result<(), CollectError> {
    let read = tick.read(zfs::read);
    let arc = read.map_err(|error| error.or_unavailable("ZFS is not loaded"))?;
    out.metric(&SIZE).maybe(arc.get("size"), &[]);
    let mut limit = out.metric(&LIMIT);
    for (name, kind) in [("c", "target"), ("c_min", "min"), ("c_max", "max")] {
        limit.maybe(arc.get(name), &[kind]);
    }
    let mut requests = out.metric(&REQUESTS);
    requests.maybe(arc.get("hits"), &["hit"]);
    requests.maybe(arc.get("misses"), &["miss"]);
    Ok(())
}
