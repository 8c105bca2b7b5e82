//! `/sys/class/power_supply` and `/sys/class/powercap`: where power comes from, and how much of it the processors took.
//!
//! Format: `Documentation/ABI/testing/sysfs-class-power`, `Documentation/power/powercap/powercap.rst`.

use crate::error::ReadError;
use crate::{HostRoot, file};

/// A battery, a mains adapter.
#[derive(Debug, Clone, PartialEq)]
pub struct PowerSupply {
    /// Its name (`BAT0`).
    pub name: Box<str>,
    /// What it is (`Battery`, `Mains`, `UPS`, `USB`).
    pub kind: Box<str>,
    /// `Charging`, `Discharging`, `Full`.
    pub status: Option<Box<str>>,
    /// It gives power.
    pub is_online: Option<bool>,
    /// How full it is, 0 to 1.
    pub capacity: Option<f64>,
    /// Volts.
    pub voltage: Option<f64>,
    /// Amperes; below zero while it is charged, by some drivers.
    pub current: Option<f64>,
    /// Watts.
    pub power: Option<f64>,
    /// What is in it, in watt hours.
    pub energy: Option<f64>,
    /// What was in it when it was full the last time, in watt hours.
    pub energy_full: Option<f64>,
    /// What is in it, in ampere hours, for those that tell charge instead of energy.
    pub charge: Option<f64>,
    /// What was in it when it was full the last time, in ampere hours.
    pub charge_full: Option<f64>,
}

/// A part of the machine whose energy is counted (RAPL): a package, its cores, its memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnergyZone {
    /// Its folder (`intel-rapl:0:1`).
    pub folder: Box<str>,
    /// What it is (`package-0`, `core`, `dram`).
    pub name: Box<str>,
    /// What it took, in microjoules. It starts at 0 again behind `max_energy_uj`.
    pub energy_uj: u64,
    /// The largest that the counter gets.
    pub max_energy_uj: Option<u64>,
}

/// Reads every power supply, sorted by name.
///
/// # Errors
/// When the folder cannot be listed.
pub fn supplies(root: &HostRoot) -> Result<Vec<PowerSupply>, ReadError> {
    let top = root.sys("class/power_supply");
    let supply = |name: String| {
        let folder = top.join(&name);
        let word = |name: &str| file::optional(file::line(folder.join(name)));
        #[allow(clippy::cast_precision_loss)]
        let number = |name: &str| {
            file::optional(file::signed(folder.join(name))).flatten().map(|number| number as f64)
        };
        let micro = |name: &str| number(name).map(|number| number / 1e6);
        PowerSupply {
            name: name.into(),
            kind: word("type").unwrap_or_default(),
            status: word("status"),
            is_online: number("online").map(|online| online > 0.0),
            capacity: number("capacity").map(|percent| percent / 100.0),
            voltage: micro("voltage_now"),
            current: micro("current_now"),
            power: micro("power_now"),
            energy: micro("energy_now"),
            energy_full: micro("energy_full"),
            charge: micro("charge_now"),
            charge_full: micro("charge_full"),
        }
    };
    Ok(file::names(&top)?.into_iter().map(supply).collect())
}

/// Reads every zone whose energy may be read, sorted by folder: most kernels let the superuser alone read it.
///
/// # Errors
/// When the folder cannot be listed, or not one zone may be read.
pub fn energy(root: &HostRoot) -> Result<Vec<EnergyZone>, ReadError> {
    let top = root.sys("class/powercap");
    let mut zones = Vec::new();
    let mut refused = None;
    for folder in file::names(&top)? {
        match file::number(top.join(&folder).join("energy_uj")) {
            Ok(Some(energy_uj)) => zones.push(EnergyZone {
                name: file::optional(file::line(top.join(&folder).join("name")))
                    .unwrap_or_default(),
                max_energy_uj: file::optional(file::number(
                    top.join(&folder).join("max_energy_range_uj"),
                ))
                .flatten(),
                folder: folder.into(),
                energy_uj,
            }),
            Err(error @ ReadError::Io { .. }) => refused = Some(error),
            // The folder of the driver itself, without a counter.
            _ => {}
        }
    }
    match refused {
        Some(error) if zones.is_empty() => Err(error),
        _ => Ok(zones),
    }
}
