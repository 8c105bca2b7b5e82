//! What the agent may do: on its node as the kernel sees the process, in the cluster as the API
//! server sees its account.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::cmd;
use crate::promise::{Promise, Suite};
use crate::received::text;
use crate::release::{self, NAMESPACE};

pub(crate) const SUITE: Suite = Suite {
    name: "security",
    promises: &[
        Promise { name: "the_pod_asks_for_no_privilege", check: pod_spec },
        Promise {
            name: "the_process_has_no_capability_and_cannot_gain_one_and_is_filtered_by_seccomp",
            check: process,
        },
        Promise { name: "the_account_has_the_listed_rights_and_nothing_beyond", check: rights },
    ],
};

fn pod_spec(cluster: &Cluster) -> Result<()> {
    release::ensure(cluster)?;
    let once = release::cluster_pod(cluster)?;
    ensure!(once["spec"]["securityContext"]["runAsNonRoot"] == true, "the cluster's pod is root");
    for pod in [release::agent_pod(cluster)?, release::receiver_pod(cluster)?, once] {
        let (name, spec) = (release::name(&pod), &pod["spec"]);
        for key in ["hostNetwork", "hostPID", "hostIPC"] {
            ensure!(spec[key] != true, "{name}: {key}");
        }
        ensure!(
            spec["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault",
            "{name}: seccomp {}",
            spec["securityContext"]["seccompProfile"]
        );
        let containers = spec["containers"].as_array().context("no containers")?;
        for container in containers {
            let context = &container["securityContext"];
            ensure!(context["privileged"] != true, "{name}: privileged");
            ensure!(context["allowPrivilegeEscalation"] == false, "{name}: {context}");
            ensure!(context["readOnlyRootFilesystem"] == true, "{name}: {context}");
            ensure!(context["capabilities"]["drop"] == json!(["ALL"]), "{name}: {context}");
            ensure!(context["capabilities"]["add"].is_null(), "{name}: {context}");
            // Only the spool's folder of the node can be written.
            for mount in container["volumeMounts"].as_array().into_iter().flatten() {
                let volumes = spec["volumes"].as_array().context("no volumes")?;
                let volume = volumes.iter().find(|volume| volume["name"] == mount["name"]);
                let on_node = volume.is_some_and(|volume| !volume["hostPath"].is_null());
                ensure!(
                    !on_node || mount["readOnly"] == true || mount["name"] == "spool",
                    "{name}: {mount} can be written on the node"
                );
            }
        }
    }
    Ok(())
}

fn process(cluster: &Cluster) -> Result<()> {
    release::ensure(cluster)?;
    let pod = release::agent_pod(cluster)?;
    let pid = release::container_pid(cluster, &release::container_id(&pod)?)?;
    let status = cluster.node_shell(&format!("cat /proc/{pid}/status"))?;
    let field = |name: &str| -> Result<&str> {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.map(str::trim).with_context(|| format!("{name} is not in /proc/{pid}/status"))
    };
    ensure!(field("Name")? == "hawsepipe", "process {pid} is {}", field("Name")?);
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        ensure!(field(set)? == "0000000000000000", "{set} is {}", field(set)?);
    }
    ensure!(field("NoNewPrivs")? == "1", "NoNewPrivs is {}", field("NoNewPrivs")?);
    // 2 is SECCOMP_MODE_FILTER (proc(5)).
    ensure!(field("Seccomp")? == "2", "Seccomp is {}", field("Seccomp")?);
    let mounts = cluster.node_shell(&format!("cat /proc/{pid}/mountinfo"))?;
    let root = mounts.lines().find(|line| line.split(' ').nth(4) == Some("/"));
    let options = root.and_then(|line| line.split(' ').nth(5)).context("no root mount")?;
    ensure!(options.split(',').any(|option| option == "ro"), "the root is mounted {options}");
    Ok(())
}

fn rights(cluster: &Cluster) -> Result<()> {
    release::ensure(cluster)?;
    let agent = [
        " pods [] get",
        " pods [] list",
        " pods [] watch",
        " nodes [] get",
        " nodes [] list",
        " nodes [] watch",
        " namespaces [kube-system] get",
        "batch jobs [] get",
        " nodes/stats [] get",
    ];
    only(cluster, &release::agent_pod(cluster)?, &agent, &[])?;
    let mut once = vec![
        " events [] get".to_owned(),
        " events [] list".to_owned(),
        " events [] watch".to_owned(),
        "events.k8s.io events [] get".to_owned(),
        "events.k8s.io events [] list".to_owned(),
        "events.k8s.io events [] watch".to_owned(),
        " namespaces [kube-system] get".to_owned(),
    ];
    // What the collectors of the cluster's objects read: METRICS.md.
    for (group, resources) in [
        (
            "",
            "namespaces nodes persistentvolumeclaims persistentvolumes pods replicationcontrollers resourcequotas services",
        ),
        ("apps", "daemonsets deployments replicasets statefulsets"),
        ("autoscaling", "horizontalpodautoscalers"),
        ("batch", "cronjobs jobs"),
        ("discovery.k8s.io", "endpointslices"),
    ] {
        for resource in resources.split(' ') {
            once.extend(["list", "watch"].map(|verb| format!("{group} {resource} [] {verb}")));
        }
    }
    let once: Vec<&str> = once.iter().map(String::as_str).collect();
    let lease = [
        "coordination.k8s.io leases [] create",
        "coordination.k8s.io leases [hawsepipe] get",
        "coordination.k8s.io leases [hawsepipe] update",
    ];
    only(cluster, &release::cluster_pod(cluster)?, &once, &lease)
}

/// A pod's account has these rights everywhere, those in its own namespace besides, and no other.
fn only(cluster: &Cluster, pod: &Value, everywhere: &[&str], at_home: &[&str]) -> Result<()> {
    let account = text(&pod["spec"]["serviceAccountName"]);
    for namespace in [NAMESPACE, "kube-system", "default"] {
        let has =
            rules(cluster, namespace, &format!("system:serviceaccount:{NAMESPACE}:{account}"))?;
        // What every account has: to ask what it may do, and to read the discovery documents.
        let everyone = rules(cluster, namespace, "system:serviceaccount:default:default")?;
        let beyond: BTreeSet<&str> = has.difference(&everyone).map(String::as_str).collect();
        let at_home = at_home.iter().filter(|_| namespace == NAMESPACE);
        let allowed: BTreeSet<&str> = everywhere.iter().chain(at_home).copied().collect();
        ensure!(
            beyond == allowed,
            "{account} in {namespace}: it has {beyond:#?}, needed are {allowed:#?}"
        );
    }
    let user = format!("--as=system:serviceaccount:{NAMESPACE}:{account}");
    let list = cluster.kubectl(&["auth", "can-i", "--list", &user, "-n", NAMESPACE])?;
    println!("{list}");
    Ok(())
}

/// What `kubectl auth can-i --list` asks, taken apart: one `GROUP RESOURCE [NAMES] VERB` each.
fn rules(cluster: &Cluster, namespace: &str, user: &str) -> Result<BTreeSet<String>> {
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": namespace},
    });
    let mut command = cluster.kubectl_command();
    command
        .args(["create", "-f", "-", "-o", "json", "--validate=false"])
        .arg(format!("--as={user}"));
    // Asked with the groups that a service account's token carries.
    for group in ["system:serviceaccounts", "system:authenticated"] {
        command.arg(format!("--as-group={group}"));
    }
    let account_namespace = user.split(':').nth(2).unwrap_or_default();
    command.arg(format!("--as-group=system:serviceaccounts:{account_namespace}"));
    let answer = cmd::with_input(&mut command, review.to_string().as_bytes())?;
    let answer: Value = serde_json::from_str(&answer)?;
    ensure!(answer["status"]["incomplete"] != true, "the list is not complete: {answer}");
    let mut rules = BTreeSet::new();
    let texts = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().map(text).collect()
    };
    for rule in answer["status"]["resourceRules"].as_array().into_iter().flatten() {
        let names = texts(&rule["resourceNames"]).join(",");
        for group in texts(&rule["apiGroups"]) {
            for resource in texts(&rule["resources"]) {
                for verb in texts(&rule["verbs"]) {
                    rules.insert(format!("{group} {resource} [{names}] {verb}"));
                }
            }
        }
    }
    for rule in answer["status"]["nonResourceRules"].as_array().into_iter().flatten() {
        for url in texts(&rule["nonResourceURLs"]) {
            for verb in texts(&rule["verbs"]) {
                rules.insert(format!("{url} {verb}"));
            }
        }
    }
    Ok(rules)
}
