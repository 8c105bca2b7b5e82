//! CronJobs and Jobs of the cluster, by their heartbeats. The names are ours, and those of the collector `job`.

use hawsepipe_cluster::objects::ObjectKind;
use jiff::Timestamp;

use crate::collector::{CollectError, Collector, Need};
use crate::points::Points;
use crate::tick::Tick;

pub(crate) static COLLECTOR: Collector = Collector {
    name: "cluster_heartbeats",
    about: "CronJobs and Jobs of the cluster, by their heartbeats (HEARTBEATS.md). The resource is the CronJob, or the Job that \
            has none; counted since this process leads; names are ours",
    reads: &["/apis/batch/v1/cronjobs", "/apis/batch/v1/jobs", "/api/v1/pods"],
    needs: &[
        Need::Objects(ObjectKind::CronJobs),
        Need::Objects(ObjectKind::Jobs),
        Need::Objects(ObjectKind::Pods),
    ],
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
    let Some(cronjobs) = &tick.sources().cronjobs else {
        let reason = "heartbeats of CronJobs and Jobs are not told by this process";
        return Err(CollectError::Unavailable(reason.to_owned()));
    };
    for (tally, since) in cronjobs.all() {
        let name = tally.name();
        out.resource(tally.resource(), u64::try_from(since.as_nanosecond()).unwrap_or(0));
        for (state, count) in &tally.counts {
            out.metric(&RUNS).push(*count, &[&name, state.name()]);
        }
        out.metric(&ACTIVE).push(tally.active, &[&name]);
        let seconds = |time: Timestamp| time.as_millisecond() as f64 / 1e3;
        out.metric(&LAST_SUCCESS).maybe(tally.last_success.map(seconds), &[&name]);
        out.metric(&DURATION).maybe(tally.last_duration, &[&name]);
    }
    Ok(())
}
