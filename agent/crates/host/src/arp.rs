//! `/proc/1/net/arp`: the host's IPv4 neighbours, counted. Written by `net/ipv4/arp.c`; read as a stream, a gateway
//! has many.

use std::collections::BTreeMap;

use crate::error::{ParseError, ReadError, Skipped};
use crate::text::Fields;
use crate::{HostRoot, file, text};

/// Neighbours.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Arp {
    /// How many there are by interface; those that did not answer yet are among them.
    pub entries: BTreeMap<Box<str>, u64>,
    /// What was not understood.
    pub skipped: Skipped,
}

/// Counts the host's neighbours.
///
/// # Errors
/// When the file cannot be read.
pub fn read(root: &HostRoot) -> Result<Arp, ReadError> {
    let mut arp = Arp::default();
    file::each_line(&root.net("arp"), |line| arp.count(line))?;
    Ok(arp)
}

/// Parses the text of `/proc/net/arp`.
#[must_use]
pub fn parse(bytes: &[u8]) -> Arp {
    let mut arp = Arp::default();
    text::lines(bytes).for_each(|line| arp.count(line));
    arp
}

impl Arp {
    fn count(&mut self, mut line: Fields<'_>) {
        // The first line is headings.
        if line.line() == 1 {
            return;
        }
        let interface = interface(&mut line);
        let Some(interface) = self.skipped.keep(interface) else { return };
        // An allocation for each interface, not for each neighbour.
        match str::from_utf8(interface).ok().and_then(|name| self.entries.get_mut(name)) {
            Some(count) => *count = count.saturating_add(1),
            None => drop(self.entries.insert(text::text(interface), 1)),
        }
    }
}

/// Address, type, flags, hardware address, mask, device.
fn interface<'a>(line: &mut Fields<'a>) -> Result<&'a [u8], ParseError> {
    line.skip(5);
    line.word("Device")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_counted_by_interface() {
        let text = b"IP address       HW type     Flags       HW address            Mask     Device\n\
            192.0.2.1 0x1 0x2 02:fc:00:00:00:05 * eth0\n192.0.2.2 0x1 0x0 00:00:00:00:00:00 * eth0\n\
            198.51.100.7 0x1 0x2 02:fc:00:00:00:06 * cni0\ncut 0x1\n";
        let arp = parse(text);
        let entries: Vec<_> = arp.entries.iter().map(|(name, count)| (&**name, *count)).collect();
        assert_eq!(entries, [("cni0", 1), ("eth0", 2)]);
        assert_eq!(arp.skipped.lines, 1);
    }
}
