//! The kubelet rotates under a pod that writes 2 MB/s for a minute: 1 MiB a file, three files, the
//! older ones compressed.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;

use crate::cluster::{self, Cluster};
use crate::promise::{Promise, Suite};
use crate::received::{Number, Sequence};
use crate::release::{self, NAMESPACE, RECEIVER_POD};
use crate::wait;
use crate::workload::{self, Namespace, STAY, container, pod_spec};

pub(crate) const SUITE: Suite = Suite {
    name: "rotation",
    promises: &[Promise {
        name: "no_line_is_lost_or_doubled_while_the_kubelet_rotates_under_2_mb_a_second",
        check: rotation,
    }],
};

/// 2000 lines of 1000 bytes a second, for 60 s.
const PER_SECOND: u64 = 2_000;
const TOTAL: u64 = PER_SECOND * 60;

fn rotation(cluster: &Cluster) -> Result<()> {
    release::ensure(cluster)?;
    let before = release::agent_pod(cluster)?;
    let namespace = Namespace::create(cluster, "rotation")?;
    // Every tenth of a second it catches up with the clock, so that the mean rate holds.
    let script = format!(
        "awk 'BEGIN {{ pad = sprintf(\"%980s\", \"\"); gsub(/ /, \"x\", pad); start = systime(); \
         while (n < {TOTAL}) {{ due = (systime() - start + 1) * {PER_SECOND}; \
         for (i = 0; i < {PER_SECOND} / 5 && n < due && n < {TOTAL}; i++) \
         print \"loud \" ++n \"/{TOTAL} \" pad; fflush(); system(\"sleep 0.1\") }} }}'; {STAY}"
    );
    let spec = pod_spec(&[container("c", &script)]);
    namespace.apply(&[workload::pod("writer", &json!({}), &spec)])?;
    let folder = format!("/var/log/pods/{}_writer_*/c", namespace.name);

    let mut rotated = std::collections::BTreeSet::new();
    let arrived = || {
        // Compressed files live a few seconds only: count them while they pass.
        let files = cluster.node_shell(&format!("ls {folder} 2>/dev/null || true"))?;
        rotated.extend(files.lines().filter(|name| name.ends_with(".gz")).map(str::to_owned));
        Ok((last_number(cluster, &namespace.name)? >= TOTAL).then_some(()))
    };
    wait::until("the last line", Duration::from_secs(150), Duration::from_secs(2), arrived)?;
    // Doubled lines would come late: give them the time of two rescans.
    std::thread::sleep(Duration::from_secs(5));

    let mut sequence = Sequence::default();
    let mut command = cluster.kubectl_command();
    command.args(["exec", "-n", NAMESPACE, RECEIVER_POD, "--", "hawsepipe", "logs", "-n"]);
    cluster::stream(command.args([&namespace.name, "writer"]), |line| {
        sequence.see(&line[line.find("loud ").unwrap_or(0)..]);
        Ok(())
    })?;
    sequence.complete()?;
    println!("          {TOTAL} lines, {} compressed files seen", rotated.len());
    ensure!(rotated.len() >= 3, "the kubelet compressed only {rotated:?}: this proves nothing");
    let after = release::agent_pod(cluster)?;
    ensure!(
        release::container_id(&before)? == release::container_id(&after)?,
        "the agent was restarted meanwhile"
    );
    Ok(())
}

fn last_number(cluster: &Cluster, namespace: &str) -> Result<u64> {
    let last = cluster.kubectl(&[
        "exec",
        "-n",
        NAMESPACE,
        RECEIVER_POD,
        "--",
        "hawsepipe",
        "logs",
        "-n",
        namespace,
        "writer",
        "--tail",
        "1",
    ])?;
    let line = last.lines().last().unwrap_or_default();
    let line = &line[line.find("loud ").unwrap_or(0)..];
    Ok(Number::parse(line).map_or(0, |number| number.number))
}
