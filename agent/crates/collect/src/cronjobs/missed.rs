//! Whether a time of a schedule that has no Job is missed, and why.
//!
//! In: the CronJob, its Jobs, times without one. Out: heartbeats. Always: what may have had a Job that is cleaned away is not
//! called missed.

use hawsepipe_cluster::objects::{ConcurrencyPolicy, CronJob};
use jiff::Timestamp;

use super::known::Due;
use super::plan::Plan;
use super::run::Run;
use super::whose::Whose;
use crate::heartbeats::{Heartbeat, Missed, State};

/// The controller says that it made a Job for this time; it was gone before it was seen.
pub(super) fn is_last(cronjob: &CronJob, scheduled: Timestamp) -> bool {
    cronjob.status.last_schedule_time.map(Timestamp::from) == Some(scheduled)
}

/// Whether a time of before all Jobs were known had none for certain: Jobs that have ended are cleaned away, the oldest first,
/// those that failed apart from the others.
pub(super) fn is_certain(cronjob: &CronJob, runs: &[&Run], scheduled: Timestamp) -> bool {
    let last = cronjob.status.last_schedule_time.map(Timestamp::from);
    if last.is_none_or(|last| last < scheduled) {
        return true;
    }
    let of = |run: &Run| run.scheduled();
    let an_older_is_there = runs.iter().filter_map(|run| of(run)).any(|at| at < scheduled);
    let failed = runs.iter().filter(|run| run.has_failed());
    let a_later_failed = failed.filter_map(|run| of(run)).any(|at| at > scheduled);
    an_older_is_there && !a_later_failed
}

/// The heartbeats of what is missed.
pub(super) fn tell(plan: &Plan, runs: &[&Run], missed: Missed, now: Timestamp) -> Vec<Due> {
    let Missed { before, before_last, last } = missed;
    let grace = plan.grace().as_secs();
    let spec = &plan.cronjob.spec;
    let whose = Whose::cronjob(&plan.cronjob);
    let uid = whose.uid();
    let heartbeat = |scheduled: Timestamp, times: u64| {
        let running = runs.iter().find(|run| run.is_active_at(scheduled));
        let reason = match (spec.concurrency_policy, running, spec.starting_deadline_seconds) {
            (ConcurrencyPolicy::Forbid, Some(run), _) => {
                let name = &run.job.metadata.name;
                format!("no Job was made: {name} still ran (concurrencyPolicy Forbid)")
            }
            (_, _, Some(seconds)) => {
                format!("no Job was made within its startingDeadlineSeconds ({seconds} s)")
            }
            (_, _, None) => format!("no Job was made within {grace} s of its time"),
        };
        Heartbeat {
            scheduled: Some(scheduled),
            reason: Some(reason),
            times,
            id: Some(format!("{uid}/{scheduled}/{}", State::Missed.name())),
            ..Heartbeat::new(State::Missed, now)
        }
    };
    let earlier = before_last.map(|scheduled| heartbeat(scheduled, before));
    let all = earlier.into_iter().chain(last.into_iter().map(|at| heartbeat(at, 1)));
    all.map(|heartbeat| Due { whose: whose.clone(), heartbeat }).collect()
}
