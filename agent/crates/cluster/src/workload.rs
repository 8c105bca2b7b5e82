//! Which workload a pod belongs to, told by the pod alone.
//!
//! In: a pod's owner reference and labels. Out: `k8s.<workload>.name` and `.uid`. ReplicaSets are never listed: in a
//! large cluster there are hundreds of thousands of them, and the pod's `pod-template-hash` says the same. Only a
//! Job's CronJob takes a look at the Job (`cronjobs`).

use hawsepipe_model::Attributes;

use crate::object::{Meta, OwnerRef};

/// The label by which a Deployment's ReplicaSet marks its pods; the ReplicaSet is named `<deployment>-<hash>`
/// (<https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#pod-template-hash-label>).
const POD_TEMPLATE_HASH: &str = "pod-template-hash";

/// Owners that have attributes in the semantic conventions: API group, kind, prefix of the attributes. The group
/// counts: other groups have kinds named Job, too. The kind Node, which owns mirror pods, is no workload.
const OWNERS: [(&str, &str, &str); 5] = [
    ("apps", "ReplicaSet", "k8s.replicaset"),
    ("apps", "StatefulSet", "k8s.statefulset"),
    ("apps", "DaemonSet", "k8s.daemonset"),
    ("batch", "Job", "k8s.job"),
    ("", "ReplicationController", "k8s.replicationcontroller"),
];

/// A Job whose own owner is still to be looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JobRef {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) uid: String,
}

/// Name and UID of a CronJob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CronJob {
    pub(crate) name: String,
    pub(crate) uid: String,
}

/// Sets the attributes of the pod's owner; answers with the Job if that is the owner.
pub(crate) fn set_owner(pod: &Meta, attributes: &mut Attributes) -> Option<JobRef> {
    let owner = pod.controller()?;
    let (_, kind, prefix) =
        OWNERS.iter().find(|(group, kind, _)| *group == owner.group() && *kind == owner.kind)?;
    attributes.set(format!("{prefix}.name"), owner.name.as_str());
    attributes.set(format!("{prefix}.uid"), owner.uid.as_str());
    match *kind {
        "ReplicaSet" => {
            if let Some(deployment) = deployment(pod, owner) {
                attributes.set("k8s.deployment.name", deployment);
            }
            None
        }
        "Job" => Some(JobRef {
            namespace: pod.namespace.clone(),
            name: owner.name.clone(),
            uid: owner.uid.clone(),
        }),
        _ => None,
    }
}

/// The CronJob that a Job's owner reference names.
pub(crate) fn cronjob(job: &Meta) -> Option<CronJob> {
    let owner = job.controller()?;
    (owner.group() == "batch" && owner.kind == "CronJob")
        .then(|| CronJob { name: owner.name.clone(), uid: owner.uid.clone() })
}

/// Sets the attributes of a Job's CronJob.
pub(crate) fn set_cronjob(cronjob: &CronJob, attributes: &mut Attributes) {
    attributes.set("k8s.cronjob.name", cronjob.name.as_str());
    attributes.set("k8s.cronjob.uid", cronjob.uid.as_str());
}

fn deployment<'a>(pod: &Meta, replica_set: &'a OwnerRef) -> Option<&'a str> {
    let hash = pod.labels.get(POD_TEMPLATE_HASH).filter(|hash| !hash.is_empty())?;
    replica_set.name.strip_suffix(hash.as_str())?.strip_suffix('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(api_version: &str, kind: &str, name: &str, controller: bool) -> Meta {
        let owner = OwnerRef {
            api_version: api_version.into(),
            kind: kind.into(),
            name: name.into(),
            uid: "owner-uid".into(),
            controller,
        };
        Meta { namespace: "ns".into(), owner_references: vec![owner], ..Meta::default() }
    }

    fn attributes(pod: &Meta) -> Attributes {
        let mut attributes = Attributes::new();
        set_owner(pod, &mut attributes);
        attributes
    }

    #[test]
    fn a_replicaset_without_the_hash_label_has_no_deployment() {
        let mut pod = owned("apps/v1", "ReplicaSet", "web-6d4cf56db6", true);
        assert_eq!(attributes(&pod).str("k8s.replicaset.name"), Some("web-6d4cf56db6"));
        assert_eq!(attributes(&pod).str("k8s.deployment.name"), None);
        pod.labels.insert(POD_TEMPLATE_HASH.into(), "6d4cf56db6".into());
        assert_eq!(attributes(&pod).str("k8s.deployment.name"), Some("web"));
        pod.labels.insert(POD_TEMPLATE_HASH.into(), "other".into());
        assert_eq!(attributes(&pod).str("k8s.deployment.name"), None);
    }

    #[test]
    fn a_kind_of_another_group_is_no_workload_of_ours() {
        let pod = owned("batch.volcano.sh/v1alpha1", "Job", "train", true);
        assert_eq!(attributes(&pod), Attributes::new());
        let pod = owned("v1", "Node", "node-1", true);
        assert_eq!(attributes(&pod), Attributes::new());
    }

    #[test]
    fn an_owner_that_does_not_control_the_pod_is_not_its_workload() {
        let pod = owned("apps/v1", "DaemonSet", "agent", false);
        assert_eq!(attributes(&pod), Attributes::new());
    }

    #[test]
    fn only_a_cronjob_of_batch_owns_a_job() {
        let job = owned("batch/v1", "CronJob", "report", true);
        assert_eq!(cronjob(&job), Some(CronJob { name: "report".into(), uid: "owner-uid".into() }));
        assert_eq!(cronjob(&owned("argoproj.io/v1alpha1", "CronJob", "report", true)), None);
    }
}
