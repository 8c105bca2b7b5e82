//! What the receiver has of this machine's metrics, in a line.

use hawsepipe_receive::{Running, Status};

use crate::commands::metrics::units;

/// A line of values, once there are some.
pub(super) fn line(receiver: &Running) -> Option<String> {
    let status = receiver.status();
    let points = status.received.get("metrics").map_or(0, |received| received.records);
    let value = |metric: &str, series: &str| status.metrics.get(metric)?.value(series);
    let memory = |state| value("system.memory.usage", state);
    let (used, load) = (memory("used")?, value("system.cpu.load_average.1m", "")?);
    let cpu = busy(&status).map(|busy| format!("CPU {}, ", units::percent(busy)));
    Some(format!(
        "metrics  {points} points of {} metrics received: {}{} of memory used, load {load:.2}\n",
        status.metrics.len(),
        cpu.unwrap_or_default(),
        units::bytes(used),
    ))
}

/// The part of the time that the CPUs were not idle.
fn busy(status: &Status) -> Option<f64> {
    let utilization = status.metrics.get("system.cpu.utilization")?;
    let idle = |cpu: u32| {
        let wait = utilization.value(&format!("cpu{cpu},wait")).unwrap_or(0.0);
        utilization.value(&format!("cpu{cpu},idle")).map(|idle| idle + wait)
    };
    let of_each: Vec<f64> = (0..).map_while(idle).collect();
    let cpus = u32::try_from(of_each.len()).ok().filter(|cpus| *cpus > 0)?;
    Some((1.0 - of_each.iter().sum::<f64>() / f64::from(cpus)).clamp(0.0, 1.0))
}
