//! For how long threads waited for what they needed.

use hawsepipe_host::pressure::{self, PressureKind, Stall};

use crate::collector::{CollectError, Collector, Need};
use crate::points::Points;
use crate::tick::Tick;

pub(crate) static COLLECTOR: Collector = Collector {
    name: "pressure",
    about: "For how long threads waited for CPU, memory, disks and interrupts (pressure stall information). No \
            receiver of the Collector tells it; the names are ours",
    reads: &["/proc/pressure"],
    needs: &[Need::Proc],
    default: true,
    metrics: METRICS,
    selects: None,
    top: None,
    new: |_options| Box::new(collect),
};

metrics! {
    /// Time in which at least one thread (`some`), or every thread that was not idle (`full`), waited for the resource
    TIME: Counter Double "system.linux.pressure.time" "s" ["resource", "type"] on;
    /// Part of the last 10, 60 and 300 seconds, as the kernel averages it
    AVERAGE: Gauge Double "system.linux.pressure.average" "1" ["resource", "type", "window"] off;
}

fn collect(tick: &Tick, out: &mut Points) -> Result<(), CollectError> {
    let mut told: Vec<(&str, &str, Stall)> = Vec::with_capacity(8);
    let mut last = None;
    for kind in PressureKind::ALL {
        match pressure::read(&tick.sources().host, kind) {
            Ok(pressure) => {
                let both = [("some", pressure.some), ("full", pressure.full)];
                let both = both.into_iter().filter_map(|(of, stall)| Some((of, stall?)));
                told.extend(both.map(|(of, stall)| (kind.name(), of, stall)));
            }
            // An older kernel has fewer of them.
            Err(error) if error.is_missing() => last = Some(error),
            Err(error) => out.problem(error.into()),
        }
    }
    if let (true, Some(error)) = (told.is_empty(), last) {
        let reason = "the kernel has no pressure stall information, or it is switched off (psi=0)";
        return Err(CollectError::from(error).or_unavailable(reason));
    }
    let mut time = out.metric(&TIME);
    for (resource, of, stall) in &told {
        time.push(stall.total, &[resource, of]);
    }
    let mut average = out.metric(&AVERAGE);
    for (resource, of, stall) in &told {
        average.push(stall.average_10s, &[resource, of, "10s"]);
        average.push(stall.average_60s, &[resource, of, "60s"]);
        average.push(stall.average_300s, &[resource, of, "300s"]);
    }
    Ok(())
}
