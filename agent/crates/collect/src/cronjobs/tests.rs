//! A real store, filled with objects as the API server writes them; the controller and the clock are the test's.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::known::{Due, Kinds, Known};
use super::*;
use crate::heartbeats::{Schedule, State};

mod sending;

const ALL: Kinds = Kinds { is_settled: true, jobs: true, pods: true };

/// A cluster, and a leader that looks at it.
struct World {
    store: ObjectStore,
    known: Arc<Known>,
    version: u64,
}

/// A time of March 2026, in UTC.
fn at(text: &str) -> Timestamp {
    let text = if text.len() > 11 { text.to_owned() } else { format!("2026-03-{text}Z") };
    text.parse().unwrap()
}

fn secs(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

impl World {
    fn new(since: Option<Timestamp>) -> Self {
        let store = ObjectStore::new();
        let known = Arc::new(Known::new(since, Counter::default()));
        store.subscribe(Arc::clone(&known) as _);
        Self { store, known, version: 0 }
    }

    /// One that has looked before there was anything.
    fn since(now: &str) -> Self {
        let world = Self::new(None);
        assert_eq!(world.look(at(now)), [""; 0]);
        world
    }

    fn apply(&mut self, kind: ObjectKind, mut object: Value) {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.store.apply_json(kind, &object).unwrap();
    }

    /// The CronJob `backup`, created at the beginning of March.
    fn cronjob(&mut self, spec: Value) {
        self.cronjob_with(spec, json!({}));
    }

    fn cronjob_with(&mut self, spec: Value, status: Value) {
        self.apply(ObjectKind::CronJobs, cronjob(spec, status));
    }

    /// A Job for a time, made then.
    fn job(&mut self, scheduled: &str, created: &str) -> Value {
        let job = job(at(scheduled), at(created));
        self.apply(ObjectKind::Jobs, job.clone());
        job
    }

    fn ends(&mut self, job: &Value, kind: &str, reason: &str, time: &str) -> Value {
        let job = ended(job, kind, reason, at(time));
        self.apply(ObjectKind::Jobs, job.clone());
        job
    }

    /// The only pod of a Job.
    fn pod(&mut self, job: &Value, status: Value) {
        self.apply(ObjectKind::Pods, pod(job, status));
    }

    fn runs(&mut self, job: &Value, since: &str) {
        self.pod(job, containers(json!({"running": {"startedAt": at(since).to_string()}})));
    }

    fn due(&self, now: Timestamp) -> Vec<Due> {
        self.known.look(ALL, now).unwrap()
    }

    /// What is told at this moment.
    fn look(&self, now: Timestamp) -> Vec<String> {
        self.due(now).iter().map(said).collect()
    }

    /// What is told at these moments.
    fn looks(&self, times: &[&str]) -> Vec<String> {
        times.iter().flat_map(|now| self.look(at(now))).collect()
    }
}

/// A heartbeat in a few words: its state, the scheduled time, the reason.
fn said(due: &Due) -> String {
    let heartbeat = &due.heartbeat;
    let mut said = heartbeat.state.name().to_owned();
    if let Some(scheduled) = heartbeat.scheduled {
        said.push_str(&format!(" {}", scheduled.strftime("%dT%H:%M:%S")));
    }
    if let Some(reason) = &heartbeat.reason {
        said.push_str(&format!(": {reason}"));
    }
    said
}

fn cronjob(spec: Value, status: Value) -> Value {
    let metadata = json!({
        "name": "backup", "namespace": "shop", "uid": "c1", "creationTimestamp": "2026-03-01T00:00:00Z",
    });
    let mut object = json!({"metadata": metadata});
    (object["spec"], object["status"]) = (spec, status);
    object
}

fn job(scheduled: Timestamp, created: Timestamp) -> Value {
    let name = format!("backup-{}", scheduled.as_second() / 60);
    let owner = json!({
        "apiVersion": "batch/v1", "kind": "CronJob", "name": "backup", "uid": "c1", "controller": true,
    });
    let metadata = json!({
        "name": name, "namespace": "shop", "uid": format!("j{}", scheduled.as_second()),
        "creationTimestamp": created.to_string(), "ownerReferences": [owner],
        "annotations": {"batch.kubernetes.io/cronjob-scheduled-timestamp": scheduled.to_string()},
    });
    json!({"metadata": metadata, "spec": {}, "status": {"startTime": created.to_string()}})
}

fn ended(job: &Value, kind: &str, reason: &str, time: Timestamp) -> Value {
    let mut job = job.clone();
    let time = time.to_string();
    job["status"]["conditions"] =
        json!([{"type": kind, "status": "True", "reason": reason, "lastTransitionTime": time}]);
    if kind == "Complete" {
        job["status"]["completionTime"] = json!(time);
    }
    job
}

fn pod(job: &Value, status: Value) -> Value {
    let meta = &job["metadata"];
    let name = format!("{}-x7x", meta["name"].as_str().unwrap());
    let owner = json!({
        "apiVersion": "batch/v1", "kind": "Job", "name": meta["name"], "uid": meta["uid"], "controller": true,
    });
    let metadata = json!({
        "name": name, "namespace": "shop", "uid": format!("p-{}", meta["uid"].as_str().unwrap()),
        "ownerReferences": [owner],
    });
    let mut object = json!({"metadata": metadata, "spec": {"containers": [{"name": "main"}]}});
    object["status"] = status;
    object
}

fn containers(state: Value) -> Value {
    let mut container = json!({"name": "main"});
    container["state"] = state;
    json!({"phase": "Running", "containerStatuses": [container]})
}

fn terminated(code: i64, from: &str, to: &str) -> Value {
    containers(json!({"terminated": {
        "exitCode": code, "reason": if code == 0 { "Completed" } else { "Error" },
        "startedAt": at(from).to_string(), "finishedAt": at(to).to_string(),
    }}))
}

fn hourly() -> Value {
    json!({"schedule": "0 * * * *", "timeZone": "UTC"})
}

#[test]
fn a_run_on_time_is_told_as_scheduled_started_and_succeeded_with_how_long_it_took() {
    let mut world = World::since("01T00:30:00");
    world.cronjob(hourly());
    let job = world.job("01T01:00:00", "01T01:00:00");
    assert_eq!(world.look(at("01T01:00:01")), ["scheduled 01T01:00:00"]);
    world.runs(&job, "01T01:00:04");
    assert_eq!(world.look(at("01T01:00:05")), ["started 01T01:00:00"]);
    let job = world.ends(&job, "Complete", "CompletionsReached", "01T01:00:34");
    let due = world.due(at("01T01:00:35"));
    assert_eq!(due.iter().map(said).collect::<Vec<_>>(), ["succeeded"]);
    let heartbeat = &due[0].heartbeat;
    assert_eq!((heartbeat.duration, heartbeat.time), (Some(30.0), at("01T01:00:34")));
    assert_eq!(heartbeat.run.as_deref(), job["metadata"]["uid"].as_str());
    assert_eq!(due[0].whose.name(), "shop/backup");
    assert!(world.looks(&["01T01:00:36", "01T01:20:00"]).is_empty(), "once");
}

#[test]
fn what_happened_between_two_looks_is_told_in_the_order_in_which_it_happened() {
    let mut world = World::since("01T00:30:00");
    world.cronjob(hourly());
    let job = world.job("01T01:00:00", "01T01:00:00");
    world.pod(&job, terminated(0, "01T01:00:02", "01T01:00:03"));
    world.ends(&job, "Complete", "", "01T01:00:03");
    let told = ["scheduled 01T01:00:00", "started 01T01:00:00", "succeeded"];
    assert_eq!(world.look(at("01T01:00:04")), told);
}

#[test]
fn a_run_that_begins_late_is_told_as_late_beside_started() {
    let mut world = World::since("01T00:30:00");
    world.cronjob(json!({"schedule": "0 * * * *", "startingDeadlineSeconds": 100}));
    let job = world.job("01T01:00:00", "01T01:00:19");
    world.runs(&job, "01T01:00:21");
    let told = [
        "scheduled 01T01:00:00",
        "started 01T01:00:00",
        "late 01T01:00:00: it began 21 s after its time",
    ];
    assert_eq!(world.look(at("01T01:00:22")), told);
    let job = world.job("01T02:00:00", "01T02:00:00");
    world.runs(&job, "01T02:00:20");
    let told = ["scheduled 01T02:00:00", "started 01T02:00:00"];
    assert_eq!(world.looks(&["01T02:00:21", "01T02:01:00"]), told, "a fifth is not late");
}

#[test]
fn a_run_whose_pod_finds_no_node_is_told_as_late_once_it_is_and_as_started_when_it_begins() {
    let mut world = World::since("01T00:30:00");
    world.cronjob(json!({"schedule": "0 * * * *", "startingDeadlineSeconds": 100}));
    let job = world.job("01T01:00:00", "01T01:00:00");
    let condition = json!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable"});
    world.pod(&job, json!({"phase": "Pending", "conditions": [condition]}));
    assert_eq!(world.looks(&["01T01:00:01", "01T01:00:29"]), ["scheduled 01T01:00:00"]);
    let told = "late 01T01:00:00: it has not begun 30 s after its time: Unschedulable";
    assert_eq!(world.looks(&["01T01:00:30", "01T01:20:00"]), [told]);
    world.runs(&job, "01T01:30:00");
    assert_eq!(world.look(at("01T01:30:01")), ["started 01T01:00:00"]);
}

#[test]
fn a_time_without_a_job_is_missed_once_when_its_grace_is_over_and_a_moment() {
    let mut world = World::since("01T00:30:00");
    world.cronjob(hourly());
    let told = ["missed 01T01:00:00: no Job was made within 300 s of its time"];
    assert!(world.looks(&["01T01:00:00", "01T01:05:09"]).is_empty());
    let due = world.due(at("01T01:05:10"));
    assert_eq!(due.iter().map(said).collect::<Vec<_>>(), told);
    let heartbeat = &due[0].heartbeat;
    assert_eq!(heartbeat.id.as_deref(), Some("c1/2026-03-01T01:00:00Z/missed"));
    assert_eq!((heartbeat.run.as_ref(), heartbeat.times), (None, 1));
    assert!(world.looks(&["01T01:05:11", "01T02:05:09"]).is_empty(), "once");
    world.cronjob(
        json!({"schedule": "0 * * * *", "timeZone": "UTC", "startingDeadlineSeconds": 30}),
    );
    let told = ["missed 01T02:00:00: no Job was made within its startingDeadlineSeconds (30 s)"];
    assert_eq!(world.look(at("01T02:05:10")), told);
}

#[test]
fn a_job_that_is_made_after_all_is_told_as_started_and_late_and_its_time_stays_missed() {
    let mut world = World::since("01T00:30:00");
    world.cronjob(hourly());
    assert_eq!(world.looks(&["01T01:01:00", "01T01:30:00"]).len(), 1);
    let job = world.job("01T01:00:00", "01T01:40:00");
    world.runs(&job, "01T01:40:02");
    let told = ["started 01T01:00:00", "late 01T01:00:00: it began 2402 s after its time"];
    assert_eq!(world.look(at("01T01:40:03")), told);
}

#[test]
fn a_failed_run_says_why_and_where_its_last_lines_are() {
    let mut world = World::since("01T00:30:00");
    world.cronjob(hourly());
    let job = world.job("01T01:00:00", "01T01:00:00");
    let job = world.ends(&job, "Failed", "BackoffLimitExceeded", "01T01:00:09");
    assert_eq!(world.look(at("01T01:00:10")), ["scheduled 01T01:00:00"], "its pod comes yet");
    world.pod(&job, terminated(3, "01T01:00:02", "01T01:00:08"));
    let due = world.due(at("01T01:00:11"));
    let told: Vec<_> = due.iter().map(said).collect();
    assert_eq!(told, ["started 01T01:00:00", "failed: BackoffLimitExceeded"]);
    let heartbeat = &due[1].heartbeat;
    let lines = heartbeat.lines.as_ref().unwrap();
    assert_eq!((lines.pod.as_str(), lines.container.as_str()), ("backup-29538780-x7x", "main"));
    assert_eq!((heartbeat.exit_code, heartbeat.duration), (Some(3), Some(7.0)));
}

#[test]
fn the_end_of_a_run_does_not_wait_long_for_a_pod_that_never_ran() {
    let mut world = World::since("01T00:30:00");
    world.cronjob(hourly());
    let job = world.job("01T01:00:00", "01T01:00:00");
    world.ends(&job, "Failed", "DeadlineExceeded", "01T01:00:30");
    assert_eq!(world.looks(&["01T01:00:31", "01T01:00:35"]), ["scheduled 01T01:00:00"]);
    let told = ["failed: DeadlineExceeded"];
    assert_eq!(world.look(at("01T01:00:36")), told, "and never started");
}

#[test]
fn without_a_right_to_pods_a_run_begins_when_the_controller_takes_it() {
    let mut world = World::since("01T00:30:00");
    world.cronjob(hourly());
    world.job("01T01:00:00", "01T01:00:00");
    let kinds = Kinds { pods: false, ..ALL };
    let due = world.known.look(kinds, at("01T01:00:01")).unwrap();
    let told: Vec<_> = due.iter().map(said).collect();
    assert_eq!(told, ["scheduled 01T01:00:00", "started 01T01:00:00"]);
}

#[test]
fn without_a_right_to_jobs_nothing_is_missed_and_before_all_is_known_nothing_is_told() {
    let mut world = World::new(Some(at("01T00:30:00")));
    world.cronjob(hourly());
    let kinds = Kinds { is_settled: false, ..ALL };
    assert!(world.known.look(kinds, at("01T02:30:00")).is_none());
    let kinds = Kinds { jobs: false, ..ALL };
    assert!(world.known.look(kinds, at("01T02:30:00")).unwrap().is_empty());
    assert_eq!(world.look(at("01T02:30:01")).len(), 2);
}

#[test]
fn a_suspended_cronjob_misses_nothing_and_what_was_due_meanwhile_is_not_told_afterwards() {
    let mut world = World::since("01T00:30:00");
    world.cronjob(json!({"schedule": "0 * * * *", "suspend": true}));
    assert!(world.looks(&["01T01:30:00", "01T02:30:00"]).is_empty());
    world.cronjob(json!({"schedule": "0 * * * *", "suspend": false}));
    assert!(world.looks(&["01T02:40:00", "01T03:05:09"]).is_empty());
    assert_eq!(world.look(at("01T03:05:10")).len(), 1);
}

#[test]
fn an_interval_is_counted_from_the_last_job_also_over_a_suspension() {
    let mut world = World::since("01T00:00:00");
    let spec = json!({"schedule": "@every 40m", "startingDeadlineSeconds": 60});
    world.cronjob(spec.clone());
    let job = world.job("01T00:40:00", "01T00:40:00");
    world.runs(&job, "01T00:40:01");
    let told = ["scheduled 01T00:40:00", "started 01T00:40:00"];
    assert_eq!(world.looks(&["01T00:41:00", "01T01:21:09"]), told);
    let missed = |time: &str| {
        format!("missed 01T{time}: no Job was made within its startingDeadlineSeconds (60 s)")
    };
    assert_eq!(world.look(at("01T01:21:10")), [missed("01:20:00")]);
    world.cronjob(json!({"schedule": "@every 40m", "suspend": true}));
    assert!(world.look(at("01T03:30:00")).is_empty());
    world.cronjob(spec);
    let told = world.looks(&["01T03:30:10", "01T04:30:00"]);
    assert_eq!(told, [missed("04:00:00")], "as it was: 0:40, 1:20, 2:00, .. 3:20, 4:00");
}

#[test]
fn another_time_zone_and_both_changes_of_the_clock_are_the_controllers() {
    let mut world = World::since("28T12:00:00");
    // 2026-03-29: 02:00 is 03:00 in Berlin. Tokyo is nine hours ahead.
    world.cronjob(json!({"schedule": "30 2 * * *", "timeZone": "Europe/Berlin"}));
    let told = world.looks(&["29T12:00:00", "30T12:00:00"]);
    assert_eq!(told, ["missed 30T00:30:00: no Job was made within 300 s of its time"]);
    world.cronjob(json!({"schedule": "30 2 * * *", "timeZone": "Asia/Tokyo"}));
    let told = world.looks(&["30T12:01:00", "30T18:00:00"]);
    assert_eq!(told, ["missed 30T17:30:00: no Job was made within 300 s of its time"]);

    let mut world = World::since("2026-10-24T12:00:00Z");
    world.cronjob(json!({"schedule": "30 2 * * *", "timeZone": "Europe/Berlin"}));
    let job = world.job("2026-10-25T00:30:00Z", "2026-10-25T00:30:00Z");
    world.runs(&job, "2026-10-25T00:30:01Z");
    let told = world.looks(&["2026-10-25T00:30:01Z", "2026-10-25T12:00:00Z"]);
    let twice = [
        "scheduled 25T00:30:00",
        "started 25T00:30:00",
        "missed 25T01:30:00: no Job was made within 300 s of its time",
    ];
    assert_eq!(told, twice);
}

#[test]
fn a_time_that_is_left_out_because_the_job_before_still_runs_says_so() {
    let mut world = World::since("01T00:30:00");
    world.cronjob(json!({"schedule": "0 * * * *", "concurrencyPolicy": "Forbid"}));
    let job = world.job("01T01:00:00", "01T01:00:00");
    world.runs(&job, "01T01:00:01");
    assert_eq!(world.look(at("01T01:00:02")).len(), 2);
    let told = [
        "missed 01T02:00:00: no Job was made: backup-29538780 still ran (concurrencyPolicy Forbid)",
    ];
    assert_eq!(world.look(at("01T02:05:10")), told);
    world.ends(&job, "Complete", "", "01T02:30:00");
    world.look(at("01T02:30:01"));
    let told = ["missed 01T03:00:00: no Job was made within 300 s of its time"];
    assert_eq!(world.look(at("01T03:05:10")), told);
}

#[test]
fn a_run_that_is_deleted_before_it_ends_has_failed_replaced_or_not() {
    for (policy, reason) in [("Replace", "failed: Replaced"), ("Allow", "failed: Deleted")] {
        let mut world = World::since("01T00:30:00");
        world.cronjob(json!({"schedule": "0 * * * *", "concurrencyPolicy": policy}));
        let job = world.job("01T01:00:00", "01T01:00:00");
        world.runs(&job, "01T01:00:02");
        assert_eq!(world.look(at("01T01:00:03")).len(), 2);
        world.store.delete_json(ObjectKind::Jobs, &job).unwrap();
        assert_eq!(world.looks(&["01T02:00:01", "01T02:00:10"]), [reason]);
    }
}

#[test]
fn a_run_that_ended_and_is_cleaned_away_at_once_is_told_all_the_same() {
    let mut world = World::since("01T00:30:00");
    world.cronjob(hourly());
    let job = world.job("01T01:00:00", "01T01:00:00");
    world.pod(&job, terminated(0, "01T01:00:02", "01T01:00:03"));
    let job = world.ends(&job, "Complete", "", "01T01:00:03");
    world.store.delete_json(ObjectKind::Pods, &pod(&job, json!({}))).unwrap();
    world.store.delete_json(ObjectKind::Jobs, &job).unwrap();
    let told = ["scheduled 01T01:00:00", "started 01T01:00:00", "succeeded"];
    assert_eq!(world.looks(&["01T01:00:04", "01T01:00:05", "01T01:30:00"]), told);
}

#[test]
fn of_a_cronjob_that_is_deleted_nothing_is_missed_any_more() {
    let mut world = World::since("01T00:30:00");
    world.cronjob(hourly());
    assert!(world.look(at("01T01:01:00")).is_empty());
    world.store.delete_json(ObjectKind::CronJobs, &cronjob(hourly(), json!({}))).unwrap();
    assert!(world.looks(&["01T01:30:00", "01T03:00:00"]).is_empty());
    let count = |world: &World| world.known.tallies().len();
    assert_eq!(count(&world), 0);
}

#[test]
fn another_schedule_counts_from_when_it_is_seen() {
    let mut world = World::since("01T00:30:00");
    world.cronjob(hourly());
    assert!(world.look(at("01T01:01:00")).is_empty());
    world.cronjob(json!({"schedule": "*/30 * * * *"}));
    let told = world.looks(&["01T01:02:00", "01T01:20:00", "01T01:35:10"]);
    assert_eq!(told, ["missed 01T01:30:00: no Job was made within 300 s of its time"]);
}

#[test]
fn a_schedule_or_a_zone_that_cannot_be_read_is_unknown_and_its_jobs_are_told() {
    for spec in [
        json!({"schedule": "0 25 * * *"}),
        json!({"schedule": "TZ=UTC 0 * * * *"}),
        json!({"schedule": "0 * * * *", "timeZone": "Europe/Atlantis"}),
    ] {
        let mut world = World::since("01T00:30:00");
        world.cronjob(spec);
        world.job("01T01:00:00", "01T01:00:00");
        assert_eq!(world.looks(&["01T01:00:01", "01T09:00:00"])[..1], ["scheduled 01T01:00:00"]);
        assert_eq!(world.known.unknown(), 1);
        world.cronjob(hourly());
        assert!(world.look(at("01T09:00:01")).is_empty());
        assert_eq!(world.known.unknown(), 0);
    }
}

#[test]
fn a_job_of_no_cronjob_is_told_by_its_own_name_and_one_by_hand_is_for_no_time() {
    let mut world = World::since("01T00:30:00");
    let mut own = job(at("01T01:00:00"), at("01T01:00:00"));
    own["metadata"]["ownerReferences"] = json!([]);
    world.apply(ObjectKind::Jobs, own.clone());
    world.runs(&own, "01T01:00:01");
    let due = world.due(at("01T01:00:02"));
    assert_eq!(due.iter().map(said).collect::<Vec<_>>(), ["started"]);
    assert_eq!(due[0].whose.name(), "shop/backup-29538780");

    world.cronjob(hourly());
    let mut by_hand = job(at("01T02:00:00"), at("01T02:00:00"));
    by_hand["metadata"]["annotations"] = json!({"cronjob.kubernetes.io/instantiate": "manual"});
    by_hand["metadata"]["name"] = json!("backup-by-hand");
    world.apply(ObjectKind::Jobs, by_hand.clone());
    world.runs(&by_hand, "01T02:00:01");
    let due = world.due(at("01T02:00:02"));
    assert_eq!(due.iter().map(said).collect::<Vec<_>>(), ["started"]);
    assert_eq!(due[0].whose.name(), "shop/backup");
}

#[test]
fn an_older_server_says_by_the_jobs_name_for_which_time_it_is() {
    let mut world = World::since("01T00:30:00");
    world.cronjob(hourly());
    let mut job = job(at("01T01:00:00"), at("01T01:00:02"));
    job["metadata"]["annotations"] = json!({});
    world.apply(ObjectKind::Jobs, job);
    assert_eq!(world.look(at("01T01:00:03")), ["scheduled 01T01:00:00"]);
}

#[test]
fn the_first_leader_tells_nothing_of_what_was_before_it() {
    let mut world = World::new(None);
    world.cronjob(hourly());
    let old = world.job("01T01:00:00", "01T01:00:00");
    world.ends(&old, "Failed", "BackoffLimitExceeded", "01T01:00:30");
    let open = world.job("01T03:00:00", "01T03:00:00");
    world.runs(&open, "01T03:00:01");
    assert!(world.looks(&["01T03:10:00", "01T03:20:00"]).is_empty());
    world.ends(&open, "Complete", "", "01T03:30:00");
    assert_eq!(world.look(at("01T03:30:01")), ["succeeded"], "what comes after is told");
}

#[test]
fn the_next_leader_tells_what_happened_while_there_was_none_and_nothing_older() {
    let mut world = World::new(Some(at("01T01:30:00")));
    // 02:00 had its Job and 03:00 had none.
    let old = world.job("01T01:00:00", "01T01:00:00");
    world.runs(&old, "01T01:00:02");
    world.ends(&old, "Complete", "", "01T01:31:00");
    let job = world.job("01T02:00:00", "01T02:00:00");
    world.pod(&job, terminated(1, "01T02:00:02", "01T02:00:03"));
    world.ends(&job, "Failed", "BackoffLimitExceeded", "01T02:00:04");
    world.cronjob_with(hourly(), json!({"lastScheduleTime": "2026-03-01T02:00:00Z"}));
    let told = [
        "succeeded",
        "scheduled 01T02:00:00",
        "started 01T02:00:00",
        "failed: BackoffLimitExceeded",
        "missed 01T03:00:00: no Job was made within 300 s of its time",
    ];
    assert_eq!(world.looks(&["01T03:30:00", "01T03:31:00"]), told);
}

#[test]
fn what_the_last_leader_could_not_know_when_it_ended_is_told_by_the_next() {
    let ended = at("01T01:00:09");
    let mut world = World::new(Some(told_by(ended)));
    world.cronjob(hourly());
    let job = world.job("01T01:00:00", "01T01:00:00");
    // The kubelet says so at 01:00:10.
    world.runs(&job, "01T01:00:02");
    assert!(world.look(at("01T01:00:30")).contains(&"started 01T01:00:00".to_owned()));
}

#[test]
fn all_is_known_when_each_kind_was_listed() {
    let store = ObjectStore::new();
    for kind in KINDS {
        assert!(!Kinds::of(&store).is_settled, "before {kind:?}");
        store.replace_json(kind, &[]).unwrap();
    }
    assert_eq!(Kinds::of(&store), ALL);
}

#[test]
fn what_may_have_been_cleaned_away_while_there_was_no_leader_is_not_called_missed() {
    let look = |failed: bool| {
        let mut world = World::new(Some(at("01T01:30:00")));
        let status = json!({"lastScheduleTime": "2026-03-01T05:00:00Z"});
        world.cronjob_with(hourly(), status);
        // Jobs for 02:00 and 04:00 are not there, nor is that for 05:00.
        world.job("01T03:00:00", "01T03:00:00");
        if failed {
            let job = world.job("01T04:30:00", "01T04:30:00");
            world.ends(&job, "Failed", "", "01T04:30:09");
        }
        let told = world.look(at("01T06:05:10"));
        told.into_iter().filter(|told| told.starts_with("missed")).collect::<Vec<_>>()
    };
    let missed = |time: &str| format!("missed 01T{time}: no Job was made within 300 s of its time");
    assert_eq!(look(false), [missed("04:00:00"), missed("06:00:00")]);
    assert_eq!(look(true), [missed("06:00:00")], "a failed one makes place for a later one");
}

#[test]
fn each_job_is_counted_since_the_term_began_with_what_its_cronjob_says_of_the_last_success() {
    let mut world = World::since("01T00:30:00");
    world.cronjob_with(hourly(), json!({"lastSuccessfulTime": "2026-03-01T00:10:00Z"}));
    let tally = |world: &World| world.known.tallies().remove(0);
    let (first, since) = tally(&world);
    assert_eq!((first.last_success, since), (Some(at("01T00:10:00")), at("01T00:30:00")));
    let job = world.job("01T01:00:00", "01T01:00:00");
    world.runs(&job, "01T01:00:02");
    world.look(at("01T01:00:03"));
    assert_eq!(tally(&world).0.active, 1);
    world.ends(&job, "Complete", "", "01T01:00:12");
    world.look(at("01T02:05:10"));
    let (last, _) = tally(&world);
    assert_eq!((last.active, last.last_duration), (0, Some(10.0)));
    assert_eq!(last.last_success, Some(at("01T01:00:12")));
    let once = [State::Started, State::Succeeded, State::Missed, State::Scheduled];
    assert_eq!(last.counts, once.map(|state| (state, 1)).into());
}

/// What the controller does for a time, and when that is seen here.
#[derive(Debug, Clone, Copy)]
enum Made {
    Not,
    /// Seconds after its time; seconds after that.
    After(i64, i64),
}

fn made(seen_within: i64) -> impl Strategy<Value = Made> {
    prop_oneof![
        Just(Made::Not),
        (0..280_i64, 0..seen_within).prop_map(|(made, seen)| Made::After(made, seen)),
        (312..900_i64, 0..seen_within).prop_map(|(made, seen)| Made::After(made, seen)),
    ]
}

const SCHEDULES: [(&str, &str); 6] = [
    ("*/7 * * * *", "UTC"),
    ("3,4,50 * * * *", "Europe/Berlin"),
    ("*/20 1-4 * * *", "Europe/Berlin"),
    ("0 */2 * * *", "Asia/Kolkata"),
    ("@every 11m", "UTC"),
    ("15 2 * * *", "America/New_York"),
];

/// Lets a controller make Jobs as said, and tells each heartbeat of a scheduled time. `leaders`: when there is another one.
fn play(
    (text, zone): (&str, &str),
    made: &[Made],
    cronjob_seen: i64,
    look_every: i64,
    leaders: &[i64],
) -> (BTreeSet<Timestamp>, Vec<(String, State, Timestamp)>) {
    // The night in which Berlin's clock is put forward.
    let begin = at("28T22:00:00");
    let schedule = Schedule::parse(text, zone).unwrap();
    let mut times = Vec::new();
    while times.len() < made.len() {
        times.push(schedule.next(times.last().copied().unwrap_or(begin)).unwrap());
    }
    let end = *times.last().unwrap();
    let mut object = cronjob(json!({"schedule": text, "timeZone": zone}), json!({}));
    object["metadata"]["creationTimestamp"] = json!(begin.to_string());
    let mut arrivals = vec![(begin + secs(cronjob_seen), ObjectKind::CronJobs, object)];
    for (scheduled, made) in times.iter().zip(made) {
        if let Made::After(made, seen) = made {
            let created = *scheduled + secs(*made);
            let object = job(*scheduled, created);
            arrivals.push((created + secs(*seen), ObjectKind::Jobs, object));
        }
    }
    arrivals.sort_by_key(|(at, ..)| *at);
    let mut arrivals = arrivals.into_iter().peekable();
    let mut seen: Vec<(ObjectKind, Value)> = Vec::new();
    let mut world = World::new(Some(begin));
    let mut told = Vec::new();
    let (mut now, mut leaders) = (begin, leaders.iter().copied().peekable());
    while now <= end + secs(1500) {
        while let Some((_, kind, object)) = arrivals.next_if(|(at, ..)| *at <= now) {
            seen.push((kind, object.clone()));
            world.apply(kind, object);
        }
        if leaders.next_if(|leader| begin + secs(*leader) <= now).is_some() {
            world = World::new(Some(told_by(now).max(begin)));
            for (kind, object) in &seen {
                world.apply(*kind, object.clone());
            }
        }
        for Due { heartbeat, .. } in world.due(now) {
            if matches!(heartbeat.state, State::Scheduled | State::Missed) {
                assert_eq!(heartbeat.times, 1);
                told.push((heartbeat.id.unwrap(), heartbeat.state, heartbeat.scheduled.unwrap()));
            }
        }
        now += secs(look_every);
        if times.iter().all(|time| now < *time || *time + secs(1500) < now) {
            // Nothing happens for a while.
            now = times.iter().copied().find(|time| *time > now).unwrap_or(now);
        }
    }
    told.retain(|(_, _, scheduled)| *scheduled <= end);
    (times.into_iter().collect(), told)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn prop_every_time_is_told_once_as_scheduled_or_missed_whatever_order_objects_come_in(
        schedule in prop::sample::select(SCHEDULES.to_vec()),
        made in prop::collection::vec(made(800), 1..12),
        cronjob_seen in 0..290_i64,
        look_every in 1..120_i64,
    ) {
        let (times, told) = play(schedule, &made, cronjob_seen, look_every, &[]);
        let told: Vec<_> = told.into_iter().map(|(_, _, scheduled)| scheduled).collect();
        prop_assert_eq!(told.len(), times.len(), "once: {:?}", told);
        prop_assert_eq!(told.into_iter().collect::<BTreeSet<_>>(), times);
    }

    #[test]
    fn prop_whoever_leads_every_time_is_told_and_what_comes_twice_is_the_same(
        schedule in prop::sample::select(SCHEDULES.to_vec()),
        made in prop::collection::vec(made(9), 1..12),
        look_every in 1..9_i64,
        mut leaders in prop::collection::vec(0..20_000_i64, 0..6),
    ) {
        leaders.sort_unstable();
        let (times, told) = play(schedule, &made, 0, look_every, &leaders);
        let distinct: BTreeMap<_, _> = told.into_iter().map(|(id, _, at)| (id, at)).collect();
        prop_assert_eq!(distinct.len(), times.len(), "one state each: {:?}", distinct);
        prop_assert_eq!(distinct.into_values().collect::<BTreeSet<_>>(), times);
    }
}
