//! `/proc/schedstat`: for how long each CPU's threads ran and waited. Format:
//! `Documentation/scheduler/sched-stats.rst`.

use crate::error::{ParseError, Problem, ReadError, Skipped};
use crate::text::{self, Fields};
use crate::{HostRoot, file};

/// All CPUs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Schedstat {
    /// In the file's order.
    pub cpus: Vec<CpuSchedstat>,
    /// What was not understood.
    pub skipped: Skipped,
}

/// One CPU since boot.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CpuSchedstat {
    /// Its number.
    pub cpu: u32,
    /// Seconds that threads ran on it.
    pub running: f64,
    /// Seconds that threads could run and waited for it, summed up over them.
    pub waiting: f64,
    /// How often a thread was given it.
    pub timeslices: u64,
}

/// Reads `/proc/schedstat`. Missing on kernels without `CONFIG_SCHEDSTATS`.
///
/// # Errors
/// When the file cannot be read, or nothing in it is understood.
pub fn read(root: &HostRoot) -> Result<Schedstat, ReadError> {
    file::parse(root.proc("schedstat"), parse)
}

/// Parses the text of `/proc/schedstat`. The lines of CPUs have been the same since version 15 of the format.
///
/// # Errors
/// When nothing in it is understood.
pub fn parse(bytes: &[u8]) -> Result<Schedstat, ParseError> {
    let mut schedstat = Schedstat::default();
    for mut line in text::lines(bytes) {
        let Some(number) = line.next().and_then(|word| word.strip_prefix(b"cpu")) else { continue };
        let cpu = cpu(number, &mut line);
        schedstat.cpus.extend(schedstat.skipped.keep(cpu));
    }
    let nothing = ParseError { line: 1, field: "cpu", problem: Problem::Missing };
    if schedstat.cpus.is_empty() {
        Err(schedstat.skipped.first.unwrap_or(nothing))
    } else {
        Ok(schedstat)
    }
}

fn cpu(number: &[u8], line: &mut Fields<'_>) -> Result<CpuSchedstat, ParseError> {
    let cpu = text::u32(number).ok_or_else(|| line.error("cpu", Problem::NotANumber))?;
    line.skip(6); // yields, 0, schedules, idles, wake-ups, local wake-ups
    #[allow(clippy::cast_precision_loss)]
    let seconds = |nanoseconds: u64| nanoseconds as f64 / 1e9;
    Ok(CpuSchedstat {
        cpu,
        running: line.u64("running").map(seconds)?,
        waiting: line.u64("waiting").map(seconds)?,
        timeslices: line.u64("timeslices")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpus_are_read_and_domains_passed_over() {
        let text = b"version 17\ntimestamp 15819019232\ncpu0 498494191 0 3533438552 2553969831 3853684107 2465731542 2045936778163039 343796328169361 4767485306\n\
            domain0 MC 00000000,00000003 212499247 210112015\ncpu1 1 2 3\n";
        let read = parse(text).expect("parsed");
        let cpu0 = CpuSchedstat {
            cpu: 0,
            running: 2_045_936.778_163_039,
            waiting: 343_796.328_169_361,
            timeslices: 4_767_485_306,
        };
        assert_eq!(read.cpus, [cpu0]);
        assert_eq!(read.skipped.lines, 1);
        assert!(parse(b"version 17\n").is_err());
    }
}
