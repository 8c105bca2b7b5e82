//! The files of version 2. Format: `Documentation/admin-guide/cgroup-v2.rst`.

use super::folder::Folder;
use super::stats::{CpuStats, IoStats, MemoryStats};
use crate::error::{ParseError, Problem, ReadError};
use crate::text::{self, Fields};

pub(super) fn cpu(folder: &Folder<'_>) -> Result<CpuStats, ReadError> {
    let mut stats = CpuStats::default();
    let mut usage = None;
    // Periods are there only where the controller is on.
    folder.pairs("cpu.stat", |name, number| {
        let microseconds = number.saturating_mul(1000);
        match name {
            b"usage_usec" => usage = Some(microseconds),
            b"nr_periods" => stats.periods = Some(number),
            b"nr_throttled" => stats.throttled_periods = Some(number),
            b"throttled_usec" => stats.throttled_ns = Some(microseconds),
            _ => {}
        }
    })?;
    let source = ParseError { line: 1, field: "usage_usec", problem: Problem::Missing };
    stats.usage_ns =
        usage.ok_or_else(|| ReadError::Parse { path: folder.path("cpu.stat"), source })?;
    Ok(stats)
}

pub(super) fn memory(folder: &Folder<'_>, is_top: bool) -> Result<MemoryStats, ReadError> {
    let mut stats = MemoryStats::default();
    folder.pairs("memory.stat", |name, number| match name {
        b"anon" => stats.rss = number,
        b"file" => stats.cache = number,
        b"file_mapped" => stats.mapped_file = number,
        b"inactive_file" => stats.inactive_file = number,
        b"pgfault" => stats.page_faults = number,
        b"pgmajfault" => stats.major_page_faults = number,
        _ => {}
    })?;
    stats.usage = if is_top {
        // The top has no number of its own. runc, and so the kubelet, take this sum for it (`rootStatsFromMeminfo`):
        // it is what version 1 says.
        stats.rss.saturating_add(stats.cache)
    } else {
        folder.required("memory.current")?
    };
    stats.swap = folder.optional("memory.swap.current");
    Ok(stats.with_working_set())
}

pub(super) fn io(folder: &Folder<'_>) -> Result<IoStats, ReadError> {
    folder.parse("io.stat", |bytes| Ok(parse_io(bytes)))
}

/// Lines of `8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6`.
pub(super) fn parse_io(bytes: &[u8]) -> IoStats {
    let mut stats = IoStats::default();
    for mut line in text::lines(bytes) {
        let read = device_io(&mut line, &mut stats);
        stats.skipped.keep(read);
    }
    stats
}

fn device_io(line: &mut Fields<'_>, stats: &mut IoStats) -> Result<(), ParseError> {
    let first = line.word("device")?;
    let mut device =
        text::device_number(first).ok_or_else(|| line.error("device", Problem::Malformed))?;
    while let Some(field) = line.next() {
        let Some(equals) = memchr::memchr(b'=', field) else {
            // Some kernels write a device without numbers and no end of the line behind it: the next device follows.
            device = text::device_number(field)
                .ok_or_else(|| line.error("device", Problem::Malformed))?;
            continue;
        };
        let name = &field[..equals];
        if !matches!(name, b"rbytes" | b"wbytes" | b"rios" | b"wios") {
            continue;
        }
        let number = text::u64(&field[equals + 1..])
            .ok_or_else(|| line.error("value", Problem::NotANumber))?;
        let io = stats.device(device);
        match name {
            b"rbytes" => io.read_bytes = number,
            b"wbytes" => io.write_bytes = number,
            b"rios" => io.read_operations = number,
            _ => io.write_operations = number,
        }
    }
    Ok(())
}
