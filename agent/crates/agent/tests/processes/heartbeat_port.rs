//! Heartbeats over HTTP, as curl sends them: what arrives at a receiver, what is refused, and what was missed.

use std::net::SocketAddr;

use rustix::process::Signal;
use serde_json::Value;

use crate::agent::{Agent, Settings};
use crate::heartbeat_run::{waiting, wrap};
use crate::http::{self, Answer};
use crate::process::{wait_for, wait_until};
use crate::receiver::Receiver;
use crate::rig::Rig;

/// The heartbeats that a receiver has: job, state, and the whole record.
pub(crate) fn heartbeats(receiver: &mut Receiver) -> Vec<(String, String, Value)> {
    let all = receiver.events().into_iter();
    let all = all.filter(|record| record["attributes"]["hawsepipe.heartbeat.state"].is_string());
    let text = |record: &Value, key: &str| record["attributes"][key].as_str().unwrap().to_owned();
    all.map(|record| {
        (text(&record, "hawsepipe.job.name"), text(&record, "hawsepipe.heartbeat.state"), record)
    })
    .collect()
}

/// The states of one job, in the order of their arrival, once there are so many.
#[track_caller]
pub(crate) fn wait_for_states(receiver: &mut Receiver, job: &str, count: usize) -> Vec<String> {
    wait_for(&format!("{count} heartbeats of {job}"), || {
        let all = heartbeats(receiver).into_iter();
        let states: Vec<_> =
            all.filter(|(name, ..)| name == job).map(|(_, state, _)| state).collect();
        (states.len() >= count).then_some(states)
    })
}

/// An agent that takes heartbeats on a port of its own.
pub(crate) fn settings(rig: &Rig, endpoint: SocketAddr) -> Settings {
    let text = format!("{{enabled: true, listen: \"{}\"}}", rig.any_port());
    Settings { heartbeats: Box::leak(text.into_boxed_str()), ..Settings::to(endpoint) }
}

/// Where it takes them.
pub(crate) fn port(agent: &Agent) -> SocketAddr {
    agent.status()["heartbeats"]["listen"].as_str().unwrap().parse().unwrap()
}

fn post(agent: &Agent, path: &str) -> Answer {
    http::post(port(agent), &format!("/v1/heartbeat/{path}"), "", "")
}

#[track_caller]
fn run_of(answer: &Answer) -> String {
    assert_eq!(answer.code, 200, "{}", answer.body);
    answer.body.trim().to_owned()
}

#[test]
fn a_start_gives_a_run_and_an_end_without_one_closes_the_last_that_began() {
    let rig = Rig::new();
    let mut receiver = rig.receiver();
    let mut agent = rig.agent(&settings(&rig, receiver.grpc));
    let run = run_of(&post(&agent, "db/backup/start"));
    assert_eq!(run_of(&post(&agent, "db/backup/success")), run);
    assert_eq!(run_of(&post(&agent, "db/backup/start?run=nightly-7")), "nightly-7");
    let json = r#"{"exit_code": 3, "message": "disk full"}"#;
    let fail = "/v1/heartbeat/db/backup/fail?run=nightly-7";
    run_of(&http::post(port(&agent), fail, "application/json", json));
    let text = http::post(
        port(&agent),
        "/v1/heartbeat/sweep/fail",
        "application/x-www-form-urlencoded",
        "the last line\n",
    );
    run_of(&text);
    let states = wait_for_states(&mut receiver, "db/backup", 4);
    assert_eq!(states, ["started", "succeeded", "started", "failed"]);
    let all = heartbeats(&mut receiver);
    let failed = &all[3].2;
    let of = |key: &str| &failed["attributes"][key];
    assert_eq!(of("process.exit.code"), 3);
    assert_eq!(of("hawsepipe.heartbeat.reason"), "disk full");
    assert_eq!(of("hawsepipe.job.run.id"), "nightly-7");
    assert!(of("hawsepipe.job.duration").as_f64().is_some(), "{failed}");
    assert!(failed["body"].as_str().unwrap().ends_with(": disk full"), "{failed}");
    assert_eq!(failed["resource"]["team"], "core", "{failed}");
    assert!(failed["resource"]["host.name"].is_string(), "{failed}");
    wait_for_states(&mut receiver, "sweep", 1);
    let swept = heartbeats(&mut receiver).into_iter().find(|(job, ..)| job == "sweep").unwrap().2;
    assert_eq!(swept["attributes"]["hawsepipe.heartbeat.reason"], "the last line");
    assert_eq!(agent.metric("hawsepipe_heartbeats_records_total"), 5);
    agent.stop();
}

#[test]
fn what_makes_no_sense_is_answered_with_what_to_do() {
    let rig = Rig::new();
    let mut agent = rig.agent(&settings(&rig, rig.dead_port()));
    for (path, code, words) in [
        ("a%20b/start", 400, "letters, digits and `._-/`"),
        ("backup/begin", 404, "NAME/start, /success and /fail"),
        ("backup", 404, "NAME/start"),
        ("backup/start?exit=3", 400, "exit"),
        ("backup/fail?exit_code=three", 400, "the query"),
        ("backup/start?schedule=0%200%20*%20*%207", 400, "none of 0 to 6"),
        ("backup/start?schedule=@daily&time_zone=Moon", 400, "`Moon` is no time zone"),
        ("backup/start?grace=5m", 400, "without `schedule`"),
        ("backup/start?run=%20", 400, "`run`"),
    ] {
        let answer = post(&agent, path);
        assert_eq!(answer.code, code, "{path}: {}", answer.body);
        assert!(answer.body.contains(words), "{path}: {}", answer.body);
    }
    let path = "/v1/heartbeat/backup/start";
    let answer = http::post(port(&agent), path, "application/json", "{\"runs\": 1}");
    assert_eq!((answer.code, answer.body.contains("runs")), (400, true), "{}", answer.body);
    let answer = http::post(port(&agent), path, "", &"x".repeat(70_000));
    assert_eq!(answer.code, 413, "{}", answer.body);
    let answer = http::get(port(&agent), path);
    assert_eq!((answer.code, answer.body.contains("POST")), (405, true), "{}", answer.body);
    assert_eq!(agent.metric("hawsepipe_heartbeats_records_total"), 0);
    assert_eq!(agent.metric("hawsepipe_heartbeats_bad_total"), 11);
    agent.stop();
}

#[test]
fn what_was_answered_arrives_though_the_agent_is_killed_at_once_and_knows_the_run_when_it_is_back()
{
    let rig = Rig::new();
    let endpoint = rig.dead_port();
    let settings = settings(&rig, endpoint);
    let mut agent = rig.agent(&settings);
    let run = run_of(&post(&agent, "backup/start"));
    agent.process.signal(Signal::KILL);
    agent.process.wait();
    let mut receiver = rig.receiver_at(endpoint, "data");
    let mut agent = rig.agent(&settings);
    assert_eq!(run_of(&post(&agent, "backup/success")), run);
    assert_eq!(wait_for_states(&mut receiver, "backup", 2), ["started", "succeeded"]);
    agent.stop();
}

#[test]
fn while_the_spool_is_full_a_sender_is_told_to_come_again_and_then_it_is_taken() {
    let rig = Rig::new();
    let endpoint = rig.dead_port();
    let settings = Settings { pushed_max_bytes: "4MiB", ..settings(&rig, endpoint) };
    let mut agent = rig.agent(&settings);
    // What does not compress.
    let mut seed = 1_u64;
    let mut noise = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b'!' + (seed >> 33) as u8 % 90)
    };
    let mut fill = |bytes: usize| {
        let full = (0..1000).find_map(|_| {
            let message: String = (0..bytes).map(|_| noise()).collect();
            let answer = http::post(port(&agent), "/v1/heartbeat/noise/fail", "", &message);
            (answer.code != 200).then_some(answer)
        });
        full.expect("the lane gets full")
    };
    // Large ones, and then what fits into the rest.
    fill(60_000);
    fill(4_000);
    let full = fill(1);
    assert_eq!(full.code, 503, "{}", full.body);
    assert!(full.head.contains("retry-after: 5"), "{}", full.head);
    assert!(full.body.contains("spool.pushed.maxBytes"), "{}", full.body);
    assert!(agent.metric("hawsepipe_heartbeats_refused_total") > 0);
    let at = port(&agent).to_string();
    assert!(wrap(&rig, &at, "sweep", &["true"]).status().unwrap().success());
    // The first may be small enough for what is left.
    assert!(waiting(&rig) > 0, "of the wrapper they wait");
    let mut receiver = rig.receiver_at(endpoint, "data");
    let mut codes = Vec::new();
    wait_until("there is room again", || {
        codes.push(post(&agent, "backup/start").code);
        codes.last() == Some(&200)
    });
    assert!(codes.iter().rev().skip(1).all(|code| *code == 503), "{codes:?}");
    assert_eq!(wait_for_states(&mut receiver, "backup", 1), ["started"]);
    assert_eq!(wait_for_states(&mut receiver, "sweep", 2), ["started", "succeeded"]);
    agent.stop();
}

#[test]
fn a_job_that_does_not_start_on_its_schedule_is_missed_also_over_a_restart() {
    let rig = Rig::new();
    let mut receiver = rig.receiver();
    let settings = settings(&rig, receiver.grpc);
    let mut agent = rig.agent(&settings);
    run_of(&post(&agent, "backup/start?schedule=@every%202s&grace=1s"));
    let states = wait_for_states(&mut receiver, "backup", 3);
    assert_eq!(states[..3], ["started", "missed", "missed"]);
    agent.process.signal(Signal::KILL);
    agent.process.wait();
    let before = wait_for_states(&mut receiver, "backup", 3).len();
    let mut agent = rig.agent(&settings);
    wait_for_states(&mut receiver, "backup", before + 1);
    agent.stop();
    let missed: Vec<_> = heartbeats(&mut receiver)
        .into_iter()
        .filter(|(_, state, _)| state == "missed")
        .map(|(.., record)| record)
        .collect();
    let scheduled = |record: &Value| {
        record["attributes"]["hawsepipe.job.scheduled_time"].as_str().unwrap().to_owned()
    };
    let mut times: Vec<_> = missed.iter().map(scheduled).collect();
    let all = times.len();
    times.sort();
    times.dedup();
    assert_eq!(times.len(), all, "each time once");
}

#[test]
fn the_metrics_of_jobs_are_at_the_receiver() {
    let rig = Rig::new();
    let receiver = rig.receiver();
    let on = "{interval: 1s, agent: false, collectors: {job: {enabled: true}}}";
    let mut agent = rig.agent(&Settings { metrics: on, ..settings(&rig, receiver.grpc) });
    run_of(&post(&agent, "backup/start"));
    run_of(&post(&agent, "backup/success"));
    for name in ["runs", "active", "last_success.time", "duration"] {
        let name = format!("hawsepipe.job.{name}");
        wait_until(&name, || receiver.metrics()[&name]["points"].as_u64() > Some(0));
    }
    agent.stop();
}
