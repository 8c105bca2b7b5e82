//! What can go wrong with a request to the API server, told apart by what a person has to do.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use kube::core::Status;
use prometheus_client::encoding::{EncodeLabelValue, LabelValueEncoder};
use serde::Serialize;

use crate::objects::ObjectKind;

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(non_camel_case_types)]
pub(crate) enum Resource {
    /// The pods of this node.
    pods,
    /// This node.
    nodes,
    /// The namespace kube-system, for the cluster's UID.
    namespaces,
    /// The Job of a pod, for its CronJob.
    jobs,
    /// The Lease of the leader.
    leases,
    /// The events of the cluster.
    events,
    /// All objects of a kind.
    all(ObjectKind),
}

impl Resource {
    /// The resource's name in the API.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::pods => "pods",
            Self::nodes => "nodes",
            Self::namespaces => "namespaces",
            Self::jobs => "jobs",
            Self::leases => "leases",
            Self::events => "events",
            Self::all(kind) => kind.resource(),
        }
    }

    /// The RBAC rule that allows it.
    pub(crate) fn rule(self) -> String {
        let rule = match self {
            Self::pods => "apiGroups [\"\"], resources [pods], verbs [get, list, watch]",
            Self::nodes => "apiGroups [\"\"], resources [nodes], verbs [get, list, watch]",
            Self::namespaces => {
                "apiGroups [\"\"], resources [namespaces], resourceNames [kube-system], verbs [get]"
            }
            Self::jobs => "apiGroups [batch], resources [jobs], verbs [get]",
            Self::leases => {
                "apiGroups [coordination.k8s.io], resources [leases], verbs [create, get, update] in the Lease's namespace"
            }
            Self::events => {
                "apiGroups [\"\", events.k8s.io], resources [events], verbs [get, list, watch]"
            }
            Self::all(kind) => {
                let group = if kind.group().is_empty() { "\"\"" } else { kind.group() };
                return format!("apiGroups [{group}], resources [{self}], verbs [list, watch]");
            }
        };
        rule.to_owned()
    }

    /// What is missing without it.
    pub(crate) fn without(self) -> String {
        let without = match self {
            Self::pods => "logs carry what their path says of the pod, and no labels or owners",
            Self::nodes => "cloud.* and host.* are missing",
            Self::namespaces => "k8s.cluster.uid is missing",
            Self::jobs => "k8s.cronjob.* are missing",
            Self::leases => "this process never leads, and sends nothing of the cluster",
            Self::events => "no Kubernetes events are sent",
            Self::all(_) => return format!("nothing is sent of the cluster's {self}"),
        };
        without.to_owned()
    }

    /// What tells it from others in metrics: a node's own pods are not all pods.
    fn label(self) -> String {
        match self {
            Self::all(_) => format!("cluster/{self}"),
            _ => self.name().to_owned(),
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl EncodeLabelValue for Resource {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        EncodeLabelValue::encode(&self.label(), encoder)
    }
}

/// What kind of failure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, EncodeLabelValue)]
#[serde(rename_all = "snake_case")]
#[allow(non_camel_case_types)]
pub(crate) enum Kind {
    /// No answer: nobody listens, the network, TLS, a time limit.
    unreachable,
    /// 401: the token was refused.
    unauthorized,
    /// 403: RBAC does not allow it.
    forbidden,
    /// 429: the API server asks for patience.
    too_many_requests,
    /// 404: what was asked for is not there.
    not_found,
    /// 410: the resource version is too old. Not a failure: a new list follows.
    gone,
    /// Any other refusal by the API server.
    server,
    /// An answer that cannot be understood.
    decode,
}

/// A request that failed.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) kind: Kind,
    pub(crate) message: String,
    /// How long the API server asks to wait.
    pub(crate) retry_after: Option<Duration>,
}

impl Failure {
    /// No answer within `limit`.
    pub(crate) fn timeout(limit: Duration) -> Self {
        let message = format!("no answer within {} s", limit.as_secs());
        Self { kind: Kind::unreachable, message, retry_after: None }
    }

    /// What a person can do about it, if the API server cannot be blamed alone.
    pub(crate) fn remedy(&self, resource: Resource) -> String {
        match self.kind {
            Kind::forbidden => format!("grant {} (until then {})", resource.rule(), resource.without()),
            Kind::not_found => format!(
                "nothing to do if this Kubernetes is to have no {resource}; else see that their API is served"
            ),
            Kind::unauthorized => {
                "let a valid ServiceAccount token be mounted; it is read again by itself".to_owned()
            }
            Kind::unreachable => {
                "check that the API server can be reached from this pod (network policy, DNS, proxy)"
                    .to_owned()
            }
            _ => "nothing to do if it goes away by itself; else see the API server's log".to_owned(),
        }
    }
}

impl From<&Status> for Failure {
    fn from(status: &Status) -> Self {
        let kind = match status.code {
            401 => Kind::unauthorized,
            403 => Kind::forbidden,
            404 => Kind::not_found,
            410 => Kind::gone,
            429 => Kind::too_many_requests,
            _ => Kind::server,
        };
        let details = status.details.as_ref();
        let seconds = details.map_or(0, |details| details.retry_after_seconds);
        Self {
            kind,
            message: format!("{} {}: {}", status.code, status.reason, status.message),
            retry_after: (seconds > 0).then(|| Duration::from_secs(seconds.into())),
        }
    }
}

impl From<kube::Error> for Failure {
    fn from(error: kube::Error) -> Self {
        let kind = match &error {
            // kube tries to read a line that it cannot understand as a Status, and any object is an empty one.
            kube::Error::Api(status) if status.code == 0 && status.reason.is_empty() => {
                Kind::decode
            }
            kube::Error::Api(status) => return Self::from(status.as_ref()),
            kube::Error::SerdeError(_) | kube::Error::FromUtf8(_) => Kind::decode,
            kube::Error::Auth(_) => Kind::unauthorized,
            _ => Kind::unreachable,
        };
        Self { kind, message: with_causes(&error), retry_after: None }
    }
}

/// The error and what caused it, each thing said once.
fn with_causes(error: &dyn Error) -> String {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !message.contains(&text) {
            message.push_str(": ");
            message.push_str(&text);
        }
        cause = error.source();
    }
    message
}
