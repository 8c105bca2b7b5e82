//! A real store, filled with objects as the API server writes them; the controller and the clock are the test's.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::known::{Due, Kinds, Known};
use super::*;
use crate::heartbeats::{Schedule, State};

mod any_order;
mod leaders;
mod runs;
mod schedules;
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
