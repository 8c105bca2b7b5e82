//! All objects of the cluster, to see what an installation leaves behind.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::cluster::Cluster;
use crate::wait;

/// Kinds that the cluster writes by itself at any time.
const NOT_OURS: &[&str] = &["events", "events.events.k8s.io", "leases.coordination.k8s.io"];

/// Every object as `KIND NAMESPACE/NAME`.
pub(crate) fn all(cluster: &Cluster) -> Result<BTreeSet<String>> {
    let kinds = cluster.kubectl(&["api-resources", "--verbs=list,delete", "-o", "name"])?;
    let kinds: Vec<&str> = kinds.lines().filter(|kind| !NOT_OURS.contains(kind)).collect();
    let listed = cluster.kubectl(&[
        "get",
        &kinds.join(","),
        "-A",
        "--ignore-not-found",
        "-o",
        "jsonpath={range .items[*]}{.kind} {.metadata.namespace}/{.metadata.name}{\"\\n\"}{end}",
    ])?;
    Ok(listed.lines().map(str::to_owned).collect())
}

/// [`all`], once it is the same twice in a row: what was deleted before is really gone, and what a
/// new namespace is given is there.
pub(crate) fn settled(cluster: &Cluster) -> Result<BTreeSet<String>> {
    let mut last = all(cluster)?;
    wait::until("the objects to settle", Duration::from_secs(60), Duration::from_secs(2), || {
        let now = all(cluster)?;
        let same = now == last;
        last = now;
        Ok(same.then(|| last.clone()))
    })
}

/// Waits until there is nothing that was not there before; controllers take a moment to follow.
pub(crate) fn wait_for_nothing_beyond(cluster: &Cluster, before: &BTreeSet<String>) -> Result<()> {
    wait::until("the objects to be gone", Duration::from_secs(60), Duration::from_secs(2), || {
        let now = all(cluster)?;
        let left: Vec<&String> = now.difference(before).collect();
        ensure!(left.is_empty(), "left behind: {left:#?}");
        Ok(Some(()))
    })
}
