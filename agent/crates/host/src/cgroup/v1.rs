//! The files of version 1. Format: `Documentation/admin-guide/cgroup-v1/`.

use super::folder::Folder;
use super::stats::{CpuStats, IoStats, MemoryStats};
use crate::error::{ParseError, Problem, ReadError};
use crate::file;
use crate::text::{self, Fields};

/// No limit is written as the largest number of whole pages below 2^63 (`PAGE_COUNTER_MAX`). No host has half of that.
const NO_LIMIT: u64 = 1 << 62;

/// In nanoseconds; `accounting` is the folder of the controller `cpuacct`.
pub(super) fn cpu_time(accounting: &Folder<'_>) -> Result<u64, ReadError> {
    accounting.required("cpuacct.usage")
}

/// `accounting` is the folder of the controller `cpuacct`, `cpu` that of `cpu`; they mostly are the same.
pub(super) fn cpu(
    accounting: &Folder<'_>,
    cpu: Option<&Folder<'_>>,
) -> Result<CpuStats, ReadError> {
    let mut stats = CpuStats { usage_ns: cpu_time(accounting)?, ..CpuStats::default() };
    if let Some(cpu) = cpu {
        let throttling = cpu.pairs("cpu.stat", |name, number| match name {
            b"nr_periods" => stats.periods = Some(number),
            b"nr_throttled" => stats.throttled_periods = Some(number),
            b"throttled_time" => stats.throttled_ns = Some(number),
            _ => {}
        });
        file::optional(throttling);
    }
    Ok(stats)
}

pub(super) fn memory(folder: &Folder<'_>) -> Result<MemoryStats, ReadError> {
    let mut stats =
        MemoryStats { usage: folder.required("memory.usage_in_bytes")?, ..MemoryStats::default() };
    // `total_` counts what is below, as the usage does. Swap stands there only where it is counted at all.
    folder.pairs("memory.stat", |name, number| match name {
        b"total_rss" => stats.rss = number,
        b"total_cache" => stats.cache = number,
        b"total_mapped_file" => stats.mapped_file = number,
        b"total_inactive_file" => stats.inactive_file = number,
        b"total_swap" => stats.swap = Some(number),
        b"total_pgfault" => stats.page_faults = number,
        b"total_pgmajfault" => stats.major_page_faults = number,
        _ => {}
    })?;
    Ok(stats.with_working_set())
}

/// -1 is none; the kernel takes no other number below 0.
pub(super) fn has_quota(folder: &Folder<'_>) -> Result<bool, ReadError> {
    let quota = folder.parse("cpu.cfs_quota_us", |bytes| Ok(text::i64(bytes.trim_ascii())))?;
    Ok(quota != Some(-1))
}

pub(super) fn memory_limit(folder: &Folder<'_>) -> Result<Option<u64>, ReadError> {
    let limit = folder.required("memory.limit_in_bytes")?;
    Ok(Some(limit).filter(|limit| *limit < NO_LIMIT))
}

/// Bytes, and operations if they are asked for. The files of the I/O scheduler that the kernel had before, or that BFQ has, are in the
/// others too.
pub(super) fn io(folder: &Folder<'_>, operations: bool) -> Result<IoStats, ReadError> {
    let mut stats = IoStats::default();
    let mut each = |name: &str, is_bytes: bool| {
        let recursive = format!("blkio.throttle.{name}_recursive");
        let add = |bytes: &[u8], stats: &mut IoStats| {
            add_transfers(bytes, is_bytes, stats);
            Ok::<(), ParseError>(())
        };
        match folder.parse(&recursive, |bytes| add(bytes, &mut stats)) {
            // Before 4.20. A container has nothing below it that would be missed.
            Err(ReadError::Missing { .. }) => {
                folder.parse(&format!("blkio.throttle.{name}"), |bytes| add(bytes, &mut stats))
            }
            read => read,
        }
    };
    each("io_service_bytes", true)?;
    if operations {
        each("io_serviced", false)?;
    }
    Ok(stats)
}

/// Lines of `8:0 Read 4096`, and a last one of `Total 4096`.
pub(super) fn add_transfers(bytes: &[u8], is_bytes: bool, stats: &mut IoStats) {
    for mut line in text::lines(bytes) {
        let added = add_transfer(&mut line, is_bytes, stats);
        stats.skipped.keep(added);
    }
}

fn add_transfer(
    line: &mut Fields<'_>,
    is_bytes: bool,
    stats: &mut IoStats,
) -> Result<(), ParseError> {
    let device = line.word("device")?;
    if device == b"Total" {
        return Ok(());
    }
    let device =
        text::device_number(device).ok_or_else(|| line.error("device", Problem::Malformed))?;
    // `Sync`, `Async` and `Total` are the same again, `Discard` is neither.
    let is_read = match line.word("operation")? {
        b"Read" => true,
        b"Write" => false,
        _ => return Ok(()),
    };
    let number = line.u64("value")?;
    let io = stats.device(device);
    match (is_read, is_bytes) {
        (true, true) => io.read_bytes = number,
        (false, true) => io.write_bytes = number,
        (true, false) => io.read_operations = number,
        (false, false) => io.write_operations = number,
    }
    Ok(())
}
