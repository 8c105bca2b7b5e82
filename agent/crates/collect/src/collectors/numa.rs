//! Memory by NUMA node.

use hawsepipe_host::numa;

use crate::collector::{CollectError, Collector, Need};
use crate::points::Points;
use crate::tick::Tick;

pub(crate) static COLLECTOR: Collector = Collector {
    name: "numa",
    about: "Memory by NUMA node, on machines that have several. No receiver of the Collector tells it; the names \
            are ours",
    reads: &["/sys/devices/system/node"],
    needs: &[Need::Sys],
    default: false,
    metrics: METRICS,
    selects: None,
    top: None,
    new: |_options| Box::new(collect),
};

metrics! {
    /// Memory of the node, by the kernel's names (`MemFree`, `FilePages`), which overlap
    MEMORY: UpDownCounter Int "system.linux.numa.memory" "By" ["node", "name"] on;
    /// Pages that were given out: `hit` where they were wanted, `miss` and `foreign` where not, and how near (`local`, `other`)
    PAGES: Counter Int "system.linux.numa.pages" "{page}" ["node", "type"] on;
}

fn collect(tick: &Tick, out: &mut Points) -> Result<(), CollectError> {
    let read = tick.read(numa::read);
    let nodes = read.map_err(|error| error.or_unavailable("the kernel knows no NUMA nodes"))?;
    let mut memory = out.metric(&MEMORY);
    for node in nodes.iter() {
        let number = node.number.to_string();
        // Those are pages, no bytes.
        let bytes = node.memory.iter().filter(|(name, _)| !name.starts_with("HugePages_"));
        bytes.for_each(|(name, bytes)| memory.push(bytes, &[&number, name]));
    }
    let mut pages = out.metric(&PAGES);
    for node in nodes.iter() {
        let Some(of) = node.allocations else { continue };
        let number = node.number.to_string();
        for (kind, count) in [
            ("hit", of.hit),
            ("miss", of.miss),
            ("foreign", of.foreign),
            ("interleave_hit", of.interleave_hit),
            ("local", of.local),
            ("other", of.other),
        ] {
            pages.push(count, &[&number, kind]);
        }
    }
    Ok(())
}
