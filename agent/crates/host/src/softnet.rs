//! `/proc/1/net/softnet_stat`: what each CPU did with packets that came in. Written by `net/core/net-procfs.c`, in
//! hexadecimal.

use crate::error::{ParseError, Problem, ReadError, Skipped};
use crate::text::{self, Fields};
use crate::{HostRoot, file};

/// All CPUs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Softnet {
    /// In the file's order.
    pub cpus: Vec<CpuSoftnet>,
    /// What was not understood.
    pub skipped: Skipped,
}

/// One CPU. The counters have 32 bits and wrap.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CpuSoftnet {
    /// The CPU's number; before 5.10 that of the line, which is the same unless one is offline.
    pub cpu: u64,
    /// Packets that it took.
    pub processed: u64,
    /// Packets that it dropped for want of room in its queue.
    pub dropped: u64,
    /// Times that it stopped with work left, since its time or its number of packets was up.
    pub squeezed: u64,
    /// Times that it was woken by another CPU to take packets (RPS).
    pub received_rps: Option<u64>,
    /// Packets that were dropped since one flow had too many.
    pub flow_limited: Option<u64>,
    /// Packets in its queue now (since 5.10).
    pub backlog: Option<u64>,
}

/// Reads `/proc/1/net/softnet_stat`.
///
/// # Errors
/// When the file cannot be read, or nothing in it is understood.
pub fn read(root: &HostRoot) -> Result<Softnet, ReadError> {
    file::parse(root.net("softnet_stat"), parse)
}

/// Parses the text of `/proc/net/softnet_stat`.
///
/// # Errors
/// When nothing in it is understood.
pub fn parse(bytes: &[u8]) -> Result<Softnet, ParseError> {
    let mut softnet = Softnet::default();
    for mut line in text::lines(bytes) {
        let cpu = cpu(&mut line);
        softnet.cpus.extend(softnet.skipped.keep(cpu));
    }
    let nothing = ParseError { line: 1, field: "processed", problem: Problem::Missing };
    if softnet.cpus.is_empty() {
        Err(softnet.skipped.first.unwrap_or(nothing))
    } else {
        Ok(softnet)
    }
}

fn cpu(line: &mut Fields<'_>) -> Result<CpuSoftnet, ParseError> {
    let mut number = |field| {
        let word = line
            .next()
            .map(|word| text::hex(word).ok_or_else(|| line.error(field, Problem::NotANumber)));
        word.transpose()
    };
    let processed = number("processed")?;
    let dropped = number("dropped")?;
    let squeezed = number("time_squeeze")?;
    // Five that are always 0, and one that is 0 since 4.11.
    for field in ["0", "0", "0", "0", "0", "cpu_collision"] {
        number(field)?;
    }
    let (received_rps, flow_limited) = (number("received_rps")?, number("flow_limit_count")?);
    let (backlog, cpu) = (number("backlog_len")?, number("cpu")?);
    let missing = |field| line.error(field, Problem::Missing);
    Ok(CpuSoftnet {
        cpu: cpu.unwrap_or(line.line() as u64 - 1),
        processed: processed.ok_or_else(|| missing("processed"))?,
        dropped: dropped.ok_or_else(|| missing("dropped"))?,
        squeezed: squeezed.ok_or_else(|| missing("time_squeeze"))?,
        received_rps,
        flow_limited,
        backlog,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_of_every_age_are_read() {
        let text = b"00000010 00000001 00000002 0 0 0 0 0 0 00000003\n\
            00000020 0 0 0 0 0 0 0 0 00000004 00000005 00000006 00000009 0 0\nx\n";
        let softnet = parse(text).expect("parsed");
        let old = CpuSoftnet {
            cpu: 0,
            processed: 16,
            dropped: 1,
            squeezed: 2,
            received_rps: Some(3),
            ..CpuSoftnet::default()
        };
        assert_eq!(softnet.cpus[0], old);
        let new = &softnet.cpus[1];
        assert_eq!((new.cpu, new.flow_limited, new.backlog), (9, Some(5), Some(6)));
        assert_eq!(softnet.skipped.lines, 1);
        assert!(parse(b"1 2\n").is_err());
    }
}
