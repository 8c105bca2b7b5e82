//! `/proc/1/net/snmp`, `netstat` and `snmp6`: what the host's protocols counted.
//!
//! Format: RFC 1213's names, a line of them and a line of values for each protocol; in `snmp6` a name and a value a
//! line. Written by `net/ipv4/proc.c`, `net/ipv6/proc.c`. Which there are depends on the kernel, so they are kept by
//! name.

use std::ops::Range;

use crate::error::{ParseError, Problem, ReadError, Skipped};
use crate::text::{self, Fields};
use crate::{HostRoot, file};

/// Counters by protocol (`Tcp`, `TcpExt`) and name (`RetransSegs`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetCounters {
    /// All names, one behind the other: one allocation instead of hundreds.
    names: String,
    entries: Vec<Entry>,
    /// What was not understood.
    pub skipped: Skipped,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    protocol: Range<usize>,
    name: Range<usize>,
    value: i64,
}

impl NetCounters {
    /// A counter; for a few gauges (`Tcp MaxConn`) it may be below zero.
    #[must_use]
    pub fn get(&self, protocol: &str, name: &str) -> Option<i64> {
        self.iter()
            .find(|(known, counter, _)| *known == protocol && *counter == name)
            .map(|(_, _, value)| value)
    }

    /// All of them: protocol, name, value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, i64)> {
        let text = |range: &Range<usize>| &self.names[range.clone()];
        self.entries
            .iter()
            .map(move |entry| (text(&entry.protocol), text(&entry.name), entry.value))
    }

    fn intern(&mut self, name: &str) -> Range<usize> {
        let start = self.names.len();
        self.names.push_str(name);
        start..self.names.len()
    }
}

/// Reads `/proc/1/net/snmp`: IPv4, ICMP, TCP and UDP.
///
/// # Errors
/// When the file cannot be read, or nothing in it is understood.
pub fn snmp(root: &HostRoot) -> Result<NetCounters, ReadError> {
    file::parse(root.net("snmp"), parse)
}

/// Reads `/proc/1/net/netstat`: what Linux counts beyond the RFCs (`TcpExt`, `IpExt`, `MPTcpExt`).
///
/// # Errors
/// When the file cannot be read, or nothing in it is understood.
pub fn netstat(root: &HostRoot) -> Result<NetCounters, ReadError> {
    file::parse(root.net("netstat"), parse)
}

/// Reads `/proc/1/net/snmp6`: IPv6, ICMPv6 and UDP over IPv6. Missing on hosts without IPv6.
///
/// # Errors
/// When the file cannot be read, or nothing in it is understood.
pub fn snmp6(root: &HostRoot) -> Result<NetCounters, ReadError> {
    file::parse(root.net("snmp6"), parse_snmp6)
}

/// Parses the text of `/proc/net/snmp` or `/proc/net/netstat`.
///
/// # Errors
/// When nothing in it is understood.
pub fn parse(bytes: &[u8]) -> Result<NetCounters, ParseError> {
    let mut counters = NetCounters::default();
    let mut lines = text::lines(bytes);
    while let Some(names) = lines.next() {
        let values = lines.next();
        let added = pair(&mut counters, names, values);
        counters.skipped.keep(added);
    }
    whole(counters)
}

/// Parses the text of `/proc/net/snmp6`. The protocol is what stands before the `6`, with it (`Ip6`, `Icmp6`, `Udp6`,
/// `UdpLite6`).
///
/// # Errors
/// When nothing in it is understood.
pub fn parse_snmp6(bytes: &[u8]) -> Result<NetCounters, ParseError> {
    let mut counters = NetCounters::default();
    let mut protocol = 0..0;
    for mut line in text::lines(bytes) {
        let entry = line.word("name").and_then(|name| Ok((name, line.i64("value")?)));
        let Some((name, value)) = counters.skipped.keep(entry) else { continue };
        let parts =
            str::from_utf8(name).ok().and_then(|name| name.split_at_checked(name.find('6')? + 1));
        let Some((known, name)) = parts else {
            counters.skipped.add(line.error("name", Problem::Malformed));
            continue;
        };
        if counters.names[protocol.clone()] != *known {
            protocol = counters.intern(known);
        }
        let name = counters.intern(name);
        counters.entries.push(Entry { protocol: protocol.clone(), name, value });
    }
    whole(counters)
}

fn whole(counters: NetCounters) -> Result<NetCounters, ParseError> {
    let nothing = ParseError { line: 1, field: "protocol", problem: Problem::Missing };
    if counters.entries.is_empty() {
        Err(counters.skipped.first.unwrap_or(nothing))
    } else {
        Ok(counters)
    }
}

/// `Udp: InDatagrams NoPorts` and `Udp: 177 0`. Names without a value are left out, as are values without a name.
fn pair(
    counters: &mut NetCounters,
    mut names: Fields<'_>,
    values: Option<Fields<'_>>,
) -> Result<(), ParseError> {
    let mut values = values.ok_or_else(|| names.error("values", Problem::Missing))?;
    let protocol = names.until(b':').and_then(|name| str::from_utf8(name).ok());
    let protocol = protocol.ok_or_else(|| names.error("protocol", Problem::Malformed))?;
    if values.until(b':') != Some(protocol.as_bytes()) {
        return Err(values.error("protocol", Problem::Malformed));
    }
    let protocol = counters.intern(protocol);
    while let (Some(name), Some(value)) = (names.next(), values.next()) {
        let value = text::i64(value).ok_or_else(|| values.error("value", Problem::NotANumber))?;
        let name =
            str::from_utf8(name).map_err(|_not_text| names.error("name", Problem::Malformed))?;
        let name = counters.intern(name);
        counters.entries.push(Entry { protocol: protocol.clone(), name, value });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stand_under_their_names() {
        let text = b"Tcp: RtoMin MaxConn InSegs\nTcp: 200 -1 776541\nIcmpMsg: InType3\nIcmpMsg: 2\nUdp: InDatagrams NoPorts New\nUdp: 177 0\n";
        let counters = parse(text).expect("parsed");
        assert_eq!(counters.get("Tcp", "MaxConn"), Some(-1));
        assert_eq!(counters.get("Tcp", "InSegs"), Some(776_541));
        assert_eq!(counters.get("IcmpMsg", "InType3"), Some(2));
        assert_eq!(counters.get("Udp", "NoPorts"), Some(0));
        assert_eq!(counters.get("Udp", "New"), None);
        assert_eq!(counters.iter().count(), 6);
        assert_eq!(counters.skipped.lines, 0);
    }

    #[test]
    fn a_protocol_that_is_not_understood_costs_that_protocol() {
        let counters = parse(b"Tcp: A B\nUdp: 1 2\nIp: A B\nIp: 1 x\nUdp: C\nUdp: 3\nEnd: D\n")
            .expect("parsed");
        assert_eq!(counters.iter().collect::<Vec<_>>(), [("Ip", "A", 1), ("Udp", "C", 3)]);
        assert_eq!(counters.skipped.lines, 3);
        assert!(parse(b"").is_err());
    }

    #[test]
    fn version_6_has_a_name_a_line() {
        let counters = parse_snmp6(
            b"Ip6InReceives     5\nIp6InOctets 7\nIcmp6InMsgs 1\nbad 2\nUdpLite6InErrors 0\n",
        )
        .expect("parsed");
        let all: Vec<_> = counters.iter().collect();
        let expected = [
            ("Ip6", "InReceives", 5),
            ("Ip6", "InOctets", 7),
            ("Icmp6", "InMsgs", 1),
            ("UdpLite6", "InErrors", 0),
        ];
        assert_eq!(all, expected);
        assert_eq!(counters.skipped.lines, 1);
    }
}
