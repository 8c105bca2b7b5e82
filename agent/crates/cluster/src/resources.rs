//! What containers and pods ask for.
//!
//! In: `resources` of a specification. Out: [`Resources`], in CPUs and bytes. A pod's are its own where it has them;
//! else the sums over the containers that run side by side, each only if every one of them says it: a part of a sum
//! would be no limit. That is how the Collector's kubeletstats receiver has it, but for sidecars, which it leaves out
//! though they use what it divides.

use hawsepipe_model::Resources;

use crate::object::{Container, PodSpec, Requirements};

/// What a container asks for.
pub(crate) fn of(requirements: &Requirements) -> Resources {
    let Requirements { requests, limits } = requirements;
    Resources {
        cpu_request: requests.cpu.map(|cpu| cpu.units()),
        cpu_limit: limits.cpu.map(|cpu| cpu.units()),
        memory_request: requests.memory.map(|memory| memory.whole()),
        memory_limit: limits.memory.map(|memory| memory.whole()),
    }
}

/// What a pod asks for.
pub(crate) fn of_pod(spec: &PodSpec) -> Resources {
    let is_sidecar = |container: &&Container| container.restart_policy == "Always";
    let sidecars = spec.init_containers.iter().filter(is_sidecar);
    let all: Vec<_> = sidecars.chain(&spec.containers).map(|it| of(&it.resources)).collect();
    let own = of(&spec.resources);
    Resources {
        cpu_request: own.cpu_request.or_else(|| cpus(&all, |it| it.cpu_request)),
        cpu_limit: own.cpu_limit.or_else(|| cpus(&all, |it| it.cpu_limit)),
        memory_request: own.memory_request.or_else(|| bytes(&all, |it| it.memory_request)),
        memory_limit: own.memory_limit.or_else(|| bytes(&all, |it| it.memory_limit)),
    }
}

fn cpus(all: &[Resources], of: impl Fn(&Resources) -> Option<f64>) -> Option<f64> {
    let sum = all.iter().map(of).sum::<Option<f64>>();
    sum.filter(|_| !all.is_empty())
}

fn bytes(all: &[Resources], of: impl Fn(&Resources) -> Option<u64>) -> Option<u64> {
    let sum = all.iter().map(of).try_fold(0_u64, |sum, one| Some(sum.saturating_add(one?)));
    sum.filter(|_| !all.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(spec: serde_json::Value) -> Resources {
        of_pod(&serde_json::from_value(spec).unwrap())
    }

    #[test]
    fn a_pod_asks_for_what_its_containers_and_sidecars_ask_for() {
        let resources = pod(json!({
            "initContainers": [
                {"name": "once", "resources": {"limits": {"cpu": "8", "memory": "8Gi"}}},
                {"name": "mesh", "restartPolicy": "Always", "resources": {
                    "requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"cpu": "500m", "memory": "128Mi"}
                }}
            ],
            "containers": [{"name": "main", "resources": {
                "requests": {"cpu": "0.25", "memory": "1e6", "ephemeral-storage": "1Gi"},
                "limits": {"cpu": "1", "memory": "1Gi", "example.com/gpu": "1"}
            }}]
        }));
        assert_eq!(
            resources,
            Resources {
                cpu_request: Some(0.35),
                cpu_limit: Some(1.5),
                memory_request: Some((64 << 20) + 1_000_000),
                memory_limit: Some((128 << 20) + (1 << 30)),
            }
        );
    }

    #[test]
    fn one_container_without_a_limit_leaves_the_pod_without_one() {
        let resources = pod(json!({"containers": [
            {"name": "a", "resources": {"requests": {"cpu": "1"}, "limits": {"cpu": "1", "memory": "1Gi"}}},
            {"name": "b", "resources": {"requests": {"cpu": "2"}, "limits": {"memory": "1Gi"}}},
        ]}));
        assert_eq!(
            resources,
            Resources {
                cpu_request: Some(3.0),
                memory_limit: Some(2 << 30),
                ..Resources::default()
            }
        );
        assert_eq!(pod(json!({})), Resources::default());
        assert_eq!(pod(json!({"containers": [{"resources": null}]})), Resources::default());
    }

    #[test]
    fn what_the_pod_says_itself_goes_before_the_sum() {
        let resources = pod(json!({
            "resources": {"limits": {"cpu": "2"}},
            "containers": [{"name": "a", "resources": {"limits": {"cpu": "1", "memory": "1Ki"}}}]
        }));
        assert_eq!((resources.cpu_limit, resources.memory_limit), (Some(2.0), Some(1024)));
    }

    #[test]
    fn an_amount_that_is_none_is_not_there_and_the_rest_of_the_pod_is() {
        let resources = pod(json!({"containers": [
            {"name": "a", "resources": {"limits": {"cpu": "many", "memory": "1Mi"}, "requests": {"cpu": 2}}},
        ]}));
        assert_eq!(
            resources,
            Resources {
                cpu_request: Some(2.0),
                memory_limit: Some(1 << 20),
                ..Resources::default()
            }
        );
    }
}
