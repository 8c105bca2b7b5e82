//! The clock is the test's.

use super::*;
use crate::heartbeats::beat::Said;

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

#[test]
fn a_start_that_comes_behind_its_end_is_told_once_and_opens_nothing() {
    let mut job = Job::default();
    let said = Said { duration: Some(2.0), ..Said::default() };
    job.take(&beat(Report::Success, "01T00:00:02", said), "a");
    let start = beat(Report::Start, "01T00:00:00", Said::default());
    assert_eq!(job.take(&start, "a")[0].state, State::Started);
    assert!(job.take(&start, "a").is_empty() && job.open.is_empty());
    assert_eq!(job.counts[&State::Started], 1);
}
