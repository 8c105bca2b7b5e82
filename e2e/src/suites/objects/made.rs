//! Objects for the suite to make, change and delete. Nothing of them runs: no node fits their pods, so that what is compared
//! rests while it is compared.

use serde_json::{Value, json};

/// The label of every object that is made here.
pub(crate) const MADE: &str = "hawsepipe-e2e";
/// Its value on those that are deleted later.
pub(crate) const GOES: &str = "goes";
/// Its value on those that stay.
const STAYS: &str = "stays";
/// When the CronJobs that are not suspended are due: seldom.
pub(crate) const NEW_YEAR: &str = "0 0 1 1 *";

/// Makes an object of its kind by its number.
type Make = fn(usize) -> Value;

/// How many of each kind; 500 together.
const HOW_MANY: &[(Make, usize)] = &[
    (namespace, 10),
    (deployment, 60),
    (stateful_set, 30),
    (daemon_set, 20),
    (replication_controller, 20),
    (job, 40),
    (cron_job, 40),
    (pod, 100),
    (claim, 40),
    (volume, 30),
    (quota, 10),
    (service, 40),
    (slice, 40),
    (autoscaler, 20),
];

/// All of them, in a namespace where they have one.
pub(crate) fn all(namespace: &str) -> Vec<Value> {
    let mut all = Vec::new();
    for (make, count) in HOW_MANY {
        for number in 0..*count {
            let mut object = make(number);
            let mut labels = object["metadata"]["labels"].take();
            labels[MADE] = json!(if number % 5 == 4 { GOES } else { STAYS });
            object["metadata"]["labels"] = labels;
            let kind = object["kind"].as_str().unwrap_or_default().to_lowercase();
            // Names of namespaces and volumes are the cluster's.
            let cluster_wide = ["namespace", "persistentvolume"].contains(&&*kind);
            let prefix = if cluster_wide { format!("{namespace}-") } else { String::new() };
            object["metadata"]["name"] = json!(format!("{prefix}{kind}-{number}"));
            if !cluster_wide {
                object["metadata"]["namespace"] = json!(namespace);
            }
            all.push(object);
        }
    }
    all
}

/// The statuses that a kubelet would write of some of the pods, beside those pods' names.
pub(crate) fn pod_statuses() -> Vec<(String, Value)> {
    let time = |hour: usize| format!("2026-01-01T{hour:02}:00:00Z");
    let status = |number: usize| {
        let run = json!({"exitCode": 137, "reason": "OOMKilled", "startedAt": time(1), "finishedAt": time(2),
                         "containerID": format!("containerd://{number:064x}")});
        let (phase, state, ready) = match number % 4 {
            0 => ("Running", json!({"running": {"startedAt": time(3)}}), true),
            1 => ("Running", json!({"waiting": {"reason": "CrashLoopBackOff"}}), false),
            2 => {
                ("Succeeded", json!({"terminated": {"exitCode": 0, "reason": "Completed"}}), false)
            }
            _ => ("Failed", json!({"terminated": {"exitCode": 1, "reason": "Error"}}), false),
        };
        let last = if number % 4 == 1 { json!({"terminated": run}) } else { json!({}) };
        let container = json!({
            "name": "main", "image": "none", "imageID": "", "ready": ready, "restartCount": number,
            "state": state, "lastState": last,
        });
        let holds = if ready { "True" } else { "False" };
        let mut status = json!({
            "phase": phase, "startTime": time(0), "containerStatuses": [container],
            "conditions": [{"type": "Ready", "status": holds}, {"type": "PodScheduled", "status": "Unknown"}],
        });
        if number % 8 == 3 {
            status["reason"] = json!("Evicted");
        }
        status
    };
    // Among them none that goes.
    let stays = (0..40).filter(|number| number % 5 != 4);
    stays.map(|number| (format!("pod-{number}"), status(number))).collect()
}

/// What a pod asks for, on a node that there is not.
fn pod_spec(number: usize) -> Value {
    let amounts = match number % 3 {
        0 => json!({}),
        1 => json!({"requests": {"cpu": "250m", "memory": "64Mi"}}),
        _ => json!({
            "requests": {"cpu": "1", "memory": "1Gi", "ephemeral-storage": "2G"},
            "limits": {"cpu": "1500m", "memory": "1536Mi", "ephemeral-storage": "3G"},
        }),
    };
    json!({
        "nodeSelector": {"hawsepipe-e2e/node": "none"},
        "terminationGracePeriodSeconds": 0,
        "containers": [{"name": "main", "image": "none", "resources": amounts}],
    })
}

fn selected(number: usize, kind: &str) -> (Value, Value) {
    let labels = json!({"app": format!("{kind}-{number}")});
    let template = json!({"metadata": {"labels": labels}, "spec": pod_spec(number)});
    (labels, template)
}

fn namespace(_number: usize) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"labels": {}}})
}

fn deployment(number: usize) -> Value {
    let (labels, template) = selected(number, "deployment");
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"labels": {}},
        "spec": {"replicas": number % 4, "paused": number % 7 == 6, "selector": {"matchLabels": labels},
                 "template": template},
    })
}

fn stateful_set(number: usize) -> Value {
    let (labels, template) = selected(number, "statefulset");
    json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"labels": {}},
        "spec": {"replicas": number % 3, "serviceName": "none", "selector": {"matchLabels": labels},
                 "template": template},
    })
}

fn daemon_set(number: usize) -> Value {
    let (labels, template) = selected(number, "daemonset");
    json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"labels": {}},
        "spec": {"selector": {"matchLabels": labels}, "template": template},
    })
}

fn replication_controller(number: usize) -> Value {
    let (labels, template) = selected(number, "controller");
    json!({
        "apiVersion": "v1", "kind": "ReplicationController", "metadata": {"labels": {}},
        "spec": {"replicas": number % 2, "selector": labels, "template": template},
    })
}

fn job_spec(number: usize) -> Value {
    let mut spec = pod_spec(number);
    spec["restartPolicy"] = json!("Never");
    json!({
        "parallelism": 1 + number % 2, "completions": 1 + number % 3, "suspend": number.is_multiple_of(2),
        "template": {"spec": spec},
    })
}

fn job(number: usize) -> Value {
    json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"labels": {}}, "spec": job_spec(number)})
}

fn cron_job(number: usize) -> Value {
    let mut job = json!({
        "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"labels": {}},
        "spec": {"schedule": NEW_YEAR, "suspend": number.is_multiple_of(2), "jobTemplate": {"spec": job_spec(number)}},
    });
    if number.is_multiple_of(3) {
        job["spec"]["timeZone"] = json!("Etc/UTC");
    }
    job
}

fn pod(number: usize) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"labels": {}}, "spec": pod_spec(number)})
}

/// The first few find a volume, the others wait for one.
fn storage_class(number: usize) -> String {
    if number < 5 { format!("bound-{number}") } else { "hawsepipe-e2e-none".to_owned() }
}

fn claim(number: usize) -> Value {
    json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"labels": {}},
        "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": storage_class(number),
                 "resources": {"requests": {"storage": format!("{}Gi", 1 + number % 3)}}},
    })
}

fn volume(number: usize) -> Value {
    let class = if number < 5 { storage_class(number) } else { "hawsepipe-e2e-unused".to_owned() };
    json!({
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"labels": {}},
        "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": class, "capacity": {"storage": "5G"},
                 "persistentVolumeReclaimPolicy": "Retain", "hostPath": {"path": "/nowhere"}},
    })
}

fn quota(number: usize) -> Value {
    // Of what nothing here asks for, so that nobody is refused.
    let spec = if number.is_multiple_of(2) {
        json!({"scopes": ["Terminating"], "hard": {"requests.cpu": "1500m", "limits.memory": "3Gi", "pods": 10}})
    } else {
        json!({"hard": {"configmaps": 1000 + number, "requests.nvidia.com/gpu": number}})
    };
    json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"labels": {}}, "spec": spec})
}

fn service(number: usize) -> Value {
    let spec = match number % 4 {
        0 => {
            json!({"type": "LoadBalancer", "allocateLoadBalancerNodePorts": false, "ports": [{"port": 80}]})
        }
        _ => json!({"clusterIP": "None", "ports": [{"port": 80}]}),
    };
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"labels": {}}, "spec": spec})
}

/// Of the Service of the same number.
fn slice(number: usize) -> Value {
    let endpoint = |at: usize| {
        let mut endpoint = json!({"addresses": [format!("10.99.{number}.{}", at + 1)]});
        match at % 4 {
            0 => {}
            1 => endpoint["conditions"] = json!({"ready": false}),
            2 => {
                endpoint["conditions"] =
                    json!({"ready": false, "serving": true, "terminating": true})
            }
            _ => endpoint["zone"] = json!("zone-a"),
        }
        endpoint
    };
    let endpoints: Vec<_> = (0..number % 6).map(endpoint).collect();
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"labels": {"kubernetes.io/service-name": format!("service-{number}")}},
        "endpoints": endpoints, "ports": [{"port": 80}],
    })
}

fn autoscaler(number: usize) -> Value {
    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": format!("deployment-{number}")});
    json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"labels": {}},
        // Beyond any number that the deployment has, it is left alone.
        "spec": {"minReplicas": 1, "maxReplicas": 5 + number, "scaleTargetRef": target, "metrics": [
            {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}},
        ]},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_five_hundred_and_each_has_a_name_of_its_own() {
        let all = all("place");
        assert_eq!(all.len(), 500);
        let name = |object: &Value| {
            format!(
                "{}/{}",
                object["kind"],
                object["metadata"]["name"].as_str().unwrap_or_default()
            )
        };
        let names: std::collections::BTreeSet<_> = all.iter().map(name).collect();
        assert_eq!(names.len(), 500);
        let goes = all.iter().filter(|object| object["metadata"]["labels"][MADE] == GOES);
        assert_eq!(goes.count(), 100);
    }
}
