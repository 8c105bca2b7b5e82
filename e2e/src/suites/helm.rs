//! The life of a release: test, upgrade, uninstall.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;

use crate::cluster::Cluster;
use crate::promise::{Promise, Suite};
use crate::received::{self, Wanted};
use crate::release::{self, NAMESPACE, RELEASE};
use crate::workload::{self, Namespace, STAY, burst, container, pod_spec};
use crate::{objects, wait};

pub(crate) const SUITE: Suite = Suite {
    name: "helm",
    promises: &[
        Promise { name: "helm_test_passes", check: test },
        Promise {
            name: "an_upgrade_that_leaves_the_configuration_alone_rolls_no_pod",
            check: upgrade_without_roll,
        },
        Promise {
            name: "an_upgrade_that_changes_the_configuration_rolls_the_agents_and_takes_effect",
            check: upgrade_with_roll,
        },
        Promise { name: "helm_uninstall_leaves_no_object_behind", check: uninstall },
    ],
};

fn test(cluster: &Cluster) -> Result<()> {
    release::ensure(cluster)?;
    // The pod is deleted when it succeeds (its own hook says so) and stays to be looked at when not.
    let told =
        cluster.helm(&["test", RELEASE, "-n", NAMESPACE, "--timeout", "90s"]).map_err(|error| {
            let pod = "hawsepipe-test";
            let log =
                cluster.kubectl(&["logs", "-n", NAMESPACE, pod, "--all-containers", "--prefix"]);
            error.context(log.unwrap_or_else(|error| format!("{error:#}")))
        })?;
    ensure!(told.contains("Succeeded"), "helm test did not say that it succeeded:\n{told}");
    Ok(())
}

fn upgrade_without_roll(cluster: &Cluster) -> Result<()> {
    release::ensure(cluster)?;
    let (agent, receiver) = (release::agent_pod(cluster)?, release::receiver_pod(cluster)?);
    let generation = template_generation(cluster)?;
    release::helm_upgrade(cluster, &json!({"commonLabels": {"team": "core"}}))?;
    release::wait_ready(cluster)?;
    let daemonset = cluster.get(&["daemonset", RELEASE, "-n", NAMESPACE])?;
    ensure!(daemonset["metadata"]["labels"]["team"] == "core", "the upgrade changed nothing");
    ensure!(template_generation(cluster)? == generation, "the pod template changed");
    ensure!(
        release::uid(&release::agent_pod(cluster)?) == release::uid(&agent),
        "the agent rolled"
    );
    let same = release::uid(&release::receiver_pod(cluster)?) == release::uid(&receiver);
    ensure!(same, "the receiver rolled");
    Ok(())
}

fn upgrade_with_roll(cluster: &Cluster) -> Result<()> {
    release::ensure(cluster)?;
    let (agent, receiver) = (release::agent_pod(cluster)?, release::receiver_pod(cluster)?);
    let changed = json!({"resource": {"attributes": {"e2e.upgraded": "yes"}}});
    release::helm_upgrade(cluster, &changed)?;
    release::wait_ready(cluster)?;
    wait::until("a new agent pod alone", Duration::from_secs(60), Duration::from_secs(1), || {
        let now = release::agent_pod(cluster)?;
        ensure!(release::uid(&now) != release::uid(&agent), "the agent did not roll");
        Ok(Some(()))
    })?;
    let same = release::uid(&release::receiver_pod(cluster)?) == release::uid(&receiver);
    ensure!(same, "the receiver rolled with the agents' configuration");
    let namespace = Namespace::create(cluster, "upgrade")?;
    let spec = pod_spec(&[container("c", &format!("{}; {STAY}", burst("new", 100)))]);
    namespace.apply(&[workload::pod("new", &json!({}), &spec)])?;
    let wanted = Wanted { pod: "new", container: "c", restart: 0, stream: "stdout", pods: 1 };
    let records =
        received::wait_complete(cluster, &namespace.name, &[wanted], Duration::from_secs(60))?;
    for record in &records {
        let found = record.resource_text("e2e.upgraded");
        ensure!(
            found.as_deref() == Some("yes"),
            "resource.attributes did not take effect: {found:?}"
        );
    }
    Ok(())
}

fn uninstall(cluster: &Cluster) -> Result<()> {
    release::load_image(cluster)?;
    release::uninstall(cluster)?;
    cluster.kubectl(&["create", "namespace", NAMESPACE])?;
    let before = objects::settled(cluster)?;
    release::ensure(cluster)?;
    cluster.helm(&["uninstall", RELEASE, "-n", NAMESPACE, "--wait", "--timeout", "90s"])?;
    // The Secrets were ours, not the chart's: it must have left them alone.
    release::delete_secrets(cluster)?;
    objects::wait_for_nothing_beyond(cluster, &before)
}

/// What the controller counts up when the pod template changes.
fn template_generation(cluster: &Cluster) -> Result<String> {
    let daemonset = cluster.get(&["daemonset", RELEASE, "-n", NAMESPACE])?;
    Ok(daemonset["metadata"]["generation"].to_string())
}
