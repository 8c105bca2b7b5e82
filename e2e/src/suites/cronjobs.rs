//! Heartbeats of CronJobs: what the controller, the scheduler and the kubelets make of them is told, state by state.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use jiff::{SignedDuration, Timestamp, ToSpan};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::promise::{Promise, Suite};
use crate::received::text;
use crate::release::{NAMESPACE, RELEASE};
use crate::sink::{Event, Kept, Sink};
use crate::wait;
use crate::workload::{Namespace, container, cron_job, pod_spec};

pub(crate) const SUITE: Suite = Suite {
    name: "cronjobs",
    promises: &[Promise {
        name: "each_cronjob_is_told_on_time_late_missed_failed_suspended_and_in_another_zone",
        check: heartbeats,
    }],
};

/// The label of a node that has room for the late one.
const ROOM: &str = "hawsepipe.dev/e2e-room";
/// A minute until the time, a pod, and what is waited for that nothing comes.
const SOON: Duration = Duration::from_secs(150);
const SECOND: Duration = Duration::from_secs(1);
/// Before this second of a minute there is time to make CronJobs for the next one.
const EARLY: i64 = 40;

fn heartbeats(cluster: &Cluster) -> Result<()> {
    let kept = Kept::install(cluster, json!({"cluster": {"runIn": "deployment"}}))?;
    let namespace = Namespace::create(cluster, "cronjobs")?;
    wait::until("a leader", SOON, SECOND, || {
        let lease = cluster.get(&["lease", RELEASE, "-n", NAMESPACE])?;
        Ok((!text(&lease["spec"]["holderIdentity"]).is_empty()).then_some(()))
    })?;
    cluster.kubectl(&["label", "node", cluster.node(), &format!("{ROOM}-")])?;
    wait::until_true("the first seconds of a minute", SOON, || second() < EARLY)?;
    let next = Timestamp::from_second((Timestamp::now().as_second() / 60 + 1) * 60)?;
    namespace.apply(&cron_jobs(next))?;
    let told = Told { sink: &kept.sink, namespace: &namespace.name };
    let result = in_one_minute(cluster, &told, next).and_then(|()| stopped(cluster, &told));
    cluster.kubectl(&["label", "node", cluster.node(), &format!("{ROOM}-")])?;
    result?;
    let all = told.all()?;
    ensure!(!all.contains_key("suspended"), "it is suspended: {:?}", all["suspended"]);
    each_is_known_by_its_key(&told)?;
    for (job, states) in &all {
        println!("          {job:<10} {}", states.join(", "));
    }
    Ok(())
}

/// The second of the minute.
fn second() -> i64 {
    Timestamp::now().as_second() % 60
}

/// All of them: those of one time are for `next`.
fn cron_jobs(next: Timestamp) -> Vec<Value> {
    let run = |name: &str, script: &str| cron_job(name, pod_spec(&[container("job", script)]));
    let on_time = run("on-time", "sleep 1");
    let mut failed = run("failed", "echo the last line; exit 3");
    failed["spec"]["jobTemplate"]["spec"]["backoffLimit"] = json!(0);
    let mut suspended = run("suspended", "true");
    suspended["spec"]["suspend"] = json!(true);
    // Tokyo has no changes of the clock and is nine hours ahead.
    let there = next + 9.hours();
    let mut zone = run("zone", "true");
    zone["spec"]["schedule"] = json!(there.strftime("%-M %-H * * *").to_string());
    zone["spec"]["timeZone"] = json!("Asia/Tokyo");
    let mut late = run("late", "true");
    late["spec"]["schedule"] = json!(next.strftime("%-M %-H * * *").to_string());
    late["spec"]["timeZone"] = json!("UTC");
    late["spec"]["startingDeadlineSeconds"] = json!(50);
    let spec = &mut late["spec"]["jobTemplate"]["spec"]["template"]["spec"];
    spec["nodeSelector"] = json!({ROOM: "here"});
    let mut stopped = run("stopped", "true");
    stopped["spec"]["startingDeadlineSeconds"] = json!(15);
    vec![on_time, failed, suspended, zone, late, stopped]
}

/// What was told of the CronJobs of a namespace.
struct Told<'a> {
    sink: &'a Sink,
    namespace: &'a str,
}

impl Told<'_> {
    fn of(&self, job: &str) -> Result<Vec<Event>> {
        let name = format!("{}/{job}", self.namespace);
        let mut all = self.sink.heartbeats(self.namespace)?;
        all.retain(|event| event.text("hawsepipe.job.name") == name);
        Ok(all)
    }

    /// The states of each, in order.
    fn all(&self) -> Result<BTreeMap<String, Vec<String>>> {
        let mut all = BTreeMap::<_, Vec<_>>::new();
        for event in self.sink.heartbeats(self.namespace)? {
            let name = event.text("hawsepipe.job.name");
            let job = name.rsplit('/').next().unwrap_or_default().to_owned();
            all.entry(job).or_default().push(event.text("hawsepipe.heartbeat.state"));
        }
        Ok(all)
    }

    /// Waits until these states, and no other, were told of the run of this time.
    fn wait(&self, job: &str, time: Timestamp, states: &[&str]) -> Result<Vec<Event>> {
        let wanted: BTreeSet<_> = states.iter().map(|state| (*state).to_owned()).collect();
        wait::until(&format!("{job}: {states:?}"), SOON, SECOND, || {
            let all = self.of(job)?;
            let at = time.to_string();
            let is_it = |event: &&Event| event.text("hawsepipe.job.scheduled_time") == at;
            let runs: BTreeSet<_> =
                all.iter().filter(is_it).map(|event| event.text("hawsepipe.job.run.id")).collect();
            ensure!(runs.len() == 1, "{} runs of {at}", runs.len());
            let of_run = |event: &Event| runs.contains(&event.text("hawsepipe.job.run.id"));
            let run: Vec<_> = all.into_iter().filter(of_run).collect();
            let told = run.iter().map(|event| event.text("hawsepipe.heartbeat.state"));
            let told: BTreeSet<_> = told.collect();
            ensure!(told == wanted, "{told:?}");
            Ok(Some(run))
        })
    }
}

fn in_one_minute(cluster: &Cluster, told: &Told<'_>, next: Timestamp) -> Result<()> {
    let on_time = told.wait("on-time", next, &["scheduled", "started", "succeeded"])?;
    for event in &on_time {
        let resource = |key: &str| event.resource.get(key).map(text).unwrap_or_default();
        ensure!(resource("k8s.cronjob.name") == "on-time", "{:?}", event.resource);
        let uid = event.text("hawsepipe.job.run.id");
        ensure!(resource("k8s.job.uid") == uid, "the run is the Job: {:?}", event.resource);
        ensure!(!resource("k8s.cluster.uid").is_empty(), "{:?}", event.resource);
    }
    told.wait("zone", next, &["scheduled", "started", "succeeded"])?;
    let failed = told.wait("failed", next, &["scheduled", "started", "failed"])?;
    let of_state = |event: &&Event| event.text("hawsepipe.heartbeat.state") == "failed";
    for event in failed.iter().filter(of_state) {
        let said = ["hawsepipe.heartbeat.reason", "process.exit.code", "k8s.container.name"]
            .map(|key| event.text(key));
        ensure!(said == ["BackoffLimitExceeded", "3", "job"], "{said:?}");
        // Where its last lines are.
        let pod = event.text("k8s.pod.name");
        let lines = cluster.kubectl(&["logs", &pod, "-n", told.namespace])?;
        ensure!(lines.contains("the last line"), "{pod}: {lines}");
    }
    told.wait("late", next, &["scheduled", "late"])?;
    cluster.kubectl(&["label", "node", cluster.node(), &format!("{ROOM}=here")])?;
    told.wait("late", next, &["scheduled", "late", "started", "succeeded"])?;
    Ok(())
}

/// Nobody makes Jobs while a minute begins.
fn stopped(cluster: &Cluster, told: &Told<'_>) -> Result<()> {
    wait::until_true("the middle of a minute", SOON, || (20..50).contains(&second()))?;
    cluster.stop_controllers()?;
    let missed = || {
        let next = Timestamp::from_second((Timestamp::now().as_second() / 60 + 1) * 60)?;
        let until = next + SignedDuration::from_secs(20);
        while Timestamp::now() < until {
            thread::sleep(SECOND);
        }
        Ok::<_, anyhow::Error>(next)
    };
    let next = missed();
    cluster.start_controllers()?;
    let next = next?.to_string();
    let event = wait::until("the missed one", SOON, SECOND, || {
        let all = told.of("stopped")?;
        Ok(all.into_iter().find(|event| {
            event.text("hawsepipe.heartbeat.state") == "missed"
                && event.text("hawsepipe.job.scheduled_time") == next
        }))
    })?;
    let reason = event.text("hawsepipe.heartbeat.reason");
    ensure!(reason.contains("startingDeadlineSeconds"), "{reason}");
    ensure!(event.text("hawsepipe.job.missed") == "1", "{:?}", event.attributes);
    // Those that may be late are made after all: nothing of theirs is missed.
    let all = told.all()?;
    let missed = |job: &&str| all[*job].iter().any(|state| state == "missed");
    let others: Vec<_> = ["on-time", "failed", "zone", "late"].into_iter().filter(missed).collect();
    ensure!(others.is_empty(), "{others:?} are missed: {all:?}");
    Ok(())
}

fn each_is_known_by_its_key(told: &Told<'_>) -> Result<()> {
    let all = told.sink.heartbeats(told.namespace)?;
    let keys: Vec<_> = all.iter().map(|event| event.text("hawsepipe.heartbeat.id")).collect();
    let distinct: BTreeSet<_> = keys.iter().collect();
    ensure!(distinct.len() == keys.len(), "one leader tells nothing twice: {keys:?}");
    ensure!(keys.iter().all(|key| !key.is_empty()), "{keys:?}");
    Ok(())
}
