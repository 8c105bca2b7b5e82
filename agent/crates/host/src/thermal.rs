//! `/sys/class/thermal`: zones that can get hot, and what cools them.
//!
//! Format: `Documentation/driver-api/thermal/sysfs-api.rst`.

use crate::error::ReadError;
use crate::{HostRoot, file};

/// Zones and coolers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Thermal {
    /// Zones that tell their temperature, sorted by name.
    pub zones: Vec<Zone>,
    /// Coolers, sorted by name.
    pub coolers: Vec<Cooler>,
}

/// A zone.
#[derive(Debug, Clone, PartialEq)]
pub struct Zone {
    /// `thermal_zoneN`.
    pub name: Box<str>,
    /// What it is (`x86_pkg_temp`, `acpitz`).
    pub kind: Box<str>,
    /// Degrees Celsius.
    pub temperature: f64,
}

/// Something that cools when its state is raised: a fan, a processor that is slowed down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cooler {
    /// `cooling_deviceN`.
    pub name: Box<str>,
    /// What it is (`Processor`, `Fan`).
    pub kind: Box<str>,
    /// What it does now; 0 is nothing. Some drivers do not say.
    pub state: Option<u64>,
    /// The most that it can do.
    pub max_state: Option<u64>,
}

/// Reads every zone and cooler.
///
/// # Errors
/// When the folder cannot be listed.
pub fn read(root: &HostRoot) -> Result<Thermal, ReadError> {
    let mut thermal = Thermal::default();
    let folder = root.sys("class/thermal");
    for name in file::names(&folder)? {
        let device = folder.join(&name);
        let kind = file::optional(file::line(device.join("type"))).unwrap_or_default();
        let number = |name| file::optional(file::number(device.join(name))).flatten();
        if name.starts_with("thermal_zone") {
            // A zone that is off, or whose sensor sleeps, cannot be read.
            let Some(millidegrees) = file::optional(file::signed(device.join("temp"))).flatten()
            else {
                continue;
            };
            #[allow(clippy::cast_precision_loss)]
            let temperature = millidegrees as f64 / 1e3;
            thermal.zones.push(Zone { name: name.into(), kind, temperature });
        } else if name.starts_with("cooling_device") {
            let (state, max_state) = (number("cur_state"), number("max_state"));
            thermal.coolers.push(Cooler { name: name.into(), kind, state, max_state });
        }
    }
    Ok(thermal)
}
