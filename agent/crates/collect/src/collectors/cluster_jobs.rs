//! The Jobs and CronJobs of the cluster, as the API server has them.

use hawsepipe_cluster::objects::{CronJob, Job, ObjectKind};
use jiff::Timestamp;

use crate::collector::{Collector, Need};
use crate::heartbeats::Schedule;
use crate::objects::{NAMESPACES, Teller, about, conditions, moment};
use crate::points::Points;

const NEEDS: &[Need] = &[Need::Objects(ObjectKind::Jobs), Need::Objects(ObjectKind::CronJobs)];

pub(crate) static COLLECTOR: Collector = Collector {
    name: "cluster_jobs",
    about: "The Jobs and CronJobs of the cluster, as the API server has them. Each is a resource, a CronJob's Job with its \
            CronJob. Names that do not begin with `hawsepipe.` are those of the Collector's k8s_cluster receiver",
    reads: &["/apis/batch/v1/jobs", "/apis/batch/v1/cronjobs"],
    needs: NEEDS,
    default: true,
    metrics: METRICS,
    selects: Some(NAMESPACES),
    top: None,
    new: |options| Box::new(Teller::new(NEEDS, options).of(job).of(cron_job)),
};

metrics! {
    /// Pods of the Job that are pending or run
    ACTIVE: Gauge Int "k8s.job.active_pods" "{pod}" [] on;
    /// Pods of the Job that have failed
    FAILED: Gauge Int "k8s.job.failed_pods" "{pod}" [] on;
    /// Pods of the Job that have succeeded
    SUCCESSFUL: Gauge Int "k8s.job.successful_pods" "{pod}" [] on;
    /// Pods of the Job that are to succeed; none where one success is the Job's
    DESIRED: Gauge Int "k8s.job.desired_successful_pods" "{pod}" [] on;
    /// Pods of the Job that may run at once
    MAX_PARALLEL: Gauge Int "k8s.job.max_parallel_pods" "{pod}" [] on;
    /// Pods of the Job that are ready
    READY: Gauge Int "hawsepipe.k8s.job.ready_pods" "{pod}" [] on;
    /// Whether the Job is held (1)
    JOB_SUSPENDED: Gauge Int "hawsepipe.k8s.job.suspended" "" [] on;
    /// Whether a condition of the Job holds (1), does not (0), or nobody knows (-1): `Complete`, `Failed`, `Suspended`, and the like
    CONDITION: Gauge Int "hawsepipe.k8s.job.condition" "{condition}" ["condition"] on;
    /// When the Job was created, in seconds since the epoch
    CREATED: Gauge Int "hawsepipe.k8s.job.created" "s" [] on;
    /// When the Job was started, in seconds since the epoch
    STARTED: Gauge Int "hawsepipe.k8s.job.started" "s" [] on;
    /// When the Job succeeded, in seconds since the epoch
    COMPLETED: Gauge Int "hawsepipe.k8s.job.completed" "s" [] on;
    /// Jobs of the CronJob that run
    ACTIVE_JOBS: Gauge Int "k8s.cronjob.active_jobs" "{job}" [] on;
    /// Whether the CronJob is held (1)
    SUSPENDED: Gauge Int "hawsepipe.k8s.cronjob.suspended" "" [] on;
    /// When the CronJob last made a Job, in seconds since the epoch
    LAST_SCHEDULE: Gauge Int "hawsepipe.k8s.cronjob.last_schedule" "s" [] on;
    /// When a Job of the CronJob last succeeded, in seconds since the epoch
    LAST_SUCCESS: Gauge Int "hawsepipe.k8s.cronjob.last_success" "s" [] on;
    /// When the CronJob is to make a Job next, in seconds since the epoch; none while it is held. Without a time zone it is reckoned in UTC
    NEXT_SCHEDULE: Gauge Int "hawsepipe.k8s.cronjob.next_schedule" "s" [] on;
}

fn job(job: &Job, out: &mut Points) {
    let (metadata, spec, status) = (&job.metadata, &job.spec, &job.status);
    let mut attributes = about("k8s.job", metadata);
    if let Some(owner) = metadata.owner_of_kind("CronJob").filter(|owner| owner.group == "batch") {
        attributes.set("k8s.cronjob.name", owner.name.as_str());
        attributes.set("k8s.cronjob.uid", owner.uid.to_string());
    }
    out.resource(attributes, 0);
    out.metric(&ACTIVE).push(status.active, &[]);
    out.metric(&FAILED).push(status.failed, &[]);
    out.metric(&SUCCESSFUL).push(status.succeeded, &[]);
    out.metric(&DESIRED).maybe(spec.completions, &[]);
    out.metric(&MAX_PARALLEL).maybe(spec.parallelism, &[]);
    out.metric(&READY).push(status.ready, &[]);
    out.metric(&JOB_SUSPENDED).push(spec.suspend, &[]);
    conditions(out.metric(&CONDITION), &status.conditions);
    moment(out.metric(&CREATED), metadata.created);
    moment(out.metric(&STARTED), status.start_time);
    moment(out.metric(&COMPLETED), status.completion_time);
}

fn cron_job(job: &CronJob, out: &mut Points) {
    let (spec, status) = (&job.spec, &job.status);
    out.resource(about("k8s.cronjob", &job.metadata), 0);
    out.metric(&ACTIVE_JOBS).push(status.active, &[]);
    out.metric(&SUSPENDED).push(spec.suspend, &[]);
    moment(out.metric(&LAST_SCHEDULE), status.last_schedule_time);
    moment(out.metric(&LAST_SUCCESS), status.last_successful_time);
    if !spec.suspend && out.wants(&NEXT_SCHEDULE) {
        out.metric(&NEXT_SCHEDULE).maybe(next(job).map(Timestamp::as_second), &[]);
    }
}

/// The controller counts from the last one that it made, so one that it owes is in the past. A schedule that cannot be read has
/// none; the controller says so in an event.
fn next(job: &CronJob) -> Option<Timestamp> {
    let zone = if job.spec.time_zone.is_empty() { "UTC" } else { job.spec.time_zone.as_str() };
    let schedule = Schedule::parse(&job.spec.schedule, zone).ok()?;
    let since = job.status.last_schedule_time.or(job.metadata.created)?;
    schedule.next(since.timestamp())
}
