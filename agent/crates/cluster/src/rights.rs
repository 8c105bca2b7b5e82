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

/// How long an answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Everything that is asked of the API server: resource, API group, verb, name. Nothing else is.
const NEEDED: [(Resource, &str, &str, &str); 6] = [
    (Resource::pods, "", "list", ""),
    (Resource::pods, "", "watch", ""),
    (Resource::nodes, "", "list", ""),
    (Resource::nodes, "", "watch", ""),
    (Resource::namespaces, "", "get", "kube-system"),
    (Resource::jobs, "batch", "get", ""),
];

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
pub async fn check_rights() -> Vec<Finding> {
    match client::connect().await {
        Ok(client) => check_rights_with(client).await,
        Err(error) => vec![Finding {
            problem: "no client for the Kubernetes API server".to_owned(),
            remedy: error.to_string(),
        }],
    }
}

/// [`check_rights`] by a client that is already there.
pub async fn check_rights_with(client: Client) -> Vec<Finding> {
    let reviews = Api::all(client);
    let mut findings = Vec::new();
    for (resource, group, verb, name) in NEEDED {
        match allowed(&reviews, resource, group, verb, name).await {
            Ok(None) => {}
            Ok(Some(reason)) => findings.push(Finding {
                problem: format!("no right to {verb} {resource:?} {name}").trim_end().to_owned()
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
                    remedy: failure.remedy(resource),
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
    resource: Resource,
    group: &str,
    verb: &str,
    name: &str,
) -> Result<Option<String>, Failure> {
    let attributes = ResourceAttributes {
        resource: Some(format!("{resource:?}")),
        group: Some(group.to_owned()),
        verb: Some(verb.to_owned()),
        name: (!name.is_empty()).then(|| name.to_owned()),
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
