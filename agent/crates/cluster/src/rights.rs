//! Whether the API server lets us do what we need, for `hawsepipe check`.

use std::time::Duration;

use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::Client;
use kube::api::{Api, PostParams};
use tokio::time::timeout;

use crate::client;
use crate::failure::{Failure, Resource};
use crate::objects::ObjectKind;

/// How long an answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Something that is asked of the API server: resource, API group, verb, name. An empty name is any.
type Right = (Resource, &'static str, &'static str, &'static str);

/// Everything that is asked of the API server on a node. Nothing else is.
const OF_NODE: [Right; 6] = [
    (Resource::pods, "", "list", ""),
    (Resource::pods, "", "watch", ""),
    (Resource::nodes, "", "list", ""),
    (Resource::nodes, "", "watch", ""),
    (Resource::namespaces, "", "get", "kube-system"),
    (Resource::jobs, "batch", "get", ""),
];
/// What it takes to follow the events of the cluster; without the older form of events, which is asked for only where the
/// newer one is not known.
const OF_EVENTS: [Right; 2] = [
    (Resource::events, "events.k8s.io", "list", ""),
    (Resource::events, "events.k8s.io", "watch", ""),
];
/// What whoever leads is to know of the cluster, whatever it does.
const OF_LEADER: Right = (Resource::namespaces, "", "get", "kube-system");
/// What it takes to follow all objects of a kind.
const OF_OBJECTS: [&str; 2] = ["list", "watch"];
/// What the Lease takes; it is created once.
const OF_LEASE: [&str; 3] = ["create", "get", "update"];

/// What a process does, as far as it needs rights.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rights {
    /// It watches its node's pods.
    pub node: bool,
    /// It stands for the lead, by the Lease of this namespace (empty: the pod's own) and name.
    pub lease: Option<(String, String)>,
    /// It follows the events of the cluster, when it leads.
    pub events: bool,
    /// It follows all objects of these kinds, when it leads.
    pub objects: Vec<ObjectKind>,
}

/// One question.
struct Question {
    resource: Resource,
    group: &'static str,
    verb: &'static str,
    name: String,
    /// Empty: the whole cluster.
    namespace: String,
}

impl Rights {
    fn questions(&self, own_namespace: &str) -> Vec<Question> {
        let question = |(resource, group, verb, name): Right| {
            let (name, namespace) = (name.to_owned(), String::new());
            Question { resource, group, verb, name, namespace }
        };
        let mut questions = Vec::new();
        if self.node {
            questions.extend(OF_NODE.map(question));
        }
        if self.events {
            questions.extend(OF_EVENTS.map(question));
        }
        if let Some((namespace, name)) = &self.lease {
            questions.push(question(OF_LEADER));
            let namespace = if namespace.is_empty() { own_namespace } else { namespace };
            questions.extend(OF_LEASE.map(|verb| Question {
                resource: Resource::leases,
                group: "coordination.k8s.io",
                verb,
                // Nobody can be allowed to create one name alone.
                name: if verb == "create" { String::new() } else { name.clone() },
                namespace: namespace.to_owned(),
            }));
        }
        for &kind in &self.objects {
            let resource = Resource::all(kind);
            questions.extend(OF_OBJECTS.map(|verb| question((resource, kind.group(), verb, ""))));
        }
        questions
    }
}

/// Something that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What is wrong.
    pub problem: String,
    /// What to do about it.
    pub remedy: String,
}

/// Asks the API server (SelfSubjectAccessReview) for each right that is needed. Empty: all is well. An API server that
/// cannot be reached is a finding, too.
pub async fn check_rights(rights: &Rights) -> Vec<Finding> {
    match client::connect().await {
        Ok(client) => check_rights_with(client, rights).await,
        Err(error) => vec![Finding {
            problem: "no client for the Kubernetes API server".to_owned(),
            remedy: error.to_string(),
        }],
    }
}

/// [`check_rights`] by a client that is already there.
pub async fn check_rights_with(client: Client, rights: &Rights) -> Vec<Finding> {
    let questions = rights.questions(client.default_namespace());
    let reviews = Api::all(client);
    let mut findings = Vec::new();
    for question in questions {
        let Question { resource, verb, name, .. } = &question;
        match allowed(&reviews, &question).await {
            Ok(None) => {}
            Ok(Some(reason)) => findings.push(Finding {
                problem: format!("no right to {verb} {resource} {name}").trim_end().to_owned()
                    + &reason,
                remedy: format!(
                    "grant {} to the ServiceAccount; without it {}",
                    resource.rule(),
                    resource.without()
                ),
            }),
            Err(failure) => {
                findings.push(Finding {
                    problem: format!(
                        "no answer from the Kubernetes API server: {}",
                        failure.message
                    ),
                    remedy: failure.remedy(*resource),
                });
                // The other questions would get no other answer.
                break;
            }
        }
    }
    findings
}

/// `None` if it is allowed, else the authorizer's reason, if it has one.
async fn allowed(
    reviews: &Api<SelfSubjectAccessReview>,
    Question { resource, group, verb, name, namespace }: &Question,
) -> Result<Option<String>, Failure> {
    let some = |text: &String| (!text.is_empty()).then(|| text.clone());
    let attributes = ResourceAttributes {
        resource: Some(resource.to_string()),
        group: Some((*group).to_owned()),
        verb: Some((*verb).to_owned()),
        name: some(name),
        namespace: some(namespace),
        ..ResourceAttributes::default()
    };
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(attributes),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    };
    let answer = timeout(ANSWER_WITHIN, reviews.create(&PostParams::default(), &review)).await;
    let status = answer.map_err(|_elapsed| Failure::timeout(ANSWER_WITHIN))??.status;
    Ok(match status {
        Some(status) if status.allowed => None,
        status => {
            let reason = status.and_then(|status| status.reason).filter(|text| !text.is_empty());
            Some(reason.map(|reason| format!(" ({reason})")).unwrap_or_default())
        }
    })
}
