//! How btrfs file systems share out their disks.

use hawsepipe_host::btrfs::{self, Btrfs};

use crate::collector::{CollectError, Collector, Need};
use crate::points::Points;
use crate::tick::Tick;

pub(crate) static COLLECTOR: Collector = Collector {
    name: "btrfs",
    about: "How btrfs file systems share out their disks, which `statfs` cannot say, and the errors of those. No \
            receiver of the Collector tells it; the names are ours",
    reads: &["/sys/fs/btrfs/*/allocation", "/sys/fs/btrfs/*/devinfo"],
    needs: &[Need::Sys],
    default: true,
    metrics: METRICS,
    selects: None,
    top: None,
    new: |_options| Box::new(collect),
};

metrics! {
    /// Bytes that each kind of block was given, `used` and `free`
    USAGE: UpDownCounter Int "system.linux.btrfs.usage" "By" ["uuid", "kind", "state"] on;
    /// Bytes of the disks behind each kind of block: more than it has where blocks are kept twice
    DISK_USAGE: UpDownCounter Int "system.linux.btrfs.disk.usage" "By" ["uuid", "kind"] on;
    /// Bytes that are kept back so that there is always room to free some
    RESERVE: UpDownCounter Int "system.linux.btrfs.reserve" "By" ["uuid"] on;
    /// Errors of each disk, by its number in the file system
    ERRORS: Counter Int "system.linux.btrfs.device.errors" "{error}"
        ["uuid", "device", "error.type"] on;
}

fn collect(tick: &Tick, out: &mut Points) -> Result<(), CollectError> {
    let read = tick.read(btrfs::read);
    let all = read.map_err(|error| error.or_unavailable("the kernel has no btrfs"))?;
    let kinds = |of: &Btrfs| {
        let kinds = [("data", of.data), ("metadata", of.metadata), ("system", of.system)];
        kinds.into_iter().filter_map(|(kind, allocation)| Some((kind, allocation?)))
    };
    let mut usage = out.metric(&USAGE);
    for of in all.iter() {
        for (kind, allocation) in kinds(of) {
            usage.push(allocation.used, &[&of.uuid, kind, "used"]);
            let free = allocation.total.saturating_sub(allocation.used);
            usage.push(free, &[&of.uuid, kind, "free"]);
        }
    }
    let mut disks = out.metric(&DISK_USAGE);
    for of in all.iter() {
        for (kind, allocation) in kinds(of) {
            disks.push(allocation.disk_total, &[&of.uuid, kind]);
        }
    }
    let mut reserve = out.metric(&RESERVE);
    for of in all.iter() {
        reserve.maybe(of.reserve, &[&of.uuid]);
    }
    let mut errors = out.metric(&ERRORS);
    for of in all.iter() {
        for device in &of.devices {
            let number = device.number.to_string();
            for (kind, count) in [
                ("write", device.write_errors),
                ("read", device.read_errors),
                ("flush", device.flush_errors),
                ("corruption", device.corruption_errors),
                ("generation", device.generation_errors),
            ] {
                errors.push(count, &[&of.uuid, &number, kind]);
            }
        }
    }
    Ok(())
}
