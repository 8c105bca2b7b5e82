//! `/proc/1/net/ip_vs_stats`: what the kernel's load balancer did, on nodes whose kube-proxy uses it. Written by
//! `net/netfilter/ipvs/ip_vs_ctl.c`, in hexadecimal.

use crate::error::{ParseError, Problem, ReadError};
use crate::{HostRoot, file, text};

/// What went through the load balancer since boot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct IpvsStats {
    /// Connections.
    pub connections: u64,
    /// Packets from clients.
    pub incoming_packets: u64,
    /// Packets to clients.
    pub outgoing_packets: u64,
    /// Bytes from clients.
    pub incoming_bytes: u64,
    /// Bytes to clients.
    pub outgoing_bytes: u64,
}

/// Reads `/proc/1/net/ip_vs_stats`. Missing where the module is not loaded.
///
/// # Errors
/// When the file cannot be read or is not understood.
pub fn read(root: &HostRoot) -> Result<IpvsStats, ReadError> {
    file::parse(root.net("ip_vs_stats"), parse)
}

/// Parses the text of `/proc/net/ip_vs_stats`: two lines of headings, then the counts.
///
/// # Errors
/// When there are fewer than five.
pub fn parse(bytes: &[u8]) -> Result<IpvsStats, ParseError> {
    let missing = ParseError { line: 3, field: "Conns", problem: Problem::Missing };
    let mut line = text::lines(bytes).nth(2).ok_or(missing)?;
    let mut count = |field| {
        let word = line.word(field)?;
        text::hex(word).ok_or_else(|| line.error(field, Problem::NotANumber))
    };
    Ok(IpvsStats {
        connections: count("Conns")?,
        incoming_packets: count("Incoming Packets")?,
        outgoing_packets: count("Outgoing Packets")?,
        incoming_bytes: count("Incoming Bytes")?,
        outgoing_bytes: count("Outgoing Bytes")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_hexadecimal() {
        let text = b"   Total Incoming Outgoing         Incoming         Outgoing\n   Conns  Packets  Packets            Bytes            Bytes\n 16AA370 E33656E5        0     51D8C8883AB3                1\n\n";
        let stats = parse(text).expect("parsed");
        assert_eq!(
            (stats.connections, stats.incoming_packets, stats.outgoing_packets),
            (23_765_872, 3_811_989_221, 0)
        );
        assert_eq!((stats.incoming_bytes, stats.outgoing_bytes), (89_991_519_156_915, 1));
        assert_eq!(parse(b"\n\n1 2 x\n").expect_err("no number").field, "Outgoing Packets");
        assert!(parse(b"").is_err());
    }
}
