//! A watch that resumes from a revision that etcd has forgotten is answered 410 Gone and has to
//! start over.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::promise::{Promise, Suite};
use crate::received::{self, Wanted, text};
use crate::release;
use crate::workload::{self, Namespace, STAY, burst, container, pod_spec};

pub(crate) const SUITE: Suite = Suite {
    name: "gone",
    promises: &[Promise {
        name: "a_watch_answered_410_gone_starts_over_and_knows_new_pods",
        check: gone,
    }],
};

fn gone(cluster: &Cluster) -> Result<()> {
    release::ensure(cluster)?;
    let namespace = Namespace::create(cluster, "gone")?;
    let agent = release::agent_pod(cluster)?;
    // The newest revision the agent's watch can know, and then changes that it does not see.
    let pods = format!("/api/v1/namespaces/{}/pods?limit=1", namespace.name);
    let pods: Value = serde_json::from_str(&cluster.kubectl(&["get", "--raw", &pods])?)?;
    let old = text(&pods["metadata"]["resourceVersion"]);
    for round in 0..5 {
        let name = format!("churn-{round}");
        cluster.kubectl(&["create", "configmap", &name, "-n", &namespace.name])?;
    }
    cluster.stop_api_server()?;
    let compacted = cluster.compact_etcd();
    cluster.start_api_server()?;
    compacted?;
    // The precondition: whoever resumes from there is really told so.
    let watch = format!("/api/v1/pods?watch=1&resourceVersion={old}&timeoutSeconds=2");
    let answer = match cluster.kubectl(&["get", "--raw", &watch]) {
        Ok(answer) => answer,
        Err(error) => format!("{error:#}"),
    };
    ensure!(
        answer.contains("410")
            || answer.contains("too old resource version")
            || answer.contains("Expired"),
        "a watch from {old} was not answered 410 but {answer:?}"
    );

    let spec = pod_spec(&[container("c", &format!("{}; {STAY}", burst("after", 100)))]);
    namespace.apply(&[workload::pod("after", &json!({"born": "after"}), &spec)])?;
    let wanted = Wanted { pod: "after", container: "c", restart: 0, stream: "stdout", pods: 1 };
    let records =
        received::wait_complete(cluster, &namespace.name, &[wanted], Duration::from_secs(90))?;
    for record in &records {
        let label = record.resource_text("k8s.pod.label.born");
        ensure!(label.as_deref() == Some("after"), "the new pod's label is {label:?}");
    }
    let now = release::agent_pod(cluster)?;
    let same = release::container_id(&agent)? == release::container_id(&now)?;
    ensure!(same, "the agent was restarted meanwhile");
    cluster.kubectl(&["get", "--raw", "/readyz"]).context("the API server afterwards").map(drop)
}
