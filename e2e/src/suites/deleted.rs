//! Pods that are gone before their last lines are read.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;

use crate::cluster::Cluster;
use crate::promise::{Promise, Suite};
use crate::received::{self, Wanted};
use crate::release;
use crate::workload::{self, Namespace, WAIT, burst, container, pod_spec};

pub(crate) const SUITE: Suite = Suite {
    name: "deleted",
    promises: &[Promise {
        name: "a_pod_deleted_while_its_last_lines_are_unread_keeps_its_metadata",
        check: deleted,
    }],
};

const PODS: u32 = 3;
/// Just below 1 MiB a pod, written in the moment before it is gone.
const LAST_WORDS: u64 = 15_000;

fn deleted(cluster: &Cluster) -> Result<()> {
    release::ensure(cluster)?;
    let namespace = Namespace::create(cluster, "deleted")?;
    // Asked to end, it writes everything it has, and is gone. The moment between is for the runtime: on a busy machine it
    // has been seen to leave what the container wrote last in the pipe, so that the file never had it.
    let script = format!(
        "last_words() {{ {}; sleep 1; exit 0; }}; trap last_words TERM; {WAIT}",
        burst("last", LAST_WORDS),
    );
    let mut spec = pod_spec(&[container("c", &script)]);
    // On a busy machine it must not be killed in the middle of a line.
    spec["terminationGracePeriodSeconds"] = json!(60);
    let labels = json!({"fate": "deleted"});
    namespace.apply(&[workload::controller("Deployment", "gone", PODS, &labels, &spec)])?;
    cluster.kubectl(&[
        "rollout",
        "status",
        "deployment/gone",
        "-n",
        &namespace.name,
        "--timeout=60s",
    ])?;
    // The owner goes first and takes its pods along.
    cluster.kubectl(&["delete", "deployment", "gone", "-n", &namespace.name, "--timeout=60s"])?;
    cluster.kubectl(&[
        "wait",
        "--for=delete",
        "pod",
        "--all",
        "-n",
        &namespace.name,
        "--timeout=90s",
    ])?;
    let wanted =
        Wanted { pod: "gone-", container: "c", restart: 0, stream: "stdout", pods: PODS as usize };
    let records =
        received::wait_complete(cluster, &namespace.name, &[wanted], Duration::from_secs(60))?;
    for record in &records {
        for (key, value) in [
            ("k8s.pod.label.fate", "deleted"),
            ("k8s.deployment.name", "gone"),
            ("k8s.namespace.name", namespace.name.as_str()),
        ] {
            ensure!(
                record.resource_text(key).as_deref() == Some(value),
                "{}: {key} is {:?} at line {:?}",
                record.pod,
                record.resource_text(key),
                record.body
            );
        }
    }
    Ok(())
}
