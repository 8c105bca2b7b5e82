//! A run: a Job, whether a CronJob's or not.
//!
//! In: the Job as it is, what its pods say, and the time. Out: the heartbeats that are due. Always: each state is told once,
//! whatever order objects come in.

use std::sync::Arc;
use std::time::Duration;

use hawsepipe_cluster::objects::{Condition, ConditionStatus, Job, Owner};
use jiff::Timestamp;

use super::SETTLE;
use super::pods::Pods;
use crate::heartbeats::{Heartbeat, LATE_PART, State};

/// How long the end of a Job waits for what its pods say: kinds are watched side by side.
const PODS_WITHIN: Duration = Duration::from_secs(5);

/// A run.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) job: Arc<Job>,
    pub(super) gone: Option<Gone>,
    /// When it was first seen to have ended.
    ended_seen: Option<Timestamp>,
    told: Told,
}

/// How a Job went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gone {
    /// It was deleted just now; its last state is known.
    Deleted,
    /// A list did not have it any more: what became of it is not known.
    Unseen,
}

/// What was told of it.
#[derive(Debug, Default)]
struct Told {
    scheduled: bool,
    started: bool,
    late: bool,
    ended: bool,
}

/// How a run ended.
struct End {
    is_success: bool,
    time: Timestamp,
    reason: Option<String>,
}

/// What is known beside the Job itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Beside<'a> {
    pub(super) now: Timestamp,
    /// What its pods say; `None`: nothing yet.
    pub(super) pods: Option<&'a Pods>,
    /// All pods are known, but for some that come a moment later.
    pub(super) knows_pods: bool,
    /// The CronJob's grace.
    pub(super) grace: Duration,
    /// The CronJob replaces Jobs that still run.
    pub(super) replaces: bool,
    /// Its time was told as missed.
    pub(super) was_missed: bool,
}

// === impl Run ===

impl Run {
    pub(super) fn new(job: Arc<Job>) -> Self {
        Self { job, gone: None, ended_seen: None, told: Told::default() }
    }

    /// The CronJob that made it.
    pub(super) fn cronjob(&self) -> Option<&Owner> {
        self.job.metadata.owner_of_kind("CronJob")
    }

    /// The time of the schedule that it is for. One that was made by hand is for none.
    pub(super) fn scheduled(&self) -> Option<Timestamp> {
        let cronjob = self.cronjob()?;
        let meta = &self.job.metadata;
        // Before Kubernetes 1.28 its name alone says so: the minute since the epoch (`getTimeHashInMinutes`).
        let named = || {
            let minute = meta.name.strip_prefix(cronjob.name.as_str())?.strip_prefix('-')?;
            let minute: i64 = minute.parse().ok()?;
            Timestamp::from_second(minute.checked_mul(60)?).ok()
        };
        meta.cronjob_scheduled().map(Timestamp::from).or_else(named)
    }

    /// When the controller made it.
    pub(super) fn created(&self) -> Option<Timestamp> {
        self.job.metadata.created.map(Timestamp::from)
    }

    /// Whether it runs, or waits to run, at this time.
    pub(super) fn is_active_at(&self, time: Timestamp) -> bool {
        self.created().is_some_and(|created| created <= time)
            && self.end().is_none_or(|end| end.time > time)
            && (self.gone.is_none() || self.deleted().is_some_and(|deleted| deleted > time))
    }

    /// Whether it is told that it began, and not yet that it ended.
    pub(super) fn is_open(&self) -> bool {
        self.told.started && !self.told.ended
    }

    pub(super) fn has_failed(&self) -> bool {
        self.job.succeeded() == Some(false)
    }

    /// Nothing more will be told of it.
    pub(super) fn is_over(&self) -> bool {
        match self.gone {
            None => false,
            Some(Gone::Deleted) => self.told.ended,
            Some(Gone::Unseen) => self.told.ended || self.end().is_none(),
        }
    }

    /// What was told by `since` is not told again; without a time, whatever is so already is not told.
    pub(super) fn take_up(&mut self, since: Option<Timestamp>, beside: &Beside<'_>) {
        let was = |time: Timestamp| since.is_none_or(|since| time <= since);
        let end = self.end();
        if end.as_ref().is_some_and(|end| was(end.time)) {
            self.told = Told { scheduled: true, started: true, late: true, ended: true };
            return;
        }
        self.told.scheduled = self.created().is_none_or(was);
        let started = self.started(beside);
        self.told.started = started.is_some_and(was);
        let clear = self.late_from(beside.grace).and_then(|from| from.checked_add(SETTLE).ok());
        let is_clear = clear.is_some_and(|clear| clear <= since.unwrap_or(beside.now));
        self.told.late = is_clear || self.told.started;
    }

    /// The heartbeats that are due.
    pub(super) fn look(&mut self, beside: &Beside<'_>) -> Vec<Heartbeat> {
        let mut told = Vec::new();
        let scheduled = self.scheduled();
        if scheduled.is_some() && !self.told.scheduled {
            self.told.scheduled = true;
            if !beside.was_missed {
                let time = self.created().unwrap_or(beside.now);
                told.push(Heartbeat { scheduled, ..self.heartbeat(State::Scheduled, time) });
            }
        }
        let end = self.end().or_else(|| self.cut_off(beside));
        if end.is_some() && self.is_held(beside) {
            return told;
        }
        let started = self.started(beside);
        if let Some(started) = started.filter(|_| !self.told.started) {
            self.told.started = true;
            told.push(Heartbeat { scheduled, ..self.heartbeat(State::Started, started) });
        }
        told.extend(self.late(beside, started, end.is_some()));
        if let Some(end) = end.filter(|_| !self.told.ended) {
            self.told.ended = true;
            told.push(self.ended(end, started, beside));
        }
        told
    }

    fn heartbeat(&self, state: State, time: Timestamp) -> Heartbeat {
        let uid = &self.job.metadata.uid;
        let (run, id) = (Some(uid.to_string()), Some(format!("{uid}/{}", state.name())));
        Heartbeat { run, id, ..Heartbeat::new(state, time) }
    }

    /// After this time a start is late.
    fn late_from(&self, grace: Duration) -> Option<Timestamp> {
        self.scheduled()?.checked_add(grace / LATE_PART).ok()
    }

    fn late(
        &mut self,
        beside: &Beside<'_>,
        started: Option<Timestamp>,
        has_ended: bool,
    ) -> Option<Heartbeat> {
        let scheduled = self.scheduled().filter(|_| !self.told.late)?;
        let from = self.late_from(beside.grace)?;
        let after = |time: Timestamp| time.duration_since(scheduled).as_secs();
        let (time, reason) = match started {
            Some(started) => {
                self.told.late = true;
                let reason = format!("it began {} s after its time", after(started));
                (Some(started).filter(|started| *started > from)?, reason)
            }
            None if has_ended || self.job.spec.suspend => return None,
            None => {
                let now = beside.now;
                from.checked_add(SETTLE).ok().filter(|clear| *clear <= now)?;
                self.told.late = true;
                let reason = format!("it has not begun {} s after its time", after(now));
                let waiting = beside.pods.map(|pods| pods.waiting.as_str()).unwrap_or_default();
                let separator = if waiting.is_empty() { "" } else { ": " };
                (now, format!("{reason}{separator}{waiting}"))
            }
        };
        let late = self.heartbeat(State::Late, time);
        Some(Heartbeat { scheduled: Some(scheduled), reason: Some(reason), ..late })
    }

    fn ended(&self, end: End, started: Option<Timestamp>, beside: &Beside<'_>) -> Heartbeat {
        let End { is_success, time, reason } = end;
        let duration = started.map(|started| time.duration_since(started).as_secs_f64().max(0.0));
        if is_success {
            return Heartbeat { duration, reason, ..self.heartbeat(State::Succeeded, time) };
        }
        let failed = beside.pods.and_then(|pods| pods.failed.as_ref());
        Heartbeat {
            duration,
            reason,
            exit_code: failed.map(|failed| failed.exit_code),
            lines: failed.map(|failed| failed.lines.clone()),
            ..self.heartbeat(State::Failed, time)
        }
    }

    /// When it began: its first container, and what the controller says where that is not to be learned.
    fn started(&self, beside: &Beside<'_>) -> Option<Timestamp> {
        let by_controller = || {
            let learned = beside.knows_pods && self.job.succeeded() != Some(true);
            self.job.status.start_time.filter(|_| !learned).map(Timestamp::from)
        };
        beside.pods.and_then(|pods| pods.started).or_else(by_controller)
    }

    /// Whether the end waits for the pods.
    fn is_held(&mut self, beside: &Beside<'_>) -> bool {
        let seen = *self.ended_seen.get_or_insert(beside.now);
        let pods = beside.pods;
        let knows_start = pods.is_some_and(|pods| pods.started.is_some());
        let knows_lines = !self.has_failed() || pods.is_some_and(|pods| pods.failed.is_some());
        let is_waiting = beside.now.duration_since(seen).unsigned_abs() < PODS_WITHIN;
        beside.knows_pods && !(knows_start && knows_lines) && !self.told.ended && is_waiting
    }

    fn end(&self) -> Option<End> {
        let is_success = self.job.succeeded()?;
        let kind = if is_success { "Complete" } else { "Failed" };
        let conditions = &self.job.status.conditions;
        let holds = |condition: &&Condition| condition.status == ConditionStatus::True;
        let condition = conditions.get(kind).filter(holds)?;
        let completed = self.job.status.completion_time.filter(|_| is_success);
        let time = completed.or(condition.since).map(Timestamp::from)?;
        let reason = Some(condition.reason.to_string());
        Some(End { is_success, time, reason: reason.filter(|it| !is_success && !it.is_empty()) })
    }

    /// It was deleted before it ended.
    fn cut_off(&self, beside: &Beside<'_>) -> Option<End> {
        self.gone.filter(|gone| *gone == Gone::Deleted)?;
        let reason = if beside.replaces { "Replaced" } else { "Deleted" };
        let time = self.deleted().unwrap_or(beside.now);
        Some(End { is_success: false, time, reason: Some(reason.to_owned()) })
    }

    fn deleted(&self) -> Option<Timestamp> {
        self.job.metadata.deleted.map(Timestamp::from)
    }
}
