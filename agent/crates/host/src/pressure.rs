//! `/proc/pressure`: for how long threads waited for CPU, memory, disks and interrupts.
//!
//! Format: `Documentation/accounting/psi.rst`; cgroups have the same files. A kernel without it has no folder; one
//! that has it switched off (`psi=0`) has files that cannot be read: [`ReadError::Missing`] both.

use crate::error::{ParseError, Problem, ReadError};
use crate::{HostRoot, file, text};

/// What threads can wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PressureKind {
    /// A free CPU.
    Cpu,
    /// Memory: reclaim, swap, refaults.
    Memory,
    /// Block devices.
    Io,
    /// Interrupts (since 6.1, `full` alone).
    Irq,
}

impl PressureKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Cpu, Self::Memory, Self::Io, Self::Irq];

    /// The file's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Io => "io",
            Self::Irq => "irq",
        }
    }
}

/// How much was waited for one thing.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Pressure {
    /// At least one thread waited.
    pub some: Option<Stall>,
    /// Every thread that was not idle waited: nothing was done. For CPUs of the whole host it is 0 by definition
    /// (since 5.13).
    pub full: Option<Stall>,
}

/// How long was waited.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Stall {
    /// Share of the last ten seconds, 0 to 1.
    pub average_10s: f64,
    /// Share of the last minute, 0 to 1.
    pub average_60s: f64,
    /// Share of the last five minutes, 0 to 1.
    pub average_300s: f64,
    /// Seconds since boot, or since the cgroup was made.
    pub total: f64,
}

/// Reads `/proc/pressure/KIND`.
///
/// # Errors
/// When the file cannot be read or holds neither `some` nor `full`.
pub fn read(root: &HostRoot, kind: PressureKind) -> Result<Pressure, ReadError> {
    file::parse(root.proc("pressure").join(kind.name()), parse)
}

/// Parses the text of a file of pressure.
///
/// # Errors
/// When it holds neither `some` nor `full`.
pub fn parse(bytes: &[u8]) -> Result<Pressure, ParseError> {
    let mut pressure = Pressure::default();
    let mut failed = None;
    for mut line in text::lines(bytes) {
        let place = match line.next() {
            Some(b"some") => &mut pressure.some,
            Some(b"full") => &mut pressure.full,
            _ => continue,
        };
        match stall(&mut line) {
            Ok(stall) => *place = Some(stall),
            Err(error) => failed = Some(error),
        }
    }
    let nothing = ParseError { line: 1, field: "some", problem: Problem::Missing };
    match pressure {
        Pressure { some: None, full: None } => Err(failed.unwrap_or(nothing)),
        read => Ok(read),
    }
}

/// `avg10=0.00 avg60=0.12 avg300=3.40 total=123`: percent, microseconds.
fn stall(line: &mut text::Fields<'_>) -> Result<Stall, ParseError> {
    let mut stall = Stall::default();
    let mut total = None;
    while let Some(field) = line.next() {
        let equals =
            memchr::memchr(b'=', field).ok_or_else(|| line.error("stall", Problem::Malformed))?;
        let (name, value) = (&field[..equals], &field[equals + 1..]);
        let number = |name| text::f64(value).ok_or_else(|| line.error(name, Problem::NotANumber));
        match name {
            b"avg10" => stall.average_10s = number("avg10")? / 100.0,
            b"avg60" => stall.average_60s = number("avg60")? / 100.0,
            b"avg300" => stall.average_300s = number("avg300")? / 100.0,
            b"total" => total = text::u64(value),
            _ => {}
        }
    }
    // 2^53 microseconds are 285 years.
    #[allow(clippy::cast_precision_loss)]
    let seconds = total.map(|microseconds| microseconds as f64 / 1e6);
    stall.total = seconds.ok_or_else(|| line.error("total", Problem::NotANumber))?;
    Ok(stall)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_shares_and_totals_are_seconds() {
        let text = b"some avg10=1.50 avg60=0.25 avg300=100.00 total=2500000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n";
        let read = parse(text).expect("parsed");
        let some = Stall { average_10s: 0.015, average_60s: 0.0025, average_300s: 1.0, total: 2.5 };
        assert_eq!(read, Pressure { some: Some(some), full: Some(Stall::default()) });
        let irq = parse(b"full avg10=0.00 avg60=0.00 avg300=0.00 total=7 new=1\n").expect("parsed");
        assert_eq!((irq.some, irq.full.map(|full| full.total)), (None, Some(0.000_007)));
    }

    #[test]
    fn what_is_no_pressure_is_refused_by_field() {
        assert_eq!(parse(b"").expect_err("empty").field, "some");
        assert_eq!(parse(b"some avg10=x total=1\n").expect_err("no number").field, "avg10");
        assert_eq!(parse(b"some avg10=0.0\n").expect_err("no total").field, "total");
        let read = parse(b"some nonsense\nfull avg10=0.00 total=1\n").expect("the other line");
        assert!(read.some.is_none() && read.full.is_some());
    }
}
