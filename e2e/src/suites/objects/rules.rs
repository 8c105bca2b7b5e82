//! What the metrics of an object must say, computed from its JSON as `kubectl get -o json` prints it: rules of their own, so
//! that they can find the agent's wrong.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::checks::checks;
use super::made::NEW_YEAR;
use super::told::{Told, Values, holds, items, quantity};
use crate::received::text;

/// What must be told of all of these objects.
pub(super) fn expected(objects: &[Value]) -> Result<Values> {
    let mut values = Values::new();
    for object in objects {
        tell(object, objects, &mut values).with_context(|| object.to_string())?;
    }
    Ok(values)
}

fn tell(object: &Value, all: &[Value], values: &mut Values) -> Result<()> {
    let (meta, spec, status) = (&object["metadata"], &object["spec"], &object["status"]);
    let mut told = Told { values, about: text(&meta["uid"]) };
    let generations = [
        ("generation", &meta["generation"]),
        ("observed_generation", &status["observedGeneration"]),
    ];
    checks(object, &mut told);
    match object["kind"].as_str().unwrap_or_default() {
        "Namespace" => {
            told.put("k8s.namespace.phase", &[], f64::from(u8::from(status["phase"] == "Active")));
            told.conditions("hawsepipe.k8s.namespace.condition", &status["conditions"]);
            told.moment("hawsepipe.k8s.namespace.created", &meta["creationTimestamp"])?;
        }
        "Node" => node(object, &mut told)?,
        "Deployment" => {
            told.numbers(
                "k8s.deployment",
                &[("desired", &spec["replicas"]), ("available", &status["availableReplicas"])],
            );
            let ours = [
                ("current", &status["replicas"]),
                ("ready", &status["readyReplicas"]),
                ("updated", &status["updatedReplicas"]),
                ("unavailable", &status["unavailableReplicas"]),
                ("paused", &spec["paused"]),
            ];
            told.numbers("hawsepipe.k8s.deployment", &ours);
            told.numbers("hawsepipe.k8s.deployment", &generations);
            told.conditions("hawsepipe.k8s.deployment.condition", &status["conditions"]);
        }
        "StatefulSet" => {
            told.numbers(
                "k8s.statefulset",
                &[
                    ("desired_pods", &spec["replicas"]),
                    ("ready_pods", &status["readyReplicas"]),
                    ("current_pods", &status["currentReplicas"]),
                    ("updated_pods", &status["updatedReplicas"]),
                ],
            );
            let ours =
                [("available_pods", &status["availableReplicas"]), ("pods", &status["replicas"])];
            told.numbers("hawsepipe.k8s.statefulset", &ours);
            told.numbers("hawsepipe.k8s.statefulset", &generations);
        }
        "DaemonSet" => {
            told.numbers(
                "k8s.daemonset",
                &[
                    ("desired_scheduled_nodes", &status["desiredNumberScheduled"]),
                    ("current_scheduled_nodes", &status["currentNumberScheduled"]),
                    ("misscheduled_nodes", &status["numberMisscheduled"]),
                    ("ready_nodes", &status["numberReady"]),
                ],
            );
            told.numbers(
                "hawsepipe.k8s.daemonset",
                &[
                    ("updated_nodes", &status["updatedNumberScheduled"]),
                    ("available_nodes", &status["numberAvailable"]),
                    ("unavailable_nodes", &status["numberUnavailable"]),
                ],
            );
            told.numbers("hawsepipe.k8s.daemonset", &generations);
        }
        "ReplicaSet" => {
            let namespace = &meta["namespace"];
            let same = |it: &&Value| {
                it["kind"] == "ReplicaSet" && it["metadata"]["namespace"] == *namespace
            };
            let count = all.iter().filter(same).count();
            told.about = text(namespace);
            told.put("hawsepipe.k8s.replicaset.count", &[], count as f64);
        }
        "ReplicationController" => {
            let all = [("desired", &spec["replicas"]), ("available", &status["availableReplicas"])];
            told.numbers("k8s.replication_controller", &all);
        }
        "HorizontalPodAutoscaler" => {
            told.numbers(
                "k8s.hpa",
                &[
                    ("min_replicas", &spec["minReplicas"]),
                    ("max_replicas", &spec["maxReplicas"]),
                    ("current_replicas", &status["currentReplicas"]),
                    ("desired_replicas", &status["desiredReplicas"]),
                ],
            );
            told.conditions("hawsepipe.k8s.hpa.condition", &status["conditions"]);
        }
        "Job" => job(object, &mut told)?,
        "CronJob" => {
            let active = items(&status["active"]).count();
            told.put("k8s.cronjob.active_jobs", &[], active as f64);
            told.numbers("hawsepipe.k8s.cronjob", &[("suspended", &spec["suspend"])]);
            told.moment("hawsepipe.k8s.cronjob.last_schedule", &status["lastScheduleTime"])?;
            told.moment("hawsepipe.k8s.cronjob.last_success", &status["lastSuccessfulTime"])?;
            if spec["suspend"] != true && spec["schedule"] == NEW_YEAR {
                let year: u32 =
                    text(&meta["creationTimestamp"]).get(..4).unwrap_or_default().parse()?;
                let next = json!(format!("{}-01-01T00:00:00Z", year + 1));
                told.moment("hawsepipe.k8s.cronjob.next_schedule", &next)?;
            }
        }
        "Pod" => pod(object, &mut told)?,
        "PersistentVolume" => {
            let (phase, all) = (
                "k8s.persistentvolume.status.phase",
                ["Pending", "Available", "Bound", "Released", "Failed"],
            );
            told.states(phase, phase, &all, &text(&status["phase"]));
            told.quantity("k8s.persistentvolume.storage.capacity", &spec["capacity"]["storage"])?;
            told.moment("hawsepipe.k8s.persistentvolume.deleted", &meta["deletionTimestamp"])?;
        }
        "PersistentVolumeClaim" => {
            let (phase, all) =
                ("k8s.persistentvolumeclaim.status.phase", ["Pending", "Bound", "Lost"]);
            told.states(phase, phase, &all, &text(&status["phase"]));
            told.quantity(
                "k8s.persistentvolumeclaim.storage.capacity",
                &status["capacity"]["storage"],
            )?;
            told.quantity(
                "k8s.persistentvolumeclaim.storage.request",
                &spec["resources"]["requests"]["storage"],
            )?;
            told.moment("hawsepipe.k8s.persistentvolumeclaim.deleted", &meta["deletionTimestamp"])?;
        }
        "ResourceQuota" => {
            for (name, amounts) in [("hard_limit", &status["hard"]), ("used", &status["used"])] {
                for (resource, amount) in amounts.as_object().into_iter().flatten() {
                    // In thousandths, as the Collector has it.
                    let factor = if resource.ends_with(".cpu") { 1000.0 } else { 1.0 };
                    let name = format!("k8s.resource_quota.{name}");
                    told.put(&name, &[("resource", resource)], quantity(amount)? * factor);
                }
            }
        }
        "Service" => service(object, all, &mut told),
        // Told with their Services.
        "EndpointSlice" => {}
        kind => anyhow::bail!("no rule for {kind}"),
    }
    Ok(())
}

fn job(object: &Value, told: &mut Told<'_>) -> Result<()> {
    let (meta, spec, status) = (&object["metadata"], &object["spec"], &object["status"]);
    told.numbers(
        "k8s.job",
        &[
            ("active_pods", &status["active"]),
            ("failed_pods", &status["failed"]),
            ("successful_pods", &status["succeeded"]),
        ],
    );
    told.maybe("k8s.job.desired_successful_pods", &spec["completions"]);
    told.maybe("k8s.job.max_parallel_pods", &spec["parallelism"]);
    told.numbers(
        "hawsepipe.k8s.job",
        &[("ready_pods", &status["ready"]), ("suspended", &spec["suspend"])],
    );
    told.conditions("hawsepipe.k8s.job.condition", &status["conditions"]);
    told.moment("hawsepipe.k8s.job.created", &meta["creationTimestamp"])?;
    told.moment("hawsepipe.k8s.job.started", &status["startTime"])?;
    told.moment("hawsepipe.k8s.job.completed", &status["completionTime"])
}

fn node(object: &Value, told: &mut Told<'_>) -> Result<()> {
    let (meta, spec, status) = (&object["metadata"], &object["spec"], &object["status"]);
    let ready = items(&status["conditions"]).find(|it| it["type"] == "Ready");
    told.put("k8s.node.condition_ready", &[], holds(ready));
    told.conditions("k8s.node.condition", &status["conditions"]);
    for (resource, amount) in status["allocatable"].as_object().into_iter().flatten() {
        match &**resource {
            "cpu" | "memory" | "ephemeral-storage" | "storage" | "pods" => {
                let name = format!("k8s.node.allocatable_{}", resource.replace('-', "_"));
                told.put(&name, &[], quantity(amount)?);
            }
            _ => told.put(
                "hawsepipe.k8s.node.allocatable",
                &[("resource", resource)],
                quantity(amount)?,
            ),
        }
    }
    for (resource, amount) in status["capacity"].as_object().into_iter().flatten() {
        told.put("hawsepipe.k8s.node.capacity", &[("resource", resource)], quantity(amount)?);
    }
    told.numbers("hawsepipe.k8s.node", &[("unschedulable", &spec["unschedulable"])]);
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for taint in items(&spec["taints"]) {
        let of = [
            ("key", &*word(&taint["key"])),
            ("value", &word(&taint["value"])),
            ("effect", &word(&taint["effect"])),
        ];
        told.put("hawsepipe.k8s.node.taint", &of, 1.0);
    }
    let info = &status["nodeInfo"];
    let runtime = word(&info["containerRuntimeVersion"]);
    let (runtime, version) = runtime.split_once("://").unwrap_or((&runtime, ""));
    let of = [
        ("k8s.kubelet.version", &*word(&info["kubeletVersion"])),
        ("container.runtime.name", runtime),
        ("container.runtime.version", version),
        ("host.arch", &word(&info["architecture"])),
        ("os.type", &word(&info["operatingSystem"])),
        ("os.description", &word(&info["osImage"])),
    ];
    told.put("hawsepipe.k8s.node.info", &of, 1.0);
    told.moment("hawsepipe.k8s.node.created", &meta["creationTimestamp"])
}

fn pod(object: &Value, told: &mut Told<'_>) -> Result<()> {
    let (meta, spec, status) = (&object["metadata"], &object["spec"], &object["status"]);
    let phases = ["Pending", "Running", "Succeeded", "Failed", "Unknown"];
    let phase = phases.iter().position(|phase| status["phase"] == *phase).context("its phase")?;
    told.put("k8s.pod.phase", &[], phase as f64 + 1.0);
    if let Some(reason) = status["reason"].as_str() {
        let known = ["Evicted", "NodeAffinity", "NodeLost", "Shutdown", "UnexpectedAdmissionError"];
        let place = known.iter().position(|known| *known == reason).unwrap_or(known.len());
        told.put("k8s.pod.status_reason", &[], place as f64 + 1.0);
    }
    told.conditions("hawsepipe.k8s.pod.condition", &status["conditions"]);
    told.moment("hawsepipe.k8s.pod.created", &meta["creationTimestamp"])?;
    told.moment("hawsepipe.k8s.pod.started", &status["startTime"])?;
    told.moment("hawsepipe.k8s.pod.deleted", &meta["deletionTimestamp"])?;
    let lists = [("containers", "containerStatuses"), ("initContainers", "initContainerStatuses")];
    for (containers, statuses) in lists {
        for container in items(&spec[containers]) {
            told.about = format!("{}/{}", text(&meta["uid"]), text(&container["name"]));
            if containers == "containers" || container["restartPolicy"] == "Always" {
                amounts(&container["resources"], told)?;
            }
            let is_its = |status: &&Value| status["name"] == container["name"];
            if let Some(status) = items(&status[statuses]).find(is_its) {
                container_status(status, told)?;
            }
        }
    }
    Ok(())
}

fn amounts(resources: &Value, told: &mut Told<'_>) -> Result<()> {
    for (resource, name) in [
        ("cpu", "cpu"),
        ("memory", "memory"),
        ("storage", "storage"),
        ("ephemeral-storage", "ephemeralstorage"),
    ] {
        told.quantity(&format!("k8s.container.{name}_request"), &resources["requests"][resource])?;
        told.quantity(&format!("k8s.container.{name}_limit"), &resources["limits"][resource])?;
    }
    Ok(())
}

fn container_status(status: &Value, told: &mut Told<'_>) -> Result<()> {
    told.numbers(
        "k8s.container",
        &[("ready", &status["ready"]), ("restarts", &status["restartCount"])],
    );
    let name = "k8s.container.status.state";
    let states = ["terminated", "running", "waiting"];
    let state =
        states.iter().find(|state| !status["state"][**state].is_null()).unwrap_or(&"waiting");
    told.states(name, name, &states, state);
    told.moment("hawsepipe.k8s.container.started", &status["state"]["running"]["startedAt"])?;
    let key = "k8s.container.status.reason";
    if let Some(reason) = status["state"][*state]["reason"].as_str() {
        told.put(key, &[(key, reason)], 1.0);
    }
    let last = &status["lastState"]["terminated"];
    if let Some(reason) = last["reason"].as_str() {
        told.put("hawsepipe.k8s.container.last_terminated.reason", &[(key, reason)], 1.0);
    }
    told.maybe("hawsepipe.k8s.container.last_terminated.exit_code", &last["exitCode"]);
    told.moment("hawsepipe.k8s.container.last_terminated.finished", &last["finishedAt"])
}

fn service(object: &Value, all: &[Value], told: &mut Told<'_>) {
    if object["spec"]["type"] == "LoadBalancer" {
        let count = items(&object["status"]["loadBalancer"]["ingress"]).count();
        told.put("k8s.service.load_balancer.ingress.count", &[], count as f64);
    }
    let meta = &object["metadata"];
    let of_it = |slice: &&Value| {
        slice["kind"] == "EndpointSlice"
            && slice["metadata"]["namespace"] == meta["namespace"]
            && slice["metadata"]["labels"]["kubernetes.io/service-name"] == meta["name"]
    };
    let mut counts: BTreeMap<(String, String), [f64; 3]> = BTreeMap::new();
    for slice in all.iter().filter(of_it) {
        let family = text(&slice["addressType"]);
        let none = json!({"conditions": {"ready": false}});
        let mut endpoints: Vec<_> = items(&slice["endpoints"]).collect();
        if endpoints.is_empty() {
            endpoints.push(&none);
        }
        for endpoint in endpoints {
            let (zone, conditions) =
                (endpoint["zone"].as_str().unwrap_or_default(), &endpoint["conditions"]);
            let ready = conditions["ready"].as_bool().unwrap_or(true);
            let serving = conditions["serving"].as_bool().unwrap_or(ready);
            let terminating = conditions["terminating"].as_bool().unwrap_or(false);
            let count = counts.entry((family.clone(), zone.to_owned())).or_default();
            for (count, holds) in count.iter_mut().zip([ready, serving, terminating]) {
                *count += f64::from(u8::from(holds));
            }
        }
    }
    for ((family, zone), count) in counts {
        for (condition, count) in ["ready", "serving", "terminating"].iter().zip(count) {
            let of = [
                ("k8s.service.endpoint.address_type", &*family),
                ("k8s.service.endpoint.condition", condition),
                ("k8s.service.endpoint.zone", &zone),
            ];
            told.put("k8s.service.endpoint.count", &of, count);
        }
    }
}
