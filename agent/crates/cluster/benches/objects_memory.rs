//! What the leader keeps in memory of a large cluster.
//!
//! In: an API server that is replayed by another process over HTTP: 150,000 pods of 5,000 deployments on 5,000 nodes, in
//! 200 namespaces, each made of a whole pod (`tests/fixtures/pod_whole.json`, composed in the form of a real one: two
//! containers, managed fields, volumes, conditions, 13 kB) with its own names, UIDs, container IDs and times; and as many whole nodes. Out, for
//! a list in pages and for a streamed one, each in a process of its own: memory at rest and at its peak, above that before
//! the first request, after the first list and after a second one on top of it (410); bytes per pod; seconds.
//!
//! `cargo bench -p hawsepipe-cluster --bench objects_memory` (pods: `-- 10000`). The processes run with one heap for all
//! threads (`MALLOC_ARENA_MAX=1`), as the image does.

#![allow(missing_docs, clippy::print_stdout, clippy::unwrap_used, clippy::expect_used)]

#[path = "objects_memory/replay.rs"]
mod replay;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hawsepipe_cluster::objects::{
    Change, Node, ObjectKind, ObjectStore, ObjectWatcher, Pod, PodPhase,
};
use hawsepipe_cluster::{Client, Connection};
use kube::Config;
use tokio::time::sleep;

const PODS: usize = 150_000;
const KINDS: [ObjectKind; 2] = [ObjectKind::Nodes, ObjectKind::Pods];

/// Counts the lists of both kinds.
#[derive(Default)]
struct Lists([AtomicUsize; 2]);

impl ObjectWatcher for Lists {
    fn changed(&self, _change: &Change<'_>) {}

    fn listed(&self, _store: &ObjectStore, kind: ObjectKind) {
        self.0[usize::from(kind == ObjectKind::Pods)].fetch_add(1, Ordering::Relaxed);
    }
}

impl Lists {
    async fn until(&self, lists: usize) {
        while self.0.iter().any(|it| it.load(Ordering::Relaxed) < lists) {
            sleep(Duration::from_millis(20)).await;
        }
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", how, pods] => replay::serve(how == "streamed", pods.parse().unwrap()),
        ["follow", address, pods] => follow(address, pods.parse().unwrap()),
        ref others => {
            let pods = others.iter().find_map(|arg| arg.parse().ok()).unwrap_or(PODS);
            for how in ["in pages", "streamed"] {
                println!("{pods} pods and {} nodes, listed {how}", replay::NODES);
                let (mut server, address) = serving(how, pods);
                let status = this(&["follow", &address, &pods.to_string()]).status().unwrap();
                server.kill().unwrap();
                server.wait().unwrap();
                assert!(status.success());
            }
        }
    }
}

/// This program, with other arguments.
fn this(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(arguments).env("MALLOC_ARENA_MAX", "1");
    command
}

fn serving(how: &str, pods: usize) -> (Child, String) {
    let mut command = this(&["serve", how, &pods.to_string()]);
    let mut server = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut address = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut address).unwrap();
    (server, address.trim().to_owned())
}

#[tokio::main(worker_threads = 2)]
async fn follow(address: &str, pods: usize) {
    let config = Config::new(address.parse().unwrap());
    let client = Client::try_from(config).unwrap();
    let (store, lists) = (Arc::new(ObjectStore::new()), Arc::new(Lists::default()));
    store.subscribe(Arc::clone(&lists) as Arc<dyn ObjectWatcher>);
    let (before, _) = memory();
    let begun = Instant::now();
    let follower = Connection::with(client, None).objects(&KINDS);
    let task = tokio::spawn(follower.run(Arc::clone(&store)));
    for list in 1..=2 {
        lists.until(list).await;
        let elapsed = begun.elapsed().as_secs_f64();
        let (rss, peak) = memory();
        println!(
            "  list {list}: {:6.1} MiB at rest, {:6.1} MiB at the peak, above {:.1} MiB before; {elapsed:.1} s",
            mebibytes(rss - before),
            mebibytes(peak - before),
            mebibytes(before),
        );
        assert_eq!(
            (store.count(ObjectKind::Pods), store.count(ObjectKind::Nodes)),
            (pods, replay::NODES)
        );
        if list == 1 {
            println!("  {} bytes a pod, its part of the nodes included", (rss - before) / pods);
        }
    }
    assert!(store.all::<Pod>().iter().all(|pod| pod.status.phase == PodPhase::Running));
    assert!(store.all::<Node>().iter().all(|node| node.status.capacity.get("pods").is_some()));
    task.abort();
}

/// `VmRSS` and `VmHWM` of this process, in bytes.
fn memory() -> (usize, usize) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let of = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim_matches(|c: char| !c.is_ascii_digit()).parse::<usize>().unwrap() << 10
    };
    (of("VmRSS:"), of("VmHWM:"))
}

#[allow(clippy::cast_precision_loss)]
fn mebibytes(bytes: usize) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
