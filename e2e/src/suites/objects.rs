//! The state of the cluster's objects: every metric of every object is as the API server has it.

mod checks;
mod made;
mod rules;
mod told;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use self::made::{GOES, MADE};
use self::told::{Key, Values};
use crate::cluster::Cluster;
use crate::promise::{Promise, Suite};
use crate::received::text;
use crate::release::{self, NAMESPACE};
use crate::sink::Kept;
use crate::workload::Namespace;
use crate::{cmd, wait};

pub(crate) const SUITE: Suite = Suite {
    name: "objects",
    promises: &[Promise {
        name: "every_metric_of_every_object_is_as_the_api_server_has_it_and_a_kind_without_a_right_costs_no_other",
        check: as_the_api_server,
    }],
};

/// Short, so that a tick soon lies between two looks.
const INTERVAL: &str = "2s";
/// What was changed before is told at the next tick but one at the latest, zeros that end a series included.
const SETTLED: Duration = Duration::from_secs(5);
const SOON: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);
/// Every kind that is told of.
const KINDS: &str = "namespaces,nodes,deployments.apps,statefulsets.apps,daemonsets.apps,cronjobs.batch,jobs.batch,\
                     replicasets.apps,replicationcontrollers,pods,persistentvolumes,persistentvolumeclaims,\
                     horizontalpodautoscalers.autoscaling,resourcequotas,services,endpointslices.discovery.k8s.io";
/// The kind that is forbidden, and one that is told by the same collector.
const FORBIDDEN: &str = "persistentvolumeclaims";
const BESIDE: &str = "persistentvolumes";

/// What is made here beside the namespace: it goes, too.
struct ClusterWide<'a>(&'a Cluster);

impl Drop for ClusterWide<'_> {
    fn drop(&mut self) {
        let delete = ["delete", "namespaces,persistentvolumes", "-l", MADE, "--wait=false"];
        if let Err(error) = self.0.kubectl(&delete) {
            eprintln!("{error:#}");
        }
    }
}

fn as_the_api_server(cluster: &Cluster) -> Result<()> {
    // The agents of the nodes tell of restarts, unless they are asked of the objects.
    let pods = json!({"metrics": {"k8s.container.restarts": true}});
    let values = json!({"metrics": {"interval": INTERVAL, "collectors": {"cluster_pods": pods}}});
    let kept = Kept::install(cluster, values)?;
    let namespace = Namespace::create(cluster, "objects")?;
    let _cluster_wide = ClusterWide(cluster);
    let gone = wait::step("objects made, changed and deleted", || make(cluster, &namespace))?;
    let looked = wait::step("a tick between two looks", || look(cluster, &kept))?;
    compare(&looked, &gone)?;
    forbidden(cluster, &kept)
}

/// Makes all objects, changes a part and deletes a part; with the UIDs of what is gone.
fn make(cluster: &Cluster, namespace: &Namespace<'_>) -> Result<BTreeSet<String>> {
    let list =
        |items: &[Value]| json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string();
    let objects = made::all(&namespace.name);
    let mut create = cluster.kubectl_command();
    create.args(["create", "--validate=false", "-f", "-"]);
    cmd::with_input(&mut create, list(&objects).as_bytes())?;

    let of = namespace.name.as_str();
    let stays = format!("{MADE}=stays");
    let scale = ["scale", "--replicas=2", "-n", of, "-l", &stays];
    cluster.kubectl(&[&scale[..], &["deployments,statefulsets"]].concat())?;
    // Who replaces a status replaces the labels, too.
    let meta = |name: &str| json!({"name": name, "namespace": of, "labels": {MADE: "stays"}});
    let statuses = made::pod_statuses().into_iter().map(|(name, status)| {
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": meta(&name), "status": status,
        })
    });
    let ingress =
        json!([{"ip": "192.0.2.1", "ipMode": "VIP"}, {"ip": "192.0.2.2", "ipMode": "VIP"}]);
    let balanced = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": meta("service-0"),
        "status": {"loadBalancer": {"ingress": ingress}},
    });
    let statuses: Vec<_> = statuses.chain([balanced]).collect();
    let mut replace = cluster.kubectl_command();
    replace.args(["replace", "--subresource=status", "--validate=false", "-f", "-"]);
    cmd::with_input(&mut replace, list(&statuses).as_bytes())?;

    let goes = format!("{MADE}={GOES}");
    let goes = ["get", KINDS, "-A", "-l", &goes, "-o", "json"];
    let gone: Value = serde_json::from_str(&cluster.kubectl(&goes)?)?;
    let gone: Vec<_> = gone["items"].as_array().cloned().unwrap_or_default();
    ensure!(gone.len() == objects.len() / 5, "{} objects to delete", gone.len());
    let mut delete = cluster.kubectl_command();
    delete.args(["delete", "--wait=true", "--timeout=60s", "-f", "-"]);
    cmd::with_input(&mut delete, list(&gone).as_bytes())?;
    Ok(gone.iter().map(release::uid).collect())
}

/// The cluster between two looks.
struct Looked {
    objects: Vec<Value>,
    /// UIDs of what was not the same at both.
    moved: BTreeSet<String>,
    /// What was told of a tick between them.
    points: Values,
}

/// Looks until nothing of what was made here has changed from one look to the next, with a tick between them.
fn look(cluster: &Cluster, kept: &Kept<'_>) -> Result<Looked> {
    wait::until("two looks that agree, with a tick between them", SOON, SECOND, || {
        let objects = all(cluster)?;
        let (since, position) = (unix_nanoseconds(SETTLED)?, kept.sink.position()?);
        wait::until("two ticks", SOON, SECOND, || {
            let mut times = BTreeSet::new();
            kept.sink.each_since(position, |point| {
                if point.name == "k8s.namespace.phase" && point.time > since {
                    times.insert(point.time);
                }
                Ok(())
            })?;
            // More than an interval: the first of them is whole.
            let apart = times.last().zip(times.first()).map(|(last, first)| last - first);
            Ok(apart.is_some_and(|apart| apart > 3_000_000_000).then_some(()))
        })?;
        let until = unix_nanoseconds(Duration::ZERO)?;
        let after = all(cluster)?;
        let after: BTreeMap<_, _> =
            after.iter().map(|object| (release::uid(object), object)).collect();
        let mut moved = BTreeSet::new();
        for object in &objects {
            let uid = release::uid(object);
            if after.get(&uid) == Some(&object) {
                continue;
            }
            ensure!(object["metadata"]["labels"][MADE].is_null(), "it changed: {object}");
            // A Service is told of by its slices.
            let of_it = &object["metadata"]["labels"]["kubernetes.io/service-name"];
            let its = objects.iter().filter(|service| {
                let meta = &service["metadata"];
                service["kind"] == "Service"
                    && meta["name"] == *of_it
                    && meta["namespace"] == object["metadata"]["namespace"]
            });
            moved.extend(its.map(release::uid).chain([uid]));
        }
        let mut points = Values::new();
        kept.sink.each_since(position, |point| {
            let key = told::key(&point).filter(|_| (since..until).contains(&point.time));
            if let Some(key) = key.filter(|(_, about, _)| !moved.contains(uid_of(about))) {
                let before = points.insert(key.clone(), point.value);
                ensure!(before.is_none_or(|it| it == point.value), "{key:?} changed: {before:?}");
            }
            Ok(())
        })?;
        Ok(Some(Looked { objects, moved, points }))
    })
}

/// The UID in what a key is about.
fn uid_of(about: &str) -> &str {
    about.split('/').next().unwrap_or_default()
}

/// The moment that lies so far ahead.
fn unix_nanoseconds(ahead: Duration) -> Result<u64> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    Ok(u64::try_from((now + ahead).as_nanos())?)
}

/// Every object of every kind.
fn all(cluster: &Cluster) -> Result<Vec<Value>> {
    let list: Value = serde_json::from_str(&cluster.kubectl(&["get", KINDS, "-A", "-o", "json"])?)?;
    Ok(list["items"].as_array().cloned().unwrap_or_default())
}

/// Compares every value, and prints a table.
fn compare(looked: &Looked, gone: &BTreeSet<String>) -> Result<()> {
    let Looked { objects, moved, points } = looked;
    let mut expected = rules::expected(objects)?;
    expected.retain(|(_, about, _), _| !moved.contains(uid_of(about)));
    let differs = |key: &Key, value: f64| {
        points.get(key).is_none_or(|told| (told - value).abs() > 1e-9 * value.abs().max(1.0))
    };
    // By kind: objects, values, values that agree.
    let mut table: BTreeMap<String, [usize; 3]> = BTreeMap::new();
    let mut kinds = BTreeMap::new();
    for object in objects.iter().filter(|object| !moved.contains(&release::uid(object))) {
        let kind = text(&object["kind"]);
        table.entry(kind.clone()).or_default()[0] += 1;
        kinds.insert(release::uid(object), kind);
    }
    let mut wrong = Vec::new();
    for (key, value) in &expected {
        // Replica sets are counted by namespace.
        let kind = kinds.get(uid_of(&key.1)).map_or("ReplicaSet", String::as_str);
        let row = table.entry(kind.to_owned()).or_default();
        row[1] += 1;
        if differs(key, *value) {
            wrong.push(format!("{key:?}: {value}, and we say {:?}", points.get(key)));
        } else {
            row[2] += 1;
        }
    }
    println!("          {:<24} {:>7} {:>7} {:>7}", "kind", "objects", "values", "agree");
    let all = table.values().fold([0; 3], |sum, row| [0, 1, 2].map(|at| sum[at] + row[at]));
    for (kind, [objects, values, agree]) in table.into_iter().chain([("all".to_owned(), all)]) {
        println!("          {kind:<24} {objects:>7} {values:>7} {agree:>7}");
    }
    println!("          {} that changed between the looks are left out", moved.len());
    ensure!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), first(&wrong));
    let beyond = points.keys().filter(|key| !expected.contains_key(*key));
    let beyond: Vec<_> = beyond.map(|key| format!("{key:?}")).collect();
    let of_gone = points.keys().filter(|(_, about, _)| gone.contains(uid_of(about)));
    ensure!(of_gone.count() == 0, "what is deleted is told of:\n{}", first(&beyond));
    ensure!(beyond.is_empty(), "{} that nobody expects:\n{}", beyond.len(), first(&beyond));
    let ours = objects.iter().filter(|object| !object["metadata"]["labels"][MADE].is_null());
    let ours = ours.count();
    ensure!(ours >= 400, "{ours} of those that were made are left");
    Ok(())
}

/// The first few lines.
fn first(lines: &[String]) -> String {
    lines.iter().take(20).map(String::as_str).collect::<Vec<_>>().join("\n")
}

/// Without the right to one kind, that kind alone is missing, and it is said why.
fn forbidden(cluster: &Cluster, kept: &Kept<'_>) -> Result<()> {
    let role = format!("{0}.{NAMESPACE}-cluster", release::RELEASE);
    let mut object = cluster.get(&["clusterrole", &role])?;
    let mut taken = 0;
    for rule in object["rules"].as_array_mut().into_iter().flatten() {
        if let Some(resources) = rule["resources"].as_array_mut() {
            taken += resources.len();
            resources.retain(|resource| resource != FORBIDDEN);
            taken -= resources.len();
        }
    }
    ensure!(taken == 1, "{taken} rules of {role} were about {FORBIDDEN}");
    cmd::with_input(
        cluster.kubectl_command().args(["replace", "-f", "-"]),
        object.to_string().as_bytes(),
    )?;
    let before = release::name(&release::cluster_pod(cluster)?);
    cluster.kubectl(&["delete", "pod", &before, "-n", NAMESPACE])?;
    release::wait_ready(cluster)?;
    let pod = release::name(&release::cluster_pod(cluster)?);
    let status = wait::until("all other kinds", SOON, SECOND, || {
        let status: Value = serde_json::from_str(&release::admin(cluster, &pod, "status")?)?;
        let kinds = status["objects"].as_object().context("it does not lead yet")?;
        let known = |(name, kind): (&String, &Value)| {
            let known = !kind["syncedSince"].is_null();
            if name == FORBIDDEN { !known && !kind["off"].is_null() } else { known }
        };
        Ok((kinds.len() == KINDS.split(',').count() && kinds.iter().all(known)).then_some(status))
    })?;
    let off = &status["objects"][FORBIDDEN]["off"];
    let (message, remedy) = (text(&off["message"]), text(&off["remedy"]));
    ensure!(message.contains("forbidden") && remedy.contains(FORBIDDEN), "{off}");

    let position = kept.sink.position()?;
    let mut seen = BTreeSet::new();
    wait::until("points of the other kinds", SOON, SECOND, || {
        kept.sink.each_since(position, |point| {
            if told::key(&point).is_some() {
                seen.insert(point.name);
            }
            Ok(())
        })?;
        let told = |kind: &str| seen.iter().any(|name| name.contains(kind));
        let others = ["k8s.persistentvolume.", "k8s.pod.", "k8s.hpa.", "k8s.service."];
        Ok(others.iter().all(|kind| told(kind)).then_some(()))
    })
    .with_context(|| format!("{BESIDE} and others are to be told"))?;
    ensure!(!seen.iter().any(|name| name.contains("persistentvolumeclaim")), "{seen:?}");

    let log = cluster.kubectl(&["logs", &pod, "-n", NAMESPACE])?;
    let warned = log.lines().filter(|line| line.contains("WARN") && line.contains(FORBIDDEN));
    let warned: Vec<_> = warned.collect();
    ensure!(warned.len() == 1, "{} lines: {warned:#?}", warned.len());
    println!("          without a right: {remedy}");
    Ok(())
}
