//! What Linux says about a host: readers of `/proc`, `/sys` and the cgroup trees.
//!
//! In: a [`HostRoot`]. Out: plain structs with units in their fields' docs. Each module is a file (or a folder) of
//! the kernel, with `read(&HostRoot)` and, where there is text, `parse(&[u8])` behind it. What always holds: nothing
//! here knows of metrics' names, OTLP or Kubernetes' API; nothing is async; no content of a file makes a reader
//! panic; fields that a newer kernel adds are passed over, those that an older one does not have are `None`; a line
//! that is not understood costs that line and is counted ([`Skipped`]).
//!
//! The `procfs` crate is not used: it gives up a file at the first line that it does not expect, makes a `String` of
//! every line, and takes no root for several of its files.

pub mod arp;
pub mod bonding;
pub mod btrfs;
pub mod cgroup;
pub mod conntrack;
pub mod cpu_topology;
pub mod cpufreq;
pub mod diskstats;
pub mod edac;
pub mod entropy;
mod error;
pub mod fibre_channel;
mod file;
pub mod file_handles;
pub mod filesystems;
pub mod hardware;
pub mod hwmon;
pub mod infiniband;
pub mod ipvs;
pub mod kernel;
pub mod loadavg;
pub mod mdstat;
pub mod meminfo;
pub mod mounts;
mod named;
pub mod net_class;
pub mod net_counters;
pub mod net_dev;
pub mod nfs;
pub mod numa;
pub mod os_release;
pub mod power;
pub mod pressure;
pub mod process;
mod root;
pub mod schedstat;
pub mod sockets;
pub mod sockstat;
pub mod softnet;
pub mod stat;
pub mod swaps;
mod text;
pub mod thermal;
pub mod uptime;
pub mod vmstat;
pub mod xfs;
pub mod zfs;

pub use error::{ParseError, Problem, ReadError, Skipped};
pub use root::HostRoot;
