//! The events of the cluster: all of them arrive, whoever leads and whatever ends it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::promise::{Promise, Suite};
use crate::received::text;
use crate::release::{self, NAMESPACE, RELEASE};
use crate::sink::{Kept, Sink};
use crate::workload::Namespace;
use crate::{cmd, wait};

pub(crate) const SUITE: Suite = Suite {
    name: "events",
    promises: &[
        Promise {
            name: "every_event_arrives_from_pods_of_their_own_whatever_ends_the_leader",
            check: in_deployment,
        },
        Promise {
            name: "every_event_arrives_from_elected_node_pods_whatever_ends_the_leader",
            check: in_daemonset,
        },
    ],
};

/// How many events are made, unless the environment says otherwise.
const TOTAL: u64 = 600;
/// How many a second.
const RATE: u64 = 15;
/// So many of them change afterwards.
const CHANGED: u64 = 10;
/// A leader that is killed is missed after 15 s, by candidates that look every five; and a node takes its time to boot.
const SOON: Duration = Duration::from_secs(180);
const SECOND: Duration = Duration::from_secs(1);

/// As many as the environment asks for.
fn asked() -> Result<Option<u64>> {
    let asked = std::env::var("HAWSEPIPE_E2E_EVENTS").ok().map(|text| text.parse());
    asked.transpose().context("HAWSEPIPE_E2E_EVENTS is a number of events")
}

fn in_deployment(cluster: &Cluster) -> Result<()> {
    // One on each node, so that either may lead.
    let term = json!({
        "labelSelector": {"matchLabels": {"app.kubernetes.io/component": "cluster"}},
        "topologyKey": "kubernetes.io/hostname",
    });
    let affinity =
        json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}});
    // The second node is for those alone who ask for it.
    let tolerations = json!([{"operator": "Exists"}]);
    let run = json!({
        "runIn": "deployment", "replicas": 2, "affinity": affinity, "tolerations": tolerations,
    });
    let kept = Kept::install(cluster, json!({"cluster": run}))?;
    let namespace = Namespace::create(cluster, "events")?;
    // The power is cut below, where it takes node and leader at once.
    every_event_arrives(cluster, &kept, &namespace.name, asked()?.is_some())?;
    odd_events(cluster, &kept.sink, &namespace.name)?;
    edited_lease(cluster, &kept.sink, &namespace.name)
}

fn in_daemonset(cluster: &Cluster) -> Result<()> {
    let kept = Kept::install(cluster, json!({"cluster": {"runIn": "daemonset"}}))?;
    let namespace = Namespace::create(cluster, "events")?;
    every_event_arrives(cluster, &kept, &namespace.name, true)
}

fn every_event_arrives(
    cluster: &Cluster,
    kept: &Kept<'_>,
    namespace: &str,
    power: bool,
) -> Result<()> {
    let second = cluster.second_node()?;
    let total = asked()?.unwrap_or(TOTAL);
    wait::until("a leader", SOON, SECOND, || leader(cluster).map(Some))?;
    // Until it follows: what came before the first leader ever is not sent.
    let mut tried = 0;
    wait::until("the first event", SOON, SECOND, || {
        tried += 1;
        let (prefix, time) = (format!("try-{tried}"), jiff::Timestamp::now());
        create(cluster, namespace, &prefix, &[0], time)?;
        Ok((!kept.sink.events(namespace)?.is_empty()).then_some(()))
    })?;

    let (made, over) = (Made::default(), AtomicBool::new(false));
    let leaders = thread::scope(|scope| {
        let leaders = scope.spawn(|| watch_lease(cluster, &over));
        let making = scope.spawn(|| {
            let result = make(cluster, namespace, total, &made);
            made.ended.store(true, Ordering::Relaxed);
            result
        });
        let tormented = torment(cluster, power.then_some(second), total, &made);
        let result = making.join().unwrap_or_else(|_| Err(anyhow::anyhow!("it panicked")));
        over.store(true, Ordering::Relaxed);
        let leaders = leaders.join().unwrap_or_default();
        tormented.and(result.context("making events")).map(|()| leaders)
    })?;
    for number in 1..=CHANGED {
        let (name, patch) = (name("e", number), r#"{"count": 2}"#);
        cluster.kubectl(&["patch", "event", &name, "-n", namespace, "-p", patch])?;
    }

    let there = cluster.get(&["events", "-n", namespace])?;
    let there: BTreeMap<String, String> = there["items"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|event| text(&event["reason"]) == "Numbered")
        .filter(|event| text(&event["metadata"]["name"]).starts_with("e-"))
        .map(|event| {
            let meta = &event["metadata"];
            (text(&meta["uid"]), text(&meta["resourceVersion"]))
        })
        .collect();
    ensure!(there.len() as u64 == total, "{} of {total} events were made", there.len());
    let arrived = || -> Result<Vec<(String, String)>> {
        let events = kept.sink.events(namespace)?;
        let numbered = events.iter().filter(|event| event.body.starts_with("e "));
        Ok(numbered
            .map(|event| (event.text("k8s.event.uid"), event.text("k8s.event.resource_version")))
            .collect())
    };
    let records = wait::until("every event", SOON, SECOND, || {
        let records = arrived()?;
        let distinct: BTreeSet<_> = records.iter().cloned().collect();
        let uids: BTreeSet<_> = distinct.iter().map(|(uid, _)| uid).collect();
        let missing = there.keys().filter(|uid| !uids.contains(uid)).count();
        ensure!(missing == 0, "{missing} of {total} are missing");
        let last = there.iter().map(|(uid, version)| (uid.clone(), version.clone()));
        let unchanged = last.filter(|last| !distinct.contains(last)).count();
        ensure!(unchanged == 0, "the last changes of {unchanged} are missing");
        Ok(Some(records))
    })?;
    let distinct: BTreeSet<_> = records.iter().collect();
    // Each is known by its key, and each change of it.
    ensure!(distinct.len() as u64 == total + CHANGED, "{} keys", distinct.len());
    println!(
        "          {total} events and {CHANGED} changes: all arrived, {} doubled, each known by its key; {} leaders, \
         the longest time without one {:.0} s",
        records.len() - distinct.len(),
        leaders.len(),
        without_a_leader(&leaders).as_secs_f64()
    );
    check_a_record(&kept.sink, namespace)
}

/// Events that nobody expects arrive as far as they can.
fn odd_events(cluster: &Cluster, sink: &Sink, namespace: &str) -> Result<()> {
    const LONG: usize = 1_200_000;
    let about = json!({"kind": "Pod", "name": "subject", "namespace": namespace});
    let event = |name: &str, about: &Value, message: &str, time: &str| {
        json!({
            "apiVersion": "v1", "kind": "Event", "metadata": {"name": name},
            "involvedObject": about, "message": message, "reason": "Odd", "type": "Odd",
            "firstTimestamp": time, "lastTimestamp": time,
        })
    };
    let now = "2026-01-01T00:00:00Z";
    let long = event("odd-long", &about, &"x".repeat(LONG), now);
    let future = event("odd-future", &about, "odd from the future", "2040-01-01T00:00:00Z");
    // Without an object it belongs to this namespace (the API server's validation of events).
    let nothing = event("odd-nothing", &json!({}), "odd about nothing", now);
    for (event, namespace) in [(&long, namespace), (&future, namespace), (&nothing, "default")] {
        let mut create = cluster.kubectl_command();
        create.args(["create", "-n", namespace, "-f", "-"]);
        cmd::with_input(&mut create, event.to_string().as_bytes())?;
    }
    let found = wait::until("the odd events", SOON, SECOND, || {
        let mut found = sink.events(namespace)?;
        found.extend(sink.events("default")?);
        found.retain(|event| event.text("k8s.event.reason") == "Odd");
        Ok((found.len() >= 3).then_some(found))
    });
    cluster.kubectl(&["delete", "event", "odd-nothing", "-n", "default"])?;
    let found = found?;
    let of = |name: &str| {
        found.iter().find(|event| event.text("k8s.event.name") == name).context("an odd event")
    };
    let cut = of("odd-long")?;
    ensure!(cut.body.len() == 1 << 20, "{} bytes of the long one", cut.body.len());
    ensure!(cut.text("hawsepipe.log.original_bytes") == LONG.to_string(), "it is not marked");
    ensure!(of("odd-future")?.body == "odd from the future");
    let nothing = of("odd-nothing")?;
    let about = nothing.resource.get("k8s.namespace.name").map(text);
    ensure!(about.as_deref() == Some("default"), "{nothing:?}");
    Ok(())
}

/// Somebody writes another name on the Lease, and then deletes it.
fn edited_lease(cluster: &Cluster, sink: &Sink, namespace: &str) -> Result<()> {
    let arrives = |prefix: &str| {
        create(cluster, namespace, prefix, &[0], jiff::Timestamp::now())?;
        let body = format!("{prefix} 0");
        wait::until("an event", SOON, SECOND, || {
            let events = sink.events(namespace)?;
            Ok(events.iter().any(|event| event.body == body).then_some(()))
        })
    };
    let patch = r#"{"spec": {"holderIdentity": "somebody"}}"#;
    let lease = ["lease", RELEASE, "-n", NAMESPACE];
    cluster.kubectl(&[&["patch"], &lease[..], &["--type=merge", "-p", patch]].concat())?;
    arrives("edited").context("after somebody's name stood on the Lease")?;
    cluster.kubectl(&[&["delete"], &lease[..]].concat())?;
    arrives("deleted").context("after the Lease was deleted")?;
    wait::until("the Lease with its progress", SOON, SECOND, || {
        let lease = cluster.get(&lease)?;
        Ok((!lease["metadata"]["annotations"]["hawsepipe.dev/progress"].is_null()).then_some(()))
    })
}

/// What a record says, beside what the API server says of the same event.
fn check_a_record(sink: &Sink, namespace: &str) -> Result<()> {
    let events = sink.events(namespace)?;
    let event = events.iter().find(|event| event.body == format!("e {CHANGED}"));
    let event = event.context("an event")?;
    ensure!((&*event.name, &*event.severity) == ("k8s.event", "Warning"), "{event:?}");
    for (key, value) in [
        ("k8s.cluster.name", release::CLUSTER_NAME),
        ("k8s.namespace.name", namespace),
        ("k8s.object.kind", "Pod"),
        ("k8s.pod.name", "subject"),
        ("k8s.pod.uid", "subject-uid"),
    ] {
        ensure!(event.resource.get(key).map(text).as_deref() == Some(value), "{key}: {event:?}");
    }
    ensure!(!text(&event.resource["k8s.cluster.uid"]).is_empty(), "{event:?}");
    let counts: BTreeSet<_> = events
        .iter()
        .filter(|event| event.body == format!("e {CHANGED}"))
        .map(|event| event.text("k8s.event.count"))
        .collect();
    ensure!(counts == ["1".to_owned(), "2".to_owned()].into(), "counts {counts:?}");
    Ok(())
}

/// Ends the leader in every way that there is, spread over the time in which events are made. `second`: the node whose power
/// is cut, too.
fn torment(cluster: &Cluster, second: Option<&str>, total: u64, made: &Made) -> Result<()> {
    let until = |part: u64| {
        let there = || made.events.load(Ordering::Relaxed) >= total * part / 10;
        while !there() && !made.ended.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(200));
        }
    };
    until(1);
    kill_leader(cluster).context("killing the leader")?;
    until(3);
    cluster.stop_api_server()?;
    thread::sleep(Duration::from_secs(8));
    cluster.start_api_server()?;
    if let Some(second) = second {
        until(5);
        // The one whose power is cut must lead.
        while wait::until("a leader", SOON, SECOND, || leader(cluster).map(Some))?.1 != second {
            kill_leader(cluster).context("killing the leader")?;
        }
        cluster.cut_power()?;
        let another = another_leads(cluster, second).context("after the power cut");
        cluster.restore_power()?;
        another?;
    }
    until(9);
    kill_leader(cluster).context("killing the leader again")
}

/// Kills the leader's process and waits until another one leads.
fn kill_leader(cluster: &Cluster) -> Result<()> {
    let (holder, node) = wait::until("a leader", SOON, SECOND, || leader(cluster).map(Some))?;
    let pod = holder.rsplit_once('_').map_or(&*holder, |(pod, _)| pod);
    let id = release::container_id(&cluster.get(&["pod", pod, "-n", NAMESPACE])?)?;
    let kill = format!(
        "for group in $(grep -l {id} /proc/[0-9]*/cgroup 2>/dev/null); do \
         process=${{group%/cgroup}}; kill -9 ${{process#/proc/}}; done; true"
    );
    if node == cluster.node() { cluster.node_shell(&kill) } else { cluster.second_shell(&kill) }?;
    wait::until("another leader", SOON, SECOND, || Ok((leader(cluster)?.0 != holder).then_some(())))
}

fn another_leads(cluster: &Cluster, node: &str) -> Result<()> {
    wait::until("a leader on the other node", SOON, SECOND, || {
        Ok((leader(cluster)?.1 != node).then_some(()))
    })
}

/// Who leads, and on which node.
fn leader(cluster: &Cluster) -> Result<(String, String)> {
    let lease = cluster.get(&["lease", RELEASE, "-n", NAMESPACE, "--request-timeout=5s"])?;
    let holder = lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned();
    ensure!(!holder.is_empty(), "nobody leads");
    let pod = holder.rsplit_once('_').map_or(&*holder, |(pod, _)| pod);
    let pod = cluster.get(&["pod", pod, "-n", NAMESPACE, "--request-timeout=5s"])?;
    Ok((holder, text(&pod["spec"]["nodeName"])))
}

/// A leader: who, and when it was seen to be there first and last, by this clock.
struct Term {
    holder: String,
    first: Instant,
    last: Instant,
}

/// Looks at the Lease until it is over.
fn watch_lease(cluster: &Cluster, over: &AtomicBool) -> Vec<Term> {
    let mut terms: Vec<Term> = Vec::new();
    let mut renewed = String::new();
    while !over.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(500));
        let asked = cluster.get(&["lease", RELEASE, "-n", NAMESPACE, "--request-timeout=2s"]);
        let Ok(lease) = asked else { continue };
        let now = Instant::now();
        let (holder, time) =
            (text(&lease["spec"]["holderIdentity"]), text(&lease["spec"]["renewTime"]));
        if std::mem::replace(&mut renewed, time.clone()) == time || holder.is_empty() {
            continue;
        }
        match terms.last_mut().filter(|term| term.holder == holder) {
            Some(term) => term.last = now,
            None => terms.push(Term { holder, first: now, last: now }),
        }
    }
    terms
}

/// How many events were made, and whether that is all.
#[derive(Default)]
struct Made {
    events: AtomicU64,
    ended: AtomicBool,
}

/// From when a leader was last seen to be there until another one was.
fn without_a_leader(terms: &[Term]) -> Duration {
    let gaps = terms.windows(2).map(|pair| pair[1].first.duration_since(pair[0].last));
    gaps.max().unwrap_or_default()
}

fn name(prefix: &str, number: u64) -> String {
    format!("{prefix}-{number:06}")
}

/// Makes events, so many a second; the API server may be away for a while.
fn make(cluster: &Cluster, namespace: &str, total: u64, made: &Made) -> Result<()> {
    let mut due = Instant::now();
    let numbers: Vec<u64> = (1..=total).collect();
    for numbers in numbers.chunks(RATE as usize) {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        due += SECOND;
        let time = jiff::Timestamp::now();
        wait::until("events to be made", SOON, SECOND, || {
            create(cluster, namespace, "e", numbers, time).map(Some)
        })?;
        made.events.fetch_add(numbers.len() as u64, Ordering::Relaxed);
    }
    Ok(())
}

/// Makes events of these numbers; those that are there stay as they are.
fn create(
    cluster: &Cluster,
    namespace: &str,
    prefix: &str,
    numbers: &[u64],
    time: jiff::Timestamp,
) -> Result<()> {
    let event = |number: &u64| {
        json!({
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name(prefix, *number), "namespace": namespace},
            "involvedObject": {"apiVersion": "v1", "kind": "Pod", "name": "subject", "namespace": namespace,
                "uid": "subject-uid"},
            "reason": "Numbered",
            "message": format!("{prefix} {number}"),
            "type": "Warning",
            "count": 1,
            "firstTimestamp": format!("{time:.0}"),
            "lastTimestamp": format!("{time:.0}"),
            "source": {"component": "hawsepipe-e2e"},
        })
    };
    let items: Vec<Value> = numbers.iter().map(event).collect();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
    let mut command = cluster.kubectl_command();
    command.args(["apply", "--server-side", "--force-conflicts", "-f", "-"]);
    cmd::with_input(&mut command, list.to_string().as_bytes()).map(drop)
}
