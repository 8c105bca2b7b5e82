//! What is done once in the cluster: by whom, which events are sent, whether heartbeats of CronJobs are.

use hawsepipe_collect::{EventRule, EventSelection};

use super::raw::{RawCronJobs, RawEventRule, RawEvents, RawLease};
use super::{Wrong, text, wrong};

/// What is done once in the cluster.
#[derive(Debug)]
pub(crate) struct Leading {
    /// The Lease of whoever does it; an empty namespace is the pod's own.
    pub(crate) lease_name: String,
    pub(crate) lease_namespace: String,
    /// The events that are sent; `None`: `events.enabled: false`.
    pub(crate) events: Option<EventSelection>,
    /// Whether heartbeats of CronJobs and Jobs are told.
    pub(crate) cronjobs: bool,
}

pub(super) fn resolve(
    lease: &RawLease,
    events: &RawEvents,
    cronjobs: &RawCronJobs,
    has_cluster: bool,
) -> Result<Leading, Wrong> {
    if cronjobs.enabled == Some(true) && !has_cluster {
        return Err(wrong(
            "heartbeats.cronJobs.enabled",
            "CronJobs are objects of a cluster, and kubernetes.source is none",
            "set kubernetes.source: apiserver, or leave it out",
        ));
    }
    let lease_name = lease.name.0.clone();
    if lease_name.is_empty() {
        return Err(wrong(
            "cluster.lease.name",
            "it is empty",
            "give it a name that all processes of this installation share, for instance `hawsepipe`",
        ));
    }
    Ok(Leading {
        lease_name,
        lease_namespace: lease.namespace.0.clone(),
        events: events.enabled.then(|| selection(events)).transpose()?,
        cronjobs: cronjobs.enabled.unwrap_or(has_cluster),
    })
}

fn selection(raw: &RawEvents) -> Result<EventSelection, Wrong> {
    let rules = |rules: &[RawEventRule]| rules.iter().map(rule).collect::<Vec<_>>();
    let (include, exclude) = (rules(&raw.include), rules(&raw.exclude));
    EventSelection::new(&include, &exclude).map_err(|error| {
        let key = if EventSelection::new(&include, &[]).is_err() { "include" } else { "exclude" };
        wrong(format!("events.{key}"), error.to_string(), "write globs, for instance \"Failed*\"")
    })
}

fn rule(raw: &RawEventRule) -> EventRule {
    let texts = |list: &[text::Text]| list.iter().map(|text| text.0.clone()).collect();
    EventRule {
        namespaces: texts(&raw.namespaces),
        reasons: texts(&raw.reasons),
        types: texts(&raw.types),
        kinds: texts(&raw.kinds),
    }
}
