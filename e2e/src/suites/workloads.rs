//! Every kind of workload: each line once, in order, with the metadata of the very objects that the
//! API server has.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::expect::Facts;
use crate::promise::{Promise, Suite};
use crate::received::{self, Wanted};
use crate::release::{self, CLUSTER_NAME};
use crate::workload::{self, Namespace, STAY, burst, container, pod_spec};

pub(crate) const SUITE: Suite = Suite {
    name: "workloads",
    promises: &[
        Promise { name: "helm_install_makes_the_daemonset_ready", check: release::ensure },
        Promise {
            name: "every_line_of_every_kind_of_workload_arrives_once_in_order_with_its_metadata",
            check: every_workload,
        },
        Promise {
            name: "a_line_of_100_kb_arrives_whole_and_between_its_neighbours",
            check: long_line,
        },
    ],
};

const LINES: u64 = 300;
const STATIC_POD: &str = "hawsepipe-e2e-static.yaml";

const fn wanted(pod: &'static str, container: &'static str) -> Wanted {
    Wanted { pod, container, restart: 0, stream: "stdout", pods: 1 }
}

const WANTED: &[Wanted] = &[
    wanted("two", "one"),
    wanted("two", "other"),
    Wanted { stream: "stderr", ..wanted("two", "other") },
    wanted("crash", "c"),
    Wanted { restart: 1, ..wanted("crash", "c") },
    Wanted { restart: 2, ..wanted("crash", "c") },
    wanted("short", "c"),
    wanted("still-", "c"),
    wanted("tick-", "c"),
    wanted("batch-", "c"),
    Wanted { pods: 2, ..wanted("web-", "c") },
    wanted("db-0", "c"),
    wanted("each-", "c"),
];

fn every_workload(cluster: &Cluster) -> Result<()> {
    release::ensure(cluster)?;
    let namespace = Namespace::create(cluster, "workloads")?;
    namespace.apply(&objects())?;
    let result = static_pod(&namespace)
        .and_then(|manifest| cluster.put_static_pod(STATIC_POD, &manifest))
        .and_then(|()| check(cluster, &namespace));
    cluster.remove_static_pod(STATIC_POD)?;
    result
}

fn check(cluster: &Cluster, namespace: &Namespace<'_>) -> Result<()> {
    // The CronJob starts at a full minute; the crashing container waits 10 s, then 20 s.
    let deadline = Duration::from_secs(150);
    let records = received::wait_complete(cluster, &namespace.name, WANTED, deadline)?;
    let facts = Facts::read(cluster, &namespace.name, CLUSTER_NAME)?;
    for record in &records {
        ensure!(record.namespace == namespace.name, "{record:?} is not of this namespace");
        facts.check(record)?;
        ensure!(
            record.attributes.get("log.iostream").map(received::text).as_ref()
                == Some(&record.stream),
            "log.iostream of {record:?}"
        );
    }
    for key in ["k8s.pod.ip", "k8s.pod.start_time", "container.id"] {
        let known = records.iter().any(|record| record.resource_text(key).is_some());
        ensure!(known, "no record at all carries {key}");
    }
    let runs = received::runs(&records)?;
    println!("          {} lines of {} runs", records.len(), runs.len());
    Ok(())
}

fn objects() -> Vec<Value> {
    let stay = |name: &str| pod_spec(&[container("c", &format!("{}; {STAY}", burst(name, LINES)))]);
    let ends = |name: &str| pod_spec(&[container("c", &burst(name, LINES))]);
    let other = format!("{}; {} >&2; {STAY}", burst("two-out", LINES), burst("two-err", LINES));
    let two = [
        container("one", &format!("{}; {STAY}", burst("two-one", LINES))),
        container("other", &other),
    ];
    // The emptyDir outlives the container: the third run stays.
    let crash = format!(
        "runs=$(cat /count/runs 2>/dev/null || echo 0); echo $((runs+1)) > /count/runs; {}; \
         [ $runs -lt 2 ] && exit 1; {STAY}",
        burst("crash", LINES)
    );
    let mut crash = container("c", &crash);
    crash["volumeMounts"] = json!([{"name": "count", "mountPath": "/count"}]);
    let mut crash = pod_spec(&[crash]);
    crash["volumes"] = json!([{"name": "count", "emptyDir": {}}]);
    let short = format!("{}; sleep 1", burst("short", LINES));
    vec![
        workload::pod(
            "two",
            &json!({"tier": "front", "e2e.hawsepipe.dev/kind": "two"}),
            &pod_spec(&two),
        ),
        workload::pod("crash", &json!({"tier": "back"}), &crash),
        workload::pod(
            "short",
            &json!({"life": "1s"}),
            &workload::once(pod_spec(&[container("c", &short)])),
        ),
        workload::controller(
            "Deployment",
            "web",
            2,
            &json!({"app.kubernetes.io/name": "shop", "app.kubernetes.io/version": "7"}),
            &stay("web"),
        ),
        workload::controller("StatefulSet", "db", 1, &json!({}), &stay("db")),
        workload::controller("DaemonSet", "each", 1, &json!({}), &stay("each")),
        workload::cron_job("tick", ends("tick")),
        workload::job("batch", ends("batch")),
    ]
}

/// Its log folder carries a hash where others carry the pod's uid.
fn static_pod(namespace: &Namespace<'_>) -> Result<String> {
    let spec = pod_spec(&[container("c", &format!("{}; {STAY}", burst("still", LINES)))]);
    let mut pod = workload::pod("still", &json!({"kind": "static"}), &spec);
    pod["metadata"]["namespace"] = json!(namespace.name);
    serde_json::to_string(&pod).context("static pod")
}

fn long_line(cluster: &Cluster) -> Result<()> {
    const LONG: usize = 100_000;
    release::ensure(cluster)?;
    let namespace = Namespace::create(cluster, "long")?;
    // The runtime cuts it into pieces of 16 KiB, marked P, which have to be joined again.
    let script = format!(
        "awk 'BEGIN {{ print \"long 1/3\"; s = \"long 2/3 \"; for (i = 0; i < {LONG}; i++) \
         s = s sprintf(\"%d\", i % 10); print s; print \"long 3/3\" }}'; {STAY}"
    );
    let spec = pod_spec(&[container("c", &script)]);
    namespace.apply(&[workload::pod("long", &json!({}), &spec)])?;
    let records = received::wait_complete(
        cluster,
        &namespace.name,
        &[wanted("long", "c")],
        Duration::from_secs(60),
    )?;
    let line = &records.get(1).context("the long line is missing")?.body;
    let digits: String = (0..LONG).map(|i| char::from(b'0' + (i % 10) as u8)).collect();
    ensure!(
        line.strip_prefix("long 2/3 ") == Some(&digits),
        "{} bytes, not as written",
        line.len()
    );
    Ok(())
}
