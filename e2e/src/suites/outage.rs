//! The API server is away for two minutes while pods write.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::promise::{Promise, Suite};
use crate::received::{self, Record, Sequence};
use crate::workload::{self, Namespace, burst, container, pod_spec, steady};
use crate::{release, wait};

pub(crate) const SUITE: Suite = Suite {
    name: "outage",
    promises: &[
        Promise {
            name: "logs_keep_flowing_without_the_api_server_and_labels_are_there_when_it_is_back",
            check: outage,
        },
        Promise {
            name: "the_agents_log_told_of_the_outage_once_and_not_at_each_retry",
            check: one_line_a_problem,
        },
    ],
};

const OUTAGE: Duration = Duration::from_secs(120);
const STATIC_POD: &str = "hawsepipe-e2e-late.yaml";
/// One a second: they go on for a while after the API server is back.
const KNOWN_LINES: u64 = 150;
const LATE_LINES: u64 = 155;

fn outage(cluster: &Cluster) -> Result<()> {
    release::ensure(cluster)?;
    let namespace = Namespace::create(cluster, "outage")?;
    let labels = json!({"seen": "before"});
    let known =
        pod_spec(&[container("c", &format!("{}; sleep 3600", steady("known", KNOWN_LINES, "1")))]);
    // Started again after 10 s, 20 s, 40 s, 80 s: at least once while the API server is away.
    let crash = pod_spec(&[container("c", &format!("{}; sleep 1; exit 1", burst("crash", 50)))]);
    namespace.apply(&[
        workload::pod("known", &labels, &known),
        workload::pod("crash", &labels, &crash),
    ])?;
    let receiver = release::container_id(&release::receiver_pod(cluster)?)?;
    wait::until("both pods with labels", Duration::from_secs(60), Duration::from_secs(1), || {
        let records = received::read(cluster, &namespace.name, None)?;
        let labelled = |pod| records.iter().any(|record| record.pod == pod && record.has_labels());
        Ok((labelled("known") && labelled("crash")).then_some(()))
    })?;

    cluster.stop_api_server()?;
    let away = while_away(cluster, &namespace.name, &receiver);
    // Whatever happened: the cluster must be whole again for the suites to come.
    cluster.start_api_server()?;
    let result = away.and_then(|()| when_back(cluster, &namespace.name));
    cluster.remove_static_pod(STATIC_POD)?;
    result
}

/// What is seen without the API server: the receiver is asked through the container runtime.
fn while_away(cluster: &Cluster, namespace: &str, receiver: &str) -> Result<()> {
    let stopped = Instant::now();
    let read = || {
        let mut argv = vec!["hawsepipe"];
        argv.extend(received::query(namespace, None));
        received::read_from(&mut cluster.container_exec(receiver, &argv))
    };
    let before = read().context("reading the receiver without the API server")?;
    let restarts = |records: &[Record]| of(records, "crash").filter_map(Record::restart).max();

    // A static pod is the one kind that can be born now; nobody can know its labels.
    let spec =
        pod_spec(&[container("c", &format!("{}; sleep 3600", steady("late", LATE_LINES, "1")))]);
    let mut pod = workload::pod("late", &json!({"seen": "after"}), &spec);
    pod["metadata"]["namespace"] = json!(namespace);
    cluster.put_static_pod(STATIC_POD, &pod.to_string())?;

    let reached = |records: &[Record], pod| {
        of(records, pod).filter_map(Record::number).map(|line| line.number).max()
    };
    let first = reached(&before, "known");
    wait::until("lines to flow on without the API server", OUTAGE, Duration::from_secs(3), || {
        let now = read()?;
        ensure!(
            reached(&now, "known") > first.map(|first| first + 30),
            "known: {:?}",
            reached(&now, "known")
        );
        ensure!(restarts(&now) > restarts(&before), "crash: restart {:?}", restarts(&now));
        let late: Vec<&Record> = of(&now, "late-").collect();
        ensure!(!late.is_empty(), "nothing of the static pod");
        for record in late {
            ensure!(
                record.namespace == namespace
                    && record.container == "c"
                    && record.resource_text("hawsepipe.metadata.complete").as_deref()
                        == Some("false"),
                "the static pod's lines must carry the path's metadata and say that it is not complete: {record:?}"
            );
        }
        let unlabelled = of(&now, "known")
            .chain(of(&now, "crash"))
            .find(|record| record.resource_text("k8s.pod.label.seen").as_deref() != Some("before"));
        ensure!(unlabelled.is_none(), "the labels of a known pod were lost: {unlabelled:?}");
        Ok(Some(()))
    })?;
    // The promise is two minutes.
    std::thread::sleep(OUTAGE.saturating_sub(stopped.elapsed()));
    let last = read()?;
    ensure!(
        reached(&last, "known") >= Some(OUTAGE.as_secs() - 20),
        "known got no further than {:?} in {} s",
        reached(&last, "known"),
        stopped.elapsed().as_secs()
    );
    Ok(())
}

fn when_back(cluster: &Cluster, namespace: &str) -> Result<()> {
    // Its container stays unknown for longer: the kubelet is in no hurry with a mirror pod's status.
    let labels = Duration::from_secs(60);
    wait::until("the labels of the new pod", labels, Duration::from_secs(2), || {
        let now = received::read(cluster, namespace, None)?;
        let last = of(&now, "late-").last().context("nothing of the static pod")?;
        let label = last.resource_text("k8s.pod.label.seen");
        ensure!(label.as_deref() == Some("after"), "{:?}: the label is {label:?}", last.body);
        Ok(Some(()))
    })?;
    // And nothing was lost or doubled by it all.
    wait::until("the last lines", Duration::from_secs(90), Duration::from_secs(2), || {
        let now = received::read(cluster, namespace, None)?;
        for ((pod, restart), bodies) in by_run(&now) {
            let sequence = Sequence::of(bodies.into_iter());
            sequence.complete().with_context(|| format!("{pod}, restart {restart}"))?;
        }
        ensure!(of(&now, "late-").count() as u64 == LATE_LINES, "lines of the static pod");
        ensure!(of(&now, "known").count() as u64 == KNOWN_LINES, "lines of the known pod");
        Ok(Some(()))
    })
}

/// Two watches, each of which may tell when it breaks; retries were dozens.
fn one_line_a_problem(cluster: &Cluster) -> Result<()> {
    const OFTEN: usize = 5;
    release::ensure(cluster)?;
    let agent = release::name(&release::agent_pod(cluster)?);
    let log = cluster.kubectl(&["logs", "-n", release::NAMESPACE, &agent])?;
    let mut told: BTreeMap<String, usize> = BTreeMap::new();
    for line in log.lines() {
        let Ok(line) = serde_json::from_str::<Value>(line) else { continue };
        let level = received::text(&line["level"]);
        if level == "WARN" || level == "ERROR" {
            // Of each container its own is told.
            let stream = received::text(&line["stream"]);
            let what = format!("{level} {}: {} {stream}", line["target"], line["message"]);
            *told.entry(what).or_default() += 1;
        }
    }
    for (what, times) in &told {
        println!("          {times} x {what}");
    }
    let often: Vec<_> = told.iter().filter(|(_, times)| **times > OFTEN).collect();
    ensure!(often.is_empty(), "told again and again: {often:#?}");
    Ok(())
}

fn of<'a>(records: &'a [Record], pod: &'a str) -> impl Iterator<Item = &'a Record> {
    records.iter().filter(move |record| record.pod.starts_with(pod))
}

fn by_run(records: &[Record]) -> BTreeMap<(&str, u64), Vec<&str>> {
    let mut runs: BTreeMap<(&str, u64), Vec<&str>> = BTreeMap::new();
    for record in records {
        let key = (record.pod.as_str(), record.restart().unwrap_or_default());
        runs.entry(key).or_default().push(&record.body);
    }
    runs
}
