//! What is done once in the cluster: by whom, and which events are sent.

use hawsepipe_collect::{EventRule, EventSelection};

use super::raw::{RawEventRule, RawEvents, RawLease};
use super::{Wrong, text, wrong};

/// What is done once in the cluster.
#[derive(Debug)]
pub(crate) struct Leading {
    /// The Lease of whoever does it; an empty namespace is the pod's own.
    pub(crate) lease_name: String,
    pub(crate) lease_namespace: String,
    /// The events that are sent; `None`: `events.enabled: false`.
    pub(crate) events: Option<EventSelection>,
}

pub(super) fn resolve(lease: &RawLease, events: &RawEvents) -> Result<Leading, Wrong> {
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
