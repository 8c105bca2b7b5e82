//! The second node: a kernel of its own with cgroup v2, and a power switch.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::cluster::Cluster;
use crate::promise::{Promise, Suite};
use crate::received;
use crate::torture::{self, Voice};
use crate::workload::{self, Namespace, STAY, burst, container, pod_spec};
use crate::{release, wait};

pub(crate) const SUITE: Suite = Suite {
    name: "second",
    promises: &[
        Promise {
            name: "a_node_with_cgroup_v2_runs_a_pod_and_its_lines_arrive",
            check: runs_a_pod,
        },
        Promise {
            name: "after_a_power_cut_what_the_disk_still_has_arrives_or_is_in_the_ledger",
            check: power_cut,
        },
    ],
};

const LINES: u64 = 300;

fn runs_a_pod(cluster: &Cluster) -> Result<()> {
    let node = cluster.second_node()?;
    release::ensure(cluster)?;
    let hierarchy = cluster.second_shell("stat -f -c %T /sys/fs/cgroup")?;
    ensure!(hierarchy.trim() == "cgroup2fs", "/sys/fs/cgroup is {hierarchy}");
    let namespace = Namespace::create(cluster, "second")?;
    // What the pod sees of its own group: only cgroup v2 has this file.
    let script = format!("{}; cat /sys/fs/cgroup/memory.max >&2; {STAY}", burst("there", LINES));
    let mut pod =
        workload::pod("there", &json!({"on": "second"}), &pod_spec(&[container("c", &script)]));
    workload::pin(&mut pod, node);
    namespace.apply(&[pod])?;
    let lines = || {
        let records = received::read(cluster, &namespace.name, Some("there"))?;
        let (limit, lines): (Vec<_>, Vec<_>) =
            records.into_iter().partition(|record| record.stream == "stderr");
        let limit = limit.first().context("no limit yet")?;
        ensure!(limit.body == (64 << 20).to_string(), "memory.max is {}", limit.body);
        received::Sequence::of(lines.iter().map(|record| record.body.as_str())).complete()?;
        let line = lines.first().context("no line")?;
        let on = line.resource_text("k8s.node.name");
        ensure!(on.as_deref() == Some(node), "k8s.node.name is {on:?}");
        Ok(Some(()))
    };
    wait::until("the lines", Duration::from_secs(120), Duration::from_secs(2), lines)
}

fn power_cut(cluster: &Cluster) -> Result<()> {
    const LINES: u64 = 600;
    let node = cluster.second_node()?;
    release::ensure(cluster)?;
    let namespace = Namespace::create(cluster, "power")?;
    // Each life of the container writes so many, for 20 s.
    let voice = Voice { per_second: 30, beats: 1, length: 150, both: true };
    let script = format!("{}; {STAY}", voice.paced(LINES));
    let mut pod = workload::pod("writer", &json!({}), &pod_spec(&[container("c", &script)]));
    workload::pin(&mut pod, node);
    namespace.apply(&[pod])?;
    let arrived = |restart: u64| {
        let records = received::read(cluster, &namespace.name, Some("writer"))?;
        anyhow::Ok(records.iter().filter(|record| record.restart() == Some(restart)).count())
    };
    let patience = Duration::from_secs(180);
    let second = Duration::from_secs(1);
    wait::until(
        "lines before the cut",
        patience,
        second,
        || Ok((arrived(0)? > 200).then_some(())),
    )?;
    cluster.cut_power()?;
    cluster.restore_power()?;
    wait::until("all lines after the cut", patience, second, || {
        Ok((arrived(1)? as u64 >= 2 * LINES).then_some(()))
    })?;
    torture::check_survivors(cluster, &namespace.name)
}
