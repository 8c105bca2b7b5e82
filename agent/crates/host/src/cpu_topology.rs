//! How many CPUs there are: `/sys/devices/system/cpu`.
//!
//! It is read once: it changes only when a CPU is taken offline, which [`crate::stat`] shows too. `/proc/cpuinfo` is
//! left alone: on x86 the kernel wakes every CPU to write it (`arch_freq_get_on_cpu`), on a large machine it is
//! hundreds of KiB. Format: `Documentation/ABI/stable/sysfs-devices-system-cpu`.

use std::collections::BTreeSet;

use crate::error::ReadError;
use crate::{HostRoot, file, text};

/// How many CPUs there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Topology {
    /// CPUs that are online: what the scheduler sees, with every hyper-thread.
    pub logical: u64,
    /// Cores behind them; `None` where the kernel does not say.
    pub physical: Option<u64>,
    /// Packages (sockets) behind them; `None` where the kernel does not say.
    pub packages: Option<u64>,
}

/// Reads `/sys/devices/system/cpu`.
///
/// # Errors
/// When the folder cannot be read.
pub fn read(root: &HostRoot) -> Result<Topology, ReadError> {
    let folder = root.sys("devices/system/cpu");
    let numbers = numbers(root)?;
    let online = file::parse(folder.join("online"), |list| Ok(text::list_len(list)));
    let (mut cores, mut packages) = (BTreeSet::new(), BTreeSet::new());
    for number in &numbers {
        let topology = folder.join(format!("cpu{number}/topology"));
        let id = |name| file::optional(file::signed(topology.join(name))).flatten();
        // An offline CPU has no topology; on some virtual machines the package is -1, which is one too.
        if let (Some(package), Some(core)) = (id("physical_package_id"), id("core_id")) {
            packages.insert(package);
            cores.insert((package, core));
        }
    }
    let counted = |set: usize| Some(set as u64).filter(|count| *count > 0);
    Ok(Topology {
        logical: file::optional(online).flatten().unwrap_or(numbers.len() as u64),
        physical: counted(cores.len()),
        packages: counted(packages.len()),
    })
}

/// The CPUs that have a folder, in order.
pub(crate) fn numbers(root: &HostRoot) -> Result<Vec<u32>, ReadError> {
    let names = file::names(&root.sys("devices/system/cpu"))?;
    let mut numbers: Vec<u32> =
        names.iter().filter_map(|name| text::u32(name.strip_prefix("cpu")?.as_bytes())).collect();
    numbers.sort_unstable();
    Ok(numbers)
}
