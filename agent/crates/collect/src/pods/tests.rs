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
