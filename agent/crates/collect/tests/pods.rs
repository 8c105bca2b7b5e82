//! What is told of containers and pods: recorded control groups, read with pods that somebody knows.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may, its helpers too")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hawsepipe_cluster::kubelet::{Cadvisor, KubeletError, KubeletSource, Summary};
use hawsepipe_collect::reading::{Point, Reading, as_f64, read};
use hawsepipe_collect::{Choice, CollectError, Sources, find};
use hawsepipe_host::HostRoot;
use hawsepipe_model::otlp::Instrument;
use hawsepipe_model::{
    Attributes, ContainerMeta, NodeMeta, PodDirectory, PodMeta, Resources, Value,
};

const UID: &str = "3a1f6f0e-7a52-4be0-9a3e-0d5c2f1b7e11";
const STARTED: u64 = 1_700_000_100_000_000_000;
const TICK: Duration = Duration::from_millis(20);

fn id(first: &str) -> String {
    first.repeat(32)
}

/// Pods as the API server would name them.
#[derive(Default)]
struct Known {
    pods: BTreeMap<String, Arc<PodMeta>>,
    expected: bool,
}

impl PodDirectory for Known {
    fn pod(&self, uid: &str) -> Option<Arc<PodMeta>> {
        self.pods.get(uid).cloned()
    }

    fn node(&self) -> Arc<NodeMeta> {
        Arc::default()
    }

    fn expected(&self) -> bool {
        self.expected
    }
}

fn container(run: u32, id: &str) -> ContainerMeta {
    let mut attributes = Attributes::new();
    attributes.set("container.image.name", "shop/checkout");
    ContainerMeta {
        attributes,
        ids: BTreeMap::from([(run, id.to_owned())]),
        restarts: Some(run),
        started_unix_nano: Some(STARTED),
        resources: Resources {
            cpu_request: Some(0.25),
            cpu_limit: Some(0.5),
            memory_request: Some(1 << 26),
            memory_limit: Some(1 << 27),
        },
    }
}

fn pod(containers: &[(&str, ContainerMeta)]) -> PodMeta {
    let mut attributes = Attributes::new();
    for (key, value) in
        [("k8s.pod.uid", UID), ("k8s.pod.name", "checkout-1"), ("k8s.namespace.name", "shop")]
    {
        attributes.set(key, value);
    }
    let containers =
        containers.iter().map(|(name, meta)| ((*name).to_owned(), meta.clone())).collect();
    PodMeta {
        uid: UID.to_owned(),
        attributes,
        containers,
        started_unix_nano: Some(STARTED - 1),
        resources: Resources { memory_limit: Some(120_000_000), ..Resources::default() },
        ..PodMeta::default()
    }
}

/// The pod with one container that was restarted once, and another that waits to be.
fn checkout() -> Known {
    let waiting = ContainerMeta { started_unix_nano: None, ..container(7, "away") };
    let meta = pod(&[("checkout", container(1, &id("b1"))), ("waiting", waiting)]);
    Known { pods: BTreeMap::from([(UID.to_owned(), Arc::new(meta))]), expected: true }
}

/// A kubelet.
enum Answers {
    Everything,
    /// And its cAdvisor does not find the runtime, so it names nobody.
    Nameless,
    /// It was not granted more.
    Summary,
    Nothing,
    /// Its certificate is its own.
    Untrusted,
}

impl KubeletSource for Answers {
    fn summary(&self) -> Result<Summary, KubeletError> {
        match self {
            Self::Everything | Self::Nameless | Self::Summary => {
                let text = include_str!("../../cluster/tests/fixtures/summary.json");
                Ok(serde_json::from_str(text).unwrap())
            }
            Self::Nothing => Err(KubeletError::Unauthorized),
            Self::Untrusted => Err(KubeletError::Untrusted { reason: "UnknownIssuer".to_owned() }),
        }
    }

    fn cadvisor(&self) -> Result<Cadvisor, KubeletError> {
        let text = include_str!("../../cluster/tests/fixtures/cadvisor.txt");
        match self {
            Self::Everything => Cadvisor::parse(text.as_bytes()),
            Self::Nameless => {
                let named = ["container=\"checkout\"", "namespace=\"shop\"", "pod=\"checkout-1\""];
                let nameless = named.iter().fold(text.to_owned(), |text, label| {
                    let (key, _) = label.split_once('=').unwrap();
                    text.replace(label, &format!("{key}=\"\""))
                });
                Cadvisor::parse(nameless.as_bytes())
            }
            _ => Err(KubeletError::Forbidden {
                right: "nodes/metrics",
                message: "Forbidden".to_owned(),
            }),
        }
    }
}

/// A copy of one of the recorded trees.
struct Host(tempfile::TempDir);

impl Host {
    fn of(name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/tests/fixtures").join(name);
        copy(&from, folder.path());
        let host = Self(folder);
        host.write("proc/stat", "cpu 1 1 1 1\ncpu0 1 1 1 1\ncpu1 1 1 1 1\nbtime 1700000000\n");
        host.write("proc/meminfo", "MemTotal: 1000000 kB\n");
        host.write("proc/diskstats", " 259 0 nvme0n1 1 0 1 1 1 0 1 1 0 1 1\n");
        host
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn read(&self, known: Known, collectors: &[&str]) -> Vec<Reading> {
        let choices = collectors.iter().map(|name| {
            let collector = find(name).unwrap();
            let wanted = vec![true; collector.metrics.len()];
            Choice { wanted, ..Choice::of(collector, Duration::from_secs(15)) }
        });
        let root = HostRoot::new(self.0.path().join("proc"), self.0.path().join("sys"), None);
        let sources = Sources::new(root).with_pods(Arc::new(known));
        read(sources, &choices.collect::<Vec<_>>(), TICK)
    }

    fn read_with(&self, kubelet: Answers, collector: &str) -> Reading {
        let collector = find(collector).unwrap();
        let wanted = vec![true; collector.metrics.len()];
        let choice = Choice { wanted, ..Choice::of(collector, Duration::from_secs(15)) };
        let root = HostRoot::new(self.0.path().join("proc"), self.0.path().join("sys"), None);
        let sources = Sources::new(root).with_pods(Arc::new(checkout()));
        let sources = sources.with_kubelet(Some(Arc::new(kubelet)));
        read(sources, &[choice], Duration::ZERO).remove(0)
    }

    fn points(&self, known: Known, collector: &str) -> Vec<Point> {
        let [reading] = <[_; 1]>::try_from(self.read(known, &[collector])).unwrap();
        assert!(reading.problem.is_none(), "{:?}", reading.problem);
        reading.points
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn about<'a>(points: &'a [Point], key: &str, value: &str) -> Vec<&'a Point> {
    let is = |point: &&Point| {
        point.resource.as_ref().is_some_and(|resource| resource.str(key) == Some(value))
    };
    points.iter().filter(is).collect()
}

/// Values by `metric{value,value}`.
fn series(points: &[&Point]) -> BTreeMap<String, f64> {
    let named = points.iter().map(|point| {
        let values: Vec<_> = point.attributes.iter().map(|(_, value)| value.as_str()).collect();
        (format!("{}{{{}}}", point.metric.name, values.join(",")), as_f64(point.value))
    });
    let all: BTreeMap<_, _> = named.collect();
    assert_eq!(all.len(), points.len(), "a series twice");
    all
}

fn expect(series: &BTreeMap<String, f64>, expected: &[(&str, f64)]) {
    for (name, value) in expected {
        let found = series.get(*name).unwrap_or_else(|| panic!("no {name} in {series:#?}"));
        assert!((found - value).abs() < 1e-9, "{name} is {found}, not {value}");
    }
}

#[test]
fn a_container_is_told_of_to_the_byte() {
    let points = Host::of("cgroup-v2-containerd").points(checkout(), "container");
    let series = series(&about(&points, "container.id", &id("b1")));
    expect(
        &series,
        &[
            ("container.cpu.time{}", 12.345_678),
            ("container.cpu.usage{}", 0.0),
            ("container.memory.available{}", 134_217_728.0 - (59_768_832.0 - 5_242_880.0)),
            ("container.memory.usage{}", 59_768_832.0),
            ("container.memory.working_set{}", 59_768_832.0 - 5_242_880.0),
            ("container.memory.rss{}", 39_845_888.0),
            ("container.memory.page_faults{}", 6543.0),
            ("container.memory.major_page_faults{}", 12.0),
            ("container.memory.swap{}", 0.0),
            ("container.memory.oom_kills{}", 2.0),
            ("container.pids.count{}", 9.0),
            ("container.cpu.throttling_data.periods{}", 1200.0),
            ("container.cpu.throttling_data.throttled_periods{}", 345.0),
            ("container.cpu.throttling_data.throttled_time{}", 6_789_012_000.0),
            ("container.disk.io{nvme0n1,read}", 1_048_576.0),
            ("container.disk.io{nvme0n1,write}", 4096.0),
            ("container.disk.io{253:3,read}", 8192.0),
            ("container.disk.operations{nvme0n1,read}", 25.0),
            ("container.memory.pressure.total{some}", 1_600_000.0),
            ("container.memory.pressure.total{full}", 800_000.0),
            ("container.cpu.pressure.avg{some,10s}", 1.25),
            ("k8s.container.restarts{}", 1.0),
            ("k8s.container.memory_limit_utilization{}", 59_768_832.0 / 134_217_728.0),
            ("k8s.container.memory_request_utilization{}", 59_768_832.0 / 67_108_864.0),
            ("k8s.container.memory.node.utilization{}", 59_768_832.0 / 1_024_000_000.0),
            ("k8s.container.cpu_limit_utilization{}", 0.0),
        ],
    );
    let declared: BTreeSet<_> =
        find("container").unwrap().metrics.iter().map(|metric| metric.name).collect();
    let told: BTreeSet<_> = points.iter().map(|point| point.metric.name).collect();
    assert_eq!(told, declared, "everything that is declared is told");
}

#[test]
fn a_container_has_the_attributes_of_its_log_records_and_counts_from_its_start() {
    let points = Host::of("cgroup-v2-containerd").points(checkout(), "container");
    let points = about(&points, "container.id", &id("b1"));
    let resource = points[0].resource.clone().unwrap();
    let text = |key| resource.str(key);
    assert_eq!(text("k8s.pod.uid"), Some(UID));
    assert_eq!(text("k8s.pod.name"), Some("checkout-1"));
    assert_eq!(text("k8s.container.name"), Some("checkout"));
    assert_eq!(text("container.image.name"), Some("shop/checkout"));
    assert_eq!(resource.get("k8s.container.restart_count"), Some(&Value::Int(1)));
    assert_eq!(resource.get("hawsepipe.metadata.complete"), None);
    for point in points {
        let counts = point.metric.instrument != Instrument::Gauge;
        assert_eq!(
            point.start_unix_nano,
            if counts { STARTED } else { 0 },
            "{}",
            point.metric.name
        );
    }
}

#[test]
fn a_container_that_waits_to_be_restarted_tells_how_often_that_was_and_nothing_else() {
    let points = Host::of("cgroup-v2-containerd").points(checkout(), "container");
    let waiting = about(&points, "k8s.container.name", "waiting");
    assert_eq!(series(&waiting), BTreeMap::from([("k8s.container.restarts{}".to_owned(), 7.0)]));
    assert_eq!(waiting[0].resource.as_ref().unwrap().str("container.id"), Some("away"));
}

#[test]
fn a_sandbox_is_no_container_and_pods_that_are_not_known_yet_are_waited_for() {
    let points = Host::of("cgroup-v2-containerd").points(checkout(), "container");
    let ids: BTreeSet<_> = points
        .iter()
        .map(|point| point.resource.as_ref().unwrap().str("container.id").unwrap())
        .collect();
    assert_eq!(ids, BTreeSet::from([&*id("b1"), "away"]));
}

#[test]
fn without_metadata_every_container_is_told_of_by_what_its_path_says() {
    let host = Host::of("cgroup-v2-containerd");
    let points = host.points(Known::default(), "container");
    let mut resources: Vec<_> =
        points.iter().map(|point| point.resource.clone().unwrap()).collect();
    resources.dedup();
    // Of those two there are files.
    let resources: Vec<Vec<_>> = resources
        .iter()
        .map(|it| {
            it.iter().map(|(key, _)| (key.to_owned(), it.str(key).unwrap().to_owned())).collect()
        })
        .collect();
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let main = vec![pair("container.id", &id("b1")), pair("k8s.pod.uid", UID)];
    assert!(resources.contains(&main), "{resources:?}");
    assert!(!points.iter().any(|point| point.metric.name == "k8s.container.restarts"));
    // It counts from when its folder was made: a moment ago.
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let counter = points.iter().find(|point| point.start_unix_nano > 0).unwrap();
    assert!(now.as_nanos() - u128::from(counter.start_unix_nano) < 600_000_000_000);
}

#[test]
fn a_pod_is_told_of_to_the_byte() {
    let points = Host::of("cgroup-v2-containerd").points(checkout(), "pod");
    let resources: BTreeSet<_> = points
        .iter()
        .map(|point| point.resource.as_ref().unwrap().str("k8s.pod.name").unwrap())
        .collect();
    assert_eq!(resources, BTreeSet::from(["checkout-1"]), "the others are not known yet");
    assert!(points.iter().all(|point| [0, STARTED - 1].contains(&point.start_unix_nano)));
    let series = series(&points.iter().collect::<Vec<_>>());
    expect(
        &series,
        &[
            ("k8s.pod.cpu.time{}", 12.5),
            ("k8s.pod.memory.usage{}", 60_000_000.0),
            ("k8s.pod.memory_limit_utilization{}", 0.5),
            ("k8s.pod.memory.node.utilization{}", 60_000_000.0 / 1_024_000_000.0),
        ],
    );
    assert!(!series.contains_key("k8s.pod.cpu_limit_utilization{}"), "it has no such limit");
}

#[test]
fn every_tree_is_told_of_without_a_problem() {
    for (name, containers) in [
        ("cgroup-v2-containerd", 1),
        ("cgroup-v2-crio", 1),
        ("cgroup-v2-k3s", 1),
        ("cgroup-v2-nested", 1),
        ("linux-3.10-v1-docker", 1),
        ("linux-6.18-hybrid", 2),
    ] {
        for reading in Host::of(name).read(Known::default(), &["container", "pod"]) {
            let collector = reading.collector.name;
            assert!(reading.problem.is_none(), "{name} {collector}: {:?}", reading.problem);
            if collector == "container" {
                let times =
                    reading.points.iter().filter(|it| it.metric.name == "container.cpu.time");
                assert_eq!(times.count(), containers, "{name}");
            }
        }
    }
}

#[test]
fn a_host_without_control_groups_says_so_and_one_without_pods_has_nothing_to_say() {
    let folder = tempfile::tempdir().unwrap();
    let root = || HostRoot::new(folder.path().join("proc"), folder.path().join("sys"), None);
    for name in ["container", "pod"] {
        let choice = Choice::of(find(name).unwrap(), Duration::from_secs(15));
        let reading = read(Sources::new(root()), &[choice], Duration::ZERO).remove(0);
        assert!(
            matches!(reading.problem, Some(CollectError::Unavailable(_))),
            "{:?}",
            reading.problem
        );
    }
    fs::create_dir_all(folder.path().join("sys/fs/cgroup/init.scope")).unwrap();
    fs::write(folder.path().join("sys/fs/cgroup/cgroup.controllers"), "cpu\n").unwrap();
    for name in ["container", "pod"] {
        let choice = Choice::of(find(name).unwrap(), Duration::from_secs(15));
        let reading = read(Sources::new(root()), &[choice], Duration::ZERO).remove(0);
        assert!(reading.problem.is_none() && reading.points.is_empty(), "{:?}", reading.problem);
    }
}

#[test]
fn the_kubelet_tells_of_the_node_pods_containers_and_volumes_to_the_byte() {
    let host = Host::of("cgroup-v2-containerd");
    host.write("proc/uptime", "3660.5 1.0\n");
    let Reading { points, problem, .. } = host.read_with(Answers::Summary, "kubelet");
    assert!(problem.is_none(), "{problem:?}");
    let of_node: Vec<_> = points.iter().filter(|point| point.resource.is_none()).collect();
    assert!(
        of_node.iter().all(|point| [0, 1_700_000_000_000_000_000].contains(&point.start_unix_nano))
    );
    expect(
        &series(&of_node),
        &[
            ("k8s.node.cpu.time{}", 1800.0),
            ("k8s.node.cpu.usage{}", 0.25),
            ("k8s.node.memory.working_set{}", 2e9),
            ("k8s.node.memory.swap{}", 512.0),
            ("k8s.node.filesystem.usage{}", 30.0),
            ("k8s.node.filesystem.inode.free{}", 7.0),
            ("k8s.node.image_filesystem.usage{}", 25.0),
            ("k8s.node.image_filesystem.inode.count{}", 11.0),
            ("k8s.node.network.io{eth0,receive}", 1000.0),
            ("k8s.node.network.errors{eth0,transmit}", 2.0),
            ("k8s.node.process.count{}", 812.0),
            ("k8s.node.uptime{}", 3661.0),
        ],
    );
    let of_pod: Vec<_> = about(&points, "k8s.pod.uid", UID);
    let has = |point: &&&Point, key: &str| point.resource.as_ref().unwrap().get(key).is_some();
    let alone: Vec<_> = of_pod
        .iter()
        .filter(|it| !has(it, "k8s.container.name") && !has(it, "k8s.volume.name"))
        .copied()
        .collect();
    assert!(alone.iter().all(|point| [0, STARTED - 1].contains(&point.start_unix_nano)));
    expect(
        &series(&alone),
        &[
            ("k8s.pod.network.io{eth0,transmit}", 222.0),
            ("k8s.pod.network.errors{eth0,receive}", 0.0),
            ("k8s.pod.filesystem.usage{}", 12_288.0),
            ("k8s.pod.filesystem.inode.used{}", 6.0),
        ],
    );
    let container = about(&points, "container.id", &id("b1"));
    let resource = container[0].resource.as_ref().unwrap();
    assert_eq!(resource.get("k8s.container.restart_count"), Some(&Value::Int(1)), "as elsewhere");
    expect(
        &series(&container),
        &[
            ("container.filesystem.usage{}", 4096.0),
            ("container.filesystem.capacity{}", 101.0),
            ("k8s.container.ephemeral_storage.usage{logs}", 8192.0),
        ],
    );
    let claimed = about(&points, "k8s.persistentvolumeclaim.name", "data-checkout");
    let resource = claimed[0].resource.as_ref().unwrap();
    assert_eq!(resource.str("k8s.volume.name"), Some("data"));
    assert_eq!(resource.str("k8s.volume.type"), Some("persistentVolumeClaim"));
    assert_eq!(resource.str("k8s.pod.name"), Some("checkout-1"));
    expect(
        &series(&claimed),
        &[
            ("k8s.volume.available{}", 900.0),
            ("k8s.pod.volume.usage{}", 100.0),
            ("k8s.volume.inodes.used{}", 10.0),
        ],
    );
    let declared: BTreeSet<_> =
        find("kubelet").unwrap().metrics.iter().map(|metric| metric.name).collect();
    let told: BTreeSet<_> = points.iter().map(|point| point.metric.name).collect();
    assert_eq!(told, declared, "everything that is declared is told");
}

#[test]
fn where_control_groups_cannot_be_read_the_kubelet_stands_in_and_that_is_said() {
    // No control groups, and a namespace of our own in which there are none of pods.
    for own in [false, true] {
        let host = Host(tempfile::tempdir().unwrap());
        host.write("proc/stat", "cpu 1 1 1 1\ncpu0 1 1 1 1\ncpu1 1 1 1 1\nbtime 1700000000\n");
        host.write("proc/meminfo", "MemTotal: 1000000 kB\n");
        if own {
            host.write("sys/fs/cgroup/cgroup.controllers", "cpu\n");
        }
        let summary = [
            ("container.cpu.time{}", 12.345_678),
            ("container.cpu.usage{}", 0.1),
            ("container.memory.working_set{}", 54_525_952.0),
            ("k8s.container.cpu_limit_utilization{}", 0.2),
        ];
        let counted = [
            ("container.cpu.throttling_data.periods{}", 1200.0),
            ("container.cpu.throttling_data.throttled_periods{}", 345.0),
            ("container.cpu.throttling_data.throttled_time{}", 6_789_012_000.0),
            ("container.memory.oom_kills{}", 2.0),
            ("container.pids.count{}", 9.0),
            ("container.disk.io{nvme0n1,read}", 1_048_576.0),
            ("container.disk.io{nvme0n1,write}", 4096.0),
            ("container.disk.operations{nvme0n1,read}", 25.0),
            ("container.memory.pressure.total{some}", 1_600_000.0),
            ("container.memory.pressure.total{full}", 800_000.0),
            ("container.cpu.pressure.total{some}", 800_000.0),
            ("container.io.pressure.total{full}", 1_200_000.0),
        ];
        for (granted, answers) in
            [(true, Answers::Everything), (true, Answers::Nameless), (false, Answers::Summary)]
        {
            let reading = host.read_with(answers, "container");
            let Some(CollectError::Unavailable(reason)) = &reading.problem else {
                panic!("{:?}", reading.problem)
            };
            assert!(reason.contains("what the kubelet says is told instead"), "{reason}");
            assert_eq!(reason.contains("grant"), !granted, "{reason}");
            assert!(granted || reason.contains("resources [nodes/metrics]"), "{reason}");
            let points = about(&reading.points, "container.id", &id("b1"));
            let start = |point: &&Point| point.metric.instrument != Instrument::Gauge;
            assert!(points.iter().filter(|it| start(it)).all(|it| it.start_unix_nano > 0));
            let series = series(&points);
            expect(&series, &summary);
            if granted {
                expect(&series, &counted);
            } else {
                assert!(counted.iter().all(|(name, _)| !series.contains_key(*name)), "{series:?}");
            }
            let averages = |name: &&String| name.contains("pressure.avg");
            assert_eq!(series.keys().find(averages), None, "nobody tells them");
        }
        let reading = host.read_with(Answers::Summary, "pod");
        let pod: Vec<_> = about(&reading.points, "k8s.pod.uid", UID);
        expect(
            &series(&pod),
            &[("k8s.pod.cpu.time{}", 12.5), ("k8s.pod.memory_limit_utilization{}", 0.5)],
        );

        let reading = host.read_with(Answers::Nothing, "container");
        assert!(reading.points.is_empty());
        assert!(reading.problem.unwrap().to_string().contains("refuses the token"));
    }
}

#[test]
fn where_control_groups_can_be_read_the_kubelet_is_not_asked_for_what_they_say() {
    let reading = Host::of("cgroup-v2-containerd").read_with(Answers::Nothing, "container");
    assert!(reading.problem.is_none(), "{:?}", reading.problem);
    assert!(!reading.points.is_empty());
}

#[test]
fn a_kubelet_that_refuses_is_a_failure_with_a_remedy_and_none_at_all_is_not() {
    let host = Host::of("cgroup-v2-containerd");
    let reading = host.read_with(Answers::Nothing, "kubelet");
    let Some(CollectError::Failed(reason)) = reading.problem else { panic!("it failed") };
    assert!(reason.contains("it is read again by itself"), "{reason}");
    let reading = host.read(checkout(), &["kubelet"]).remove(0);
    assert!(matches!(reading.problem, Some(CollectError::Unavailable(_))));
}

#[test]
fn a_kubelet_that_nobody_vouches_for_fails_only_what_has_no_other_source() {
    let host = Host::of("cgroup-v2-containerd");
    let reading = host.read_with(Answers::Untrusted, "kubelet");
    let Some(CollectError::Unavailable(reason)) = reading.problem else {
        panic!("{:?}", reading.problem)
    };
    assert!(reason.contains("metrics.kubelet.caFile"), "{reason}");
    let host = Host(tempfile::tempdir().unwrap());
    host.write("proc/meminfo", "MemTotal: 1000000 kB\n");
    let reading = host.read_with(Answers::Untrusted, "container");
    assert!(matches!(reading.problem, Some(CollectError::Failed(_))), "{:?}", reading.problem);
}
