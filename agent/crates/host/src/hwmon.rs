//! `/sys/class/hwmon`: the sensors of the machine.
//!
//! Format: `Documentation/hwmon/sysfs-interface.rst`. A sensor that cannot be read just now (it sleeps, it is not
//! connected) is left out.

use crate::error::ReadError;
use crate::{HostRoot, file, text};

/// A chip with sensors.
#[derive(Debug, Clone, PartialEq)]
pub struct Chip {
    /// `hwmonN`; it may be another after the next boot.
    pub name: Box<str>,
    /// What the driver calls it (`coretemp`, `nvme`).
    pub driver: Option<Box<str>>,
    /// The device that it belongs to (`coretemp.0`, `nvme0`): what tells two chips of one driver apart.
    pub device: Option<Box<str>>,
    /// Its sensors, sorted by kind and number.
    pub sensors: Vec<Sensor>,
}

/// A sensor.
#[derive(Debug, Clone, PartialEq)]
pub struct Sensor {
    /// What it measures.
    pub kind: SensorKind,
    /// Its number on its chip.
    pub number: u32,
    /// What its driver calls it (`Core 0`).
    pub label: Option<Box<str>>,
    /// What it measures now, in its kind's unit.
    pub value: f64,
    /// The largest that is normal.
    pub max: Option<f64>,
    /// The largest before the machine takes harm, or turns itself off.
    pub critical: Option<f64>,
}

/// What a sensor measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SensorKind {
    /// Degrees Celsius.
    Temperature,
    /// Revolutions in a minute.
    Fan,
    /// Volts.
    Voltage,
    /// Amperes.
    Current,
    /// Watts.
    Power,
    /// Joules since the chip was turned on.
    Energy,
    /// Share of what the air can hold, 0 to 1.
    Humidity,
}

/// How files of a kind begin, and what a unit of theirs is in the kind's.
const KINDS: [(&str, SensorKind, f64); 7] = [
    ("temp", SensorKind::Temperature, 1e3),
    ("fan", SensorKind::Fan, 1.0),
    ("in", SensorKind::Voltage, 1e3),
    ("curr", SensorKind::Current, 1e3),
    ("power", SensorKind::Power, 1e6),
    ("energy", SensorKind::Energy, 1e6),
    ("humidity", SensorKind::Humidity, 1e5),
];

/// Reads every chip that has sensors, sorted by name.
///
/// # Errors
/// When the folder cannot be listed: most virtual machines have none.
pub fn read(root: &HostRoot) -> Result<Vec<Chip>, ReadError> {
    let mut chips = Vec::new();
    for name in file::names(&root.sys("class/hwmon"))? {
        let chip = root.sys("class/hwmon").join(&name);
        let mut sensors = Vec::new();
        // Old drivers have their files at the device.
        for folder in [chip.clone(), chip.join("device")] {
            let names = file::names(&folder).unwrap_or_default();
            sensors.extend(names.iter().filter_map(|name| sensor(&folder, name)));
        }
        sensors.sort_by_key(|sensor| (sensor.kind, sensor.number));
        if sensors.is_empty() {
            continue;
        }
        let device = std::fs::read_link(chip.join("device")).ok();
        let device =
            device.and_then(|link| Some(link.file_name()?.to_string_lossy().as_ref().into()));
        let driver = file::optional(file::line(chip.join("name")));
        chips.push(Chip { name: name.into(), driver, device, sensors });
    }
    Ok(chips)
}

/// The sensor whose value is in the file `name`.
fn sensor(folder: &std::path::Path, name: &str) -> Option<Sensor> {
    let stem = name.strip_suffix("_input").or_else(|| name.strip_suffix("_average"))?;
    let digits = stem.trim_start_matches(|letter: char| letter.is_ascii_lowercase());
    let (_, kind, unit) =
        *KINDS.iter().find(|(begin, ..)| stem.strip_suffix(digits) == Some(begin))?;
    #[allow(clippy::cast_precision_loss)]
    let value = |name: &str| {
        file::optional(file::signed(folder.join(name))).flatten().map(|value| value as f64 / unit)
    };
    Some(Sensor {
        kind,
        number: text::u32(digits.as_bytes())?,
        label: file::optional(file::line(folder.join(format!("{stem}_label")))),
        value: value(name)?,
        max: value(&format!("{stem}_max")),
        critical: value(&format!("{stem}_crit")),
    })
}
