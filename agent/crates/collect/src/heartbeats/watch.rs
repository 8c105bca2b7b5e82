//! The schedule of a job, and how far it is settled.
//!
//! In: starts, and the time. Out: which scheduled time a start is for, and which had none. Always: a scheduled time is settled
//! once, by a start or by being missed.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::beat::Plan;
use super::schedule::Schedule;

/// Times that are told as missed one by one; of those before them the number is told.
const TOLD_ONE_BY_ONE: usize = 10;
/// A start is late after this part of the grace.
pub(crate) const LATE_PART: u32 = 5;
/// Scheduled times that are gone through at one look.
const MAX_TIMES: usize = 100_000;

/// The schedule of a job, and how far it is settled.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Watch {
    schedule: String,
    time_zone: String,
    pub(super) grace: Duration,
    /// The configuration has it, which wins over beats.
    pub(crate) configured: bool,
    /// Scheduled times up to here are settled.
    until: Timestamp,
    /// Later ones that had their start.
    served: BTreeSet<Timestamp>,
    pub(super) missed_in_a_row: u64,
    #[serde(skip)]
    parsed: Option<Schedule>,
    /// When the next one is missed, once that is known.
    #[serde(skip)]
    deadline: Option<Timestamp>,
}

/// A scheduled time that has its start.
#[derive(Debug, Clone, Copy)]
pub(super) struct Served {
    pub(super) scheduled: Timestamp,
    pub(super) late: bool,
}

/// Scheduled times that had no start.
#[derive(Debug, Default)]
pub(crate) struct Missed {
    pub(crate) last: VecDeque<Timestamp>,
    /// How many there are before those, and when the last of them was.
    pub(crate) before: u64,
    pub(crate) before_last: Option<Timestamp>,
}

// === impl Watch ===

impl Watch {
    pub(super) fn new(plan: &Plan, configured: bool, now: Timestamp) -> Self {
        Self {
            schedule: plan.schedule.text().to_owned(),
            time_zone: plan.schedule.time_zone().to_owned(),
            grace: plan.grace,
            configured,
            until: now,
            served: BTreeSet::new(),
            missed_in_a_row: 0,
            parsed: Some(plan.schedule.clone()),
            deadline: None,
        }
    }

    /// The same schedule was said again.
    pub(super) fn goes_on(&mut self, plan: &Plan, configured: bool) {
        self.grace = plan.grace;
        self.configured = configured;
        self.deadline = None;
    }

    /// Whether a [`look`](Self::look) may find something.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.deadline.is_none_or(|deadline| deadline <= now)
    }

    pub(super) fn is(&self, plan: &Plan) -> bool {
        (self.schedule.as_str(), self.time_zone.as_str())
            == (plan.schedule.text(), plan.schedule.time_zone())
    }

    /// `None`: a zone is gone from this host, nothing is told until a beat names one that is there.
    fn schedule(&mut self) -> Option<Schedule> {
        if self.parsed.is_none() {
            self.parsed = Schedule::parse(&self.schedule, &self.time_zone).ok();
        }
        self.parsed.clone()
    }

    fn grace(&self) -> SignedDuration {
        SignedDuration::try_from(self.grace).unwrap_or(SignedDuration::MAX)
    }

    /// A run began: which scheduled time it is for.
    pub(super) fn start(&mut self, at: Timestamp) -> Option<Served> {
        let schedule = self.schedule()?;
        self.missed_in_a_row = 0;
        self.deadline = None;
        let tolerance = SignedDuration::try_from(self.grace / LATE_PART).ok()?;
        let served = |scheduled: Timestamp| Served {
            scheduled,
            late: at.duration_since(scheduled) > tolerance,
        };
        if schedule.is_interval() {
            // The next one is counted from this one.
            let due = schedule.next(self.until).filter(|due| *due <= at);
            self.until = self.until.max(at);
            return due.map(served);
        }
        // One whose grace is over is missed; of those before, the last one is meant.
        let from = at.checked_sub(self.grace()).ok()?.max(self.until);
        let mut last = None;
        let mut next = schedule.next(from);
        while let Some(scheduled) = next.filter(|scheduled| *scheduled <= at) {
            last = Some(scheduled);
            next = schedule.next(scheduled);
        }
        let scheduled = last?;
        self.served.insert(scheduled);
        Some(served(scheduled))
    }

    /// What is missed by `now`.
    pub(super) fn look(&mut self, now: Timestamp) -> Missed {
        let mut missed = Missed::default();
        if self.deadline.is_some_and(|deadline| now < deadline) {
            return missed;
        }
        let Some(schedule) = self.schedule() else { return missed };
        for _ in 0..MAX_TIMES {
            let Some(scheduled) = schedule.next(self.until) else { break };
            let Ok(deadline) = scheduled.checked_add(self.grace()) else { break };
            if now < deadline {
                self.deadline = Some(deadline);
                break;
            }
            self.until = scheduled;
            if !self.served.remove(&scheduled) {
                missed.push(scheduled);
            }
        }
        missed
    }
}

impl Missed {
    pub(crate) fn push(&mut self, scheduled: Timestamp) {
        self.last.push_back(scheduled);
        if self.last.len() > TOLD_ONE_BY_ONE {
            self.before += 1;
            self.before_last = self.last.pop_front();
        }
    }
}
