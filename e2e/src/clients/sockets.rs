//! The connections of the agents, as the kernel counts them: TLS and all.
//!
//! In: `ss`. Out: how many there are, how many there were, and the bytes over them. Always: what a connection carried between the
//! last look and its end is not seen.

use std::collections::HashMap;

use anyhow::Result;

use crate::{cmd, netns};

/// What a connection carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Carried {
    received: u64,
    sent: u64,
}

/// The connections of some processes to the API server.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    pids: Vec<u32>,
    known: HashMap<String, Carried>,
    /// Now.
    pub(crate) open: usize,
    /// Since the first look, those of before included.
    pub(crate) opened: usize,
    /// Bytes that came from the API server since the first look.
    pub(crate) received: u64,
    /// Bytes that went there.
    pub(crate) sent: u64,
}

impl Sockets {
    /// Those of these processes; what they carried so far is counted.
    pub(crate) fn of(pids: Vec<u32>) -> Self {
        Self { pids, ..Self::default() }
    }

    /// Looks.
    pub(crate) fn look(&mut self) -> Result<()> {
        let api = format!("{}:6443", netns::NODE_IP);
        let mut command = netns::command("ss");
        command.args(["-tinpHO", "state", "established", "dst", &api]);
        self.take(&cmd::run(&mut command)?);
        Ok(())
    }

    /// From here on bytes are counted anew.
    pub(crate) fn begin(&mut self) {
        (self.received, self.sent, self.opened) = (0, 0, self.open);
    }

    fn take(&mut self, text: &str) {
        let mut now = HashMap::new();
        for line in text.lines() {
            let Some(pid) = number(line, "pid=") else { continue };
            if !self.pids.iter().any(|known| u64::from(*known) == pid) {
                continue;
            }
            // Receive queue, send queue, then the own address.
            let Some(address) = line.split_whitespace().nth(2) else { continue };
            let carried = Carried {
                received: number(line, "bytes_received:").unwrap_or_default(),
                sent: number(line, "bytes_sent:").unwrap_or_default(),
            };
            now.insert(address.to_owned(), carried);
        }
        for (address, carried) in &now {
            // One that carried less than before is another one from the same port.
            let before = self.known.get(address).copied();
            let before = before.filter(|before| before.received <= carried.received);
            self.opened += usize::from(before.is_none());
            let before = before.unwrap_or_default();
            self.received += carried.received - before.received;
            self.sent += carried.sent.saturating_sub(before.sent);
        }
        self.open = now.len();
        self.known = now;
    }
}

/// The number behind a word.
fn number(line: &str, word: &str) -> Option<u64> {
    let rest = line.split_once(word)?.1;
    let end = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(port: u16, pid: u32, sent: u64, received: u64) -> String {
        format!(
            "0 0 172.30.0.1:{port} 172.30.0.1:6443 users:((\"e2e\",pid={pid},fd=9)) cubic bytes_sent:{sent} \
             bytes_acked:{sent} bytes_received:{received} segs_out:3\n"
        )
    }

    #[test]
    fn bytes_are_those_of_the_processes_also_over_connections_that_end() {
        let mut sockets = Sockets::of(vec![7]);
        sockets.take(&[line(1, 7, 10, 100), line(2, 8, 10, 100)].concat());
        assert_eq!((sockets.open, sockets.sent, sockets.received), (1, 10, 100));
        sockets.begin();
        sockets.take(&[line(1, 7, 15, 160), line(3, 7, 1, 2)].concat());
        assert_eq!((sockets.open, sockets.opened, sockets.sent, sockets.received), (2, 2, 6, 62));
        sockets.take(&line(1, 7, 3, 4));
        assert_eq!((sockets.open, sockets.opened, sockets.sent, sockets.received), (1, 3, 9, 66));
    }
}
