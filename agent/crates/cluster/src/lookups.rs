//! Single objects, looked up in the background: a Job for its CronJob, the namespace kube-system for the cluster's
//! UID.
//!
//! In: the name of an object. Out: what is learned goes into the index. Always holds: no pod's metadata waits for a
//! look-up; a look-up that fails is tried again, ever slower, until it is answered.

use std::time::Duration;

use kube::Client;
use kube::api::{GetParams, Request};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use crate::backoff::Backoff;
use crate::failure::{Failure, Resource};
use crate::index::PodIndex;
use crate::link::Link;
use crate::object::MetaOnly;
use crate::workload::{self, JobRef};

/// Jobs that wait to be looked up. Beyond that a Job is asked for again when its pod changes.
pub(crate) const JOBS_QUEUED: usize = 1024;

/// How long the answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// Finds the CronJob of each Job that comes in. One at a time: what keeps one from being answered keeps all.
pub(crate) async fn cronjobs(
    client: Client,
    link: &Link,
    index: &PodIndex,
    mut jobs: mpsc::Receiver<JobRef>,
) {
    while let Some(job) = jobs.recv().await {
        let path = format!("/apis/batch/v1/namespaces/{}/jobs", job.namespace);
        // Not from the watch cache, which may not have the Job yet.
        let found =
            get(&client, link, Resource::jobs, &path, &job.name, &GetParams::default()).await;
        // A namesake that came later is another Job.
        let found = found.filter(|found| found.metadata.uid == job.uid);
        index.set_cronjob(&job, found.and_then(|found| workload::cronjob(&found.metadata)));
    }
}

/// Finds the cluster's UID.
pub(crate) async fn cluster_uid(client: Client, link: &Link, index: &PodIndex) {
    if let Some(uid) = kube_system_uid(&client, link).await {
        index.set_cluster_uid(uid);
    }
}

/// The UID of the namespace kube-system.
pub(crate) async fn kube_system_uid(client: &Client, link: &Link) -> Option<String> {
    let (path, params) = ("/api/v1/namespaces", GetParams::any());
    let found = get(client, link, Resource::namespaces, path, "kube-system", &params).await;
    Some(found?.metadata.uid)
}

/// The object's metadata; `None` if there is no such object.
async fn get(
    client: &Client,
    link: &Link,
    resource: Resource,
    path: &str,
    name: &str,
    params: &GetParams,
) -> Option<MetaOnly> {
    let mut backoff = Backoff::new();
    loop {
        let answer = timeout(ANSWER_WITHIN, get_once(client, path, name, params)).await;
        let failure = match answer {
            Ok(Ok(object)) => {
                link.good(resource);
                return Some(object);
            }
            Ok(Err(kube::Error::Api(status))) if status.is_not_found() => {
                link.good(resource);
                return None;
            }
            Ok(Err(error)) => Failure::from(error),
            Err(_elapsed) => Failure::timeout(ANSWER_WITHIN),
        };
        link.failed(resource, &failure);
        sleep(backoff.next(failure.retry_after)).await;
    }
}

async fn get_once(
    client: &Client,
    path: &str,
    name: &str,
    params: &GetParams,
) -> kube::Result<MetaOnly> {
    let request = Request::new(path).get(name, params).map_err(kube::Error::BuildRequest)?;
    client.request(request).await
}
