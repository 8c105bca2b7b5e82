//! What a cgroup used: the same of either version.

use crate::error::Skipped;

/// CPU time. Counters are since the cgroup was made, and count everything below it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CpuStats {
    /// All of it, in nanoseconds.
    pub usage_ns: u64,
    /// Periods of its limit in which it ran; 0 without a limit.
    pub periods: Option<u64>,
    /// Periods in which it had to wait for the next.
    pub throttled_periods: Option<u64>,
    /// For how long its CPUs waited, summed up over them, in nanoseconds.
    pub throttled_ns: Option<u64>,
}

/// Memory of a cgroup and everything below it. Sizes are in bytes and as of now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MemoryStats {
    /// All that is charged to it: programs, cache, and the kernel on its behalf.
    pub usage: u64,
    /// What cannot be had back easily: usage without the cache that was not used lately, never below 0. This is the
    /// kubelet's number, by cAdvisor's formula (`setMemoryStats` in `container/libcontainer/handler.go`), and the one
    /// that evictions go by.
    pub working_set: u64,
    /// Memory of programs that no file is behind (version 1 `total_rss`, version 2 `anon`).
    pub rss: u64,
    /// Cache of files, with tmpfs and shared memory (`total_cache`, `file`).
    pub cache: u64,
    /// Files mapped into programs (`total_mapped_file`, `file_mapped`).
    pub mapped_file: u64,
    /// Cache that was not used lately (`total_inactive_file`, `inactive_file`).
    pub inactive_file: u64,
    /// Memory that is swapped out; `None` where swap is not counted by cgroup.
    pub swap: Option<u64>,
    /// Page faults since it was made, major ones too.
    pub page_faults: u64,
    /// Page faults that waited for a disk.
    pub major_page_faults: u64,
}

impl MemoryStats {
    /// With the working set made of what is there.
    pub(super) fn with_working_set(self) -> Self {
        Self { working_set: self.usage.saturating_sub(self.inactive_file), ..self }
    }
}

/// Transfers of a cgroup and everything below it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IoStats {
    /// By device.
    pub devices: Vec<DeviceIo>,
    /// What was not understood.
    pub skipped: Skipped,
}

impl IoStats {
    /// The entry of a device, made when there is none.
    pub(super) fn device(&mut self, (major, minor): (u32, u32)) -> &mut DeviceIo {
        let known = self.devices.iter().position(|io| (io.major, io.minor) == (major, minor));
        let at = known.unwrap_or_else(|| {
            self.devices.push(DeviceIo { major, minor, ..DeviceIo::default() });
            self.devices.len() - 1
        });
        &mut self.devices[at]
    }
}

/// Transfers of one block device since the cgroup was made. Partitions are counted as their disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DeviceIo {
    /// Major number of the device.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
    /// Bytes read.
    pub read_bytes: u64,
    /// Bytes written.
    pub write_bytes: u64,
    /// Reads; 0 where they were not asked for.
    pub read_operations: u64,
    /// Writes; 0 where they were not asked for.
    pub write_operations: u64,
}
