//! What a tick of the metrics costs on a full node, beside its ceiling.
//!
//! In: the tree of a node, made here from the one recorded in `host/tests/fixtures`: so many pods of two containers and
//! a sandbox each, so many processes. Out: time on the processor for each tick, of all threads, from the files to the
//! compressed frame, with the collectors that are on by default and with all of them; and the ratio to the ceiling: the
//! files that those need, opened, read and closed, in the same run, in turns with what is measured. The files are in
//! the page cache here. The kernel takes longer to write its own: by how much, `-- real` says of this machine's.
//!
//! `cargo bench -p hawsepipe-benches --bench metrics_tick` (pods, processes, ticks: `-- 110 600 100`; a folder as well:
//! the tree is left there for other programs to read, and nothing is measured).

#![allow(missing_docs, clippy::print_stdout, clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hawsepipe_collect::{Choice, Collection, Metrics, Scope, Settings, Sources, list_of};
use hawsepipe_host::HostRoot;
use hawsepipe_model::{
    AppendError, Attributes, Codec, ContainerMeta, Frame, FrameSink, NodeMeta, PodDirectory,
    PodMeta, PreferredCodec, Room,
};
use tokio_util::sync::CancellationToken;

const ROUNDS: usize = 5;
const INTERVAL: Duration = Duration::from_millis(50);
/// Ticks before it is looked at the clock.
const WARM: u64 = 3;
/// The interval that a node has, in seconds.
const USUAL: f64 = 15.0;
/// The recorded node, and its pod and the pod's containers in it.
const RECORDED: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/host/tests/fixtures/linux-6.18-hybrid");
const POD: &str = "pod2182d3a3-ee62-4d43-9583-6098ae3fe46f";
const SANDBOX: &str = "81ffba3971a2e8e1ee820387c90aebfbb05aae4a107b6a613f376efe1a1a4439";
const CONTAINER: &str = "8a9adaaa3f082929e667c5df4c775b8a92325dd236cbefb66301b2694b68e0bf";
const PROCESS: &str = "4242";
/// What a tick needs of a container; a pod's I/O is not told. What is read of it once a minute (limits), and what is not
/// read because nothing can have changed (throttling without a limit of CPU time, which the recorded container has not;
/// kills while the host counts none; pressure while nobody waits), is left out.
const NEEDED: [(&str, &str); 5] = [
    ("cpuacct", "cpuacct.usage"),
    ("memory", "memory.usage_in_bytes"),
    ("memory", "memory.stat"),
    ("pids", "pids.current"),
    ("blkio", "blkio.throttle.io_service_bytes_recursive"),
];
/// How many of them a pod needs.
const OF_POD: usize = 4;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let numbers: Vec<u64> = arguments.iter().filter_map(|arg| arg.parse().ok()).collect();
    let number = |at: usize, usual| numbers.get(at).copied().unwrap_or(usual);
    let (pods, processes, ticks) = (number(0, 110), number(1, 600), number(2, 100));
    if let Some(kept) = arguments.iter().find(|arg| arg.starts_with('/')) {
        write_node(Path::new(kept), pods, processes);
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let known = write_node(folder.path(), pods, processes);
    let needed = needed(folder.path());
    println!(
        "a node of {pods} pods, {processes} processes; {} files a tick; {ROUNDS} rounds of {ticks} ticks",
        needed.len()
    );
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let every = || list_of(Scope::Node).map(|it| Choice::of(it, INTERVAL)).collect::<Vec<_>>();
    let (mut default, mut all, mut ceiling) = (Vec::new(), Vec::new(), Vec::new());
    let mut told = Told::default();
    for round in 0..=ROUNDS {
        let usual = Choice::defaults(Scope::Node, INTERVAL);
        let usual = runtime.block_on(collect(folder.path(), &known, usual, ticks)).0;
        let (whole, sent) = runtime.block_on(collect(folder.path(), &known, every(), ticks));
        let best = by_hand(&needed, ticks);
        // The first round warms the page cache and the processor.
        if round > 0 {
            default.push(usual);
            all.push(whole);
            ceiling.push(best);
        }
        told = sent;
    }
    println!("sent      {} points, {} KiB compressed, a tick", told.points, told.bytes >> 10);
    show("ceiling", &ceiling, &ceiling);
    show("default", &default, &ceiling);
    show("all", &all, &ceiling);
    if arguments.iter().any(|arg| arg == "real") {
        real(&needed);
    }
}

fn show(name: &str, times: &[Duration], ceiling: &[Duration]) {
    let ratios =
        times.iter().zip(ceiling).map(|(time, best)| time.as_secs_f64() / best.as_secs_f64());
    let mut ratios: Vec<f64> = ratios.collect();
    ratios.sort_by(f64::total_cmp);
    let mut times = times.to_vec();
    times.sort();
    let time = times[times.len() / 2].as_secs_f64();
    println!(
        "{name:9} {:6.2} ms a tick, {:.3} % of a core every {USUAL} s, {:.2} of the ceiling (min {:.2}, max {:.2})",
        time * 1e3,
        time / USUAL * 100.0,
        ratios[ratios.len() / 2],
        ratios[0],
        ratios[ratios.len() - 1],
    );
}

/// How long the kernel takes for files of its own, beside files of the page cache: those of this machine's pods.
fn real(made: &[PathBuf]) {
    let real = needed(Path::new("/"));
    if real.is_empty() {
        println!("real      no pods here with control groups of version 1");
        return;
    }
    let a_file = |files: &[PathBuf]| by_hand(files, 50).as_secs_f64() / files.len() as f64;
    let is_group = |path: &&PathBuf| path.iter().any(|part| part == "cgroup");
    let made: Vec<_> = made.iter().filter(is_group).cloned().collect();
    let real: Vec<_> = real.iter().filter(is_group).cloned().collect();
    let (cached, kernel) = (a_file(&made), a_file(&real));
    println!(
        "real      {} files of {} pods' control groups: {:.2} of the made ones each",
        real.len(),
        real.iter().filter(|path| path.ends_with("cpuacct.usage")).count(),
        kernel / cached,
    );
}

// === What is read ===

fn write_node(to: &Path, pods: u64, processes: u64) -> Arc<Known> {
    copy(Path::new(RECORDED), to, &|_| false, &str::to_owned);
    for process in 0..processes {
        let pid = (10_000 + process).to_string();
        let from = Path::new(RECORDED).join("proc").join(PROCESS);
        let named = |text: &str| text.replace(PROCESS, &pid);
        copy(&from, &to.join("proc").join(&pid), &|name| name == "fd", &named);
    }
    let mut known = Known::default();
    let groups = Path::new("sys/fs/cgroup");
    for controller in fs::read_dir(Path::new(RECORDED).join(groups)).unwrap() {
        let class = groups.join(controller.unwrap().file_name()).join("kubepods/burstable");
        let recorded = Path::new(RECORDED).join(&class).join(POD);
        fs::remove_dir_all(to.join(&class).join(POD)).unwrap();
        let same = str::to_owned;
        for pod in 0..pods {
            let uid = format!("{pod:08x}{}", &POD[11..]);
            let made = to.join(&class).join(format!("pod{uid}"));
            let is_container = |name: &str| name == SANDBOX || name == CONTAINER;
            copy(&recorded, &made, &is_container, &same);
            let ids = [0, 1].map(|at| format!("{pod:07x}{at}{}", &CONTAINER[8..]));
            let sandbox = format!("{pod:08x}{}", &SANDBOX[8..]);
            for (from, to) in [(SANDBOX, &sandbox), (CONTAINER, &ids[0]), (CONTAINER, &ids[1])] {
                copy(&recorded.join(from), &made.join(to), &|_| false, &same);
            }
            known.0.insert(uid.clone(), Arc::new(meta(pod, &uid, ids)));
        }
    }
    Arc::new(known)
}

/// Copies a folder, but for what is left out by its name, with its texts changed.
fn copy(from: &Path, to: &Path, without: &dyn Fn(&str) -> bool, change: &dyn Fn(&str) -> String) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        if without(&name) {
            continue;
        }
        if kind.is_dir() {
            copy(&path, &to.join(name), without, change);
        } else if let Ok(text) = fs::read_to_string(&path) {
            fs::write(to.join(name), change(&text)).unwrap();
        } else {
            fs::copy(path, to.join(name)).unwrap();
        }
    }
}

/// The pods as the API server would name them, by UID.
#[derive(Default)]
struct Known(HashMap<String, Arc<PodMeta>>);

impl PodDirectory for Known {
    fn pod(&self, uid: &str) -> Option<Arc<PodMeta>> {
        self.0.get(uid).cloned()
    }

    fn node(&self) -> Arc<NodeMeta> {
        Arc::default()
    }

    fn expected(&self) -> bool {
        true
    }
}

fn meta(pod: u64, uid: &str, ids: [String; 2]) -> PodMeta {
    let mut attributes = Attributes::new();
    attributes.set("k8s.pod.uid", uid);
    attributes.set("k8s.pod.name", format!("checkout-7d9f8c6b5d-{pod:05x}").as_str());
    for (key, value) in [
        ("k8s.namespace.name", "shop"),
        ("k8s.deployment.name", "checkout"),
        ("k8s.replicaset.name", "checkout-7d9f8c6b5d"),
        ("k8s.pod.ip", "10.244.17.130"),
        ("k8s.pod.label.app.kubernetes.io/name", "checkout"),
        ("k8s.pod.label.app.kubernetes.io/part-of", "shop"),
        ("k8s.pod.label.pod-template-hash", "7d9f8c6b5d"),
        ("service.name", "checkout"),
        ("service.namespace", "shop"),
    ] {
        attributes.set(key, value);
    }
    let container = |id: String| {
        let mut attributes = Attributes::new();
        attributes.set("container.image.name", "registry.example.com/shop/checkout");
        attributes.set("service.version", "1.42.0");
        let ids = BTreeMap::from([(0, id)]);
        let started_unix_nano = Some(1_700_000_000_000_000_000);
        ContainerMeta {
            attributes,
            ids,
            restarts: Some(0),
            started_unix_nano,
            ..Default::default()
        }
    };
    let [main, side] = ids;
    let containers = [("main".to_owned(), container(main)), ("side".to_owned(), container(side))];
    PodMeta { uid: uid.to_owned(), attributes, containers: containers.into(), ..Default::default() }
}

// === What is measured ===

/// Counts what is sent, and keeps none.
#[derive(Default)]
struct Counted {
    points: AtomicU64,
    bytes: AtomicU64,
}

/// What was sent in a tick.
#[derive(Default)]
struct Told {
    points: u64,
    bytes: u64,
}

impl FrameSink for Counted {
    fn room(&self) -> Room {
        Room { free: 1 << 30, waiting: 0, capacity: 1 << 30 }
    }

    fn append(&self, frame: Frame) -> Result<(), AppendError> {
        self.bytes.fetch_add(frame.payload.len() as u64, Ordering::Relaxed);
        self.points.fetch_add(frame.records, Ordering::Relaxed);
        Ok(())
    }

    fn wait_for_room(&self, _bytes: usize, _timeout: Duration) -> bool {
        true
    }
}

/// The time on the processor of one tick.
async fn collect(
    node: &Path,
    known: &Arc<Known>,
    choices: Vec<Choice>,
    ticks: u64,
) -> (Duration, Told) {
    let root = HostRoot::new(node.join("proc"), node.join("sys"), None);
    let settings = Settings {
        sources: Sources::new(root),
        choices,
        interval: INTERVAL,
        node_name: "bench".to_owned(),
        attributes: Attributes::new(),
    };
    let (sink, metrics) = (Arc::new(Counted::default()), Metrics::default());
    let codec = Arc::new(PreferredCodec::new(Codec::Zstd));
    let (taken, pods) = (Arc::clone(&sink), Arc::clone(known));
    let collection = Collection::new(settings, taken, pods, codec, metrics.clone());
    let cancel = CancellationToken::new();
    let running = tokio::spawn(collection.run(cancel.clone()));
    // The averages of the load are three points.
    let so_far = || metrics.points_of("load") / 3;
    while so_far() < WARM {
        tokio::time::sleep(INTERVAL / 4).await;
    }
    let (begun, before) = (so_far(), cpu_time());
    while so_far() < begun + ticks {
        tokio::time::sleep(INTERVAL / 4).await;
    }
    let (ticks, took) = (so_far() - begun, cpu_time() - before);
    cancel.cancel();
    running.await.unwrap();
    let all = so_far();
    let of = |sum: &AtomicU64| sum.load(Ordering::Relaxed) / all;
    (
        took / u32::try_from(ticks).unwrap(),
        Told { points: of(&sink.points), bytes: of(&sink.bytes) },
    )
}

/// The files that a tick needs which grow in number with the node.
fn needed(node: &Path) -> Vec<PathBuf> {
    let groups = node.join("sys/fs/cgroup");
    let folders = |path: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
    };
    let mut files = Vec::new();
    for pod in folders(&groups.join("memory/kubepods/burstable")) {
        let containers = folders(&pod);
        let of_pod = std::iter::once((&pod, OF_POD));
        // The sandbox is not told of.
        let of_containers = containers.iter().take(2).map(|it| (it, NEEDED.len()));
        for (group, count) in of_pod.chain(of_containers) {
            let path = group.strip_prefix(groups.join("memory")).unwrap();
            let wanted = NEEDED.iter().take(count);
            files.extend(wanted.map(|(tree, name)| groups.join(tree).join(path).join(name)));
        }
    }
    for process in folders(&node.join("proc")) {
        let name = process.file_name().unwrap().to_string_lossy();
        if name.bytes().all(|byte| byte.is_ascii_digit()) {
            files.push(process.join("stat"));
        }
    }
    files.retain(|file| file.is_file());
    files
}

/// The ceiling: each file opened, read and closed.
fn by_hand(files: &[PathBuf], ticks: u64) -> Duration {
    let mut buffer = vec![0; 16 << 10];
    let (before, mut read) = (cpu_time(), 0);
    for _ in 0..ticks {
        for file in files {
            read += File::open(file).and_then(|mut file| file.read(&mut buffer)).unwrap_or(0);
        }
    }
    assert!(read > 0);
    (cpu_time() - before) / u32::try_from(ticks).unwrap()
}

/// Of all threads, also of those that ended.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap())
}
