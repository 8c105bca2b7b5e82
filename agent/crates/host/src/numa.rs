//! `/sys/devices/system/node`: memory by NUMA node.
//!
//! Format: `Documentation/ABI/stable/sysfs-devices-node`, `Documentation/admin-guide/numastat.rst`.

use crate::error::{ParseError, ReadError};
use crate::meminfo::{self, Meminfo};
use crate::{HostRoot, file, text};

/// A NUMA node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NumaNode {
    /// The `N` of `nodeN`.
    pub number: u32,
    /// Its memory: most fields of the host's, and some of its own (`MemUsed`, `FilePages`).
    pub memory: Meminfo,
    /// Where pages came from; `None` where the kernel does not count it.
    pub allocations: Option<Allocations>,
}

/// Pages that were given out since boot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Allocations {
    /// On this node, as was wanted.
    pub hit: u64,
    /// On this node, though another was wanted.
    pub miss: u64,
    /// On another node, though this was wanted.
    pub foreign: u64,
    /// On this node, to a process that ran on it.
    pub local: u64,
    /// On this node, to a process that ran on another.
    pub other: u64,
    /// On this node, as was wanted, by taking turns.
    pub interleave_hit: u64,
}

/// Reads every node, in order of their numbers.
///
/// # Errors
/// When the folder cannot be listed (a kernel without NUMA has none), or a node's memory is not understood.
pub fn read(root: &HostRoot) -> Result<Vec<NumaNode>, ReadError> {
    let top = root.sys("devices/system/node");
    let mut nodes = Vec::new();
    for name in file::names(&top)? {
        let Some(number) =
            name.strip_prefix("node").and_then(|number| text::u32(number.as_bytes()))
        else {
            continue;
        };
        let folder = top.join(&name);
        let memory = file::parse(folder.join("meminfo"), parse_meminfo)?;
        let allocations = file::parse(folder.join("numastat"), |bytes| Ok(parse_numastat(bytes)));
        nodes.push(NumaNode { number, memory, allocations: file::optional(allocations) });
    }
    nodes.sort_by_key(|node| node.number);
    Ok(nodes)
}

/// `Node 0 MemTotal:       16384 kB`.
fn parse_meminfo(bytes: &[u8]) -> Result<Meminfo, ParseError> {
    meminfo::parse_lines(bytes, 2)
}

fn parse_numastat(bytes: &[u8]) -> Allocations {
    let mut allocations = Allocations::default();
    for mut line in text::lines(bytes) {
        let place = match line.next() {
            Some(b"numa_hit") => &mut allocations.hit,
            Some(b"numa_miss") => &mut allocations.miss,
            Some(b"numa_foreign") => &mut allocations.foreign,
            Some(b"local_node") => &mut allocations.local,
            Some(b"other_node") => &mut allocations.other,
            Some(b"interleave_hit") => &mut allocations.interleave_hit,
            _ => continue,
        };
        *place = line.u64("pages").unwrap_or(0);
    }
    allocations
}
