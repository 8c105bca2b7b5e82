//! How many connections the host's firewall follows, and how many it can.
//!
//! `/proc/1/net/stat/nf_conntrack` is the host's own; `/proc/sys/net` is that of the reader's network namespace,
//! whichever `/proc` it is read through (`net/sysctl_net.c`). The largest number is one for all namespaces
//! (`nf_conntrack_max`), so that may be read there. Missing on hosts whose firewall follows nothing. Format:
//! `ct_cpu_seq_show` in `net/netfilter/nf_conntrack_standalone.c`.

use crate::error::{ParseError, Problem, ReadError};
use crate::{HostRoot, file, text};

/// Connections that the firewall follows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Conntrack {
    /// How many there are now.
    pub entries: u64,
    /// How many there can be.
    pub max: Option<u64>,
    /// What was counted since boot, over all CPUs.
    pub counters: Counters,
}

/// What was counted since boot. Columns that a kernel does not have any more are 0 in the file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Entries that were found.
    pub found: u64,
    /// Packets that could not be followed.
    pub invalid: u64,
    /// Packets that were not to be followed.
    pub ignore: u64,
    /// Entries that were put in.
    pub insert: u64,
    /// Entries that were not put in, since they were there or there was no room.
    pub insert_failed: u64,
    /// Packets dropped because an entry could not be made.
    pub drop: u64,
    /// Entries dropped to make room.
    pub early_drop: u64,
    /// Times that a search began anew.
    pub search_restart: u64,
}

/// Reads `/proc/1/net/stat/nf_conntrack` and the limit.
///
/// # Errors
/// When the first cannot be read; without the limit, that is `None`.
pub fn read(root: &HostRoot) -> Result<Conntrack, ReadError> {
    let counted = file::parse(root.net("stat/nf_conntrack"), parse)?;
    let max =
        file::optional(file::number(root.proc("sys/net/netfilter/nf_conntrack_max"))).flatten();
    Ok(Conntrack { max, ..counted })
}

/// Parses the text of `/proc/net/stat/nf_conntrack`: a line of names, then a line of hexadecimal numbers for each
/// CPU. `entries` is the same in each.
///
/// # Errors
/// When there is no line of numbers.
pub fn parse(bytes: &[u8]) -> Result<Conntrack, ParseError> {
    let mut lines = text::lines(bytes);
    let headings =
        lines.next().ok_or(ParseError { line: 1, field: "entries", problem: Problem::Missing })?;
    let mut read = Conntrack::default();
    let mut entries = None;
    for line in lines {
        let (mut names, mut values) = (headings, line);
        while let (Some(name), Some(value)) = (names.next(), values.next()) {
            let Some(value) = text::hex(value) else { continue };
            let counters = &mut read.counters;
            let counter = match name {
                b"entries" => {
                    entries = Some(value);
                    continue;
                }
                b"found" => &mut counters.found,
                b"invalid" => &mut counters.invalid,
                b"ignore" => &mut counters.ignore,
                b"insert" => &mut counters.insert,
                b"insert_failed" => &mut counters.insert_failed,
                b"drop" => &mut counters.drop,
                b"early_drop" => &mut counters.early_drop,
                b"search_restart" => &mut counters.search_restart,
                _ => continue,
            };
            *counter = counter.saturating_add(value);
        }
    }
    read.entries = entries.ok_or_else(|| headings.error("entries", Problem::Missing))?;
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_summed_over_cpus_and_entries_are_not() {
        let text = b"entries  clashres found new invalid ignore delete chainlength insert insert_failed drop early_drop icmp_error expect_new expect_create expect_delete search_restart\n\
            0000000a  00000000 00000001 00000000 00000002 00000003 00000000 00000000 00000004 00000005 00000006 00000007 00000000 00000000 00000000 00000000 00000008\n\
            0000000a  00000000 00000010 00000000 00000010 00000010 00000000 00000000 00000010 00000010 00000010 00000010 00000000 00000000 00000000 00000000 00000010\n";
        let read = parse(text).expect("parsed");
        assert_eq!(read.entries, 10);
        let counters = Counters {
            found: 0x11,
            invalid: 0x12,
            ignore: 0x13,
            insert: 0x14,
            insert_failed: 0x15,
            drop: 0x16,
            early_drop: 0x17,
            search_restart: 0x18,
        };
        assert_eq!(read.counters, counters);
        assert!(parse(b"").is_err());
        assert!(parse(b"entries found\n").is_err());
    }
}
