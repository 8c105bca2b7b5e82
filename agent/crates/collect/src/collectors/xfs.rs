//! What XFS file systems do.

use hawsepipe_host::xfs::{self, XfsStats};

use crate::collector::{CollectError, Collector, Need};
use crate::points::Points;
use crate::tick::Tick;

pub(crate) static COLLECTOR: Collector = Collector {
    name: "xfs",
    about: "What XFS file systems did since they were mounted. No receiver of the Collector tells it; the names \
            are ours",
    reads: &["/sys/fs/xfs/*/stats/stats"],
    needs: &[Need::Sys],
    default: true,
    metrics: METRICS,
    selects: None,
    top: None,
    new: |_options| Box::new(collect),
};

metrics! {
    /// Bytes read and written by programs
    IO: Counter Int "system.linux.xfs.io" "By" ["device", "direction"] on;
    /// Calls to read and to write
    CALLS: Counter Int "system.linux.xfs.operations" "{operation}" ["device", "direction"] on;
    /// Look-ups of names, files made and removed, and readings of folders
    DIRECTORIES: Counter Int "system.linux.xfs.directory.operations" "{operation}"
        ["device", "type"] on;
    /// Extents that were given to files and taken back
    EXTENTS: Counter Int "system.linux.xfs.extents" "{extent}" ["device", "type"] off;
    /// Blocks in those extents
    BLOCKS: Counter Int "system.linux.xfs.blocks" "{block}" ["device", "type"] off;
}

fn collect(tick: &Tick, out: &mut Points) -> Result<(), CollectError> {
    let read = tick.read(xfs::read);
    let all = read.map_err(|error| error.or_unavailable("the kernel has no XFS"))?;
    let mut two = |metric, names: [&str; 2], of: fn(&XfsStats) -> [u64; 2]| {
        let mut series = out.metric(metric);
        for stats in all.iter() {
            for (name, count) in names.into_iter().zip(of(stats)) {
                series.push(count, &[&stats.device, name]);
            }
        }
    };
    two(&IO, ["read", "write"], |it| [it.read_bytes, it.written_bytes]);
    two(&CALLS, ["read", "write"], |it| [it.read_calls, it.write_calls]);
    two(&EXTENTS, ["allocated", "freed"], |it| [it.extents_allocated, it.extents_freed]);
    two(&BLOCKS, ["allocated", "freed"], |it| [it.blocks_allocated, it.blocks_freed]);
    let mut directories = out.metric(&DIRECTORIES);
    for stats in all.iter() {
        let names = ["lookup", "create", "remove", "list"];
        for (name, count) in names.into_iter().zip(stats.directories) {
            directories.push(count, &[&stats.device, name]);
        }
    }
    Ok(())
}
