//! `/sys/class/fc_host`: ports of Fibre Channel adapters. Written by `drivers/scsi/scsi_transport_fc.c`.

use crate::error::ReadError;
use crate::named::Named;
use crate::{HostRoot, file, text};

/// A port.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FibreChannelHost {
    /// Its name (`host0`).
    pub name: Box<str>,
    /// Its state (`Online`, `Linkdown`).
    pub state: Option<Box<str>>,
    /// Its speed, as it is written (`16 Gbit`).
    pub speed: Option<Box<str>>,
    counters: Named,
}

impl FibreChannelHost {
    /// A counter by its file's name (`rx_words`, `invalid_crc_count`).
    #[must_use]
    pub fn get(&self, name: &str) -> Option<u64> {
        self.counters.get(name)
    }

    /// All counters, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.counters.iter()
    }
}

/// Reads every port, sorted by name.
///
/// # Errors
/// When the folder cannot be listed: a machine without such adapters has none.
pub fn read(root: &HostRoot) -> Result<Vec<FibreChannelHost>, ReadError> {
    let top = root.sys("class/fc_host");
    let host = |name: String| {
        let folder = top.join(&name);
        let word = |name: &str| file::optional(file::line(folder.join(name)));
        let mut counters = Named::default();
        for counter in file::names(&folder.join("statistics")).unwrap_or_default() {
            let count = word(&format!("statistics/{counter}")).and_then(|count| {
                let count = text::hex(count.strip_prefix("0x")?.as_bytes());
                // What the adapter does not count is all ones.
                count.filter(|count| *count != u64::MAX)
            });
            if let Some(count) = count {
                counters.add(&counter, count);
            }
        }
        FibreChannelHost {
            state: word("port_state"),
            speed: word("speed"),
            name: name.into(),
            counters,
        }
    };
    Ok(file::names(&top)?.into_iter().map(host).collect())
}
