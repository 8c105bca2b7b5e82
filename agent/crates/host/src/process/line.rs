//! The line of `/proc/PID/stat`.

use crate::error::{ParseError, Problem};
use crate::stat::ticks_per_second;
use crate::text::{self, Fields};

/// What a process does (`fs/proc/array.c`, `task_state_array`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// `R`: runs or could run.
    Running,
    /// `S`: waits, and can be woken by a signal.
    Sleeping,
    /// `D`: waits, mostly for a disk, and cannot be woken.
    Blocked,
    /// `I`: a thread of the kernel without work (since 4.14).
    Idle,
    /// `T`: stopped by a signal.
    Stopped,
    /// `t`: stopped by a debugger.
    Traced,
    /// `Z`: ended, and its parent did not ask how.
    Zombie,
    /// `X`: about to be gone.
    Dead,
    /// `P`: a thread of the kernel that is put aside.
    Parked,
    /// Any other letter: a newer kernel's.
    Unknown,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Running,
        Self::Sleeping,
        Self::Blocked,
        Self::Idle,
        Self::Stopped,
        Self::Traced,
        Self::Zombie,
        Self::Dead,
        Self::Parked,
        Self::Unknown,
    ];

    fn from_letter(letter: u8) -> Self {
        match letter {
            b'R' => Self::Running,
            b'S' => Self::Sleeping,
            b'D' => Self::Blocked,
            b'I' => Self::Idle,
            b'T' => Self::Stopped,
            b't' => Self::Traced,
            b'Z' => Self::Zombie,
            b'X' | b'x' => Self::Dead,
            b'P' => Self::Parked,
            _ => Self::Unknown,
        }
    }
}

/// A process, as its `stat` tells.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ProcessStat<'a> {
    /// Its number.
    pub pid: u32,
    /// The first 15 bytes of its name (64 for threads of the kernel), as it was set by the process itself: any bytes.
    pub name: &'a [u8],
    /// What it does.
    pub state: State,
    /// Its parent's number.
    pub parent: u32,
    /// It is a thread of the kernel.
    pub is_kernel: bool,
    /// Page faults that did not wait for a disk.
    pub minor_faults: u64,
    /// Page faults that did.
    pub major_faults: u64,
    /// CPU seconds in the program.
    pub user_time: f64,
    /// CPU seconds in the kernel on its behalf.
    pub system_time: f64,
    /// Its threads.
    pub threads: u64,
    /// When it started, in ticks since boot; with `pid`, what tells it from an earlier one of the same number.
    pub start_ticks: u64,
    /// Address space, in bytes.
    pub virtual_memory: u64,
    /// Memory, in bytes.
    pub resident_memory: u64,
}

impl ProcessStat<'_> {
    /// When it started, in seconds since boot.
    #[must_use]
    #[allow(clippy::cast_precision_loss)]
    pub fn start_time(&self) -> f64 {
        self.start_ticks as f64 / ticks_per_second()
    }

    /// CPU seconds of either kind.
    #[must_use]
    pub fn cpu_time(&self) -> f64 {
        self.user_time + self.system_time
    }
}

/// `PF_KTHREAD` of `include/linux/sched.h`.
const KERNEL_THREAD: u64 = 0x0020_0000;

/// Parses the line of `/proc/PID/stat`.
///
/// # Errors
/// When a field that is used is not there or not a number.
pub fn parse_stat(line: &[u8]) -> Result<ProcessStat<'_>, ParseError> {
    let begin = Fields::new(line, 1);
    // The name stands in parentheses and may hold some, and blanks: it ends at the last one.
    let open = memchr::memchr(b'(', line);
    let close = memchr::memrchr(b')', line);
    let (Some(open), Some(close)) = (open, close.filter(|close| open < Some(*close))) else {
        return Err(begin.error("comm", Problem::Malformed));
    };
    let pid = text::u32(line[..open].trim_ascii());
    let pid = pid.ok_or_else(|| begin.error("pid", Problem::NotANumber))?;
    let mut rest = Fields::new(&line[close + 1..], 1);
    let state = rest.word("state")?;
    let parent = rest.u64("ppid")?;
    rest.skip(4); // pgrp, session, tty_nr, tpgid
    let flags = rest.u64("flags")?;
    let minor_faults = rest.u64("minflt")?;
    rest.skip(1); // cminflt
    let major_faults = rest.u64("majflt")?;
    rest.skip(1); // cmajflt
    #[allow(clippy::cast_precision_loss)]
    let seconds = |ticks: u64| ticks as f64 / ticks_per_second();
    let user_time = rest.u64("utime").map(seconds)?;
    let system_time = rest.u64("stime").map(seconds)?;
    rest.skip(4); // cutime, cstime, priority, nice
    let threads = rest.u64("num_threads")?;
    rest.skip(1); // itrealvalue
    let start_ticks = rest.u64("starttime")?;
    let virtual_memory = rest.u64("vsize")?;
    let resident_pages = rest.i64("rss")?;
    let pages = u64::try_from(resident_pages).unwrap_or(0);
    Ok(ProcessStat {
        pid,
        name: &line[open + 1..close],
        state: state.first().map_or(State::Unknown, |letter| State::from_letter(*letter)),
        parent: u32::try_from(parent).unwrap_or(0),
        is_kernel: flags & KERNEL_THREAD != 0,
        minor_faults,
        major_faults,
        user_time,
        system_time,
        threads,
        start_ticks,
        virtual_memory,
        resident_memory: pages.saturating_mul(rustix::param::page_size() as u64),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const REST: &str = " 1 42 42 0 -1 4194560 1234 5678 9 10 150 50 20 -2 20 0 7 0 4200 104857600 256 18446744073709551615 0 0 17 1 0 0 3";

    #[test]
    fn a_line_is_read_field_by_field() {
        let line = format!("42 (my (odd) name) S{REST}\n");
        let process = parse_stat(line.as_bytes()).expect("parsed");
        assert_eq!(
            (process.pid, process.name, process.state),
            (42, &b"my (odd) name"[..], State::Sleeping)
        );
        assert_eq!((process.parent, process.is_kernel), (1, false));
        assert_eq!((process.minor_faults, process.major_faults), (1234, 9));
        assert_eq!((process.user_time, process.system_time, process.cpu_time()), (1.5, 0.5, 2.0));
        assert_eq!((process.threads, process.start_ticks, process.start_time()), (7, 4200, 42.0));
        assert_eq!(process.virtual_memory, 104_857_600);
        assert_eq!(process.resident_memory, 256 * rustix::param::page_size() as u64);
    }

    #[test]
    fn threads_of_the_kernel_and_unknown_states_are_told() {
        let kernel = format!("2 (kthreadd) I{}", REST.replace("4194560", "2129984"));
        assert!(parse_stat(kernel.as_bytes()).expect("parsed").is_kernel);
        let newer = format!("2 (x) Q{REST}");
        assert_eq!(parse_stat(newer.as_bytes()).expect("parsed").state, State::Unknown);
    }

    #[test]
    fn what_is_cut_is_refused_by_field() {
        let field = |line: &str| parse_stat(line.as_bytes()).expect_err("refused").field;
        assert_eq!(field(""), "comm");
        assert_eq!(field("1 )("), "comm");
        assert_eq!(field("x (a) S 1"), "pid");
        assert_eq!(field("1 (a)"), "state");
        assert_eq!(field("1 (a) S 1 2 3 4 5 6 7 8 9 10 x"), "utime");
    }

    proptest! {
        #[test]
        fn prop_any_name_comes_back_as_it_was(name in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut line = b"7 (".to_vec();
            line.extend_from_slice(&name);
            line.extend_from_slice(format!(") R{REST}").as_bytes());
            let process = parse_stat(&line).expect("parsed");
            prop_assert_eq!(process.name, &name[..]);
            prop_assert_eq!(process.threads, 7);
        }

        #[test]
        fn prop_no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse_stat(&bytes);
        }
    }
}
