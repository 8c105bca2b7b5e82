//! When a job is to run.
//!
//! In: a schedule as a CronJob has it, and a time zone. Out: the times. Always: what is taken, and what comes out, is what
//! robfig/cron v3 (`ParseStandard`) takes and says, because Kubernetes schedules with it: a table of its answers is the test.
//! What else cron dialects know (`L`, `W`, `#`, 7 for Sunday, seconds) is refused, as Kubernetes refuses it.
//!
//! Across a change of the clock a job is due at every moment whose local time the schedule names: not in an hour that is left
//! out, twice in one that comes twice.

use std::fmt;

use cronexpr::{Crontab, FallbackTimezoneOption, ParseOptions, parse_crontab_with};
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};

/// Schedules that have a name.
const NAMED: [(&str, &str); 8] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
    ("@every", ""),
];

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// Changes of the clock that are passed on the way to the next time; a zone has two a year, and four in Morocco.
const MAX_CHANGES: usize = 64;
/// A time that is further away is none.
const HORIZON: SignedDuration = SignedDuration::from_hours(5 * 366 * 24);
const SECOND: SignedDuration = SignedDuration::from_secs(1);

/// When a job is to run.
#[derive(Debug, Clone)]
pub struct Schedule {
    text: String,
    time_zone: String,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    /// So long after the last time.
    Every(SignedDuration),
    /// At these local times.
    Cron { times: Box<Crontab>, zone: TimeZone },
}

/// What is wrong with a schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// It is none.
    #[error(
        "`{schedule}` is no schedule: {reason}; write the five fields of a CronJob, for instance `30 3 * * 1-5`, or `@hourly`, or \
         `@every 10m`"
    )]
    Schedule {
        /// As it was given.
        schedule: String,
        /// Why.
        reason: String,
    },
    /// The zone is not known.
    #[error(
        "`{0}` is no time zone that is known here; write for instance `Europe/Berlin` or `UTC`"
    )]
    TimeZone(String),
}

/// A field of a schedule.
#[derive(Debug, Clone, Copy)]
struct Field {
    name: &'static str,
    min: u32,
    max: u32,
    /// What its first values are called.
    names: &'static [&'static str],
}

const FIELDS: [Field; 5] = [
    Field { name: "minute", min: 0, max: 59, names: &[] },
    Field { name: "hour", min: 0, max: 23, names: &[] },
    Field { name: "day of the month", min: 1, max: 31, names: &[] },
    Field { name: "month", min: 1, max: 12, names: &MONTHS },
    Field { name: "day of the week", min: 0, max: 6, names: &DAYS },
];

// === impl Schedule ===

impl Schedule {
    /// Reads a schedule; an empty time zone is this host's.
    ///
    /// # Errors
    /// What is wrong with it, for a person.
    pub fn parse(text: &str, time_zone: &str) -> Result<Self, ScheduleError> {
        let wrong = |reason: String| ScheduleError::Schedule { schedule: text.to_owned(), reason };
        let zone = match time_zone {
            "" => TimeZone::system(),
            name => {
                TimeZone::get(name).map_err(|_error| ScheduleError::TimeZone(name.to_owned()))?
            }
        };
        let trimmed = text.trim();
        let (text, time_zone) = (trimmed.to_owned(), time_zone.to_owned());
        if let Some(every) = trimmed.strip_prefix("@every ") {
            let kind = Kind::Every(every_of(every).map_err(wrong)?);
            return Ok(Self { text, time_zone, kind });
        }
        let fields = match NAMED.iter().find(|(name, _)| *name == trimmed) {
            Some((_, "")) => return Err(wrong("it does not say how often".to_owned())),
            Some((_, fields)) => fields,
            None if trimmed.starts_with('@') => {
                return Err(wrong("that name is not known".to_owned()));
            }
            None if trimmed.contains('=') => {
                return Err(wrong("the time zone is given beside it".to_owned()));
            }
            None => trimmed,
        };
        let fields: Vec<_> = fields.split_whitespace().collect();
        if fields.len() != FIELDS.len() {
            return Err(wrong(format!("it has {} fields", fields.len())));
        }
        let fields = FIELDS.iter().zip(fields).map(|(field, text)| field.rewrite(text));
        let fields: Vec<_> = fields.collect::<Result<_, _>>().map_err(wrong)?;
        let mut options = ParseOptions::default();
        options.fallback_timezone_option = FallbackTimezoneOption::UTC;
        let times = parse_crontab_with(&fields.join(" "), options).map_err(|error| {
            wrong(error.to_string().lines().last().unwrap_or_default().to_owned())
        })?;
        Ok(Self { text, time_zone, kind: Kind::Cron { times: Box::new(times), zone } })
    }

    /// As it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The time zone, as it was given: empty for this host's.
    #[must_use]
    pub fn time_zone(&self) -> &str {
        &self.time_zone
    }

    /// Whether it counts from the last time, whenever that was.
    #[must_use]
    pub(crate) fn is_interval(&self) -> bool {
        matches!(self.kind, Kind::Every(_))
    }

    /// The first time after `after`, `None` if there is none within five years.
    #[must_use]
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        match &self.kind {
            Kind::Every(span) => {
                Timestamp::from_second(after.as_second()).ok()?.checked_add(*span).ok()
            }
            Kind::Cron { times, zone } => next_of(times, zone, after),
        }
    }
}

impl PartialEq for Schedule {
    fn eq(&self, other: &Self) -> bool {
        (&self.text, &self.time_zone) == (&other.text, &other.time_zone)
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        if !self.time_zone.is_empty() {
            write!(f, " {}", self.time_zone)?;
        }
        Ok(())
    }
}

/// Between two changes of the clock local time runs evenly: there the library counts, on a clock without changes.
fn next_of(times: &Crontab, zone: &TimeZone, after: Timestamp) -> Option<Timestamp> {
    let local = |time: Timestamp, offset: Offset| {
        time.checked_add(SignedDuration::from_secs(i64::from(offset.seconds()))).ok()
    };
    let end = after.checked_add(HORIZON).ok()?;
    // Exclusive.
    let mut from = after;
    let mut begin = after;
    for _ in 0..MAX_CHANGES {
        let offset = zone.to_offset(begin);
        // No time within four years is an error there.
        let found = times.find_next(local(from, offset)?).ok();
        let found = found.and_then(|found| local(found.timestamp(), -offset));
        let change = zone.following(begin).next().map(|change| change.timestamp());
        match (found, change) {
            (Some(found), None) => return Some(found).filter(|found| *found <= end),
            (Some(found), Some(change)) if found < change => {
                return Some(found).filter(|found| *found <= end);
            }
            (None, None) => return None,
            (_, Some(change)) if change > end => return None,
            // What is due at the change itself belongs to the new time.
            (_, Some(change)) => (begin, from) = (change, change.checked_sub(SECOND).ok()?),
        }
    }
    None
}

/// Whole seconds, at least one.
fn every_of(text: &str) -> Result<SignedDuration, String> {
    let span = text.parse::<SignedDuration>().ok().filter(|span| !span.is_negative());
    let has_blanks = text.contains(char::is_whitespace);
    let span =
        span.filter(|_| !has_blanks).ok_or_else(|| format!("`{text}` is no span of time"))?;
    Ok(SignedDuration::from_secs(span.as_secs().max(1)))
}

impl Field {
    /// The same, every value of a range by its number, for the library: it takes more than Kubernetes does, and some of it
    /// otherwise. An asterisk alone stays: only it leaves the day to the other field.
    fn rewrite(self, text: &str) -> Result<String, String> {
        let mut items = Vec::new();
        for item in text.split(',').filter(|item| !item.is_empty()) {
            let (range, step) = match item.split_once('/') {
                None => (item, None),
                Some((range, step)) => (range, Some(self.step(step)?)),
            };
            let (first, last) = if matches!(range, "*" | "?") {
                if step.is_none_or(|step| step == 1) {
                    return Ok("*".to_owned());
                }
                (self.min, self.max)
            } else {
                self.range(range, step.is_some())?
            };
            let step = step.unwrap_or(1);
            // A step that leads out of the range leaves its first value.
            items.push(if step > last - first {
                first.to_string()
            } else {
                format!("{first}-{last}/{step}")
            });
        }
        if items.is_empty() {
            Err(format!("{}: it is empty", self.name))
        } else {
            Ok(items.join(","))
        }
    }

    /// `N`, `N-M`; with a step `N` goes on to the end.
    fn range(self, text: &str, has_step: bool) -> Result<(u32, u32), String> {
        let (first, last) = match text.split_once('-') {
            Some((first, last)) => (self.value(first)?, self.value(last)?),
            None => {
                let first = self.value(text)?;
                (first, if has_step { self.max } else { first })
            }
        };
        if last < first {
            return Err(format!("{}: `{text}` ends before it begins", self.name));
        }
        Ok((first, last))
    }

    fn step(self, text: &str) -> Result<u32, String> {
        let step = number(text).filter(|step| *step > 0);
        step.ok_or_else(|| format!("{}: `/{text}` is no step", self.name))
    }

    fn value(self, text: &str) -> Result<u32, String> {
        let Self { name, min, max, names } = self;
        let named = names.iter().zip(min..).find(|(name, _)| text.eq_ignore_ascii_case(name));
        let value = named.map(|(_, value)| value).or_else(|| number(text));
        value
            .filter(|value| (min..=max).contains(value))
            .ok_or_else(|| format!("{name}: `{text}` is none of {min} to {max}"))
    }
}

fn number(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Taken there, for what nobody means by it, and refused here.
    const REFUSED: [&str; 4] = ["+1 * * * *", "*-5 * * * *", ", * * * *", "@every -5s"];

    /// Where the change of the clock is half an hour, or takes midnight, it passes over a day or doubles an hour
    /// (`spec.go` says so in a note). A host's cron does not.
    const OTHERWISE: [(&str, &str); 9] = [
        ("0 3 * * *", "Australia/Lord_Howe"),
        ("0 3 * * *", "Australia/Lord_Howe"),
        ("30 1 * * *", "Australia/Lord_Howe"),
        ("0 0 * * *", "Australia/Lord_Howe"),
        ("0 0 * * *", "Australia/Lord_Howe"),
        ("@daily", "Australia/Lord_Howe"),
        ("@daily", "Australia/Lord_Howe"),
        ("15 2,3 * * 0", "Australia/Lord_Howe"),
        ("15 2,3 * * 0", "Asia/Beirut"),
    ];

    fn times(schedule: &Schedule, from: &str) -> String {
        let mut at: Timestamp = from.parse().unwrap();
        let mut all = Vec::new();
        for _ in 0..4 {
            let Some(next) = schedule.next(at) else {
                all.push("never".to_owned());
                break;
            };
            all.push(next.to_string());
            at = next;
        }
        all.join(" ")
    }

    /// Its first lines say how it was made.
    #[test]
    fn every_schedule_means_what_kubernetes_makes_of_it_in_every_zone_and_across_changes_of_the_clock()
     {
        let mut compared = 0;
        let mut differ = Vec::new();
        for line in
            include_str!("robfig-cron-3.0.1.tsv").lines().filter(|line| !line.starts_with("# "))
        {
            let [text, zone, from, expected] = *line.split('\t').collect::<Vec<_>>() else {
                panic!("four columns: {line}")
            };
            if REFUSED.contains(&text) {
                assert!(Schedule::parse(text, zone).is_err(), "{text}");
                continue;
            }
            let found = Schedule::parse(text, zone)
                .map_or("-".to_owned(), |schedule| times(&schedule, from));
            if found != expected {
                differ.push((text, zone));
            }
            compared += 1;
        }
        assert_eq!(differ, OTHERWISE);
        assert!(compared > 180, "{compared}");
    }

    #[test]
    fn what_is_wrong_with_a_schedule_is_said() {
        for (text, zone, said) in [
            ("0 0 * * 7", "UTC", "day of the week: `7` is none of 0 to 6"),
            ("0 24 * * *", "UTC", "hour: `24` is none of 0 to 23"),
            ("* * * *", "UTC", "it has 4 fields"),
            ("0 0 L * *", "UTC", "day of the month: `L` is none of 1 to 31"),
            ("TZ=UTC 0 0 * * *", "", "the time zone is given beside it"),
            ("@reboot", "", "that name is not known"),
            ("@every soon", "", "`soon` is no span of time"),
            ("@every", "", "it does not say how often"),
            ("0 0 * * *", "Europe/Atlantis", "`Europe/Atlantis` is no time zone"),
        ] {
            let error = Schedule::parse(text, zone).unwrap_err().to_string();
            assert!(error.contains(said) && error.contains("for instance"), "{error}");
        }
    }

    #[test]
    fn a_schedule_that_no_day_fulfils_has_no_next_time() {
        let never = Schedule::parse("0 0 30 2 *", "Europe/Berlin").unwrap();
        assert_eq!(never.next("2026-01-01T00:00:00Z".parse().unwrap()), None);
    }
}
