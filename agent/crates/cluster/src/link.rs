//! How the API server is doing, as seen from here.
//!
//! In: the outcome of every request. Out: one log line when a problem begins and one when it is over, never one a
//! retry; metrics; [`crate::ClusterStatus`]. A problem that concerns the API server as a whole (unreachable, token refused) is one
//! problem, whoever ran into it; a missing right is one of the resource.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use jiff::Timestamp;
use parking_lot::Mutex;
use serde::Serialize;
use tracing::{debug, info, warn};

use crate::failure::{Failure, Kind, Resource};
use crate::metrics::Metrics;

/// A problem: what it is, and whose if it is not everybody's.
type Problem = (Kind, Option<Resource>);

/// Watches over the requests of all resources.
#[derive(Debug, Default)]
pub(crate) struct Link {
    state: Mutex<State>,
    pub(crate) metrics: Metrics,
}

#[derive(Debug, Default)]
struct State {
    /// Open problems, and who has them.
    problems: BTreeMap<Problem, Open>,
    connected: BTreeMap<Resource, Timestamp>,
    last_error: Option<LastError>,
}

#[derive(Debug)]
struct Open {
    since: Instant,
    resources: BTreeSet<Resource>,
}

/// The last thing that went wrong.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LastError {
    /// When, RFC 3339.
    pub time: String,
    /// What was asked for, by its resource's name: `pods`, `leases`, ..
    pub resource: String,
    /// `unreachable`, `unauthorized`, `forbidden`, `too_many_requests`, `not_found`, `server` or `decode`.
    pub kind: String,
    /// What happened.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
    /// Whether it still is so.
    pub open: bool,
}

impl Link {
    /// `resource` was answered.
    pub(crate) fn good(&self, resource: Resource) {
        let mut state = self.state.lock();
        state.connected.entry(resource).or_insert_with(Timestamp::now);
        self.metrics.set_connected(resource, true);
        for (problem, open) in state.leave(resource, None) {
            let after_seconds = open.since.elapsed().as_secs();
            info!(problem = ?problem.0, after_seconds, "the Kubernetes API server gives what is asked for again");
        }
    }

    /// A request for `resource` failed. True if that was news, and was said.
    pub(crate) fn failed(&self, resource: Resource, failure: &Failure) -> bool {
        self.metrics.count_error(resource, failure.kind);
        self.metrics.set_connected(resource, false);
        let problem = match failure.kind {
            Kind::forbidden | Kind::not_found | Kind::decode => (failure.kind, Some(resource)),
            kind => (kind, None),
        };
        let remedy = failure.remedy(resource);
        let mut state = self.state.lock();
        state.connected.remove(&resource);
        state.last_error = Some(LastError {
            time: Timestamp::now().to_string(),
            resource: resource.to_string(),
            kind: format!("{:?}", failure.kind),
            message: failure.message.clone(),
            remedy: remedy.clone(),
            open: true,
        });
        // A problem that turned into another one is not over.
        let _turned = state.leave(resource, Some(problem));
        let news = !state.problems.contains_key(&problem);
        let open = state.problems.entry(problem);
        let open =
            open.or_insert_with(|| Open { since: Instant::now(), resources: BTreeSet::new() });
        open.resources.insert(resource);
        drop(state);
        let error = failure.message.as_str();
        if news {
            warn!(
                %resource, kind = ?failure.kind, error, remedy,
                "the Kubernetes API server does not give what is asked for; what is known stays, trying on"
            );
        } else {
            debug!(%resource, kind = ?failure.kind, error, "still the same");
        }
        news
    }

    /// Since when `resource` is connected.
    pub(crate) fn connected_since(&self, resource: Resource) -> Option<String> {
        self.state.lock().connected.get(&resource).map(Timestamp::to_string)
    }

    /// Whether the API server answers, whatever: no request failed for a reason that is the server's own, or the credentials',
    /// since it was last answered.
    pub(crate) fn is_reachable(&self) -> bool {
        let ours =
            |kind: &Kind| matches!(kind, Kind::unreachable | Kind::unauthorized | Kind::server);
        !self.state.lock().problems.keys().any(|(kind, _)| ours(kind))
    }

    /// The last thing that went wrong.
    pub(crate) fn last_error(&self) -> Option<LastError> {
        let state = self.state.lock();
        let mut last = state.last_error.clone()?;
        last.open = !state.problems.is_empty();
        Some(last)
    }
}

impl State {
    /// Takes `resource` off every problem but `stays`; answers with those that nobody has any more.
    fn leave(&mut self, resource: Resource, stays: Option<Problem>) -> Vec<(Problem, Open)> {
        let mut over = Vec::new();
        self.problems.retain(|problem, open| {
            if Some(*problem) != stays && open.resources.remove(&resource) {
                let since = open.since;
                if open.resources.is_empty() {
                    over.push((*problem, Open { since, resources: BTreeSet::new() }));
                    return false;
                }
            }
            true
        });
        over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(kind: Kind) -> Failure {
        Failure { kind, message: "it failed".into(), retry_after: None }
    }

    #[test]
    fn an_unreachable_server_is_said_once_whoever_runs_into_it() {
        let link = Link::default();
        link.good(Resource::pods);
        assert!(link.failed(Resource::pods, &failure(Kind::unreachable)));
        assert!(!link.failed(Resource::pods, &failure(Kind::unreachable)));
        assert!(!link.failed(Resource::nodes, &failure(Kind::unreachable)));
        assert!(link.connected_since(Resource::pods).is_none());

        link.good(Resource::pods);
        assert!(link.last_error().unwrap().open, "nodes still have it");
        link.good(Resource::nodes);
        assert!(!link.last_error().unwrap().open);
        assert!(link.failed(Resource::pods, &failure(Kind::unreachable)), "a new outage is news");
    }

    #[test]
    fn a_missing_right_does_not_make_the_server_unreachable_and_an_outage_does_until_all_are_answered()
     {
        let link = Link::default();
        assert!(link.is_reachable());
        link.failed(Resource::jobs, &failure(Kind::forbidden));
        link.failed(Resource::jobs, &failure(Kind::too_many_requests));
        assert!(link.is_reachable());
        for kind in [Kind::unreachable, Kind::unauthorized, Kind::server] {
            link.failed(Resource::pods, &failure(kind));
            assert!(!link.is_reachable(), "{kind:?}");
            link.good(Resource::pods);
            assert!(link.is_reachable(), "{kind:?}");
        }
    }

    #[test]
    fn a_missing_right_is_said_once_for_each_resource_with_the_rule_to_grant() {
        let link = Link::default();
        assert!(link.failed(Resource::jobs, &failure(Kind::forbidden)));
        assert!(!link.failed(Resource::jobs, &failure(Kind::forbidden)));
        assert!(link.failed(Resource::pods, &failure(Kind::forbidden)));
        let remedy = link.last_error().unwrap().remedy;
        assert!(remedy.contains("resources [pods], verbs [get, list, watch]"), "{remedy}");
    }
}
