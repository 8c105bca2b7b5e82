//! `/proc/diskstats`: what the block devices did since boot.
//!
//! Format: `Documentation/admin-guide/iostats.rst`. A sector is 512 bytes there, whatever the device's own is.

use crate::error::{ParseError, Problem, ReadError, Skipped};
use crate::text::{self, Fields};
use crate::{HostRoot, file};

/// Bytes of a sector in the kernel's own counting (`SECTOR_SIZE` in `include/linux/blk_types.h`).
const SECTOR: u64 = 512;

/// All block devices, partitions among them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Disks {
    /// In the file's order.
    pub disks: Vec<Disk>,
    /// What was not understood.
    pub skipped: Skipped,
}

/// A block device or a partition of one. Counters are since boot, or since the device came; before 5.0 the times wrap
/// at 2^32 ms.
#[derive(Debug, Clone, PartialEq)]
pub struct Disk {
    /// Major number of the device.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
    /// Its name (`sda1`).
    pub name: Box<str>,
    /// What was read.
    pub read: Transfers,
    /// What was written.
    pub write: Transfers,
    /// Requests that are on their way now.
    pub in_flight: u64,
    /// Seconds with at least one request on its way.
    pub io_time: f64,
    /// Seconds that requests were on their way, summed up over all of them.
    pub weighted_io_time: f64,
    /// What was discarded (since 4.18).
    pub discard: Option<Transfers>,
    /// Flushes of the device's cache (since 5.5).
    pub flush: Option<Flushes>,
}

/// Requests of one direction.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Transfers {
    /// Requests that were completed.
    pub operations: u64,
    /// Requests that went into a neighbouring one.
    pub merged: u64,
    /// Bytes.
    pub bytes: u64,
    /// Seconds that they took, summed up over all of them.
    pub time: f64,
}

/// Flushes of a device's cache.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Flushes {
    /// How many were completed.
    pub operations: u64,
    /// Seconds that they took.
    pub time: f64,
}

/// Reads `/proc/diskstats`.
///
/// # Errors
/// When the file cannot be read, or nothing in it is understood.
pub fn read(root: &HostRoot) -> Result<Disks, ReadError> {
    file::parse(root.proc("diskstats"), parse)
}

/// Parses the text of `/proc/diskstats`. An empty text is a host without disks.
///
/// # Errors
/// When no line is understood and there are some.
pub fn parse(bytes: &[u8]) -> Result<Disks, ParseError> {
    let mut disks = Disks::default();
    for mut line in text::lines(bytes) {
        disks.disks.extend(disks.skipped.keep(disk(&mut line)));
    }
    match disks.skipped.first {
        Some(error) if disks.disks.is_empty() => Err(error),
        _ => Ok(disks),
    }
}

fn disk(line: &mut Fields<'_>) -> Result<Disk, ParseError> {
    Ok(Disk {
        major: number(line, "major")?,
        minor: number(line, "minor")?,
        name: line.text("device")?,
        read: transfers(line, ["reads", "reads merged", "sectors read", "read time"])?,
        write: transfers(line, ["writes", "writes merged", "sectors written", "write time"])?,
        in_flight: line.u64("in flight")?,
        io_time: line.u64("io time").map(seconds)?,
        weighted_io_time: line.u64("weighted io time").map(seconds)?,
        discard: newer(line, |line| {
            transfers(line, ["discards", "discards merged", "sectors discarded", "discard time"])
        })?,
        flush: newer(line, |line| {
            Ok(Flushes {
                operations: line.u64("flushes")?,
                time: line.u64("flush time").map(seconds)?,
            })
        })?,
    })
}

fn transfers(line: &mut Fields<'_>, names: [&'static str; 4]) -> Result<Transfers, ParseError> {
    Ok(Transfers {
        operations: line.u64(names[0])?,
        merged: line.u64(names[1])?,
        bytes: line.u64(names[2])?.saturating_mul(SECTOR),
        time: line.u64(names[3]).map(seconds)?,
    })
}

/// Fields that are all there or, in an older kernel, all missing.
fn newer<T>(
    line: &mut Fields<'_>,
    read: impl FnOnce(&mut Fields<'_>) -> Result<T, ParseError>,
) -> Result<Option<T>, ParseError> {
    if line.rest().is_empty() { Ok(None) } else { read(line).map(Some) }
}

fn number(line: &mut Fields<'_>, field: &'static str) -> Result<u32, ParseError> {
    let number = line.u64(field)?;
    u32::try_from(number).map_err(|_too_large| line.error(field, Problem::NotANumber))
}

#[allow(clippy::cast_precision_loss)]
fn seconds(milliseconds: u64) -> f64 {
    milliseconds as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_of_every_age_are_read() {
        let text = b"   8       0 sda 1 2 3 4 5 6 7 8 9 10 11\n\
            8 1 sda1 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15\n\
            8 2 sda2 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19\n";
        let disks = parse(text).expect("parsed").disks;
        assert_eq!(disks[0].read, Transfers { operations: 1, merged: 2, bytes: 1536, time: 0.004 });
        assert_eq!(
            disks[0].write,
            Transfers { operations: 5, merged: 6, bytes: 3584, time: 0.008 }
        );
        assert_eq!(
            (disks[0].in_flight, disks[0].io_time, disks[0].weighted_io_time),
            (9, 0.01, 0.011)
        );
        assert_eq!((disks[0].discard, disks[0].flush), (None, None));
        let discard = Transfers { operations: 12, merged: 13, bytes: 7168, time: 0.015 };
        assert_eq!((disks[1].discard, disks[1].flush), (Some(discard), None));
        assert_eq!(disks[2].flush, Some(Flushes { operations: 16, time: 0.017 }));
        assert_eq!((disks[2].major, disks[2].minor, &*disks[2].name), (8, 2, "sda2"));
    }

    #[test]
    fn a_disk_that_is_not_understood_costs_that_disk() {
        let disks = parse(b"8 0 sda 1 2 3\n8 16 sdb 1 2 3 4 5 6 7 8 9 10 11\n").expect("parsed");
        assert_eq!(disks.disks.len(), 1);
        let first = ParseError { line: 1, field: "read time", problem: Problem::Missing };
        assert_eq!(disks.skipped, Skipped { lines: 1, first: Some(first) });
        assert!(parse(b"garbage\n").is_err());
        assert_eq!(parse(b""), Ok(Disks::default()));
    }
}
