//! The numbers of containers, beside those of the kubelet, and through kills, throttling and restarts.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::promise::{Promise, Suite};
use crate::sink::{Kept, Point};
use crate::workload::{self, Namespace, STAY, container, pod_spec};
use crate::{release, wait};

pub(crate) const SUITE: Suite = Suite {
    name: "metrics",
    promises: &[
        Promise {
            name: "containers_on_cgroup_v1_and_v2_are_told_of_as_the_kubelet_tells_of_them",
            check: as_the_kubelet,
        },
        Promise {
            name: "a_killed_a_throttled_and_a_restarted_container_show_it_and_no_counter_goes_back",
            check: no_counter_goes_back,
        },
    ],
};

/// Short, so that two of our readings stand close around one of the kubelet's.
const INTERVAL: &str = "2s";
/// What may lie between the time that the kubelet writes beside a number and the moment in which it was read, in seconds of CPU:
/// the kubelet is a process among others on a busy node.
const CPU_SLACK: f64 = 0.1;
/// The kernel charges memory in batches of 64 pages a CPU (`MEMCG_CHARGE_BATCH`, mm/memcontrol.c), and a machine here has two.
const MEMORY_SLACK: f64 = 2.0 * 64.0 * 4096.0;

fn install(cluster: &Cluster) -> Result<Kept<'_>> {
    Kept::install(cluster, json!({"metrics": {"interval": INTERVAL}}))
}

const CPU: &str = "container.cpu.time";
const MEMORY: &str = "container.memory.working_set";
const RESTARTS: &str = "k8s.container.restarts";
const KILLS: &str = "container.memory.oom_kills";
const THROTTLED: &str = "container.cpu.throttling_data.throttled_periods";

/// What somebody says of a container at one moment.
#[derive(Clone, Copy, Debug, Default)]
struct Reading {
    /// Nanoseconds since the epoch.
    time: u64,
    cpu_seconds: f64,
    memory: f64,
}

fn as_the_kubelet(cluster: &Cluster) -> Result<()> {
    let nodes = [cluster.node(), cluster.second_node()?];
    let kept = install(cluster)?;
    let namespace = Namespace::create(cluster, "numbers")?;
    let busy = "while :; do i=0; while [ $i -lt 3000 ]; do i=$((i+1)); done; sleep 0.05; done";
    let holds = format!("head -c 20000000 /dev/zero > /dev/shm/held; {STAY}");
    let mut pods = Vec::new();
    for node in nodes {
        for (name, script) in [("busy", busy), ("holds", &holds), ("rests", STAY)] {
            let name = format!("{name}-{node}");
            let spec = pod_spec(&[container("c", script)]);
            let mut pod = workload::pod(&name, &json!({}), &spec);
            workload::pin(&mut pod, node);
            pods.push(pod);
        }
    }
    namespace.apply(&pods)?;
    let expected: BTreeSet<String> = pods.iter().map(release::name).collect();
    let mut theirs: BTreeMap<String, Vec<Reading>> = BTreeMap::new();
    let mut last = String::new();
    let compared = wait::until(
        "the numbers of every container",
        Duration::from_secs(180),
        Duration::from_secs(1),
        || {
            for node in nodes {
                note(&summary(cluster, node)?, &namespace.name, &mut theirs);
            }
            let ours = ours(&kept.sink.points(&[CPU, MEMORY], &namespace.name)?);
            let compared = compare(&ours, &theirs)?;
            let missing: Vec<_> =
                expected.iter().filter(|pod| !compared.contains_key(*pod)).collect();
            last = format!("{missing:?}");
            Ok(missing.is_empty().then_some(compared))
        },
    )
    .with_context(|| format!("no reading of the kubelet's between two of ours: {last}"))?;
    for (pod, (cpu, memory)) in compared {
        println!(
            "          {pod}: CPU within {cpu:.3} s, working set within {memory:.0} bytes of the kubelet's"
        );
    }
    restarts_agree(cluster, &kept, &namespace.name)
}

fn summary(cluster: &Cluster, node: &str) -> Result<Value> {
    let path = format!("/api/v1/nodes/{node}/proxy/stats/summary");
    serde_json::from_str(&cluster.kubectl(&["get", "--raw", &path])?).context("stats/summary")
}

/// Adds what the kubelet says of the pods of a namespace.
fn note(summary: &Value, namespace: &str, theirs: &mut BTreeMap<String, Vec<Reading>>) {
    for pod in summary["pods"].as_array().into_iter().flatten() {
        let reference = &pod["podRef"];
        let stats = &pod["containers"][0];
        let time = |of: &Value| unix_nanoseconds(of["time"].as_str()?);
        // Its number of CPU time and of memory are of one moment, or they are not compared.
        let (Some(cpu), Some(memory)) = (time(&stats["cpu"]), time(&stats["memory"])) else {
            continue;
        };
        if reference["namespace"] != namespace || cpu != memory {
            continue;
        }
        let (Some(nanoseconds), Some(bytes)) = (
            stats["cpu"]["usageCoreNanoSeconds"].as_f64(),
            stats["memory"]["workingSetBytes"].as_f64(),
        ) else {
            continue;
        };
        let name = crate::received::text(&reference["name"]);
        let reading = Reading { time: cpu, cpu_seconds: nanoseconds / 1e9, memory: bytes };
        theirs.entry(name).or_default().push(reading);
    }
}

/// What the agents sent, by pod, in order of time.
fn ours(points: &[Point]) -> BTreeMap<String, Vec<Reading>> {
    let mut readings: BTreeMap<(String, u64), Reading> = BTreeMap::new();
    for point in points {
        let pod = point.text("k8s.pod.name");
        let of = readings.entry((pod, point.time)).or_default();
        match point.name.as_str() {
            CPU => of.cpu_seconds = point.value,
            MEMORY => of.memory = point.value,
            _ => {}
        }
    }
    let mut ours: BTreeMap<String, Vec<Reading>> = BTreeMap::new();
    for ((pod, time), reading) in readings {
        if reading.cpu_seconds > 0.0 && reading.memory > 0.0 {
            ours.entry(pod).or_default().push(Reading { time, ..reading });
        }
    }
    ours
}

/// How far the kubelet's numbers are beside the two of ours around them, the most of each pod. More than the slack is an error.
fn compare(
    ours: &BTreeMap<String, Vec<Reading>>,
    theirs: &BTreeMap<String, Vec<Reading>>,
) -> Result<BTreeMap<String, (f64, f64)>> {
    let mut compared = BTreeMap::new();
    for (pod, readings) in theirs {
        let Some(ours) = ours.get(pod) else { continue };
        for kubelet in readings {
            let behind = ours.partition_point(|reading| reading.time < kubelet.time);
            let (Some(before), Some(after)) =
                (behind.checked_sub(1).and_then(|at| ours.get(at)), ours.get(behind))
            else {
                continue;
            };
            // Beside a point that is missing nothing is told.
            if after.time - before.time > 5_000_000_000 {
                continue;
            }
            let cpu = beside(kubelet.cpu_seconds, before.cpu_seconds, after.cpu_seconds);
            let memory = beside(kubelet.memory, before.memory, after.memory);
            if cpu > CPU_SLACK || memory > MEMORY_SLACK {
                bail!("{pod}: the kubelet says {kubelet:?}, we {before:?} and {after:?}");
            }
            let of: &mut (f64, f64) = compared.entry(pod.clone()).or_default();
            *of = (of.0.max(cpu), of.1.max(memory));
        }
    }
    Ok(compared)
}

/// How far a number is outside of what two others enclose.
fn beside(number: f64, one: f64, other: f64) -> f64 {
    (one.min(other) - number).max(number - one.max(other)).max(0.0)
}

fn restarts_agree(cluster: &Cluster, kept: &Kept<'_>, namespace: &str) -> Result<()> {
    let second = Duration::from_secs(1);
    wait::until("the restarts of every container", Duration::from_secs(60), second, || {
        let pods = cluster.get(&["pods", "-n", namespace])?;
        let points = kept.sink.points(&[RESTARTS], namespace)?;
        for pod in pods["items"].as_array().into_iter().flatten() {
            let name = release::name(pod);
            let said = pod["status"]["containerStatuses"][0]["restartCount"].as_f64();
            let is_of = |point: &&Point| point.text("k8s.pod.name") == name;
            let last = points.iter().filter(is_of).max_by_key(|point| point.time);
            if last.map(|point| point.value) != said {
                return Ok(None);
            }
        }
        Ok(Some(()))
    })
}

fn no_counter_goes_back(cluster: &Cluster) -> Result<()> {
    // Longer by hand: `HAWSEPIPE_E2E_MINUTES=10` sees containers restarted twenty times.
    let minutes: f64 = match std::env::var("HAWSEPIPE_E2E_MINUTES") {
        Ok(text) => text.parse().context("HAWSEPIPE_E2E_MINUTES")?,
        Err(_) => 1.0,
    };
    let nodes = [cluster.node(), cluster.second_node()?];
    let kept = install(cluster)?;
    let namespace = Namespace::create(cluster, "counters")?;
    // `tail` holds what it cannot print yet: all of it, until the kernel kills it.
    let killed = format!("sleep 4; head -c 200000000 /dev/zero | tail > /dev/null; {STAY}");
    let mut throttled = container("c", "while :; do :; done");
    throttled["resources"]["limits"]["cpu"] = json!("50m");
    let (killed, throttled) = (pod_spec(&[container("c", &killed)]), pod_spec(&[throttled]));
    let ends =
        pod_spec(&[container("c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; sleep 3")]);
    let mut pods = Vec::new();
    for node in nodes {
        let restarted = if node == cluster.node() { 5 } else { 1 };
        let restarted = (0..restarted).map(|number| (format!("restarted-{node}-{number}"), &ends));
        let others =
            [(format!("killed-{node}"), &killed), (format!("throttled-{node}"), &throttled)];
        for (name, spec) in restarted.chain(others) {
            let mut pod = workload::pod(&name, &json!({}), spec);
            workload::pin(&mut pod, node);
            pods.push(pod);
        }
    }
    namespace.apply(&pods)?;
    let started = Instant::now();
    let patience = Duration::from_secs_f64(minutes * 60.0);
    let told = |node: &str| {
        let points = kept.sink.points(&[KILLS, THROTTLED, RESTARTS], &namespace.name)?;
        let most = |name: &str, pod: &str| {
            let is_of = |it: &&Point| {
                it.name == name
                    && it.text("k8s.node.name") == node
                    && it.text("k8s.pod.name").starts_with(pod)
            };
            points.iter().filter(is_of).map(|point| point.value).fold(0.0, f64::max)
        };
        anyhow::Ok((
            most(KILLS, "killed"),
            most(THROTTLED, "throttled"),
            most(RESTARTS, "restarted"),
        ))
    };
    for node in nodes {
        let (kills, periods, restarts) = wait::until(
            &format!("a kill, throttling and restarts on {node}"),
            Duration::from_secs(180),
            Duration::from_secs(2),
            || {
                let told = told(node)?;
                Ok((told.0 >= 1.0 && told.1 >= 1.0 && told.2 >= 1.0).then_some(told))
            },
        )?;
        println!(
            "          {node}: {kills} killed, throttled in {periods} periods, {restarts} restarts"
        );
    }
    std::thread::sleep(patience.saturating_sub(started.elapsed()));

    let mut counters = Counters::default();
    kept.sink.each(&[], |point| counters.see(&point))?;
    let Counters { series, points } = counters;
    let restarts = restarts(cluster, &namespace.name)?;
    println!(
        "          {} series of counters, {points} points, {restarts} restarts in {:.0} s: none went back",
        series.len(),
        started.elapsed().as_secs_f64()
    );
    ensure!(restarts >= 5, "only {restarts} restarts");
    Ok(())
}

fn restarts(cluster: &Cluster, namespace: &str) -> Result<u64> {
    let pods = cluster.get(&["pods", "-n", namespace])?;
    let pods = pods["items"].as_array().into_iter().flatten();
    let count = |pod: &Value| pod["status"]["containerStatuses"][0]["restartCount"].as_u64();
    Ok(pods.filter_map(count).sum())
}

/// Every counter grows from point to point, or says that it counts anew, since a later time.
#[derive(Default)]
struct Counters {
    /// Start, time and value of the last point of each.
    series: HashMap<String, (u64, u64, f64)>,
    points: u64,
}

impl Counters {
    fn see(&mut self, point: &Point) -> Result<()> {
        if !point.counter {
            return Ok(());
        }
        self.points += 1;
        let Point { start, time, value, .. } = *point;
        ensure!(0 < start && start <= time, "no start time: {point:?}");
        let key = json!([point.name, point.resource, point.attributes]).to_string();
        if let Some(before) = self.series.insert(key, (start, time, value)) {
            let grows = before.0 == start && before.2 <= value;
            ensure!(before.1 <= time, "its time went back: {before:?} {point:?}");
            ensure!(grows || before.0 < start, "it went back: {before:?} {point:?}");
        }
        Ok(())
    }
}

/// A time as the kubelet writes it, in nanoseconds since the epoch.
fn unix_nanoseconds(text: &str) -> Option<u64> {
    u64::try_from(text.parse::<jiff::Timestamp>().ok()?.as_nanosecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(start: u64, time: u64, value: f64) -> Point {
        let (resource, attributes) = Default::default();
        Point { name: "n".to_owned(), counter: true, resource, attributes, start, time, value }
    }

    #[test]
    fn a_counter_that_goes_back_is_found_unless_it_counts_anew() {
        let see = |points: [Point; 2]| {
            let mut counters = Counters::default();
            points.iter().try_for_each(|point| counters.see(point))
        };
        assert!(see([point(1, 2, 5.0), point(1, 3, 5.0)]).is_ok());
        assert!(see([point(1, 2, 5.0), point(1, 3, 4.0)]).is_err());
        assert!(see([point(1, 2, 5.0), point(3, 4, 1.0)]).is_ok());
        assert!(see([point(1, 2, 5.0), point(3, 2, 5.0)]).is_err());
    }

    #[test]
    fn a_number_of_the_kubelets_must_lie_between_ours_around_it() {
        let second = 1_000_000_000;
        let reading = |time, cpu_seconds, memory| Reading { time, cpu_seconds, memory };
        let of = |readings: &[Reading]| BTreeMap::from([("pod".to_owned(), readings.to_vec())]);
        let ours = [reading(second, 1.0, 1e6), reading(3 * second, 3.0, 1e6)];
        let compared = |kubelet| compare(&of(&ours), &of(&[kubelet]));
        assert_eq!(compared(reading(2 * second, 2.0, 1e6)).unwrap()["pod"], (0.0, 0.0));
        assert!(compared(reading(2 * second, 3.5, 1e6)).is_err(), "more CPU than we say later");
        assert!(compared(reading(2 * second, 0.5, 1e6)).is_err(), "less than we said before");
        assert!(compared(reading(2 * second, 2.0, 3e6)).is_err(), "other memory");
        assert!(compared(reading(4 * second, 9.0, 1e6)).unwrap().is_empty(), "not between ours");
        let apart = [reading(second, 1.0, 1e6), reading(9 * second, 3.0, 1e6)];
        let none = compare(&of(&apart), &of(&[reading(2 * second, 9.0, 1e6)])).unwrap();
        assert!(none.is_empty(), "too far apart to say anything");
    }
}
