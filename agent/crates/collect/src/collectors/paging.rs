//! Swap, and the pages that go to and from the disks.

use hawsepipe_host::{swaps, vmstat};

use crate::collector::{CollectError, Collector, Need};
use crate::points::{Points, ratio};
use crate::tick::Tick;

pub(crate) static COLLECTOR: Collector = Collector {
    name: "paging",
    about: "Swap, page faults, and the pages that go to and from the disks",
    reads: &["/proc/swaps", "/proc/vmstat"],
    needs: &[Need::Proc],
    default: true,
    metrics: METRICS,
    selects: None,
    top: None,
    new: |_options| Box::new(collect),
};

metrics! {
    /// Bytes of each swap device or file in each state
    USAGE: UpDownCounter Int "system.paging.usage" "By" ["device", "state"] on;
    /// Part of each swap device or file in each state
    UTILIZATION: Gauge Double "system.paging.utilization" "1" ["device", "state"] off;
    /// Pages that went to and from swap (`major`) and to and from any block device (`minor`)
    OPERATIONS: Counter Int "system.paging.operations" "{operations}" ["direction", "type"] on;
    /// Page faults that waited for a disk (`major`) and that did not (`minor`)
    FAULTS: Counter Int "system.paging.faults" "{faults}" ["type"] on;
}

fn collect(tick: &Tick, out: &mut Points) -> Result<(), CollectError> {
    match tick.read(swaps::read) {
        Ok(swaps) => {
            let states =
                |of: &swaps::Swap| [("used", of.used), ("free", of.size - of.used.min(of.size))];
            let mut usage = out.metric(&USAGE);
            for swap in &swaps.swaps {
                for (state, bytes) in states(swap) {
                    usage.push(bytes, &[&swap.name, state]);
                }
            }
            let mut utilization = out.metric(&UTILIZATION);
            for swap in &swaps.swaps {
                for (state, bytes) in states(swap) {
                    utilization.maybe(ratio(bytes, swap.size), &[&swap.name, state]);
                }
            }
        }
        // A kernel without swap.
        Err(CollectError::Read(error)) if error.is_missing() => {}
        Err(error) => out.problem(error),
    }
    let counted = tick.read(vmstat::read)?;
    let page = rustix::param::page_size() as u64;
    let pages = |bytes: Option<u64>| bytes.map(|bytes| bytes / page);
    let mut operations = out.metric(&OPERATIONS);
    operations.maybe(counted.swapped_in_pages(), &["page_in", "major"]);
    operations.maybe(counted.swapped_out_pages(), &["page_out", "major"]);
    operations.maybe(pages(counted.paged_in_bytes()), &["page_in", "minor"]);
    operations.maybe(pages(counted.paged_out_bytes()), &["page_out", "minor"]);
    let major = counted.major_page_faults();
    let minor = counted.page_faults().zip(major).map(|(all, major)| all.saturating_sub(major));
    let mut faults = out.metric(&FAULTS);
    faults.maybe(major, &["major"]);
    faults.maybe(minor, &["minor"]);
    Ok(())
}
