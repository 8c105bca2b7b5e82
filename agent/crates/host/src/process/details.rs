//! What a process's other files say, for the few that somebody wants to know more of.

use crate::error::{ParseError, ReadError};
use crate::{HostRoot, file, text};

/// `/proc/PID/status`. What a kernel does not tell, or not of this process (threads of the kernel have no memory), is
/// `None`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Status {
    /// The user that it acts as (effective UID).
    pub uid: Option<u32>,
    /// Memory, in bytes.
    pub resident_memory: Option<u64>,
    /// What of it is swapped out, in bytes.
    pub swapped_memory: Option<u64>,
    /// Signals that wait for it, and those that may.
    pub signals_pending: Option<u64>,
    /// Switches because it waited.
    pub voluntary_context_switches: Option<u64>,
    /// Switches because its time was up.
    pub involuntary_context_switches: Option<u64>,
}

/// `/proc/PID/io`. Who may not trace the process may not read it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Io {
    /// Bytes that came from `read` and its kin, from wherever.
    pub read_characters: u64,
    /// Bytes that went to `write` and its kin.
    pub written_characters: u64,
    /// How often it read.
    pub read_calls: u64,
    /// How often it wrote.
    pub write_calls: u64,
    /// Bytes that came from block devices.
    pub read_bytes: u64,
    /// Bytes that go to block devices.
    pub write_bytes: u64,
    /// Bytes of those that were never written, since the file was truncated before.
    pub cancelled_write_bytes: u64,
}

/// Reads `/proc/PID/status`.
///
/// # Errors
/// [`ReadError::Gone`] when the process ended.
pub fn status(root: &HostRoot, pid: u32) -> Result<Status, ReadError> {
    file::parse(root.proc(format!("{pid}/status")), |bytes| Ok(parse_status(bytes)))
        .map_err(ReadError::was_there)
}

/// Reads `/proc/PID/io`.
///
/// # Errors
/// [`ReadError::Gone`] when the process ended.
pub fn io(root: &HostRoot, pid: u32) -> Result<Io, ReadError> {
    file::parse(root.proc(format!("{pid}/io")), parse_io).map_err(ReadError::was_there)
}

/// How many files a process has open. Who may not trace it may not know.
///
/// # Errors
/// [`ReadError::Gone`] when the process ended.
pub fn open_files(root: &HostRoot, pid: u32) -> Result<u64, ReadError> {
    let folder = root.proc(format!("{pid}/fd"));
    let failed = |source| ReadError::from_io(&folder, source).was_there();
    let mut count = 0;
    for entry in std::fs::read_dir(&folder).map_err(failed)? {
        entry.map_err(failed)?;
        count += 1;
    }
    Ok(count)
}

/// A process's arguments, with a blank between each; empty for threads of the kernel. What is longer than `longest`
/// bytes is cut there.
///
/// # Errors
/// [`ReadError::Gone`] when the process ended.
pub fn command_line(root: &HostRoot, pid: u32, longest: usize) -> Result<String, ReadError> {
    file::parse(root.proc(format!("{pid}/cmdline")), |bytes| {
        let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1).min(longest);
        let mut plain = bytes[..end].to_vec();
        plain.iter_mut().filter(|byte| **byte == 0).for_each(|byte| *byte = b' ');
        Ok(String::from_utf8_lossy(&plain).into_owned())
    })
    .map_err(ReadError::was_there)
}

fn parse_status(bytes: &[u8]) -> Status {
    let mut status = Status::default();
    for mut line in text::lines(bytes) {
        let Some(name) = line.until(b':') else { continue };
        let mut number = || line.next().and_then(text::u64);
        match name {
            b"Uid" => {
                // Real, effective, saved, file system.
                line.skip(1);
                status.uid = line.next().and_then(text::u32);
            }
            b"VmRSS" => status.resident_memory = number().map(|kib| kib.saturating_mul(1024)),
            b"VmSwap" => status.swapped_memory = number().map(|kib| kib.saturating_mul(1024)),
            b"SigQ" => {
                status.signals_pending = line.until(b'/').and_then(text::u64);
            }
            b"voluntary_ctxt_switches" => status.voluntary_context_switches = number(),
            b"nonvoluntary_ctxt_switches" => status.involuntary_context_switches = number(),
            _ => {}
        }
    }
    status
}

fn parse_io(bytes: &[u8]) -> Result<Io, ParseError> {
    let mut io = Io::default();
    for mut line in text::lines(bytes) {
        let place = match line.until(b':') {
            Some(b"rchar") => &mut io.read_characters,
            Some(b"wchar") => &mut io.written_characters,
            Some(b"syscr") => &mut io.read_calls,
            Some(b"syscw") => &mut io.write_calls,
            Some(b"read_bytes") => &mut io.read_bytes,
            Some(b"write_bytes") => &mut io.write_bytes,
            Some(b"cancelled_write_bytes") => &mut io.cancelled_write_bytes,
            _ => continue,
        };
        *place = line.u64("value")?;
    }
    Ok(io)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn status_and_io_are_read_by_name() {
        let status = parse_status(
            b"Name:\tsh\nUid:\t0\t1000\t0\t0\nVmRSS:\t    1320 kB\nVmSwap:\t       4 kB\nSigQ:\t3/96375\nvoluntary_ctxt_switches:\t150\nnonvoluntary_ctxt_switches:\t545\n",
        );
        let expected = Status {
            uid: Some(1000),
            resident_memory: Some(1320 * 1024),
            swapped_memory: Some(4096),
            signals_pending: Some(3),
            voluntary_context_switches: Some(150),
            involuntary_context_switches: Some(545),
        };
        assert_eq!(status, expected);
        let io = parse_io(b"rchar: 1\nwchar: 2\nsyscr: 3\nsyscw: 4\nread_bytes: 5\nwrite_bytes: 6\ncancelled_write_bytes: 7\nnew: x\n");
        let expected = Io {
            read_characters: 1,
            written_characters: 2,
            read_calls: 3,
            write_calls: 4,
            read_bytes: 5,
            write_bytes: 6,
            cancelled_write_bytes: 7,
        };
        assert_eq!(io, Ok(expected));
        assert_eq!(parse_io(b"rchar: x\n").map_err(|error| error.line), Err(1));
    }

    proptest! {
        #[test]
        fn prop_no_bytes_make_them_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            parse_status(&bytes);
            let _ = parse_io(&bytes);
        }
    }
}
