//! Containers that come, go, are restarted and are named late, tick by tick.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use hawsepipe_host::HostRoot;
use hawsepipe_model::otlp::Number;
use hawsepipe_model::{ContainerMeta, NodeMeta, PodDirectory};
use parking_lot::Mutex;

use super::*;
use crate::collector::find;
use crate::round::Body;
use crate::settings::Choice;
use crate::tick::Tick;

const UID: &str = "3a1f6f0e-7a52-4be0-9a3e-0d5c2f1b7e11";
const SECOND: u64 = 1_000_000_000;

/// A node with one pod, whose folder is written by the test.
struct Node {
    folder: tempfile::TempDir,
    known: Arc<Known>,
    sources: Arc<Sources>,
    choice: Choice,
    body: Body,
}

#[derive(Default)]
struct Known(Mutex<Option<Arc<PodMeta>>>);

impl PodDirectory for Known {
    fn pod(&self, uid: &str) -> Option<Arc<PodMeta>> {
        self.0.lock().clone().filter(|meta| meta.uid == uid)
    }

    fn node(&self) -> Arc<NodeMeta> {
        Arc::default()
    }

    fn expected(&self) -> bool {
        true
    }
}

/// A counter or gauge of a container: id, value, start.
type Told = BTreeMap<String, (f64, u64)>;

impl Node {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let top = folder.path().join("sys/fs/cgroup");
        fs::create_dir_all(&top).unwrap();
        fs::write(top.join("cgroup.controllers"), "cpu memory\n").unwrap();
        let known = Arc::new(Known::default());
        let root = HostRoot::new(folder.path().join("proc"), folder.path().join("sys"), None);
        let sources = Sources::new(root).with_pods(Arc::clone(&known) as Arc<dyn PodDirectory>);
        let choice = Choice::of(find("container").unwrap(), Duration::from_secs(15));
        let body = Body::new(&choice);
        Self { folder, known, sources: Arc::new(sources), choice, body }
    }

    fn path(&self, id: char) -> std::path::PathBuf {
        let id = id.to_string().repeat(64);
        self.folder.path().join(format!("sys/fs/cgroup/kubepods/pod{UID}/{id}"))
    }

    fn uses(&self, id: char, seconds: u64) {
        fs::create_dir_all(self.path(id)).unwrap();
        let usage = format!("usage_usec {}\n", seconds * 1_000_000);
        fs::write(self.path(id).join("cpu.stat"), usage).unwrap();
    }

    fn ends(&self, id: char) {
        fs::remove_dir_all(self.path(id)).unwrap();
    }

    /// The pod's status names these, by container: run, id, start.
    fn named(&self, containers: &[(&str, u32, char, u64)]) {
        let containers = containers.iter().map(|(name, run, id, start)| {
            let meta = ContainerMeta {
                ids: BTreeMap::from([(*run, id.to_string().repeat(64))]),
                started_unix_nano: Some(start * SECOND),
                ..ContainerMeta::default()
            };
            ((*name).to_owned(), meta)
        });
        let containers = containers.collect();
        *self.known.0.lock() =
            Some(Arc::new(PodMeta { uid: UID.to_owned(), containers, ..PodMeta::default() }));
    }

    /// Reads once; what is told under the name `metric`, by the first digit of the id.
    fn tick(&mut self, metric: &str) -> Told {
        let tick = Tick::new(Arc::clone(&self.sources));
        self.body.read(&self.choice, &tick).unwrap();
        let told = self.body.points.iter().filter(|point| point.metric.name == metric);
        let told = told.map(|point| {
            let value = match point.value {
                Number::Double(value) => value,
                Number::Int(value) => value as f64,
            };
            let id = point.resource.unwrap().str("container.id").unwrap();
            (id[..1].to_owned(), (value, point.start_unix_nano))
        });
        told.collect()
    }
}

fn told(all: &[(&str, f64, u64)]) -> Told {
    all.iter().map(|(id, value, start)| ((*id).to_owned(), (*value, start * SECOND))).collect()
}

#[test]
fn a_restart_is_a_new_container_that_counts_from_its_own_start_and_the_old_one_is_told_of_no_more()
{
    let mut node = Node::new();
    node.uses('0', 0);
    node.uses('a', 100);
    node.named(&[("main", 0, 'a', 1000)]);
    assert_eq!(node.tick("container.cpu.time"), told(&[("a", 100.0, 1000)]));
    node.uses('a', 101);
    assert_eq!(node.tick("container.cpu.time"), told(&[("a", 101.0, 1000)]));
    node.ends('a');
    node.uses('b', 1);
    assert_eq!(node.tick("container.cpu.time"), told(&[]), "it has no name yet");
    node.named(&[("main", 1, 'b', 2000)]);
    assert_eq!(node.tick("container.cpu.time"), told(&[("b", 1.0, 2000)]));
    node.uses('b', 3);
    assert!(node.tick("container.cpu.usage")["b"].0 > 0.0);
}

#[test]
fn usage_is_the_time_between_two_readings_and_never_negative() {
    let mut node = Node::new();
    node.uses('a', 100);
    node.named(&[("main", 0, 'a', 1000)]);
    let begun = Instant::now();
    assert_eq!(node.tick("container.cpu.usage"), told(&[]), "there was no reading before");
    let after_first = Instant::now();
    node.uses('a', 102);
    let before_second = Instant::now();
    let usage = node.tick("container.cpu.usage")["a"].0;
    let (least, most) = (before_second - after_first, begun.elapsed());
    assert!(usage >= 2.0 / most.as_secs_f64() && usage <= 2.0 / least.as_secs_f64(), "{usage}");
    node.uses('a', 50);
    assert_eq!(node.tick("container.cpu.usage"), told(&[]), "a counter that went back has no rate");
    node.uses('a', 51);
    assert!(node.tick("container.cpu.usage")["a"].0 > 0.0);
}

#[test]
fn metadata_that_can_be_expected_is_waited_for_and_not_for_ever() {
    let mut node = Node::new();
    node.uses('a', 5);
    assert_eq!(node.tick("container.cpu.time"), told(&[]));
    let mut pods = read(&node.sources).unwrap();
    let mut book = Book::default();
    let pod = &pods.pods[0];
    let container = &pod.cgroup.containers[0];
    let long_ago = book.now.checked_sub(PATIENCE).unwrap();
    let entry = book.see(&container.id);
    assert!(pods.container(pod, container, entry.first_seen, entry).is_none());
    entry.first_seen = long_ago;
    let about = pods.container(pod, container, long_ago, entry).unwrap();
    let keys: Vec<_> = about.attributes.iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["container.id", "hawsepipe.metadata.complete", "k8s.pod.uid"]);
    // Where none can be expected nothing waits.
    pods.expected = false;
    let pod = &pods.pods[0];
    let entry = book.see("another");
    let about = pods.container(pod, &pod.cgroup.containers[0], entry.first_seen, entry).unwrap();
    assert_eq!(about.attributes.get("hawsepipe.metadata.complete"), None);
}

#[test]
fn a_run_that_nobody_names_is_told_of_after_a_while_and_a_sandbox_never_is() {
    let node = Node::new();
    for id in ['0', 'a'] {
        node.uses(id, 1);
    }
    node.named(&[("main", 0, 'a', 1000)]);
    let mut book = Book::default();
    let mut seen = |age: Duration| {
        let pods = read(&node.sources).unwrap();
        book.begin();
        let pod = &pods.pods[0];
        for container in &pod.cgroup.containers {
            let entry = book.see(&container.id);
            entry.first_seen = entry.first_seen.checked_sub(age).unwrap();
        }
        let ids: Vec<_> = pod.cgroup.containers.iter().map(|it| it.id.clone()).collect();
        let eldest = ids.iter().map(|id| book.see(id).first_seen).min().unwrap();
        let told = pod.cgroup.containers.iter().filter(|container| {
            let entry = book.see(&container.id);
            pods.container(pod, container, eldest, entry).is_some()
        });
        told.map(|it| it.id[..1].to_owned()).collect::<BTreeSet<_>>()
    };
    let set = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(seen(PATIENCE), set(&["a"]));
    // The API server is away, and the container is restarted.
    node.ends('a');
    node.uses('b', 1);
    assert_eq!(seen(Duration::ZERO), set(&[]));
    assert_eq!(seen(PATIENCE), set(&["b"]));
    node.named(&[("main", 1, 'b', 2000)]);
    assert_eq!(seen(PATIENCE), set(&["b"]));
}

#[test]
fn a_start_that_is_told_late_or_forgotten_is_no_new_beginning() {
    let mut node = Node::new();
    node.uses('a', 5);
    // Running, but not since when.
    let of = |started_unix_nano, restarts| {
        let ids = BTreeMap::from([(0, "a".repeat(64))]);
        let meta = ContainerMeta { ids, started_unix_nano, restarts, ..ContainerMeta::default() };
        let containers = BTreeMap::from([("main".to_owned(), meta)]);
        Some(Arc::new(PodMeta { uid: UID.to_owned(), containers, ..PodMeta::default() }))
    };
    *node.known.0.lock() = of(None, None);
    let first = node.tick("container.cpu.time")["a"].1;
    // The folder's times move on when a file is made in it, as they do when the kernel forgot them.
    fs::write(node.path('a').join("later"), "").unwrap();
    *node.known.0.lock() = of(None, Some(0));
    assert_eq!(node.tick("container.cpu.time")["a"].1, first);
    *node.known.0.lock() = of(Some(1000 * SECOND), Some(0));
    assert_eq!(node.tick("container.cpu.time")["a"].1, first);
}

#[test]
fn a_control_group_that_ends_between_list_and_read_is_no_error_and_is_not_told_of() {
    let mut node = Node::new();
    for id in ['a', 'b'] {
        node.uses(id, 1);
    }
    node.named(&[("main", 0, 'a', 1000), ("other", 0, 'b', 1000)]);
    let tick = Tick::new(Arc::clone(&node.sources));
    assert_eq!(tick.ask(read).unwrap().pods[0].cgroup.containers.len(), 2);
    node.ends('a');
    node.body.read(&node.choice, &tick).unwrap();
    let ids = node.body.points.iter().map(|point| point.resource.unwrap().str("container.id"));
    assert_eq!(ids.collect::<BTreeSet<_>>(), BTreeSet::from([Some(&*"b".repeat(64))]));
}

#[test]
fn kills_of_a_container_are_read_when_it_is_new_and_twice_after_the_host_counted_one() {
    const KILLS: &str = "container.memory.oom_kills";
    let mut node = Node::new();
    let vmstat = node.folder.path().join("proc/vmstat");
    fs::create_dir_all(vmstat.parent().unwrap()).unwrap();
    let on_host =
        |kills: u64| fs::write(&vmstat, format!("pgfault 1\noom_kill {kills}\n")).unwrap();
    let of = |node: &Node, id: char, kills: u64| {
        fs::write(node.path(id).join("memory.events"), format!("oom_kill {kills}\n")).unwrap();
    };
    let kills = |node: &mut Node, id: &str| node.tick(KILLS)[id].0;
    for id in ['a', 'b'] {
        node.uses(id, 1);
    }
    node.named(&[("main", 0, 'a', 1000), ("side", 0, 'b', 1000), ("new", 0, 'c', 1000)]);
    of(&node, 'b', 0);
    for (host, group, told, why) in [
        (7, 1, 1.0, "it is new"),
        (7, 2, 2.0, "the first reading may have come between the kernel's two"),
        (7, 3, 2.0, "no file is read: nobody was killed"),
        (8, 4, 4.0, "somebody was killed"),
        (8, 5, 5.0, "that reading may have come too early as well"),
        (8, 6, 5.0, "no file is read"),
        (9, 7, 7.0, "somebody was killed"),
        (10, 8, 8.0, "and again"),
        (10, 9, 9.0, "once more"),
        (10, 10, 9.0, "no file is read"),
    ] {
        on_host(host);
        of(&node, 'a', group);
        assert_eq!(kills(&mut node, "a"), told, "{why}");
    }
    node.uses('c', 1);
    of(&node, 'c', 3);
    assert_eq!(kills(&mut node, "c"), 3.0, "it is new");
    fs::remove_file(&vmstat).unwrap();
    assert_eq!(kills(&mut node, "a"), 10.0, "nobody says what the host counts");
    assert_eq!(kills(&mut node, "b"), 0.0);
}

#[test]
fn throttling_is_read_every_time_where_there_is_a_limit_and_once_a_minute_where_there_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = CgroupPath::new("/kubepods/pod1/c");
    let write = |tree: &str, file: &str, text: &str| {
        let group = folder.path().join(format!("sys/fs/cgroup/{tree}{path}"));
        fs::create_dir_all(&group).unwrap();
        fs::write(group.join(file), text).unwrap();
    };
    let counted = |usage: u64, periods: u64| {
        write("cpuacct", "cpuacct.usage", &format!("{usage}\n"));
        let text = format!("nr_periods {periods}\nnr_throttled 0\nthrottled_time 0\n");
        write("cpu", "cpu.stat", &text);
    };
    write("cpu", "cpu.cfs_quota_us", "-1\n");
    let root = HostRoot::new(folder.path().join("proc"), folder.path().join("sys"), None);
    counted(1, 1);
    let cgroups = Cgroups::find(&root).unwrap();
    let mut book = Book::default();
    let entry = book.see("c");
    let mut told = |ages: bool| {
        if let Some((_, at)) = entry.unthrottled.0.as_mut().filter(|_| ages) {
            *at = at.checked_sub(LIMITS_EVERY).unwrap();
        }
        let cpu = entry.cpu(&cgroups, &path).unwrap();
        (cpu.usage_ns, cpu.periods.unwrap())
    };
    assert_eq!(told(false), (1, 1));
    // No kernel does this: the file shows that it is not read.
    counted(2, 2);
    assert_eq!(told(false), (2, 1), "without a limit the file is not read");
    assert_eq!(told(true), (2, 2), "a minute later it is");
    write("cpu", "cpu.cfs_quota_us", "50000\n");
    counted(3, 3);
    assert_eq!(told(true), (3, 3));
    for number in 4..7 {
        counted(number, number);
        assert_eq!(told(false), (number, number), "with a limit it is read every time");
    }
    write("cpu", "cpu.cfs_quota_us", "-1\n");
    counted(8, 8);
    assert_eq!(told(true), (8, 8), "what was counted until the limit was taken away is told");
    // Who does not say whether there is a limit may have one.
    fs::remove_file(folder.path().join(format!("sys/fs/cgroup/cpu{path}/cpu.cfs_quota_us")))
        .unwrap();
    assert_eq!(told(true), (8, 8));
    counted(9, 9);
    assert_eq!(told(false), (9, 9));
}

#[test]
fn who_is_gone_is_forgotten() {
    let mut book = Book::default();
    for turn in 0..10_000_u32 {
        book.begin();
        book.see(&turn.to_string());
        book.see("stays");
        book.end();
    }
    assert_eq!(book.entries.len(), 2);
}
