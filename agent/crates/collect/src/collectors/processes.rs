//! How many processes there are.

use hawsepipe_host::process::State;
use hawsepipe_host::stat;

use crate::census;
use crate::collector::{CollectError, Collector, Need};
use crate::points::Points;
use crate::tick::Tick;

pub(crate) static COLLECTOR: Collector = Collector {
    name: "processes",
    about: "How many processes there are in each state, and how many were created",
    reads: &["/proc/stat", "/proc/*/stat"],
    needs: &[Need::Proc],
    default: true,
    metrics: METRICS,
    selects: None,
    top: None,
    new: |_options| Box::new(collect),
};

metrics! {
    /// Processes in each state; `running` and `blocked` are the kernel's own counts of threads
    COUNT: UpDownCounter Int "system.processes.count" "{processes}" ["status"] on;
    /// Processes and threads that were created
    CREATED: Counter Int "system.processes.created" "{processes}" [] on;
}

/// The states by the names of the Collector's hostmetrics receiver.
const STATUSES: [(&str, &[State]); 5] = [
    ("sleeping", &[State::Sleeping]),
    ("idle", &[State::Idle, State::Parked]),
    ("stopped", &[State::Stopped, State::Traced]),
    ("zombies", &[State::Zombie]),
    ("unknown", &[State::Dead, State::Unknown]),
];

fn collect(tick: &Tick, out: &mut Points) -> Result<(), CollectError> {
    let kernel = tick.read(stat::read)?;
    out.metric(&CREATED).maybe(kernel.processes_created, &[]);
    if !out.wants(&COUNT) {
        return Ok(());
    }
    let census = tick.read(census::read)?;
    let mut counts = [0_u64; STATUSES.len()];
    for process in &census.processes {
        for (count, (_, states)) in counts.iter_mut().zip(STATUSES) {
            *count += u64::from(states.contains(&process.state));
        }
    }
    let mut series = out.metric(&COUNT);
    series.maybe(kernel.running, &["running"]);
    series.maybe(kernel.blocked, &["blocked"]);
    for (count, (status, _)) in counts.into_iter().zip(STATUSES) {
        if count > 0 || status != "unknown" {
            series.push(count, &[status]);
        }
    }
    match census.scanned.refused {
        0 => Ok(()),
        refused => Err(CollectError::Failed(format!("{refused} processes cannot be read"))),
    }
}
