//! The host's processes, all read once: by those who count them and by those who look for the largest.

use hawsepipe_host::process::{self, ProcessStat, Scanned, State};
use hawsepipe_host::{HostRoot, ReadError};

/// The processes of a host.
#[derive(Debug)]
pub(crate) struct Census {
    pub(crate) processes: Vec<Process>,
    pub(crate) scanned: Scanned,
}

/// A process, in a few bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    pub(crate) parent: u32,
    pub(crate) state: State,
    /// When it started, in ticks since boot; with the pid, what tells it from an earlier one of the same number.
    pub(crate) start_ticks: u64,
    /// When it started, in seconds since boot.
    pub(crate) start: f64,
    pub(crate) user: f64,
    pub(crate) system: f64,
    pub(crate) resident: u64,
    pub(crate) virtual_memory: u64,
    pub(crate) threads: u64,
    pub(crate) minor_faults: u64,
    pub(crate) major_faults: u64,
    /// `TASK_COMM_LEN` of `include/linux/sched.h`.
    name: [u8; 16],
}

impl Process {
    fn of(stat: &ProcessStat<'_>) -> Self {
        let mut name = [0; 16];
        name.iter_mut().zip(stat.name).for_each(|(to, from)| *to = *from);
        Self {
            pid: stat.pid,
            parent: stat.parent,
            state: stat.state,
            start_ticks: stat.start_ticks,
            start: stat.start_time(),
            user: stat.user_time,
            system: stat.system_time,
            resident: stat.resident_memory,
            virtual_memory: stat.virtual_memory,
            threads: stat.threads,
            minor_faults: stat.minor_faults,
            major_faults: stat.major_faults,
            name,
        }
    }

    /// CPU seconds of either kind.
    pub(crate) fn cpu(&self) -> f64 {
        self.user + self.system
    }

    /// Its name, as the kernel has it.
    pub(crate) fn name(&self) -> String {
        let end = self.name.iter().position(|byte| *byte == 0).unwrap_or(self.name.len());
        String::from_utf8_lossy(&self.name[..end]).into_owned()
    }
}

/// Reads every process.
pub(crate) fn read(root: &HostRoot) -> Result<Census, ReadError> {
    let mut processes = Vec::with_capacity(256);
    let scanned = process::scan(root, |stat| processes.push(Process::of(stat)))?;
    Ok(Census { processes, scanned })
}
