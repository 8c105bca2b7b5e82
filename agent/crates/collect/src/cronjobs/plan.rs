//! The schedule of a CronJob, and how far it is settled.
//!
//! In: the CronJob as it is, the times for which Jobs were made, and the time. Out: the scheduled times that had none. Always: a
//! scheduled time is settled once; while the CronJob is suspended, none is due.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use hawsepipe_cluster::objects::{ConcurrencyPolicy, CronJob};
use jiff::Timestamp;

use super::SETTLE;
use crate::heartbeats::{DEFAULT_GRACE, Missed, Schedule};

/// Where a CronJob has no time zone it is the controller manager's, which is not to be learned; that runs in an image
/// without one.
const TIME_ZONE: &str = "UTC";
/// Missed times that are remembered, should a Job be made for one after all.
const REMEMBERED: usize = 64;
/// Scheduled times that are gone through at one look.
const MAX_TIMES: usize = 10_000;

/// The schedule of a CronJob, and how far it is settled.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) cronjob: Arc<CronJob>,
    /// `None`: it cannot be read.
    schedule: Option<Schedule>,
    /// Scheduled times up to here are settled; an interval is counted from here.
    until: Timestamp,
    /// Later ones that have their Job.
    served: BTreeSet<Timestamp>,
    /// The last ones that were told as missed.
    missed: VecDeque<Timestamp>,
    /// Before this nothing is due.
    due: Option<Timestamp>,
}

// === impl Plan ===

impl Plan {
    /// From its creation on; what was clear by `told` was told. `None`: nothing ever was, it counts from `now`.
    pub(super) fn new(cronjob: Arc<CronJob>, told: Option<Timestamp>, now: Timestamp) -> Self {
        let mut plan = Self {
            schedule: schedule(&cronjob),
            until: cronjob.metadata.created.map_or(now, Timestamp::from),
            served: BTreeSet::new(),
            missed: VecDeque::new(),
            due: None,
            cronjob,
        };
        plan.count_from_last();
        let clear = told.and_then(|told| told.checked_sub(plan.grace() + SETTLE).ok());
        plan.pass(clear.unwrap_or(now));
        plan
    }

    /// Whether its schedule cannot be read.
    pub(super) fn is_unknown(&self) -> bool {
        self.schedule.is_none()
    }

    /// The CronJob has changed.
    pub(super) fn change(&mut self, cronjob: Arc<CronJob>, now: Timestamp) {
        let (old, new) = (&self.cronjob.spec, &cronjob.spec);
        let is_same = (&old.schedule, &old.time_zone) == (&new.schedule, &new.time_zone);
        let was_suspended = old.suspend;
        self.cronjob = cronjob;
        self.due = None;
        if !is_same {
            self.schedule = schedule(&self.cronjob);
            self.served.clear();
            self.count_from_last();
            self.pass(now);
        } else if was_suspended {
            self.pass(now);
        }
    }

    /// How late a Job may be before its time is missed.
    pub(super) fn grace(&self) -> Duration {
        let seconds = self.cronjob.spec.starting_deadline_seconds;
        let seconds = seconds.and_then(|seconds| u64::try_from(seconds).ok());
        seconds.map_or(DEFAULT_GRACE, Duration::from_secs)
    }

    pub(super) fn replaces(&self) -> bool {
        self.cronjob.spec.concurrency_policy == ConcurrencyPolicy::Replace
    }

    /// When it is clear that the time is missed.
    pub(super) fn deadline(&self, scheduled: Timestamp) -> Timestamp {
        let deadline = scheduled.checked_add(self.grace());
        deadline.and_then(|deadline| deadline.checked_add(SETTLE)).unwrap_or(Timestamp::MAX)
    }

    /// A Job was made for this time, then. False: too late, the time was missed.
    pub(super) fn serve(&mut self, scheduled: Timestamp, created: Timestamp) -> bool {
        if created > self.deadline(scheduled) || self.missed.contains(&scheduled) {
            return false;
        }
        if scheduled > self.until && self.served.insert(scheduled) {
            self.due = None;
        }
        true
    }

    /// Whether a [`look`](Self::look) may find something.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.cronjob.spec.suspend || self.due.is_none_or(|due| due <= now)
    }

    /// What is missed by `now`. `counts`: whether a time without a Job is told at all.
    pub(super) fn look(&mut self, now: Timestamp, counts: impl Fn(Timestamp) -> bool) -> Missed {
        let mut missed = Missed::default();
        if self.cronjob.spec.suspend {
            self.pass(now);
            return missed;
        }
        let Some(schedule) = self.schedule.clone() else {
            self.due = Some(Timestamp::MAX);
            return missed;
        };
        for _ in 0..MAX_TIMES {
            let next = schedule.next(self.until);
            let Some(scheduled) = next.into_iter().chain(self.served.first().copied()).min() else {
                self.due = Some(Timestamp::MAX);
                break;
            };
            if self.served.remove(&scheduled) {
                self.until = scheduled;
                continue;
            }
            let deadline = self.deadline(scheduled);
            if now < deadline {
                self.due = Some(deadline);
                break;
            }
            self.until = scheduled;
            if counts(scheduled) {
                missed.push(scheduled);
                self.missed.push_back(scheduled);
                if self.missed.len() > REMEMBERED {
                    self.missed.pop_front();
                }
            }
        }
        missed
    }

    /// The controller counts an interval from the time of the last Job, and before there was one from the creation.
    fn count_from_last(&mut self) {
        let last = self.cronjob.status.last_schedule_time.map(Timestamp::from);
        if self.schedule.as_ref().is_some_and(Schedule::is_interval) {
            self.until = last.unwrap_or(self.until);
        }
    }

    /// Times up to `to` are nobody's.
    fn pass(&mut self, to: Timestamp) {
        self.due = None;
        if to <= self.until {
            return;
        }
        let later = self.served.split_off(&to);
        let last = std::mem::replace(&mut self.served, later).pop_last();
        self.until = last.unwrap_or(self.until).max(self.until);
        let interval = self.schedule.as_ref().filter(|schedule| schedule.is_interval());
        let Some(next) = interval.and_then(|schedule| schedule.next(self.until)) else {
            self.until = to;
            return;
        };
        let every = next.duration_since(self.until).as_secs().max(1);
        let times = to.duration_since(self.until).as_secs() / every;
        let passed = jiff::SignedDuration::from_secs(times.saturating_mul(every));
        self.until = self.until.checked_add(passed).unwrap_or(to);
    }
}

/// Reads the schedule; what is wrong with it is said.
fn schedule(cronjob: &CronJob) -> Option<Schedule> {
    let spec = &cronjob.spec;
    let zone = if spec.time_zone.is_empty() { TIME_ZONE } else { &spec.time_zone };
    match Schedule::parse(&spec.schedule, zone) {
        Ok(schedule) => Some(schedule),
        Err(error) => {
            let meta = &cronjob.metadata;
            let (namespace, name) = (meta.namespace.as_str(), &meta.name);
            tracing::warn!(namespace, cronjob = %name, %error, "a CronJob's schedule is unknown; its Jobs are told, not what is missed");
            None
        }
    }
}
