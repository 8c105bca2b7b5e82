//! One job: what it did, and when it is to run.
//!
//! In: beats, and the time. Out: the heartbeats to send. Always: what it makes of a beat depends on what it knows and on the
//! beat alone, so that it can be tried before it is done; a scheduled time is told of once.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::beat::{Beat, Plan, Planned, Report, State};
use super::schedule::Schedule;

/// Runs that are open at most; a job of which more are said to run loses count of the oldest.
const MAX_OPEN: usize = 64;
/// Ends of runs that are remembered, so that one that comes twice is known.
const MAX_ENDED: usize = 64;
/// Times that are told as missed one by one; of those before them the number is told.
const TOLD_ONE_BY_ONE: usize = 10;
/// A start is late after this part of the grace.
const LATE_PART: u32 = 5;
/// A schedule that came with a beat is forgotten when so many times were missed in a row ..
const FORGOTTEN_AFTER: u64 = 10;
/// .. and nothing was heard of the job for so long.
const FORGOTTEN_AT: SignedDuration = SignedDuration::from_hours(7 * 24);
/// Scheduled times that are gone through at one look.
const MAX_TIMES: usize = 100_000;

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
}

impl Heartbeat {
    fn new(state: State, time: Timestamp) -> Self {
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
    pub(crate) ended: VecDeque<String>,
    pub(crate) watch: Option<Watch>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Open {
    run: String,
    started: Timestamp,
}

/// The schedule of a job, and how far it is settled.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Watch {
    schedule: String,
    time_zone: String,
    grace: Duration,
    /// The configuration has it, which wins over beats.
    pub(crate) configured: bool,
    /// Scheduled times up to here are settled.
    until: Timestamp,
    /// Later ones that had their start.
    served: BTreeSet<Timestamp>,
    missed_in_a_row: u64,
    #[serde(skip)]
    parsed: Option<Schedule>,
    /// When the next one is missed, once that is known.
    #[serde(skip)]
    deadline: Option<Timestamp>,
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
        if self.open.iter().any(|open| open.run == run) || self.has_ended(run) {
            return Vec::new();
        }
        self.open.push(Open { run: run.to_owned(), started: beat.time });
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
        self.ended.push_back(run.to_owned());
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
        watch.any(|watch| watch.deadline.is_none_or(|deadline| deadline <= now))
    }

    pub(crate) fn is_configured(&self) -> bool {
        self.watch.as_ref().is_some_and(|watch| watch.configured)
    }

    fn has_ended(&self, run: &str) -> bool {
        self.ended.iter().any(|ended| ended == run)
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
        let same = |watch: &&mut Watch| watch.is(plan);
        if let Some(watch) = self.watch.as_mut().filter(same) {
            watch.grace = plan.grace;
            watch.configured = configured;
            watch.deadline = None;
            return;
        }
        self.watch = Some(Watch {
            schedule: plan.schedule.text().to_owned(),
            time_zone: plan.schedule.time_zone().to_owned(),
            grace: plan.grace,
            configured,
            until: now,
            served: BTreeSet::new(),
            missed_in_a_row: 0,
            parsed: Some(plan.schedule.clone()),
            deadline: None,
        });
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

/// A scheduled time that has its start.
#[derive(Debug, Clone, Copy)]
struct Served {
    scheduled: Timestamp,
    late: bool,
}

/// Scheduled times that had no start.
#[derive(Debug, Default)]
struct Missed {
    last: VecDeque<Timestamp>,
    /// How many there are before those, and when the last of them was.
    before: u64,
    before_last: Option<Timestamp>,
}

// === impl Watch ===

impl Watch {
    fn is(&self, plan: &Plan) -> bool {
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
    fn start(&mut self, at: Timestamp) -> Option<Served> {
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

    fn look(&mut self, now: Timestamp) -> Missed {
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
    fn push(&mut self, scheduled: Timestamp) {
        self.last.push_back(scheduled);
        if self.last.len() > TOLD_ONE_BY_ONE {
            self.before += 1;
            self.before_last = self.last.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::beat::Said;
    use super::*;

    fn at(text: &str) -> Timestamp {
        format!("2026-03-{text}Z").parse().unwrap()
    }

    fn beat(report: Report, time: &str, said: Said) -> Beat {
        let said = Said { time: Some(at(time)), ..said };
        Beat::new("backup", report, said, Timestamp::MAX).unwrap()
    }

    fn planned(schedule: &str, zone: &str, grace: &str, now: &str) -> Job {
        let mut job = Job::default();
        job.watch(&Plan::parse(schedule, zone, Some(grace)).unwrap(), false, at(now));
        job
    }

    fn start(job: &mut Job, time: &str) -> Vec<(State, Option<Timestamp>)> {
        let told = job.take(&beat(Report::Start, time, Said::default()), time);
        told.into_iter().map(|told| (told.state, told.scheduled)).collect()
    }

    /// The scheduled times that are told as missed, a look at each of these moments.
    fn missed(job: &mut Job, looks: &[&str]) -> Vec<Timestamp> {
        let looks = looks.iter().flat_map(|now| job.look(at(now), Timestamp::MIN));
        looks.map(|told| told.scheduled.unwrap()).collect()
    }

    #[test]
    fn an_end_closes_the_run_that_it_names_and_tells_how_long_it_took() {
        let mut job = Job::default();
        job.take(&beat(Report::Start, "01T00:00:00", Said::default()), "a");
        job.take(&beat(Report::Start, "01T00:00:10", Said::default()), "b");
        assert_eq!(job.last_open(), Some("b"));
        let told = job.take(&beat(Report::Success, "01T00:00:30", Said::default()), "a");
        assert_eq!((told[0].state, told[0].duration), (State::Succeeded, Some(30.0)));
        assert_eq!((job.last_open(), job.last_duration), (Some("b"), Some(30.0)));
        assert_eq!(job.last_success, Some(at("01T00:00:30")));
        let said = Said { exit_code: Some(3), duration: Some(1.5), ..Said::default() };
        let told = job.take(&beat(Report::Fail, "01T00:00:40", said), "b");
        assert_eq!((told[0].duration, told[0].reason.as_deref()), (Some(1.5), Some("exit code 3")));
        assert_eq!(job.last_success, Some(at("01T00:00:30")), "a failure is none");
        assert!(job.open.is_empty());
        assert_eq!(job.counts[&State::Started], 2);
    }

    #[test]
    fn what_comes_twice_is_told_once() {
        let mut job = Job::default();
        let start = beat(Report::Start, "01T00:00:00", Said::default());
        let end = beat(Report::Success, "01T00:00:01", Said::default());
        assert_eq!(job.take(&start, "a").len(), 1);
        assert!(job.take(&start, "a").is_empty());
        assert_eq!(job.take(&end, "a").len(), 1);
        assert!(job.take(&end, "a").is_empty() && job.take(&start, "a").is_empty());
        assert_eq!(job.counts[&State::Succeeded], 1);
    }

    #[test]
    fn a_scheduled_time_without_a_start_is_missed_once_when_its_grace_is_over() {
        let mut job = planned("0 * * * *", "UTC", "10m", "01T00:30:00");
        assert!(missed(&mut job, &["01T00:59:59", "01T01:09:59"]).is_empty());
        assert_eq!(missed(&mut job, &["01T01:10:00", "01T01:11:00"]), [at("01T01:00:00")]);
        start(&mut job, "01T02:00:01");
        assert!(missed(&mut job, &["01T02:30:00"]).is_empty(), "it had its start");
        assert_eq!(missed(&mut job, &["01T04:30:00"]), [at("01T03:00:00"), at("01T04:00:00")]);
        assert_eq!(job.counts[&State::Missed], 3);
    }

    #[test]
    fn a_start_is_late_after_a_fifth_of_the_grace_and_for_nothing_after_all_of_it() {
        let mut job = planned("0 * * * *", "UTC", "10m", "01T00:30:00");
        let one = Some(at("01T01:00:00"));
        assert_eq!(start(&mut job, "01T01:02:00"), [(State::Started, one)]);
        let two = Some(at("01T02:00:00"));
        assert_eq!(start(&mut job, "01T02:02:01"), [(State::Started, two), (State::Late, two)]);
        assert_eq!(start(&mut job, "01T03:10:01"), [(State::Started, None)]);
        assert_eq!(missed(&mut job, &["01T03:10:02"]), [at("01T03:00:00")]);
        assert_eq!(start(&mut job, "01T03:30:00"), [(State::Started, None)], "by hand");
    }

    #[test]
    fn an_interval_is_counted_from_the_last_start() {
        let mut job = planned("@every 10m", "", "1m", "01T00:00:00");
        assert_eq!(start(&mut job, "01T00:04:00"), [(State::Started, None)], "before its time");
        assert!(missed(&mut job, &["01T00:14:59"]).is_empty());
        assert_eq!(missed(&mut job, &["01T00:15:00"]), [at("01T00:14:00")]);
        let due = Some(at("01T00:24:00"));
        assert_eq!(start(&mut job, "01T00:24:30"), [(State::Started, due), (State::Late, due)]);
        assert!(missed(&mut job, &["01T00:35:29"]).is_empty());
        assert_eq!(missed(&mut job, &["01T00:35:30"]), [at("01T00:34:30")]);
    }

    #[test]
    fn of_many_missed_times_the_last_are_told_one_by_one_and_the_others_as_a_number() {
        let mut job = planned("* * * * *", "UTC", "1m", "01T00:00:00");
        let told = job.look(at("02T00:00:00"), at("01T23:59:00"));
        assert_eq!(told.len(), 11);
        assert_eq!((told[0].times, told[0].scheduled), (1429, Some(at("01T23:49:00"))));
        assert!(told[1..].iter().all(|told| told.times == 1));
        assert_eq!(told[10].scheduled, Some(at("01T23:59:00")));
        assert_eq!(job.counts[&State::Missed], 1439);
        let words = |at: usize| told[at].reason.clone().unwrap();
        assert!(words(0).contains("the agent did not run then"), "{}", words(0));
        assert!(!words(10).contains("did not run"), "{}", words(10));
    }

    #[test]
    fn in_the_hour_that_is_left_out_nothing_is_missed_and_in_the_one_that_comes_twice_two_are() {
        // 2026-03-29: 02:00 is 03:00 in Berlin.
        let mut job = planned("30 2 * * *", "Europe/Berlin", "10m", "28T12:00:00");
        assert_eq!(missed(&mut job, &["29T12:00:00", "30T12:00:00"]), [at("30T00:30:00")]);
        let autumn = |text: &str| format!("2026-10-{text}Z").parse::<Timestamp>().unwrap();
        let mut job = Job::default();
        let plan = Plan::parse("30 2 * * *", "Europe/Berlin", Some("10m")).unwrap();
        job.watch(&plan, false, autumn("24T12:00:00"));
        let told = job.look(autumn("25T12:00:00"), Timestamp::MIN);
        let told: Vec<_> = told.into_iter().filter_map(|told| told.scheduled).collect();
        assert_eq!(told, [autumn("25T00:30:00"), autumn("25T01:30:00")]);
    }

    #[test]
    fn a_plan_that_is_said_again_goes_on_and_another_one_begins_anew() {
        let mut job = planned("0 * * * *", "UTC", "10m", "01T00:30:00");
        let said = |schedule: &str| Said {
            schedule: Some(schedule.to_owned()),
            time_zone: Some("UTC".to_owned()),
            ..Said::default()
        };
        job.take(&beat(Report::Fail, "01T01:30:00", said("0 * * * *")), "x");
        assert_eq!(missed(&mut job, &["01T01:31:00"]), [at("01T01:00:00")]);
        job.take(&beat(Report::Fail, "01T05:30:00", said("15 * * * *")), "y");
        assert_eq!(missed(&mut job, &["01T06:30:00"]), [at("01T06:15:00")]);
        let none = Said { schedule: Some(String::new()), ..Said::default() };
        job.take(&beat(Report::Fail, "01T06:31:00", none), "z");
        assert!(missed(&mut job, &["02T00:00:00"]).is_empty());
    }

    #[test]
    fn the_schedule_of_a_job_that_is_never_heard_of_again_is_forgotten_unless_it_is_configured() {
        for configured in [false, true] {
            let mut job = planned("0 0 * * *", "UTC", "10m", "01T12:00:00");
            job.heard = at("01T12:00:00");
            job.watch.as_mut().unwrap().configured = configured;
            for day in 2..20 {
                missed(&mut job, &[&format!("{day:02}T01:00:00")]);
            }
            let expected = if configured { 18 } else { 10 };
            assert_eq!(job.counts[&State::Missed], expected);
        }
    }
}
