//! Whose a heartbeat is.
//!
//! In: a Job or a CronJob. Out: the job's name, which stays the same from run to run, and the resource's attributes.

use hawsepipe_cluster::objects::{CronJob, Text, Uid};
use hawsepipe_model::Attributes;

use super::run::Run;

/// Whose a heartbeat is: a CronJob, a Job, or a CronJob's Job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Whose {
    namespace: Text,
    cronjob: Option<(String, Uid)>,
    job: Option<(String, Uid)>,
}

impl Whose {
    pub(super) fn run(run: &Run) -> Self {
        let meta = &run.job.metadata;
        let owner =
            |owner: &hawsepipe_cluster::objects::Owner| (owner.name.to_string(), owner.uid.clone());
        Self {
            namespace: meta.namespace.clone(),
            cronjob: run.cronjob().map(owner),
            job: Some((meta.name.to_string(), meta.uid.clone())),
        }
    }

    pub(super) fn cronjob(cronjob: &CronJob) -> Self {
        let meta = &cronjob.metadata;
        let cronjob = Some((meta.name.to_string(), meta.uid.clone()));
        Self { namespace: meta.namespace.clone(), cronjob, job: None }
    }

    /// Whose runs these are: the CronJob, else the Job.
    pub(super) fn all_runs(self) -> Self {
        let job = self.job.filter(|_| self.cronjob.is_none());
        Self { job, ..self }
    }

    /// The UID of whose runs these are.
    pub(super) fn uid(&self) -> Uid {
        let (_, uid) = self.cronjob.as_ref().or(self.job.as_ref()).cloned().unwrap_or_default();
        uid
    }

    /// `hawsepipe.job.name`.
    pub(super) fn name(&self) -> String {
        let named = self.cronjob.as_ref().or(self.job.as_ref());
        let name = named.map(|(name, _)| name.as_str()).unwrap_or_default();
        format!("{}/{name}", self.namespace)
    }

    pub(super) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The resource; `added` wins.
    pub(super) fn resource(&self, cluster: Option<&str>, added: &Attributes) -> Attributes {
        let mut resource = Attributes::new();
        resource.set("k8s.cluster.uid", cluster.unwrap_or_default());
        resource.set("k8s.namespace.name", self.namespace.as_str());
        for (prefix, object) in [("k8s.cronjob", &self.cronjob), ("k8s.job", &self.job)] {
            if let Some((name, uid)) = object {
                resource.set(format!("{prefix}.name"), name.as_str());
                resource.set(format!("{prefix}.uid"), uid.to_string());
            }
        }
        resource.extend(added);
        resource
    }
}
