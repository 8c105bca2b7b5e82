//! What memory is used for.

use hawsepipe_host::meminfo::{self, Meminfo};

use crate::collector::{CollectError, Collector, Need};
use crate::points::{Points, ratio};
use crate::tick::Tick;

pub(crate) static COLLECTOR: Collector = Collector {
    name: "memory",
    about: "What memory is used for",
    reads: &["/proc/meminfo"],
    needs: &[Need::Proc],
    default: true,
    metrics: METRICS,
    selects: None,
    top: None,
    new: |_options| Box::new(collect),
};

metrics! {
    /// Memory in each state. `used` is what is not available to new programs; the caches overlap with it in part
    USAGE: UpDownCounter Int "system.memory.usage" "By" ["state"] on;
    /// Part of the memory in each state
    UTILIZATION: Gauge Double "system.memory.utilization" "1" ["state"] off;
    /// Memory that the kernel can use
    LIMIT: UpDownCounter Int "system.memory.limit" "By" [] off;
    /// Memory that new programs could have without swapping, by the kernel's estimate
    AVAILABLE: UpDownCounter Int "system.linux.memory.available" "By" [] off;
    /// Memory that waits to be written to a disk
    DIRTY: UpDownCounter Int "system.linux.memory.dirty" "By" [] off;
    /// Memory in tmpfs and shared between processes
    SHARED: UpDownCounter Int "system.memory.linux.shared" "By" [] off;
    /// Memory by the kernel's own names in `/proc/meminfo`, which overlap
    MEMINFO: UpDownCounter Int "system.linux.meminfo" "By" ["name"] off;
    /// Size of a page
    PAGE_SIZE: Gauge Int "system.memory.page_size" "By" [] off;
    /// Huge pages of the default size
    HUGE_LIMIT: UpDownCounter Int "system.memory.linux.hugepages.limit" "{page}" [] off;
    /// Huge pages in each state
    HUGE_USAGE: UpDownCounter Int "system.memory.linux.hugepages.usage" "{page}"
        ["system.memory.linux.hugepages.state"] off;
    /// Part of the huge pages in each state
    HUGE_UTILIZATION: Gauge Double "system.memory.linux.hugepages.utilization" "1"
        ["system.memory.linux.hugepages.state"] off;
    /// Huge pages that are promised and not used yet; they are among the free ones
    HUGE_RESERVED: UpDownCounter Int "system.memory.linux.hugepages.reserved" "{page}" [] off;
    /// Huge pages above the configured number
    HUGE_SURPLUS: UpDownCounter Int "system.memory.linux.hugepages.surplus" "{page}" [] off;
    /// Default size of a huge page
    HUGE_SIZE: UpDownCounter Int "system.memory.linux.hugepages.page_size" "By" [] off;
}

fn collect(tick: &Tick, out: &mut Points) -> Result<(), CollectError> {
    let memory = tick.read(meminfo::read)?;
    let total = memory.total().unwrap_or(0);
    let states = states(&memory);
    let mut usage = out.metric(&USAGE);
    for (state, bytes) in states {
        usage.maybe(bytes, &[state]);
    }
    let mut utilization = out.metric(&UTILIZATION);
    for (state, bytes) in states {
        utilization.maybe(bytes.and_then(|bytes| ratio(bytes, total)), &[state]);
    }
    out.metric(&LIMIT).maybe(memory.total(), &[]);
    out.metric(&AVAILABLE).maybe(memory.available(), &[]);
    out.metric(&DIRTY).maybe(memory.dirty(), &[]);
    out.metric(&SHARED).maybe(memory.shared(), &[]);
    let mut meminfo = out.metric(&MEMINFO);
    // Those are pages, no bytes, and have metrics of their own.
    let bytes = memory.iter().filter(|(name, _)| !name.starts_with("HugePages_"));
    bytes.for_each(|(name, bytes)| meminfo.push(bytes, &[name]));
    out.metric(&PAGE_SIZE).push(rustix::param::page_size() as u64, &[]);
    huge_pages(&memory, out);
    Ok(())
}

/// By the Collector's formulas: `used` is what the kernel does not call available (its feature gate
/// `UseLinuxMemAvailable`, which is on), before Linux 3.14 what is neither free nor a cache; `cached` holds the slab
/// that can be given back.
fn states(memory: &Meminfo) -> [(&'static str, Option<u64>); 6] {
    let cached = memory.cached().map(|it| it + memory.slab_reclaimable().unwrap_or(0));
    let caches = memory.buffers().unwrap_or(0) + cached.unwrap_or(0);
    let available = memory.available().or_else(|| Some(memory.free()?.saturating_add(caches)));
    let used = memory.total().zip(available);
    [
        ("used", used.map(|(total, available)| total.saturating_sub(available))),
        ("free", memory.free()),
        ("buffered", memory.buffers()),
        ("cached", cached),
        ("slab_reclaimable", memory.slab_reclaimable()),
        ("slab_unreclaimable", memory.slab_unreclaimable()),
    ]
}

fn huge_pages(memory: &Meminfo, out: &mut Points) {
    out.metric(&HUGE_LIMIT).maybe(memory.hugepages_total(), &[]);
    if let (Some(total), Some(free)) = (memory.hugepages_total(), memory.hugepages_free()) {
        let states = [("free", free), ("used", total.saturating_sub(free))];
        let mut usage = out.metric(&HUGE_USAGE);
        for (state, pages) in states {
            usage.push(pages, &[state]);
        }
        let mut utilization = out.metric(&HUGE_UTILIZATION);
        for (state, pages) in states {
            utilization.maybe(ratio(pages, total), &[state]);
        }
    }
    out.metric(&HUGE_RESERVED).maybe(memory.hugepages_reserved(), &[]);
    out.metric(&HUGE_SURPLUS).maybe(memory.hugepages_surplus(), &[]);
    out.metric(&HUGE_SIZE).maybe(memory.hugepage_size(), &[]);
}
