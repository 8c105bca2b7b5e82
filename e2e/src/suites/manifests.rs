//! The rendered manifests, without Helm: what `manifests/README.md` says.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use crate::cluster::Cluster;
use crate::promise::{Promise, Suite};
use crate::received::{self, Wanted};
use crate::workload::{self, Namespace, STAY, burst, container, pod_spec};
use crate::{objects, release};

pub(crate) const SUITE: Suite = Suite {
    name: "manifests",
    promises: &[Promise {
        name: "kubectl_apply_of_the_manifests_works_like_the_chart_and_delete_leaves_nothing",
        check: manifests,
    }],
};

fn manifests(cluster: &Cluster) -> Result<()> {
    release::load_image(cluster)?;
    release::uninstall(cluster)?;
    let before = objects::settled(cluster)?;
    cluster.kubectl(&["apply", "-f", &release::manifests()])?;
    release::set_secret(cluster, "hawsepipe-key", &release::random_key()?)?;
    release::wait_ready(cluster)?;
    {
        let namespace = Namespace::create(cluster, "manifests")?;
        let spec = pod_spec(&[container("c", &format!("{}; {STAY}", burst("applied", 300)))]);
        namespace.apply(&[workload::pod("applied", &json!({"way": "apply"}), &spec)])?;
        let wanted =
            Wanted { pod: "applied", container: "c", restart: 0, stream: "stdout", pods: 1 };
        let records =
            received::wait_complete(cluster, &namespace.name, &[wanted], Duration::from_secs(90))?;
        for record in &records {
            let label = record.resource_text("k8s.pod.label.way");
            anyhow::ensure!(label.as_deref() == Some("apply"), "the label is {label:?}");
        }
    }
    release::delete_manifests(cluster)?;
    objects::wait_for_nothing_beyond(cluster, &before)
}
