//! What the machine's sensors measure.

use std::io;

use hawsepipe_host::ReadError;
use hawsepipe_host::hwmon::{self, Chip, Sensor, SensorKind};
use hawsepipe_host::power::{self, PowerSupply};
use hawsepipe_host::thermal;

use crate::collector::{CollectError, Collector, Need};
use crate::points::Points;
use crate::tick::Tick;

pub(crate) static COLLECTOR: Collector = Collector {
    name: "sensors",
    about: "What the machine's sensors measure: temperature, fans, voltage, power, batteries. Virtual machines \
            have none. Names that begin with `hw.` are those of OpenTelemetry's hardware conventions (`hw.current` \
            and `hw.humidity` are made like them), the others are ours",
    reads: &[
        "/sys/class/hwmon",
        "/sys/class/thermal",
        "/sys/class/power_supply",
        "/sys/class/powercap",
    ],
    needs: &[Need::Sys],
    default: true,
    metrics: METRICS,
    selects: None,
    top: None,
    new: |_options| Box::new(collect),
};

metrics! {
    /// Temperature of each sensor and each thermal zone
    TEMPERATURE: Gauge Double "hw.temperature" "Cel" ["hw.id", "hw.name"] on;
    /// Temperature that is the largest that is normal (`high.degraded`), or before harm (`high.critical`)
    TEMPERATURE_LIMIT: Gauge Double "hw.temperature.limit" "Cel" ["hw.id", "hw.name", "hw.limit_type"] on;
    /// How fast each fan turns
    FAN: Gauge Double "hw.fan.speed" "rpm" ["hw.id", "hw.name"] on;
    /// Voltage of each sensor and each power supply
    VOLTAGE: Gauge Double "hw.voltage" "V" ["hw.id", "hw.name"] on;
    /// Current through each sensor and each power supply
    CURRENT: Gauge Double "hw.current" "A" ["hw.id", "hw.name"] on;
    /// Power that each part and each power supply takes or gives
    POWER: Gauge Double "hw.power" "W" ["hw.id", "hw.name"] on;
    /// Energy that each part of the processors took (RAPL; the superuser alone may read it), and each sensor of energy
    ENERGY: Counter Double "hw.energy" "J" ["hw.id", "hw.name"] on;
    /// Humidity that each sensor measures, as part of what the air can hold
    HUMIDITY: Gauge Double "hw.humidity" "1" ["hw.id", "hw.name"] on;
    /// How full each battery is
    BATTERY: Gauge Double "hw.battery.charge" "1" ["hw.id", "hw.name"] on;
    /// Whether each power supply gives power: 1 or 0
    ONLINE: Gauge Int "system.linux.power_supply.online" "1" ["hw.id", "hw.name"] on;
    /// How much each cooler does now: 0 is nothing
    COOLER: Gauge Int "system.linux.cooling.level" "{level}" ["hw.id", "hw.name"] on;
    /// The most that each cooler can do
    COOLER_LIMIT: Gauge Int "system.linux.cooling.limit" "{level}" ["hw.id", "hw.name"] on;
}

fn collect(tick: &Tick, out: &mut Points) -> Result<(), CollectError> {
    let chips = tick.read_if_there(hwmon::read)?;
    let thermal = tick.read_if_there(thermal::read)?;
    let supplies = tick.read_if_there(power::supplies)?;
    let energy = match tick.read_if_there(power::energy) {
        // An agent that is not the superuser.
        Err(CollectError::Read(error)) if is_forbidden(&error) => None,
        read => read?,
    };
    if chips.is_none() && thermal.is_none() && supplies.is_none() && energy.is_none() {
        let reason = "the machine has no sensors".to_owned();
        return Err(CollectError::Unavailable(reason));
    }
    let sensors: Vec<_> = chips.iter().flat_map(|all| all.iter()).flat_map(named).collect();
    let of = |kind| sensors.iter().filter(move |it| it.sensor.kind == kind);
    let supplies = || supplies.iter().flat_map(|all| all.iter());

    let mut series = out.metric(&TEMPERATURE);
    for it in of(SensorKind::Temperature) {
        series.push(it.sensor.value, &[&it.id, it.name]);
    }
    for zone in thermal.iter().flat_map(|it| &it.zones) {
        series.push(zone.temperature, &[&zone.name, &zone.kind]);
    }
    let mut series = out.metric(&TEMPERATURE_LIMIT);
    for it in of(SensorKind::Temperature) {
        series.maybe(it.sensor.max, &[&it.id, it.name, "high.degraded"]);
        series.maybe(it.sensor.critical, &[&it.id, it.name, "high.critical"]);
    }
    for (metric, kind, of_supply) in [
        (&FAN, SensorKind::Fan, nothing as OfSupply),
        (&VOLTAGE, SensorKind::Voltage, |it| it.voltage),
        (&CURRENT, SensorKind::Current, |it| it.current),
        (&POWER, SensorKind::Power, |it| it.power),
        (&HUMIDITY, SensorKind::Humidity, nothing),
    ] {
        let mut series = out.metric(metric);
        for it in of(kind) {
            series.push(it.sensor.value, &[&it.id, it.name]);
        }
        for supply in supplies() {
            series.maybe(of_supply(supply), &[&supply.name, &supply.kind]);
        }
    }
    let mut series = out.metric(&ENERGY);
    for it in of(SensorKind::Energy) {
        series.push(it.sensor.value, &[&it.id, it.name]);
    }
    for zone in energy.iter().flat_map(|all| all.iter()) {
        series.push(zone.energy_uj as f64 / 1e6, &[&zone.folder, &zone.name]);
    }
    let mut series = out.metric(&BATTERY);
    supplies().for_each(|it| series.maybe(it.capacity, &[&it.name, &it.kind]));
    let mut series = out.metric(&ONLINE);
    supplies().for_each(|it| series.maybe(it.is_online.map(u64::from), &[&it.name, &it.kind]));
    let coolers = || thermal.iter().flat_map(|it| &it.coolers);
    let mut series = out.metric(&COOLER);
    coolers().for_each(|it| series.maybe(it.state, &[&it.name, &it.kind]));
    let mut series = out.metric(&COOLER_LIMIT);
    coolers().for_each(|it| series.maybe(it.max_state, &[&it.name, &it.kind]));
    Ok(())
}

/// What a power supply tells of a kind.
type OfSupply = fn(&PowerSupply) -> Option<f64>;

fn nothing(_supply: &PowerSupply) -> Option<f64> {
    None
}

fn is_forbidden(error: &ReadError) -> bool {
    matches!(error, ReadError::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied)
}

/// A sensor with its names.
struct Named<'a> {
    /// `coretemp.0/temperature 2`: its chip's device, which is the same after the next boot, and its number there.
    id: String,
    name: &'a str,
    sensor: &'a Sensor,
}

fn named(chip: &Chip) -> impl Iterator<Item = Named<'_>> {
    let device = chip.device.as_deref().unwrap_or(&chip.name);
    chip.sensors.iter().map(move |sensor| Named {
        id: format!("{device}/{} {}", word(sensor.kind), sensor.number),
        name: sensor.label.as_deref().or(chip.driver.as_deref()).unwrap_or(device),
        sensor,
    })
}

fn word(kind: SensorKind) -> &'static str {
    match kind {
        SensorKind::Temperature => "temperature",
        SensorKind::Fan => "fan",
        SensorKind::Voltage => "voltage",
        SensorKind::Current => "current",
        SensorKind::Power => "power",
        SensorKind::Energy => "energy",
        SensorKind::Humidity => "humidity",
    }
}
