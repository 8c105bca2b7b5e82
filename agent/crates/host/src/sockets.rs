//! `/proc/1/net/tcp`, `tcp6`, `udp`, `udp6`: the host's sockets, counted.
//!
//! A busy host has hundreds of thousands of them, so the files are read as streams and nothing is kept of a line.
//! They show the sockets of the host's own network namespace; those of pods are in theirs. Format:
//! `Documentation/networking/proc_net_tcp.rst`.

use crate::error::{ParseError, Problem, ReadError, Skipped};
use crate::text::{self, Fields};
use crate::{HostRoot, file};

/// States of a TCP connection, numbered from 1 (`include/net/tcp_states.h`).
pub const TCP_STATES: [&str; 12] = [
    "ESTABLISHED",
    "SYN_SENT",
    "SYN_RECV",
    "FIN_WAIT1",
    "FIN_WAIT2",
    "TIME_WAIT",
    "CLOSE",
    "CLOSE_WAIT",
    "LAST_ACK",
    "LISTEN",
    "CLOSING",
    "NEW_SYN_RECV",
];

/// TCP sockets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tcp {
    /// How many there are in each of [`TCP_STATES`].
    pub states: [u64; TCP_STATES.len()],
    /// What waits in them.
    pub queues: Queues,
    /// What was not understood.
    pub skipped: Skipped,
}

impl Tcp {
    /// States by name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        TCP_STATES.into_iter().zip(self.states)
    }
}

/// UDP sockets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Udp {
    /// How many there are.
    pub sockets: u64,
    /// What waits in them.
    pub queues: Queues,
    /// Datagrams that found no room in one of them, since each was opened.
    pub drops: u64,
    /// What was not understood.
    pub skipped: Skipped,
}

/// What waits in sockets, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Queues {
    /// To be sent or acknowledged.
    pub transmit: u64,
    /// To be read by the program. For a listening TCP socket, connections to be accepted.
    pub receive: u64,
}

/// Counts TCP sockets over IPv4.
///
/// # Errors
/// When the file cannot be read.
pub fn tcp4(root: &HostRoot) -> Result<Tcp, ReadError> {
    count_tcp(root, "tcp")
}

/// Counts TCP sockets over IPv6. Missing on hosts without IPv6.
///
/// # Errors
/// When the file cannot be read.
pub fn tcp6(root: &HostRoot) -> Result<Tcp, ReadError> {
    count_tcp(root, "tcp6")
}

/// Counts UDP sockets over IPv4.
///
/// # Errors
/// When the file cannot be read.
pub fn udp4(root: &HostRoot) -> Result<Udp, ReadError> {
    count_udp(root, "udp")
}

/// Counts UDP sockets over IPv6. Missing on hosts without IPv6.
///
/// # Errors
/// When the file cannot be read.
pub fn udp6(root: &HostRoot) -> Result<Udp, ReadError> {
    count_udp(root, "udp6")
}

fn count_tcp(root: &HostRoot, name: &str) -> Result<Tcp, ReadError> {
    let mut tcp = Tcp::default();
    file::each_line(&root.net(name), |line| tcp.count(line))?;
    Ok(tcp)
}

fn count_udp(root: &HostRoot, name: &str) -> Result<Udp, ReadError> {
    let mut udp = Udp::default();
    file::each_line(&root.net(name), |line| udp.count(line))?;
    Ok(udp)
}

/// Parses the text of `/proc/net/tcp` or `tcp6`.
#[must_use]
pub fn parse_tcp(bytes: &[u8]) -> Tcp {
    let mut tcp = Tcp::default();
    text::lines(bytes).for_each(|line| tcp.count(line));
    tcp
}

/// Parses the text of `/proc/net/udp` or `udp6`.
#[must_use]
pub fn parse_udp(bytes: &[u8]) -> Udp {
    let mut udp = Udp::default();
    text::lines(bytes).for_each(|line| udp.count(line));
    udp
}

impl Tcp {
    fn count(&mut self, mut line: Fields<'_>) {
        let Some(socket) = socket(&mut line) else { return };
        let Some((state, queues)) = self.skipped.keep(socket) else { return };
        let state = usize::try_from(state).ok().and_then(|state| state.checked_sub(1));
        match state.and_then(|state| self.states.get_mut(state)) {
            Some(count) => {
                *count = count.saturating_add(1);
                self.queues.add(queues);
            }
            None => self.skipped.add(line.error("st", Problem::Malformed)),
        }
    }
}

impl Udp {
    fn count(&mut self, mut line: Fields<'_>) {
        let Some(socket) = socket(&mut line) else { return };
        let Some((_state, queues)) = self.skipped.keep(socket) else { return };
        self.sockets = self.sockets.saturating_add(1);
        self.queues.add(queues);
        // tr and tm->when, retrnsmt, uid, timeout, inode, ref, pointer: drops is the last.
        line.skip(7);
        self.drops = self.drops.saturating_add(line.u64("drops").unwrap_or(0));
    }
}

impl Queues {
    fn add(&mut self, other: Self) {
        self.transmit = self.transmit.saturating_add(other.transmit);
        self.receive = self.receive.saturating_add(other.receive);
    }
}

/// `0: 00000000:07E8 00000000:0000 0A 00000000:00000000 …`: state and queues. `None` for the line of headings, and
/// for the blank lines that a reader sees when sockets go while it reads.
fn socket(line: &mut Fields<'_>) -> Option<Result<(u64, Queues), ParseError>> {
    let slot = line.next()?;
    if slot == b"sl" {
        return None;
    }
    line.skip(2);
    Some(line.word("st").and_then(|state| {
        let state = text::hex(state).ok_or_else(|| line.error("st", Problem::NotANumber))?;
        let queues = line.word("tx_queue:rx_queue")?;
        let queues = queues_of(queues);
        let queues = queues.ok_or_else(|| line.error("tx_queue:rx_queue", Problem::Malformed))?;
        Ok((state, queues))
    }))
}

fn queues_of(queues: &[u8]) -> Option<Queues> {
    let colon = memchr::memchr(b':', queues)?;
    Some(Queues {
        transmit: text::hex(&queues[..colon])?,
        receive: text::hex(&queues[colon + 1..])?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tcp_sockets_are_counted_by_state() {
        let text = b"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 00000000:07E8 00000000:0000 0A 00000000:00000001 00:00000000 00000000     0        0 1236 1 0 100 0 0 10 0\n\
            1: 0100007F:A1B2 0100007F:07E8 01 00000010:00000020 00:00000000 00000000     0        0 1237 1 0 20 4 30 10 -1\n\
            2: 0100007F:A1B3 0100007F:07E8 06 00000000:00000000 03:00000F3C 00000000     0        0 0 3 0\n\
            3: 0100007F:A1B3 0100007F:07E8 0D 00000000:00000000 x\n\n4: cut\n";
        let tcp = parse_tcp(text);
        let found: Vec<_> = tcp.iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(found, [("ESTABLISHED", 1), ("TIME_WAIT", 1), ("LISTEN", 1)]);
        assert_eq!(tcp.queues, Queues { transmit: 0x10, receive: 0x21 });
        assert_eq!(tcp.skipped.lines, 2);
        assert_eq!(tcp.skipped.first.map(|error| (error.line, error.field)), Some((5, "st")));
    }

    #[test]
    fn udp_sockets_tell_what_they_dropped() {
        let text = b"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n\
            99: 3500007F:0035 00000000:0000 07 00000000:00000A00 00:00000000 00000000   101        0 21321 2 0000000000000000 5\n";
        let udp = parse_udp(text);
        assert_eq!((udp.sockets, udp.drops), (1, 5));
        assert_eq!(udp.queues, Queues { transmit: 0, receive: 2560 });
    }
}
