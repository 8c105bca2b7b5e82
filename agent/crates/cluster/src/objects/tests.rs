//! What is kept of each kind, and that a store is what was put into it.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// The store's only object of a kind, read from JSON.
fn kept<K: Kept>(object: &Value) -> Arc<K> {
    let store = ObjectStore::new();
    store.apply_json(K::KIND, object).unwrap();
    store.all::<K>().pop().unwrap()
}

fn meta(extra: &Value) -> Value {
    let mut meta = json!({"name": "it", "namespace": "shop", "uid": "8d3a1f52-1f0b-4a6e-9f5c-0d5b7a1c2e3f",
        "resourceVersion": "48211", "generation": 3, "creationTimestamp": "2026-11-20T10:15:02Z",
        "managedFields": [{"manager": "kubectl"}]});
    for (key, value) in extra.as_object().unwrap() {
        meta[key] = value.clone();
    }
    meta
}

fn at(text: &str) -> Option<Time> {
    Time::from_second(text.parse::<jiff::Timestamp>().unwrap().as_second())
}

fn whole(list: &ResourceList, resource: &str) -> Option<u64> {
    list.get(resource).map(Quantity::whole)
}

#[test]
fn of_metadata_is_kept_who_it_is_and_whose() {
    let object = kept::<Job>(&json!({"metadata": meta(&json!({
        "ownerReferences": [
            {"apiVersion": "v1", "kind": "ConfigMap", "name": "other", "uid": "o"},
            {"apiVersion": "batch/v1", "kind": "CronJob", "name": "report", "uid": "cron-uid", "controller": true}],
        "annotations": {"batch.kubernetes.io/cronjob-scheduled-timestamp": "2026-11-20T11:15:00+01:00",
            "resource.opentelemetry.io/service.namespace": "billing", "other": "x"},
        "labels": {"app": "web"}, "deletionTimestamp": "2026-11-21T00:00:00Z"}))}));
    let meta = &object.metadata;
    assert_eq!((&*meta.name, &*meta.namespace), ("it", "shop"));
    assert_eq!(meta.uid.to_string(), "8d3a1f52-1f0b-4a6e-9f5c-0d5b7a1c2e3f");
    assert_eq!((meta.resource_version, meta.generation), (48211, 3));
    assert_eq!(
        (meta.created, meta.deleted),
        (at("2026-11-20T10:15:02Z"), at("2026-11-21T00:00:00Z"))
    );
    let owner = meta.owner_of_kind("CronJob").unwrap();
    assert_eq!(
        (&*owner.group, &*owner.name, owner.uid.to_string()),
        ("batch", "report", "cron-uid".to_owned())
    );
    assert!(meta.owner_of_kind("ConfigMap").is_none());
    assert_eq!(meta.service_namespace(), "billing");
    assert_eq!(meta.cronjob_scheduled(), at("2026-11-20T10:15:00Z"));
    assert_eq!(meta.service_name(), "");
}

#[test]
fn of_a_pod_is_kept_what_its_containers_ask_for_and_how_they_are() {
    let id = "4f2b6a".repeat(10) + "0123";
    let pod = kept::<Pod>(&json!({"metadata": meta(&json!({})),
        "spec": {"nodeName": "node-1", "restartPolicy": "Always",
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data-web-0"}},
                {"name": "scratch", "ephemeral": {"volumeClaimTemplate": {}}}, {"name": "config", "configMap": {}}],
            "initContainers": [{"name": "mesh", "restartPolicy": "Always"}],
            "containers": [{"name": "web", "image": "web:1", "resources": {
                "requests": {"cpu": "250m", "memory": "64Mi"},
                "limits": {"cpu": "many", "ephemeral-storage": "1Gi", "example.com/gpu": "2"}}}, {"name": "old"}]},
        "status": {"phase": "Running", "qosClass": "Burstable", "startTime": "2026-11-20T10:15:03Z",
            "conditions": [{"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-11-20T10:15:03Z"},
                {"type": "Ready", "status": "False", "reason": "ContainersNotReady"}],
            "initContainerStatuses": [{"name": "mesh", "state": {"running": {"startedAt": "2026-11-20T10:15:04Z"}}}],
            "containerStatuses": [
                {"name": "web", "containerID": format!("containerd://{id}"), "ready": true, "restartCount": 4,
                 "imageID": "docker.io/web@sha256:1", "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                 "lastState": {"terminated": {"reason": "OOMKilled", "exitCode": 137,
                    "finishedAt": "2026-11-20T11:00:00Z"}}},
                {"name": "old", "state": {"terminated": {"reason": "Completed", "exitCode": 0}}},
                {"name": "new", "state": null}]}}));
    assert_eq!((&*pod.spec.node_name, pod.status.phase), ("node-1", PodPhase::Running));
    assert_eq!(pod.status.qos_class.as_str(), "Burstable");
    let claims: Vec<_> = pod.spec.claims.0.iter().map(|it| (&*it.volume, &*it.claim)).collect();
    assert_eq!(claims, [("data", "data-web-0"), ("scratch", "")]);
    let ResourceRequirements { requests, limits } = &pod.container("web").unwrap().resources;
    assert_eq!(requests.get("cpu").map(Quantity::units), Some(0.25));
    assert_eq!(whole(requests, "memory"), Some(64 << 20));
    assert_eq!((limits.get("cpu"), whole(limits, "example.com/gpu")), (None, Some(2)));
    assert_eq!(pod.container("mesh").unwrap().restart_policy, RestartPolicy::Always);
    assert_eq!(pod.status.conditions.status("PodScheduled"), ConditionStatus::True);
    assert_eq!(pod.status.conditions.get("Ready").unwrap().reason, "ContainersNotReady");
    assert_eq!(pod.status.conditions.status("Initialized"), ConditionStatus::Unknown);

    let [web, old, new] = &*pod.status.container_statuses else { panic!("three") };
    assert_eq!((web.ready, web.restart_count, &*web.image_id), (true, 4, "docker.io/web@sha256:1"));
    assert_eq!((web.container_id.to_string(), &*web.container_id.runtime), (id, "containerd"));
    assert_eq!((web.state.as_str(), web.state.reason()), ("waiting", "CrashLoopBackOff"));
    let last = web.last_terminated.as_deref().unwrap();
    assert_eq!((&*last.reason, last.exit_code), ("OOMKilled", 137));
    assert_eq!(last.finished_at, at("2026-11-20T11:00:00Z"));
    assert_eq!((old.state.as_str(), old.state.reason()), ("terminated", "Completed"));
    assert_eq!(new.state, ContainerState::default());
    let started_at = at("2026-11-20T10:15:04Z");
    assert_eq!(pod.status.init_container_statuses[0].state, ContainerState::Running { started_at });
}

#[test]
fn pods_of_the_same_containers_share_them() {
    let pod = json!({"metadata": {"uid": "a"}, "spec": {"containers": [
        {"name": "web", "image": "shared:1", "resources": {"requests": {"cpu": "1"}}}]}});
    let (a, b) = (kept::<Pod>(&pod), kept::<Pod>(&pod));
    assert!(Arc::ptr_eq(&a.spec.containers, &b.spec.containers));
}

#[test]
fn of_nodes_and_namespaces_is_kept_how_they_are() {
    let node = kept::<Node>(&json!({"metadata": meta(&json!({})),
        "spec": {"unschedulable": true, "providerID": "hcloud://7", "taints": [
            {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule", "timeAdded": "2026-11-20T10:15:02Z"}]},
        "status": {"capacity": {"cpu": "4", "pods": "110"}, "allocatable": {"cpu": "3800m", "memory": "7Gi"},
            "conditions": [{"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown"}],
            "images": [{"names": ["x"]}],
            "nodeInfo": {"kubeletVersion": "v1.34.1", "containerRuntimeVersion": "containerd://2.1.4",
                "osImage": "Debian", "operatingSystem": "linux", "kernelVersion": "6.12", "architecture": "arm64"}}}));
    assert!(node.spec.unschedulable);
    assert_eq!(node.spec.taints[0].key, "node.kubernetes.io/unschedulable");
    assert_eq!(whole(&node.status.capacity, "pods"), Some(110));
    assert_eq!(node.status.allocatable.get("cpu").map(Quantity::units), Some(3.8));
    assert_eq!(node.status.conditions.status("Ready"), ConditionStatus::Unknown);
    assert_eq!(node.status.node_info.kubelet_version, "v1.34.1");
    let namespace = kept::<Namespace>(
        &json!({"metadata": meta(&json!({})), "status": {"phase": "Terminating"}}),
    );
    assert_eq!(namespace.status.phase, NamespacePhase::Terminating);
}

#[test]
fn of_workloads_is_kept_how_many_there_are_and_are_to_be() {
    let deployment = kept::<Deployment>(&json!({"metadata": meta(&json!({})),
        "spec": {"replicas": 5, "paused": true, "template": {}},
        "status": {"observedGeneration": 2, "replicas": 6, "updatedReplicas": 4, "readyReplicas": 3,
            "availableReplicas": 2, "unavailableReplicas": 4,
            "conditions": [{"type": "Available", "status": "False", "reason": "MinimumReplicasUnavailable"}]}}));
    assert_eq!((deployment.spec.replicas, deployment.spec.paused), (5, true));
    let status = &deployment.status;
    assert_eq!((status.observed_generation, status.replicas, status.updated_replicas), (2, 6, 4));
    assert_eq!(
        (status.ready_replicas, status.available_replicas, status.unavailable_replicas),
        (3, 2, 4)
    );
    assert_eq!(status.conditions.status("Available"), ConditionStatus::False);

    let set = kept::<StatefulSet>(&json!({"metadata": meta(&json!({})), "spec": {"replicas": 3},
        "status": {"replicas": 3, "currentReplicas": 1, "updatedReplicas": 2, "readyReplicas": 3}}));
    assert_eq!(
        (set.spec.replicas, set.status.current_replicas, set.status.updated_replicas),
        (3, 1, 2)
    );

    let set = kept::<DaemonSet>(
        &json!({"metadata": meta(&json!({})), "status": {"desiredNumberScheduled": 7,
        "currentNumberScheduled": 6, "numberMisscheduled": 1, "numberReady": 5, "updatedNumberScheduled": 4,
        "numberAvailable": 3, "numberUnavailable": 2}}),
    );
    let status = &set.status;
    assert_eq!((status.desired_number_scheduled, status.current_number_scheduled), (7, 6));
    assert_eq!((status.number_misscheduled, status.number_ready), (1, 5));
    assert_eq!(
        (status.updated_number_scheduled, status.number_available, status.number_unavailable),
        (4, 3, 2)
    );

    let controller = kept::<ReplicationController>(
        &json!({"metadata": meta(&json!({})), "spec": {"replicas": 2},
        "status": {"replicas": 2, "readyReplicas": 1, "availableReplicas": 1}}),
    );
    assert_eq!((controller.spec.replicas, controller.status.available_replicas), (2, 1));
    let set =
        kept::<ReplicaSet>(&json!({"kind": "PartialObjectMetadata", "metadata": meta(&json!({}))}));
    assert_eq!(&*set.metadata.name, "it");
}

#[test]
fn of_jobs_is_kept_what_their_heartbeats_are_made_of() {
    let job = kept::<Job>(&json!({"metadata": meta(&json!({})),
        "spec": {"completions": 2, "parallelism": 1, "backoffLimit": 6, "suspend": false},
        "status": {"active": 1, "succeeded": 1, "failed": 7, "startTime": "2026-11-20T10:15:02Z",
            "conditions": [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}]}}));
    assert_eq!(
        (job.spec.completions, job.spec.parallelism, job.spec.active_deadline_seconds),
        (Some(2), Some(1), None)
    );
    assert_eq!((job.status.active, job.status.succeeded, job.status.failed), (1, 1, 7));
    assert_eq!(
        (job.status.start_time, job.status.completion_time),
        (at("2026-11-20T10:15:02Z"), None)
    );
    assert_eq!(job.succeeded(), Some(false));
    assert_eq!(Job::default().succeeded(), None);

    let cronjob = kept::<CronJob>(&json!({"metadata": meta(&json!({})),
        "spec": {"schedule": "*/5 * * * *", "timeZone": "Europe/Berlin", "startingDeadlineSeconds": 30,
            "concurrencyPolicy": "Forbid", "suspend": true, "jobTemplate": {}},
        "status": {"active": [{"name": "a"}, {"name": "b"}], "lastScheduleTime": "2026-11-20T10:15:00Z"}}));
    assert_eq!(
        (&*cronjob.spec.schedule, &*cronjob.spec.time_zone),
        ("*/5 * * * *", "Europe/Berlin")
    );
    assert_eq!(cronjob.spec.starting_deadline_seconds, Some(30));
    assert_eq!(
        (cronjob.spec.concurrency_policy, cronjob.spec.suspend),
        (ConcurrencyPolicy::Forbid, true)
    );
    assert_eq!(
        (cronjob.status.active, cronjob.status.last_schedule_time),
        (2, at("2026-11-20T10:15:00Z"))
    );
}

#[test]
fn of_volumes_autoscalers_and_quotas_is_kept_how_much_there_is() {
    let volume = kept::<PersistentVolume>(&json!({"metadata": meta(&json!({})),
        "spec": {"capacity": {"storage": "10Gi"}, "storageClassName": "fast",
            "persistentVolumeReclaimPolicy": "Retain", "claimRef": {"namespace": "shop", "name": "data"}},
        "status": {"phase": "Bound"}}));
    assert_eq!(whole(&volume.spec.capacity, "storage"), Some(10 << 30));
    assert_eq!(
        (&*volume.spec.storage_class_name, volume.status.phase),
        ("fast", PersistentVolumePhase::Bound)
    );
    assert_eq!((&*volume.spec.claim_ref.name, &*volume.spec.reclaim_policy), ("data", "Retain"));
    let claim = kept::<PersistentVolumeClaim>(&json!({"metadata": meta(&json!({})),
        "spec": {"resources": {"requests": {"storage": "8Gi"}}, "volumeName": "pv-1", "storageClassName": "fast"},
        "status": {"phase": "Lost", "capacity": {"storage": "10Gi"}}}));
    assert_eq!(whole(&claim.spec.resources.requests, "storage"), Some(8 << 30));
    assert_eq!(
        (claim.status.phase, &*claim.spec.volume_name),
        (PersistentVolumeClaimPhase::Lost, "pv-1")
    );
    let scaler = kept::<HorizontalPodAutoscaler>(&json!({"metadata": meta(&json!({})),
        "spec": {"minReplicas": 2, "maxReplicas": 9,
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}},
        "status": {"currentReplicas": 3, "desiredReplicas": 4}}));
    assert_eq!((scaler.spec.min_replicas, scaler.spec.max_replicas), (Some(2), 9));
    assert_eq!((scaler.status.current_replicas, scaler.status.desired_replicas), (3, 4));
    assert_eq!(
        (&*scaler.spec.scale_target_ref.kind, &*scaler.spec.scale_target_ref.name),
        ("Deployment", "web")
    );
    let quota = kept::<ResourceQuota>(&json!({"metadata": meta(&json!({})),
        "status": {"hard": {"requests.cpu": "2", "pods": "10"}, "used": {"requests.cpu": "1500m", "pods": "3"}}}));
    assert_eq!(quota.status.used.get("requests.cpu").map(Quantity::units), Some(1.5));
    assert_eq!(whole(&quota.status.hard, "pods"), Some(10));
}

#[test]
fn of_services_is_kept_whom_they_select_and_of_slices_how_many_endpoints_there_are() {
    let service = kept::<Service>(&json!({"metadata": meta(&json!({})),
        "spec": {"type": "LoadBalancer", "selector": {"tier": "front", "app": "web"}, "trafficDistribution": "PreferClose"},
        "status": {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}, {"hostname": "x"}]}}}));
    assert_eq!(
        (service.spec.kind, service.status.load_balancer.ingress),
        (ServiceType::LoadBalancer, 2)
    );
    assert_eq!(
        *service.spec.selector.0,
        [("app".into(), "web".into()), ("tier".into(), "front".into())]
    );

    let slice = kept::<EndpointSlice>(&json!({"addressType": "IPv6",
        "metadata": meta(&json!({"labels": {"kubernetes.io/service-name": "web", "other": "x"}})),
        "endpoints": [
            {"zone": "b", "conditions": {"ready": false, "serving": true, "terminating": true}},
            {"zone": "a", "conditions": {"ready": true}}, {"zone": "a", "conditions": {"ready": false}},
            {"zone": "a"}, {"conditions": null}]}));
    assert_eq!((slice.metadata.service_name(), slice.address_type), ("web", AddressType::IPv6));
    let zone = |zone: &str, all, ready, serving, terminating| ZoneEndpoints {
        zone: zone.into(),
        all,
        ready,
        serving,
        terminating,
    };
    let expected = [zone("", 1, 1, 1, 0), zone("a", 3, 2, 2, 0), zone("b", 1, 0, 1, 1)];
    assert_eq!(*slice.endpoints.0, expected);
    let none = kept::<EndpointSlice>(&json!({"metadata": {"uid": "e"}, "endpoints": null}));
    assert!(none.endpoints.0.is_empty());
}

#[test]
fn an_object_that_says_nothing_is_an_object_and_one_without_a_uid_is_none() {
    for &kind in ObjectKind::ALL {
        let store = ObjectStore::new();
        let nulls = json!({"metadata": {"uid": "x", "name": null, "annotations": null, "labels": null,
            "ownerReferences": null, "creationTimestamp": null}, "spec": null, "status": null});
        store.apply_json(kind, &nulls).unwrap();
        assert_eq!(store.count(kind), 1, "{kind:?}");
        let error = store.apply_json(kind, &json!({"metadata": {"name": "x"}})).unwrap_err();
        assert_eq!(error.to_string(), format!("a {} without metadata.uid", kind.name()));
        let error = store.apply_json(kind, &json!({"metadata": 7})).unwrap_err();
        assert!(error.to_string().contains("cannot be read as a"), "{error}");
    }
}

#[test]
fn a_word_that_is_not_known_is_none_and_the_rest_is_good() {
    let pod = kept::<Pod>(
        &json!({"metadata": {"uid": "x", "resourceVersion": "new", "creationTimestamp": "soon"},
        "status": {"phase": "Dreaming", "qosClass": null, "reason": "Evicted"}}),
    );
    assert_eq!(
        (pod.status.phase, pod.status.qos_class),
        (PodPhase::Unknown, QosClass::Unspecified)
    );
    assert_eq!((&*pod.status.reason, pod.metadata.resource_version), ("Evicted", 0));
    assert_eq!(pod.metadata.created, None);
}

/// What is done to a store.
#[derive(Debug, Clone)]
enum Step {
    Apply(u8, u8),
    Delete(u8),
    Replace(BTreeMap<u8, u8>),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..12_u8, any::<u8>()).prop_map(|(uid, state)| Step::Apply(uid, state)),
        2 => (0..12_u8).prop_map(Step::Delete),
        1 => prop::collection::btree_map(0..12_u8, any::<u8>(), 0..12).prop_map(Step::Replace),
    ]
}

fn object(uid: u8, state: u8) -> Value {
    json!({"metadata": {"uid": uid.to_string(), "name": state.to_string()}})
}

/// What somebody knows who is told of every change.
#[derive(Default)]
struct Mirror(parking_lot::Mutex<BTreeMap<u8, u8>>);

fn told(object: &Object) -> (u8, u8) {
    let meta = object.metadata();
    (meta.uid.to_string().parse().unwrap(), meta.name.parse().unwrap())
}

impl ObjectWatcher for Mirror {
    fn changed(&self, change: &Change<'_>) {
        let mut mirror = self.0.lock();
        let before = change.before.map(told);
        match (before, change.after.map(told)) {
            (before, Some((uid, state))) => {
                assert_eq!(mirror.insert(uid, state), before.map(|(_, state)| state));
                assert_eq!(
                    change.store.get::<Service>(&change.after.unwrap().metadata().uid).map(|it| it
                        .metadata
                        .name
                        .parse()
                        .unwrap()),
                    Some(state)
                );
            }
            (Some((uid, _)), None) => assert!(mirror.remove(&uid).is_some()),
            (None, None) => panic!("nothing has changed"),
        }
    }
}

proptest! {
    #[test]
    fn prop_the_store_and_whoever_is_told_know_what_was_put_in_and_no_more(steps in prop::collection::vec(step(), 0..40)) {
        let (store, mirror) = (ObjectStore::new(), Arc::new(Mirror::default()));
        store.subscribe(mirror.clone());
        let mut model = BTreeMap::new();
        for step in steps {
            match step {
                Step::Apply(uid, state) => {
                    model.insert(uid, state);
                    store.apply_json(ObjectKind::Services, &object(uid, state)).unwrap();
                }
                Step::Delete(uid) => {
                    model.remove(&uid);
                    store.delete_json(ObjectKind::Services, &object(uid, 0)).unwrap();
                }
                Step::Replace(all) => {
                    let objects: Vec<_> = all.iter().map(|(uid, state)| object(*uid, *state)).collect();
                    store.replace_json(ObjectKind::Services, &objects).unwrap();
                    model = all;
                }
            }
            let known: BTreeMap<_, _> = store.all::<Service>().into_iter().map(|it| told(&Object::Service(it))).collect();
            prop_assert_eq!(&known, &model);
            prop_assert_eq!(&*mirror.0.lock(), &model);
        }
    }

    #[test]
    fn prop_a_uid_and_a_container_id_are_read_back_as_they_were(
        text in "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-fA-F-]{36}|\\PC{0,40}|[0-9a-f]{32}",
        id in "[0-9a-f]{64}|\\PC{0,70}",
    ) {
        prop_assert_eq!(Uid::from(text.as_str()).to_string(), text);
        let container = ContainerId::from(format!("cri-o://{id}").as_str());
        prop_assert_eq!((container.to_string(), &*container.runtime), (id, "cri-o"));
    }
}
