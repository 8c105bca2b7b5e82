//! What the disks do.

use hawsepipe_host::diskstats::{self, Disk};

use crate::collector::{Collect, CollectError, Collector, Need};
use crate::points::Points;
use crate::settings::Globs;
use crate::tick::Tick;

pub(crate) static COLLECTOR: Collector = Collector {
    name: "disk",
    about: "What the block devices and their partitions do. One that has done nothing since boot is left out",
    reads: &["/proc/diskstats"],
    needs: &[Need::Proc],
    default: true,
    metrics: METRICS,
    selects: Some("devices by their name (`sda1`)"),
    top: None,
    new: |options| Box::new(Disks { select: options.select.clone() }),
};

metrics! {
    /// Bytes read and written
    IO: Counter Int "system.disk.io" "By" ["device", "direction"] on;
    /// Reads and writes that were completed
    OPERATIONS: Counter Int "system.disk.operations" "{operations}" ["device", "direction"] on;
    /// Time with at least one request on its way
    IO_TIME: Counter Double "system.disk.io_time" "s" ["device"] on;
    /// Time that reads and writes took, summed up over all of them
    OPERATION_TIME: Counter Double "system.disk.operation_time" "s" ["device", "direction"] on;
    /// Time with requests on their way, times their number
    WEIGHTED_IO_TIME: Counter Double "system.disk.weighted_io_time" "s" ["device"] on;
    /// Reads and writes that went into a neighbouring one
    MERGED: Counter Int "system.disk.merged" "{operations}" ["device", "direction"] on;
    /// Discards (`discard`, `discard_merged`: into a neighbouring one) and flushes of the device's cache (`flush`)
    OTHERS: Counter Int "system.linux.disk.operations" "{operation}" ["device", "type"] off;
    /// Time that discards and flushes took, summed up over all of them
    OTHERS_TIME: Counter Double "system.linux.disk.operation_time" "s" ["device", "type"] off;
    /// Bytes that were discarded
    DISCARDED: Counter Int "system.linux.disk.discarded" "By" ["device"] off;
    /// Requests on their way now
    PENDING: UpDownCounter Int "system.disk.pending_operations" "{operations}" ["device"] on;
}

struct Disks {
    select: Globs,
}

impl Collect for Disks {
    fn collect(&mut self, tick: &Tick, out: &mut Points) -> Result<(), CollectError> {
        let all = tick.read(diskstats::read)?;
        let told = |disk: &&Disk| {
            disk.read.operations + disk.write.operations > 0 && self.select.take(&disk.name)
        };
        let disks: Vec<_> = all.disks.iter().filter(told).collect();
        let directions = |disk: &Disk| [("read", disk.read), ("write", disk.write)];
        let mut series = out.metric(&IO);
        for disk in &disks {
            for (direction, of) in directions(disk) {
                series.push(of.bytes, &[&disk.name, direction]);
            }
        }
        let mut series = out.metric(&OPERATIONS);
        for disk in &disks {
            for (direction, of) in directions(disk) {
                series.push(of.operations, &[&disk.name, direction]);
            }
        }
        let mut series = out.metric(&IO_TIME);
        for disk in &disks {
            series.push(disk.io_time, &[&disk.name]);
        }
        let mut series = out.metric(&OPERATION_TIME);
        for disk in &disks {
            for (direction, of) in directions(disk) {
                series.push(of.time, &[&disk.name, direction]);
            }
        }
        let mut series = out.metric(&WEIGHTED_IO_TIME);
        for disk in &disks {
            series.push(disk.weighted_io_time, &[&disk.name]);
        }
        let mut series = out.metric(&MERGED);
        for disk in &disks {
            for (direction, of) in directions(disk) {
                series.push(of.merged, &[&disk.name, direction]);
            }
        }
        let mut series = out.metric(&OTHERS);
        for disk in &disks {
            series.maybe(disk.discard.map(|it| it.operations), &[&disk.name, "discard"]);
            series.maybe(disk.discard.map(|it| it.merged), &[&disk.name, "discard_merged"]);
            series.maybe(disk.flush.map(|it| it.operations), &[&disk.name, "flush"]);
        }
        let mut series = out.metric(&OTHERS_TIME);
        for disk in &disks {
            series.maybe(disk.discard.map(|it| it.time), &[&disk.name, "discard"]);
            series.maybe(disk.flush.map(|it| it.time), &[&disk.name, "flush"]);
        }
        let mut series = out.metric(&DISCARDED);
        for disk in &disks {
            series.maybe(disk.discard.map(|it| it.bytes), &[&disk.name]);
        }
        let mut series = out.metric(&PENDING);
        for disk in &disks {
            series.push(disk.in_flight, &[&disk.name]);
        }
        Ok(())
    }
}
