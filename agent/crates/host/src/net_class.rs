//! `/sys/class/net`: what the host's network interfaces are, beside what they did ([`crate::net_dev`]).
//!
//! A mount of sysfs shows the interfaces of the network namespace that it was mounted in, so the host's `/sys` shows
//! the host's wherever it is seen. Format: `Documentation/ABI/testing/sysfs-class-net`.

use crate::error::ReadError;
use crate::{HostRoot, file};

/// A network interface. What its driver does not say, or not while the interface is down, is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InterfaceClass {
    /// Its name.
    pub name: Box<str>,
    /// Its number.
    pub index: Option<u64>,
    /// What its state is (`up`, `down`, `unknown`: RFC 2863). The loopback's is `unknown`.
    pub state: Option<Box<str>>,
    /// It has a carrier.
    pub carrier: Option<bool>,
    /// How often the carrier came or went.
    pub carrier_changes: Option<u64>,
    /// Bits in a second.
    pub speed: Option<u64>,
    /// `full` or `half`.
    pub duplex: Option<Box<str>>,
    /// The largest packet, in bytes.
    pub mtu: Option<u64>,
    /// Packets that can wait to be sent.
    pub transmit_queue_length: Option<u64>,
    /// `ARPHRD_*` of `include/uapi/linux/if_arp.h`: 1 is Ethernet, 772 the loopback.
    pub kind: Option<u64>,
}

impl InterfaceClass {
    /// It can be used. Drivers that do not know leave it at `unknown`.
    #[must_use]
    pub fn is_up(&self) -> bool {
        matches!(self.state.as_deref(), Some("up" | "unknown"))
    }
}

/// Reads every interface, sorted by name.
///
/// # Errors
/// When the folder cannot be listed.
pub fn read(root: &HostRoot) -> Result<Vec<InterfaceClass>, ReadError> {
    let folder = root.sys("class/net");
    // Not everything in there is an interface: `bonding_masters` is a file.
    let names = file::names(&folder)?.into_iter().filter(|name| folder.join(name).is_dir());
    Ok(names.map(|name| interface(root, name)).collect())
}

fn interface(root: &HostRoot, name: String) -> InterfaceClass {
    let folder = root.sys("class/net").join(&name);
    let number = |name| file::optional(file::number(folder.join(name))).flatten();
    let word = |name| file::optional(file::line(folder.join(name))).filter(|word| !word.is_empty());
    InterfaceClass {
        name: name.into(),
        index: number("ifindex"),
        state: word("operstate"),
        carrier: number("carrier").map(|carrier| carrier != 0),
        carrier_changes: number("carrier_changes"),
        // In Mbit/s; -1, which is no number here, when it is not known.
        speed: number("speed").map(|megabits| megabits.saturating_mul(1_000_000)),
        duplex: word("duplex").filter(|duplex| &**duplex != "unknown"),
        mtu: number("mtu"),
        transmit_queue_length: number("tx_queue_len"),
        kind: number("type"),
    }
}
