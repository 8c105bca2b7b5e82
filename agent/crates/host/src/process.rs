//! `/proc/PID`: the host's processes.
//!
//! In: the folder of processes, which changes while it is read. Out: one `stat` line after the other, lent to a
//! closure; counts of states made of them; details of one process. What always holds: a process that ends between the
//! listing and the reading is no error; a scan costs an open, a read and a close for each process and keeps nothing
//! of it. Format: `proc_pid_stat(5)` and its neighbours.

mod details;
mod line;
mod top;

use std::ffi::CStr;

use rustix::fs::{Mode, OFlags, RawDir, open, openat};

pub use details::{Io, Status, command_line, io, open_files, status};
pub use line::{ProcessStat, State, parse_stat};
pub use top::Top;

use crate::error::{ReadError, Skipped};
use crate::{HostRoot, file, text};

/// What came of a scan beside the processes themselves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scanned {
    /// Processes that were read.
    pub processes: u64,
    /// Processes that ended between the listing and the reading.
    pub vanished: u64,
    /// Processes that could not be read (`hidepid`, a security module).
    pub refused: u64,
    /// Processes whose `stat` was not understood.
    pub skipped: Skipped,
}

/// Processes by state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProcessCounts {
    /// How many there are in each of [`State::ALL`].
    pub states: [u64; State::ALL.len()],
    /// Their threads.
    pub threads: u64,
    /// How they were found.
    pub scanned: Scanned,
}

impl ProcessCounts {
    /// How many processes are in a state.
    #[must_use]
    pub fn get(&self, state: State) -> u64 {
        State::ALL
            .iter()
            .zip(self.states)
            .find(|(known, _)| **known == state)
            .map_or(0, |(_, count)| count)
    }

    /// States and how many processes are in each.
    pub fn iter(&self) -> impl Iterator<Item = (State, u64)> {
        State::ALL.into_iter().zip(self.states)
    }

    fn add(&mut self, process: &ProcessStat<'_>) {
        self.threads = self.threads.saturating_add(process.threads);
        for (known, count) in State::ALL.iter().zip(&mut self.states) {
            if *known == process.state {
                *count = count.saturating_add(1);
            }
        }
    }
}

/// Counts the host's processes by state.
///
/// # Errors
/// When `/proc` cannot be listed.
pub fn read(root: &HostRoot) -> Result<ProcessCounts, ReadError> {
    let mut counts = ProcessCounts::default();
    counts.scanned = scan(root, |process| counts.add(process))?;
    Ok(counts)
}

/// Lends the `stat` of every process to `each`, in the kernel's order.
///
/// # Errors
/// When `/proc` cannot be listed.
pub fn scan(root: &HostRoot, mut each: impl FnMut(&ProcessStat<'_>)) -> Result<Scanned, ReadError> {
    let proc = root.proc("");
    let failed = |errno: rustix::io::Errno| ReadError::from_io(&proc, errno.into());
    let folder = open(&proc, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(failed)?;
    let mut scanned = Scanned::default();
    let mut listing = Vec::with_capacity(LISTING);
    let mut entries = RawDir::new(&folder, listing.spare_capacity_mut());
    let mut path = Vec::with_capacity(32);
    let mut line = [0; LINE];
    while let Some(entry) = entries.next() {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_bytes();
        if text::u32(name).is_none() {
            continue;
        }
        path.clear();
        path.extend_from_slice(name);
        path.extend_from_slice(b"/stat\0");
        let Ok(path) = CStr::from_bytes_with_nul(&path) else { continue };
        let read = openat(&folder, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            // The kernel writes the line in one go (`single_open`), and it is shorter than this.
            .and_then(|file| rustix::io::read(file, &mut line));
        match read {
            Ok(0) => scanned.vanished += 1,
            Ok(size) => match parse_stat(&line[..size]) {
                Ok(process) => {
                    scanned.processes += 1;
                    each(&process);
                }
                Err(error) => scanned.skipped.add(error),
            },
            Err(errno) => match ReadError::from_io(&proc, errno.into()) {
                ReadError::Missing { .. } | ReadError::Gone { .. } => scanned.vanished += 1,
                ReadError::Io { .. } | ReadError::Parse { .. } => scanned.refused += 1,
            },
        }
    }
    Ok(scanned)
}

/// Bytes of a listing that are asked for at a time.
const LISTING: usize = 32 << 10;
/// Longest `stat` line: 52 numbers of at most 20 digits, and a name of at most 64 bytes.
const LINE: usize = 2048;

/// The `stat` of one process, with its name.
///
/// # Errors
/// [`ReadError::Gone`] when it ended.
pub fn read_one<T>(
    root: &HostRoot,
    pid: u32,
    use_it: impl FnOnce(&ProcessStat<'_>) -> T,
) -> Result<T, ReadError> {
    file::parse(root.proc(format!("{pid}/stat")), |line| {
        parse_stat(line).map(|process| use_it(&process))
    })
    .map_err(ReadError::was_there)
}
