//! At which frequency the CPUs run: `/sys/devices/system/cpu/cpuN/cpufreq`.
//!
//! Virtual machines mostly have none of it. Format: `Documentation/admin-guide/pm/cpufreq.rst`; its files are in kHz.

use crate::cpu_topology::numbers;
use crate::error::ReadError;
use crate::{HostRoot, file};

/// One CPU's frequency, in Hz. What the driver does not say is `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CpuFrequency {
    /// The `N` of `cpuN`.
    pub number: u32,
    /// Now, as the driver believes it to be (`scaling_cur_freq`).
    pub current: Option<u64>,
    /// The lowest that the governor may choose.
    pub scaling_min: Option<u64>,
    /// The highest that the governor may choose.
    pub scaling_max: Option<u64>,
    /// The lowest that the hardware can.
    pub hardware_min: Option<u64>,
    /// The highest that the hardware can.
    pub hardware_max: Option<u64>,
    /// Who chooses (`performance`, `schedutil`).
    pub governor: Option<Box<str>>,
}

/// Reads the frequency of every CPU that has one; none on hosts without `cpufreq`.
///
/// # Errors
/// When the folder of CPUs cannot be read.
pub fn read(root: &HostRoot) -> Result<Vec<CpuFrequency>, ReadError> {
    let mut frequencies = Vec::new();
    for number in numbers(root)? {
        let folder = root.sys(format!("devices/system/cpu/cpu{number}/cpufreq"));
        let hertz = |name| {
            file::optional(file::number(folder.join(name)))
                .flatten()
                .map(|khz| khz.saturating_mul(1000))
        };
        let (current, hardware_max) = (hertz("scaling_cur_freq"), hertz("cpuinfo_max_freq"));
        if current.is_none() && hardware_max.is_none() {
            continue;
        }
        frequencies.push(CpuFrequency {
            number,
            current,
            scaling_min: hertz("scaling_min_freq"),
            scaling_max: hertz("scaling_max_freq"),
            hardware_min: hertz("cpuinfo_min_freq"),
            hardware_max,
            governor: file::optional(file::line(folder.join("scaling_governor"))),
        });
    }
    Ok(frequencies)
}
