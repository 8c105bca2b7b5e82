//! `/sys/class/infiniband`: ports of RDMA devices, InfiniBand and RoCE.
//!
//! Format: `Documentation/ABI/stable/sysfs-class-infiniband`.

use std::path::Path;

use crate::error::ReadError;
use crate::named::Named;
use crate::{HostRoot, file, text};

/// A port. Counters are since its driver was loaded, or since somebody reset them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RdmaPort {
    /// The device (`mlx5_0`).
    pub device: Box<str>,
    /// The port's number, from 1.
    pub number: u32,
    /// Its state (`ACTIVE`, `DOWN`, `INIT`, `ARMED`).
    pub state: Option<Box<str>>,
    /// The link below it (`LinkUp`, `Disabled`, `Polling`).
    pub link: Option<Box<str>>,
    /// Bits in a second.
    pub rate: Option<u64>,
    counters: Named,
}

impl RdmaPort {
    /// A counter by its file's name (`link_downed`, `symbol_error`, `out_of_sequence`), as it stands there.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<u64> {
        self.counters.get(name)
    }

    /// All counters, sorted by name within those of the standard and those of the driver (`hw_counters`).
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.counters.iter()
    }

    /// Bytes that came in. The file counts in words of four.
    #[must_use]
    pub fn received_bytes(&self) -> Option<u64> {
        self.get("port_rcv_data").map(|words| words.saturating_mul(4))
    }

    /// Bytes that went out. The file counts in words of four.
    #[must_use]
    pub fn transmitted_bytes(&self) -> Option<u64> {
        self.get("port_xmit_data").map(|words| words.saturating_mul(4))
    }
}

/// Reads every port, sorted by device and number.
///
/// # Errors
/// When the folder cannot be listed: a machine without such devices has none.
pub fn read(root: &HostRoot) -> Result<Vec<RdmaPort>, ReadError> {
    let top = root.sys("class/infiniband");
    let mut ports = Vec::new();
    for device in file::names(&top)? {
        let folder = top.join(&device).join("ports");
        let numbers = file::names(&folder).unwrap_or_default();
        let mut numbers: Vec<u32> =
            numbers.iter().filter_map(|name| text::u32(name.as_bytes())).collect();
        numbers.sort_unstable();
        ports.extend(numbers.into_iter().map(|number| {
            let device = device.as_str().into();
            RdmaPort { device, number, ..port(&folder.join(number.to_string())) }
        }));
    }
    Ok(ports)
}

fn port(folder: &Path) -> RdmaPort {
    // `4: ACTIVE`.
    let named = |name| {
        let line = file::optional(file::line(folder.join(name)))?;
        line.split_once(": ").map(|(_, state)| state.into())
    };
    let mut counters = Named::default();
    for kind in ["counters", "hw_counters"] {
        for name in file::names(&folder.join(kind)).unwrap_or_default() {
            // A counter that the hardware does not have cannot be read; `lifespan` is a setting.
            if let Some(count) =
                file::optional(file::number(folder.join(kind).join(&name))).flatten()
                && name != "lifespan"
            {
                counters.add(&name, count);
            }
        }
    }
    let rate = file::optional(file::line(folder.join("rate")));
    RdmaPort {
        state: named("state"),
        link: named("phys_state"),
        rate: rate.and_then(|rate| bits_per_second(&rate)),
        counters,
        ..RdmaPort::default()
    }
}

/// `100 Gb/sec (4X EDR)`, `2.5 Gb/sec (1X SDR)`.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn bits_per_second(rate: &str) -> Option<u64> {
    let (number, unit) = rate.split_once(' ')?;
    let number = text::f64(number.as_bytes()).filter(|_| unit.starts_with("Gb/sec"))?;
    // In megabits first: exact for every rate that there is. A float that is too large for the type is its largest.
    Some(((number * 1e3).round() as u64).saturating_mul(1_000_000))
}
