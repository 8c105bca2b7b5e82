//! Jobs that send heartbeats to the agent of their host. The names are ours.

use crate::collector::{CollectError, Collector};
use crate::points::Points;
use crate::tick::Tick;

pub(crate) static COLLECTOR: Collector = Collector {
    name: "job",
    about: "Jobs that send heartbeats to this agent (HEARTBEATS.md); names are ours",
    reads: &["POST /v1/heartbeat"],
    needs: &[],
    default: true,
    metrics: METRICS,
    selects: None,
    top: None,
    new: |_options| Box::new(collect),
};

metrics! {
    /// Heartbeats of the job, by what they tell
    RUNS: Counter Int "hawsepipe.job.runs" "{heartbeat}" ["hawsepipe.job.name", "hawsepipe.heartbeat.state"] on;
    /// Runs of the job that began and did not end
    ACTIVE: Gauge Int "hawsepipe.job.active" "{run}" ["hawsepipe.job.name"] on;
    /// When a run of the job ended well the last time, since the epoch
    LAST_SUCCESS: Gauge Double "hawsepipe.job.last_success.time" "s" ["hawsepipe.job.name"] on;
    /// How long the run took that ended last
    DURATION: Gauge Double "hawsepipe.job.duration" "s" ["hawsepipe.job.name"] on;
}

fn collect(tick: &Tick, out: &mut Points) -> Result<(), CollectError> {
    let Some(jobs) = &tick.sources().jobs else {
        return Err(CollectError::Unavailable("this process takes no heartbeats".to_owned()));
    };
    jobs.each(|name, job, since| {
        let since = u64::try_from(since.as_nanosecond()).unwrap_or(0);
        out.count_from(since);
        for (state, count) in &job.counts {
            out.metric(&RUNS).push(*count, &[name, state.name()]);
        }
        out.metric(&ACTIVE).push(job.open.len() as u64, &[name]);
        let last = job.last_success.map(|time| time.as_millisecond() as f64 / 1e3);
        out.metric(&LAST_SUCCESS).maybe(last, &[name]);
        out.metric(&DURATION).maybe(job.last_duration, &[name]);
    });
    Ok(())
}
