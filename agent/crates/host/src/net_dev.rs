//! `/proc/1/net/dev`: what the host's network interfaces did. Format: `proc_pid_net(5)`, written by
//! `net/core/net-procfs.c`.

use crate::error::{ParseError, Problem, ReadError, Skipped};
use crate::text::{self, Fields};
use crate::{HostRoot, file};

/// All interfaces of the host's network namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Interfaces {
    /// In the file's order.
    pub interfaces: Vec<Interface>,
    /// What was not understood.
    pub skipped: Skipped,
}

/// A network interface. Counters are since it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Its name (`eth0`).
    pub name: Box<str>,
    /// What came in.
    pub receive: Receive,
    /// What went out.
    pub transmit: Transmit,
}

/// What came in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Receive {
    /// Bytes.
    pub bytes: u64,
    /// Packets.
    pub packets: u64,
    /// Packets with an error of any kind.
    pub errors: u64,
    /// Packets that were dropped; the file adds those that the driver missed.
    pub dropped: u64,
    /// Overruns of the device's buffer.
    pub fifo: u64,
    /// Errors of length, checksum and alignment; they are in `errors` too.
    pub frame: u64,
    /// Compressed packets.
    pub compressed: u64,
    /// Packets to many.
    pub multicast: u64,
}

/// What went out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Transmit {
    /// Bytes.
    pub bytes: u64,
    /// Packets.
    pub packets: u64,
    /// Packets with an error of any kind.
    pub errors: u64,
    /// Packets that were dropped.
    pub dropped: u64,
    /// Underruns of the device's buffer.
    pub fifo: u64,
    /// Collisions.
    pub collisions: u64,
    /// Losses of the carrier.
    pub carrier: u64,
    /// Compressed packets.
    pub compressed: u64,
}

/// Reads `/proc/1/net/dev`.
///
/// # Errors
/// When the file cannot be read, or nothing in it is understood.
pub fn read(root: &HostRoot) -> Result<Interfaces, ReadError> {
    file::parse(root.net("dev"), parse)
}

/// Parses the text of `/proc/net/dev`.
///
/// # Errors
/// When there is no interface in it, and not for the reason that there is none.
pub fn parse(bytes: &[u8]) -> Result<Interfaces, ParseError> {
    let mut interfaces = Interfaces::default();
    let mut headings = 0;
    for mut line in text::lines(bytes) {
        // Two lines of headings, with bars between the columns.
        if memchr::memchr(b'|', line.rest()).is_some() {
            headings += 1;
            continue;
        }
        interfaces.interfaces.extend(interfaces.skipped.keep(interface(&mut line)));
    }
    let nothing = ParseError { line: 1, field: "interface", problem: Problem::Missing };
    if interfaces.interfaces.is_empty() && (headings < 2 || interfaces.skipped.lines > 0) {
        return Err(interfaces.skipped.first.unwrap_or(nothing));
    }
    Ok(interfaces)
}

fn interface(line: &mut Fields<'_>) -> Result<Interface, ParseError> {
    // Old kernels write no blank behind the colon. A name cannot hold one (`dev_valid_name`).
    let name = line.until(b':').filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| line.error("interface", Problem::Malformed))?;
    Ok(Interface {
        name: text::text(name),
        receive: Receive {
            bytes: line.u64("receive bytes")?,
            packets: line.u64("receive packets")?,
            errors: line.u64("receive errs")?,
            dropped: line.u64("receive drop")?,
            fifo: line.u64("receive fifo")?,
            frame: line.u64("receive frame")?,
            compressed: line.u64("receive compressed")?,
            multicast: line.u64("receive multicast")?,
        },
        transmit: Transmit {
            bytes: line.u64("transmit bytes")?,
            packets: line.u64("transmit packets")?,
            errors: line.u64("transmit errs")?,
            dropped: line.u64("transmit drop")?,
            fifo: line.u64("transmit fifo")?,
            collisions: line.u64("transmit colls")?,
            carrier: line.u64("transmit carrier")?,
            compressed: line.u64("transmit compressed")?,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADINGS: &str = "Inter-|   Receive                                                |  Transmit\n \
        face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n";

    #[test]
    fn columns_go_where_they_belong_with_and_without_a_blank() {
        let text = format!(
            "{HEADINGS}    lo: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\neth0:17 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 99\n"
        );
        let read = parse(text.as_bytes()).expect("parsed");
        let [lo, eth0] = &read.interfaces[..] else { panic!("two: {read:?}") };
        assert_eq!((&*lo.name, &*eth0.name, eth0.receive.bytes), ("lo", "eth0", 17));
        let receive = Receive {
            bytes: 1,
            packets: 2,
            errors: 3,
            dropped: 4,
            fifo: 5,
            frame: 6,
            compressed: 7,
            multicast: 8,
        };
        assert_eq!(lo.receive, receive);
        let transmit = Transmit {
            bytes: 9,
            packets: 10,
            errors: 11,
            dropped: 12,
            fifo: 13,
            collisions: 14,
            carrier: 15,
            compressed: 16,
        };
        assert_eq!(lo.transmit, transmit);
    }

    #[test]
    fn an_interface_that_is_not_understood_costs_that_interface() {
        let text =
            format!("{HEADINGS}lo: 1 2\nb: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\nnothing\n");
        let read = parse(text.as_bytes()).expect("parsed");
        assert_eq!((read.interfaces.len(), read.skipped.lines), (1, 2));
        assert_eq!(
            read.skipped.first.map(|error| (error.line, error.field)),
            Some((3, "receive errs"))
        );
        assert!(parse(b"").is_err());
        assert!(parse(b"garbage").is_err());
        assert!(parse(HEADINGS.as_bytes()).is_ok(), "a namespace without interfaces");
    }
}
