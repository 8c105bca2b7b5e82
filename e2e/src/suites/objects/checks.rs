//! What service checks must say, by the table of `agent/docs/SERVICE-CHECKS.md`: 0 ok, 1 warning, 2 critical, 3 unknown.

use serde_json::Value;

use super::told::{Told, holds, items};

/// Of one object.
pub(super) fn checks(object: &Value, told: &mut Told<'_>) {
    let (spec, status) = (&object["spec"], &object["status"]);
    let condition = |kind: &str| holds(items(&status["conditions"]).find(|it| it["type"] == kind));
    // Nobody knows: 3.
    let by_condition = |kind: &str, when_true: f64, when_false: f64| match condition(kind) {
        1.0 => when_true,
        0.0 => when_false,
        _ => 3.0,
    };
    let available = |wanted: &Value, there: &Value| {
        let number = |value: &Value| value.as_i64().unwrap_or_default();
        match (number(&status["observedGeneration"]), number(wanted), number(there)) {
            (0, _, _) => 3.0,
            (_, wanted, there) if there >= wanted => 0.0,
            (_, _, 0) => 2.0,
            _ => 1.0,
        }
    };
    let workload = "k8s.workload.available";
    match object["kind"].as_str().unwrap_or_default() {
        "Node" => {
            told.check("k8s.node.ready", by_condition("Ready", 0.0, 2.0));
            for (name, kind) in
                [("memory", "MemoryPressure"), ("disk", "DiskPressure"), ("pid", "PIDPressure")]
            {
                told.check(&format!("k8s.node.pressure.{name}"), by_condition(kind, 1.0, 0.0));
            }
        }
        "Deployment" => {
            let is = |kind: &str, word: &str| {
                items(&status["conditions"]).any(|it| it["type"] == kind && it["status"] == word)
            };
            let stuck = is("Progressing", "False") || is("ReplicaFailure", "True");
            let too_few = is("Available", "False") && spec["replicas"] != 0;
            let outcome = match available(&spec["replicas"], &status["availableReplicas"]) {
                outcome if outcome <= 1.0 && too_few => 2.0,
                0.0 if stuck => 1.0,
                outcome => outcome,
            };
            told.check(workload, outcome);
        }
        "StatefulSet" => {
            told.check(workload, available(&spec["replicas"], &status["availableReplicas"]));
        }
        "DaemonSet" => {
            let (wanted, there) = (&status["desiredNumberScheduled"], &status["numberAvailable"]);
            told.check(workload, available(wanted, there));
        }
        _ => {}
    }
}
