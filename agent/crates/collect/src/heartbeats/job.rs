//! One job: what it did, and when it is to run.
//!
//! In: beats, and the time. Out: the heartbeats to send. Always: what it makes of a beat depends on what it knows and on the
//! beat alone, so that it can be tried before it is done; a scheduled time is told of once.

use std::collections::{BTreeMap, VecDeque};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::beat::{Beat, Plan, Planned, Report, State};
use super::watch::{Missed, Watch};

/// Runs that are open at most; a job of which more are said to run loses count of the oldest.
const MAX_OPEN: usize = 64;
/// Ends of runs that are remembered, so that one that comes twice is known.
const MAX_ENDED: usize = 64;
/// A schedule that came with a beat is forgotten when so many times were missed in a row ..
const FORGOTTEN_AFTER: u64 = 10;
/// .. and nothing was heard of the job for so long.
const FORGOTTEN_AT: SignedDuration = SignedDuration::from_hours(7 * 24);

/// A heartbeat, as it is sent.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Heartbeat {
    pub(crate) state: State,
    pub(crate) time: Timestamp,
    pub(crate) run: Option<String>,
    /// Seconds.
    pub(crate) duration: Option<f64>,
    pub(crate) exit_code: Option<i64>,
    pub(crate) signal: Option<i64>,
    pub(crate) reason: Option<String>,
    pub(crate) scheduled: Option<Timestamp>,
    /// Of how many scheduled times it tells, with `missed`.
    pub(crate) times: u64,
    /// What is the same when it is told twice.
    pub(crate) id: Option<String>,
    /// Of a run in a pod that failed.
    pub(crate) lines: Option<Lines>,
}

/// Where the last lines of a run are.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Lines {
    pub(crate) pod: String,
    pub(crate) pod_uid: String,
    pub(crate) container: String,
}

impl Heartbeat {
    pub(crate) fn new(state: State, time: Timestamp) -> Self {
        Self {
            state,
            time,
            run: None,
            duration: None,
            exit_code: None,
            signal: None,
            reason: None,
            scheduled: None,
            times: 1,
            id: None,
            lines: None,
        }
    }
}

/// A job.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Job {
    /// When something was last heard of it.
    pub(crate) heard: Timestamp,
    /// Heartbeats by state.
    pub(crate) counts: BTreeMap<State, u64>,
    pub(crate) last_success: Option<Timestamp>,
    /// Of the run that ended last, in seconds.
    pub(crate) last_duration: Option<f64>,
    /// Runs that began and did not end, the oldest first.
    pub(crate) open: Vec<Open>,
    /// The runs that ended last.
    pub(crate) ended: VecDeque<Closed>,
    pub(crate) watch: Option<Watch>,
}

/// A run that ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Closed {
    run: String,
    /// Whether its start is known: it may come behind the end, by the folder.
    started: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Open {
    run: String,
    started: Timestamp,
}

// === impl Job ===

impl Job {
    /// Takes a beat of the run `run`. Empty: it is known already.
    pub(crate) fn take(&mut self, beat: &Beat, run: &str) -> Vec<Heartbeat> {
        self.heard = self.heard.max(beat.time);
        self.plan(&beat.planned, beat.time);
        let told = match beat.report {
            Report::Start => self.start(beat, run),
            Report::Success | Report::Fail => self.end(beat, run),
        };
        for heartbeat in &told {
            *self.counts.entry(heartbeat.state).or_default() += heartbeat.times;
        }
        told
    }

    /// The run that ends with a beat that does not say which.
    pub(crate) fn last_open(&self) -> Option<&str> {
        self.open.last().map(|open| open.run.as_str())
    }

    fn start(&mut self, beat: &Beat, run: &str) -> Vec<Heartbeat> {
        if self.open.iter().any(|open| open.run == run) {
            return Vec::new();
        }
        match self.ended.iter_mut().find(|ended| ended.run == run) {
            Some(Closed { started: true, .. }) => return Vec::new(),
            Some(ended) => ended.started = true,
            None => self.open.push(Open { run: run.to_owned(), started: beat.time }),
        }
        if self.open.len() > MAX_OPEN {
            self.open.remove(0);
        }
        let served = self.watch.as_mut().and_then(|watch| watch.start(beat.time));
        let started = Heartbeat {
            run: Some(run.to_owned()),
            reason: beat.message.clone(),
            scheduled: served.map(|served| served.scheduled),
            ..Heartbeat::new(State::Started, beat.time)
        };
        let late = served.filter(|served| served.late).map(|served| {
            let delay = beat.time.duration_since(served.scheduled).as_secs();
            let reason = Some(format!("it began {delay} s after its time"));
            Heartbeat { state: State::Late, reason, ..started.clone() }
        });
        [Some(started), late].into_iter().flatten().collect()
    }

    fn end(&mut self, beat: &Beat, run: &str) -> Vec<Heartbeat> {
        if self.has_ended(run) {
            return Vec::new();
        }
        let open = self.open.iter().position(|open| open.run == run).map(|at| self.open.remove(at));
        self.ended.push_back(Closed { run: run.to_owned(), started: open.is_some() });
        if self.ended.len() > MAX_ENDED {
            self.ended.pop_front();
        }
        let took = |open: &Open| beat.time.duration_since(open.started).as_secs_f64().max(0.0);
        let duration = beat.duration.or_else(|| open.as_ref().map(took));
        self.last_duration = duration.or(self.last_duration);
        if beat.report == Report::Success {
            self.last_success = self.last_success.max(Some(beat.time));
        }
        vec![Heartbeat {
            run: Some(run.to_owned()),
            duration,
            exit_code: beat.exit_code,
            signal: beat.signal,
            reason: beat.message.clone().or_else(|| reason(beat)),
            ..Heartbeat::new(beat.report.into(), beat.time)
        }]
    }

    /// Whether a [`look`](Self::look) may find something.
    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        let mut watch = self.watch.iter();
        watch.any(|watch| watch.is_due(now))
    }

    pub(crate) fn is_configured(&self) -> bool {
        self.watch.as_ref().is_some_and(|watch| watch.configured)
    }

    fn has_ended(&self, run: &str) -> bool {
        self.ended.iter().any(|ended| ended.run == run)
    }

    fn plan(&mut self, planned: &Planned, now: Timestamp) {
        if self.is_configured() {
            return;
        }
        match planned {
            Planned::Unsaid => {}
            Planned::No => self.watch = None,
            Planned::Yes(plan) => self.watch(plan, false, now),
        }
    }

    /// It runs by this plan, from `now` on; one that is known already goes on.
    pub(crate) fn watch(&mut self, plan: &Plan, configured: bool, now: Timestamp) {
        match self.watch.as_mut().filter(|watch| watch.is(plan)) {
            Some(watch) => watch.goes_on(plan, configured),
            None => self.watch = Some(Watch::new(plan, configured, now)),
        }
    }

    /// What is missed by `now`. `since`: when this agent began to look.
    pub(crate) fn look(&mut self, now: Timestamp, since: Timestamp) -> Vec<Heartbeat> {
        let Some(watch) = &mut self.watch else { return Vec::new() };
        let missed = watch.look(now);
        let Missed { before, before_last, last } = missed;
        watch.missed_in_a_row += before + last.len() as u64;
        let is_over = !watch.configured
            && watch.missed_in_a_row >= FORGOTTEN_AFTER
            && now.duration_since(self.heard) > FORGOTTEN_AT;
        let grace = watch.grace;
        let away = |scheduled: &Timestamp| {
            scheduled.checked_add(grace).is_ok_and(|deadline| deadline < since)
        };
        let tell = |scheduled: Timestamp, times: u64| {
            let no_start = format!("no start within {grace:?} of its time");
            let reason = if away(&scheduled) {
                format!("{no_start} is known; the agent did not run then")
            } else {
                no_start
            };
            let reason = Some(reason);
            Heartbeat {
                scheduled: Some(scheduled),
                reason,
                times,
                ..Heartbeat::new(State::Missed, now)
            }
        };
        let earlier = before_last.map(|scheduled| tell(scheduled, before));
        let told: Vec<_> = earlier
            .into_iter()
            .chain(last.into_iter().map(|scheduled| tell(scheduled, 1)))
            .collect();
        for heartbeat in &told {
            *self.counts.entry(State::Missed).or_default() += heartbeat.times;
        }
        if is_over {
            self.watch = None;
        }
        told
    }
}

/// The words for how it ended, where the sender has none.
fn reason(beat: &Beat) -> Option<String> {
    match (beat.report, beat.signal, beat.exit_code) {
        (Report::Fail, Some(signal), _) => Some(format!("ended by signal {signal}")),
        (Report::Fail, None, Some(code)) => Some(format!("exit code {code}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
