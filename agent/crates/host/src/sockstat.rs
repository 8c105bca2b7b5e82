//! `/proc/1/net/sockstat` and `sockstat6`: how many sockets the host's protocols have. Written by `net/ipv4/proc.c`.

use crate::error::{ParseError, Problem, ReadError, Skipped};
use crate::text::{self, Fields};
use crate::{HostRoot, file};

/// Sockets of all protocols.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sockstat {
    /// Sockets of every kind that are open; in `sockstat` alone.
    pub used: Option<u64>,
    /// By protocol, in the file's order.
    pub protocols: Vec<Protocol>,
    /// What was not understood.
    pub skipped: Skipped,
}

impl Sockstat {
    /// A protocol by its name in the file (`TCP`, `UDP6`).
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Protocol> {
        self.protocols.iter().find(|protocol| &*protocol.name == name)
    }
}

/// Sockets of a protocol. What the kernel does not tell of it is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Protocol {
    /// `TCP`, `UDP`, `UDPLITE`, `RAW`, `FRAG`, with a `6` for IPv6.
    pub name: Box<str>,
    /// Sockets that are used in this network namespace.
    pub in_use: Option<u64>,
    /// Connections that no program holds any more.
    pub orphan: Option<u64>,
    /// Connections in `TIME_WAIT`.
    pub time_wait: Option<u64>,
    /// Sockets that are allocated, on the whole host.
    pub allocated: Option<u64>,
    /// Memory of the buffers, on the whole host, in bytes.
    pub memory: Option<u64>,
}

/// Reads `/proc/1/net/sockstat`.
///
/// # Errors
/// When the file cannot be read, or nothing in it is understood.
pub fn read(root: &HostRoot) -> Result<Sockstat, ReadError> {
    file::parse(root.net("sockstat"), parse)
}

/// Reads `/proc/1/net/sockstat6`. Missing on hosts without IPv6.
///
/// # Errors
/// When the file cannot be read, or nothing in it is understood.
pub fn read6(root: &HostRoot) -> Result<Sockstat, ReadError> {
    file::parse(root.net("sockstat6"), parse)
}

/// Parses the text of either.
///
/// # Errors
/// When nothing in it is understood.
pub fn parse(bytes: &[u8]) -> Result<Sockstat, ParseError> {
    let mut sockets = Sockstat::default();
    for mut line in text::lines(bytes) {
        let result = protocol(&mut line, &mut sockets);
        sockets.skipped.keep(result);
    }
    let nothing = ParseError { line: 1, field: "protocol", problem: Problem::Missing };
    if sockets.used.is_none() && sockets.protocols.is_empty() {
        return Err(sockets.skipped.first.unwrap_or(nothing));
    }
    Ok(sockets)
}

/// `TCP: inuse 12 orphan 0 tw 3 alloc 19 mem 46`.
fn protocol(line: &mut Fields<'_>, sockets: &mut Sockstat) -> Result<(), ParseError> {
    let name = line.until(b':').ok_or_else(|| line.error("protocol", Problem::Malformed))?;
    let mut protocol = Protocol { name: text::text(name), ..Protocol::default() };
    while let Some(field) = line.next() {
        let value = line.u64("value")?;
        match field {
            b"used" => sockets.used = Some(value),
            b"inuse" => protocol.in_use = Some(value),
            b"orphan" => protocol.orphan = Some(value),
            b"tw" => protocol.time_wait = Some(value),
            b"alloc" => protocol.allocated = Some(value),
            // Of buffers in pages, of fragments in bytes.
            b"mem" => {
                protocol.memory = Some(value.saturating_mul(rustix::param::page_size() as u64))
            }
            b"memory" => protocol.memory = Some(value),
            _ => {}
        }
    }
    if name != b"sockets" {
        sockets.protocols.push(protocol);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_told_by_protocol() {
        let text = b"sockets: used 15\nTCP: inuse 1 orphan 2 tw 3 alloc 19 mem 46\nUDP: inuse 4 mem 0\nFRAG: inuse 0 memory 77\nRAW: inuse x\n";
        let sockets = parse(text).expect("parsed");
        let page = rustix::param::page_size() as u64;
        assert_eq!(sockets.used, Some(15));
        let tcp = sockets.get("TCP").expect("TCP");
        assert_eq!(
            (tcp.in_use, tcp.orphan, tcp.time_wait, tcp.allocated),
            (Some(1), Some(2), Some(3), Some(19))
        );
        assert_eq!(tcp.memory, Some(46 * page));
        assert_eq!(sockets.get("FRAG").and_then(|frag| frag.memory), Some(77));
        assert_eq!(sockets.get("UDP").and_then(|udp| udp.orphan), None);
        assert_eq!((sockets.get("RAW"), sockets.skipped.lines), (None, 1));
        assert!(parse(b"\n").is_err());
    }
}
