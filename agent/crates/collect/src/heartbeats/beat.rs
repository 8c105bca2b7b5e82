//! What is said of a job: by a request, by a file of the drop folder, by `hawsepipe heartbeat run`.
//!
//! In: words. Out: a [`Beat`] that makes sense, or a [`BadBeat`] that says what to do.

use std::fmt;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::schedule::{Schedule, ScheduleError};

/// Longest name of a job, in bytes: what Kubernetes allows for the names of objects.
const MAX_NAME: usize = 253;
/// Longest identity of a run.
const MAX_RUN: usize = 128;
/// How late a start may be before the scheduled time counts as missed, unless something else is said.
pub const DEFAULT_GRACE: Duration = Duration::from_secs(300);

/// Why a beat is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadBeat {
    /// The name is none.
    #[error(
        "`{0}` is no name of a job; use letters, digits and `._-/`, at most {MAX_NAME} of them, for instance `backup/db-1`"
    )]
    Name(String),
    /// The run's identity is none.
    #[error(
        "`run` is no identity of a run; use at most {MAX_RUN} visible ASCII characters, or leave it out"
    )]
    Run,
    /// The schedule is none.
    #[error("{0}")]
    Schedule(#[from] ScheduleError),
    /// The grace is no time.
    #[error("grace: `{0}` is no span of time; write for instance `30s`, `5m` or `2h`")]
    Grace(String),
    /// Something that needs a schedule.
    #[error("`{0}` says nothing without `schedule`; give both")]
    NoSchedule(&'static str),
    /// The duration is no duration.
    #[error("`duration` is no number of seconds; give one that is not negative")]
    Duration,
}

/// The name of a job. It is the same on all hosts that run it; which one is said by the resource.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobName(String);

impl JobName {
    /// Takes a name.
    ///
    /// # Errors
    /// [`BadBeat::Name`].
    pub fn new(name: &str) -> Result<Self, BadBeat> {
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte);
        if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(is_part) {
            let end = name.floor_char_boundary(MAX_NAME);
            return Err(BadBeat::Name(name[..end].to_owned()));
        }
        Ok(Self(name.to_owned()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for JobName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a sender may report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Report {
    /// A run begins.
    Start,
    /// A run ended well.
    Success,
    /// A run ended otherwise.
    Fail,
}

impl Report {
    /// Reads the word for it.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        [Self::Start, Self::Success, Self::Fail].into_iter().find(|report| report.name() == word)
    }

    /// The word for it, in paths and files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Success => "success",
            Self::Fail => "fail",
        }
    }
}

/// What is known of a job by a heartbeat; `hawsepipe.heartbeat.state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// A run began.
    Started,
    /// A run ended well.
    Succeeded,
    /// A run ended otherwise.
    Failed,
    /// A run began later than it should.
    Late,
    /// None began though it was time.
    Missed,
    /// The controller made a run of a CronJob.
    Scheduled,
}

impl State {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Late => "late",
            Self::Missed => "missed",
            Self::Scheduled => "scheduled",
        }
    }
}

impl From<Report> for State {
    fn from(report: Report) -> Self {
        match report {
            Report::Start => Self::Started,
            Report::Success => Self::Succeeded,
            Report::Fail => Self::Failed,
        }
    }
}

/// What may be said beside the job and the report; everything may be left out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Said {
    /// Which run; one that ends without it is the last one that began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// With what it exited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i64>,
    /// The number of the signal that ended it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<i64>,
    /// How long it took, in seconds. Default: since its start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration: Option<f64>,
    /// A word for a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When the job is to run; empty: on no schedule any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// The zone of the schedule. Default: the host's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// How late a start may be before it counts as missed. Default 5m.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grace: Option<String>,
    /// When it happened (RFC 3339). Default: now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<Timestamp>,
}

/// When a job is to run, and how late it may be.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// When.
    pub schedule: Schedule,
    /// What starts later than this was missed.
    pub grace: Duration,
}

impl Plan {
    /// Reads a schedule, its zone (empty: the host's) and its grace.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(schedule: &str, time_zone: &str, grace: Option<&str>) -> Result<Self, BadBeat> {
        let span = |text: &str| {
            let span = text.parse::<SignedDuration>().ok();
            let span = span.and_then(|span| Duration::try_from(span).ok());
            span.filter(|span| !span.is_zero()).ok_or_else(|| BadBeat::Grace(text.to_owned()))
        };
        let grace = grace.map(span).transpose()?.unwrap_or(DEFAULT_GRACE);
        Ok(Self { schedule: Schedule::parse(schedule, time_zone)?, grace })
    }
}

/// What a beat says of the job's schedule.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Planned {
    /// Nothing.
    Unsaid,
    /// It has none any more.
    No,
    /// It has this one.
    Yes(Plan),
}

/// A report of a job.
#[derive(Debug, Clone, PartialEq)]
pub struct Beat {
    pub(crate) job: JobName,
    pub(crate) report: Report,
    pub(crate) time: Timestamp,
    pub(crate) run: Option<String>,
    pub(crate) exit_code: Option<i64>,
    pub(crate) signal: Option<i64>,
    pub(crate) duration: Option<f64>,
    pub(crate) message: Option<String>,
    pub(crate) planned: Planned,
}

impl Beat {
    /// Takes what was said, at `now`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(job: &str, report: Report, said: Said, now: Timestamp) -> Result<Self, BadBeat> {
        let is_run = |run: &String| {
            !run.is_empty()
                && run.len() <= MAX_RUN
                && run.bytes().all(|byte| byte.is_ascii_graphic())
        };
        if said.run.as_ref().is_some_and(|run| !is_run(run)) {
            return Err(BadBeat::Run);
        }
        if said.duration.is_some_and(|duration| !duration.is_finite() || duration < 0.0) {
            return Err(BadBeat::Duration);
        }
        let planned = match said.schedule.as_deref() {
            Some("") => Planned::No,
            Some(schedule) => {
                let zone = said.time_zone.as_deref().unwrap_or_default();
                Planned::Yes(Plan::parse(schedule, zone, said.grace.as_deref())?)
            }
            None if said.time_zone.is_some() => return Err(BadBeat::NoSchedule("time_zone")),
            None if said.grace.is_some() => return Err(BadBeat::NoSchedule("grace")),
            None => Planned::Unsaid,
        };
        Ok(Self {
            job: JobName::new(job)?,
            report,
            // What is said of the future is said now.
            time: said.time.map_or(now, |time| time.min(now)),
            run: said.run,
            exit_code: said.exit_code,
            signal: said.signal,
            duration: said.duration,
            message: said.message.filter(|message| !message.is_empty()),
            planned,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn beat(said: Said) -> Result<Beat, BadBeat> {
        Beat::new("backup", Report::Start, said, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn names_are_of_letters_digits_and_four_signs() {
        for name in ["backup", "db/backup-1_x.daily", "A"] {
            assert_eq!(JobName::new(name).unwrap().as_str(), name);
        }
        assert!(JobName::new(&"a".repeat(253)).is_ok());
        for name in ["", "a b", "ä", "a\n", "a?b", "a%20b", &"a".repeat(254)] {
            let error = JobName::new(name).unwrap_err().to_string();
            assert!(error.contains("letters, digits"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn prop_no_name_makes_it_panic(name in ".{0,300}") {
            drop(JobName::new(&name));
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let text = |text: &str| Some(text.to_owned());
        for (said, words) in [
            (Said { run: text("a b"), ..Said::default() }, "`run` is no identity"),
            (Said { run: text(""), ..Said::default() }, "`run` is no identity"),
            (Said { duration: Some(-1.0), ..Said::default() }, "`duration`"),
            (Said { duration: Some(f64::NAN), ..Said::default() }, "`duration`"),
            (Said { grace: text("5m"), ..Said::default() }, "`grace` says nothing without"),
            (
                Said { time_zone: text("UTC"), ..Said::default() },
                "`time_zone` says nothing without",
            ),
            (Said { schedule: text("@hourly"), grace: text("5"), ..Said::default() }, "grace: `5`"),
            (
                Said { schedule: text("@hourly"), grace: text("0s"), ..Said::default() },
                "grace: `0s`",
            ),
            (Said { schedule: text("hourly"), ..Said::default() }, "it has 1 fields"),
        ] {
            let error = beat(said).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn a_time_in_the_future_is_now() {
        let later = Timestamp::from_second(9).unwrap();
        let beat = beat(Said { time: Some(later), ..Said::default() }).unwrap();
        assert_eq!(beat.time, Timestamp::UNIX_EPOCH);
    }
}
