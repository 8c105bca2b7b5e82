//! How pods and the node are followed, against a fake API server in memory (`support/fake_api.rs`): a mock. The same
//! promises are tested on a real API server in the end-to-end tests. Time is tokio's paused clock: minutes pass at
//! once, and nothing depends on how fast the machine is.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test may, its helpers too

#[allow(dead_code)] // of what it can do, this needs a part
#[path = "support/fake_api.rs"]
mod fake_api;

use std::sync::Arc;
use std::time::Duration;

use fake_api::FakeApi;
use hawsepipe_cluster::{Cluster, ClusterError, Handle, Rights, Settings, check_rights_with};
use hawsepipe_model::PodDirectory;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

/// Longer than any wait in the crate.
const DEADLINE: Duration = Duration::from_secs(15 * 60);

fn start(api: &FakeApi) -> (Handle, CancellationToken) {
    let stop = CancellationToken::new();
    let settings = Settings::of_node("node-1");
    (Cluster::start_with(api.client(), settings, stop.clone()).unwrap(), stop)
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < DEADLINE, "never: {what}");
        sleep(Duration::from_millis(50)).await;
    }
}

fn pod(uid: &str) -> Value {
    json!({
        "metadata": {"name": format!("web-{uid}"), "namespace": "shop", "uid": uid, "labels": {"app": "web"}},
        "spec": {"nodeName": "node-1", "containers": [{"name": "web", "image": "web:1"}]},
        "status": {"podIP": "10.0.0.1"}
    })
}

fn job_pod(uid: &str) -> Value {
    let mut pod = pod(uid);
    pod["metadata"]["ownerReferences"] = json!([{"apiVersion": "batch/v1", "kind": "Job",
        "name": "report-1", "uid": "job-uid", "controller": true}]);
    pod
}

fn job(uid: &str) -> Value {
    json!({"metadata": {"name": "report-1", "namespace": "shop", "uid": uid, "ownerReferences": [
        {"apiVersion": "batch/v1", "kind": "CronJob", "name": "report", "uid": "cron-uid", "controller": true}]}})
}

fn cronjob(pods: &Arc<dyn PodDirectory>, uid: &str) -> Option<String> {
    pods.pod(uid)?.attributes.str("k8s.cronjob.name").map(str::to_owned)
}

#[tokio::test(start_paused = true)]
async fn the_watch_cache_is_asked_for_this_nodes_pods_and_this_node_alone() {
    let api = FakeApi::default();
    api.put("pods", pod("uid-1"));
    api.put("nodes", json!({"metadata": {"name": "node-1", "uid": "n-uid"}, "spec": {"providerID": "hcloud://7"}}));
    api.put("namespaces", json!({"metadata": {"name": "kube-system", "uid": "cluster-uid"}}));
    let (handle, _stop) = start(&api);
    let pods = handle.cluster().directory();
    until("the pod is known", || pods.pod("uid-1").is_some()).await;
    until("the cluster is known", || pods.node().attributes.str("k8s.cluster.uid").is_some()).await;
    until("the node is known", || pods.node().attributes.str("host.id") == Some("7")).await;
    until("watching", || api.requests("/api/v1/pods").len() == 2).await;

    let requests = api.requests("/api/v1/pods");
    assert!(requests[0].contains("fieldSelector=spec.nodeName%3Dnode-1"), "{requests:?}");
    assert!(requests[0].contains("resourceVersion=0"), "{requests:?}");
    assert!(requests[1].contains("watch=true"), "{requests:?}");
    assert!(requests[1].contains("fieldSelector=spec.nodeName%3Dnode-1"), "{requests:?}");
    assert!(requests[1].contains("allowWatchBookmarks=true"), "{requests:?}");
    assert!(requests[1].contains("resourceVersion=3"), "from where the list ended: {requests:?}");
    let nodes = api.requests("/api/v1/nodes");
    assert!(
        nodes.iter().all(|uri| uri.contains("fieldSelector=metadata.name%3Dnode-1")),
        "{nodes:?}"
    );
    assert!(nodes[0].contains("resourceVersion=0"), "{nodes:?}");
    assert!(pods.expected());
    assert_eq!(pods.node().attributes.str("k8s.cluster.uid"), Some("cluster-uid"));
}

#[tokio::test(start_paused = true)]
async fn agents_that_start_together_spread_what_they_ask_over_five_seconds() {
    let apis: Vec<_> = (0..500).map(|_| FakeApi::default()).collect();
    let _agents: Vec<_> = apis.iter().map(start).collect();
    let asked = || apis.iter().map(|api| api.requests("/").len()).sum::<usize>();
    let mut seconds = Vec::new();
    for _ in 0..6 {
        let before = asked();
        sleep(Duration::from_secs(1)).await;
        seconds.push(asked() - before);
    }
    // Two lists, two watches and the namespace of each. 100 agents a second; the limit is five standard deviations above.
    assert_eq!(seconds.iter().sum::<usize>(), 5 * 500, "{seconds:?}");
    assert!(seconds.iter().all(|requests| *requests < 5 * 150), "{seconds:?}");
}

#[tokio::test(start_paused = true)]
async fn pods_are_followed_and_a_deleted_one_keeps_its_metadata() {
    let api = FakeApi::default();
    let (handle, _stop) = start(&api);
    let pods = handle.cluster().directory();
    until("connected", || handle.cluster().status().connected).await;
    api.put("pods", pod("uid-1"));
    until("the pod is known", || pods.pod("uid-1").is_some()).await;
    let mut changed = pod("uid-1");
    changed["metadata"]["labels"]["app"] = json!("shop");
    api.put("pods", changed);
    until("the change is known", || pods.pod("uid-1").unwrap().labels["app"] == "shop").await;
    api.delete("uid-1");
    until("the deletion is known", || handle.cluster().status().deleted_pods == 1).await;
    assert_eq!(handle.cluster().status().pods, 0);
    assert_eq!(pods.pod("uid-1").unwrap().labels["app"], "shop");
}

#[tokio::test(start_paused = true)]
async fn an_expired_watch_is_listed_again_and_what_was_missed_is_known() {
    let api = FakeApi::default();
    api.put("pods", pod("uid-1"));
    let (handle, _stop) = start(&api);
    let pods = handle.cluster().directory();
    until("watching", || api.requests("/api/v1/pods").len() == 2).await;

    api.lose("uid-1");
    api.expire();
    api.put("pods", pod("uid-2"));
    until("the new pod is known", || pods.pod("uid-2").is_some()).await;
    assert_eq!(handle.cluster().status().pods, 1);
    assert!(pods.pod("uid-1").is_some(), "its last lines may be unread");
    let requests = api.requests("/api/v1/pods");
    assert!(requests[2].contains("resourceVersion=0"), "{requests:?}");
    assert!(!requests[2].contains("watch"), "{requests:?}");
    assert!(handle.cluster().status().last_error.is_none(), "410 is no failure");
}

#[tokio::test(start_paused = true)]
async fn a_version_that_is_refused_when_the_watch_starts_is_given_up() {
    for code in [410, 504] {
        let api = FakeApi::default();
        let (handle, _stop) = start(&api);
        until("watching", || api.requests("/api/v1/pods").len() == 2).await;
        api.refuse_watches(Some(code));
        api.end_watches();
        let lists = || {
            let requests = api.requests("/api/v1/pods");
            requests.iter().filter(|uri| !uri.contains("watch")).count()
        };
        until("a new list", || lists() >= 2).await;
        api.refuse_watches(None);
        let pods = handle.cluster().directory();
        api.put("pods", pod("uid-1"));
        until("the pod is known", || pods.pod("uid-1").is_some()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn while_the_api_server_is_away_the_index_answers_and_afterwards_it_catches_up() {
    let api = FakeApi::default();
    api.put("pods", pod("uid-1"));
    let (handle, _stop) = start(&api);
    let pods = handle.cluster().directory();
    until("watching", || api.requests("/api/v1/pods").len() == 2).await;

    api.go_away();
    until("the outage is known", || !handle.cluster().status().connected).await;
    let before = api.requests("/api/v1/pods").len();
    sleep(Duration::from_secs(10 * 60)).await;
    let tries = api.requests("/api/v1/pods").len() - before;
    assert!((10..=60).contains(&tries), "{tries} tries in 10 minutes");
    assert_eq!(pods.pod("uid-1").unwrap().labels["app"], "web");
    let error = handle.cluster().status().last_error.unwrap();
    assert_eq!((error.kind.as_str(), error.open), ("unreachable", true));
    assert!(error.message.contains("Connection refused"), "{}", error.message);

    api.put("pods", pod("uid-2"));
    api.come_back();
    let back = Instant::now();
    until("the new pod is known", || pods.pod("uid-2").is_some()).await;
    assert!(back.elapsed() <= Duration::from_secs(31), "{:?}", back.elapsed());
    until("the outage is over", || !handle.cluster().status().last_error.unwrap().open).await;
    let requests = api.requests("/api/v1/pods");
    assert!(requests.last().unwrap().contains("watch=true"), "taken up where it was: {requests:?}");
}

#[tokio::test(start_paused = true)]
async fn watches_that_end_at_once_are_no_busy_loop() {
    let api = FakeApi::default();
    api.hang_up(true);
    let (handle, _stop) = start(&api);
    let pods = handle.cluster().directory();
    sleep(Duration::from_secs(600)).await;
    let watches = api.requests("/api/v1/pods").len();
    assert!((10..=60).contains(&watches), "{watches} requests in 10 minutes");
    api.put("pods", pod("uid-1"));
    until("the pod is known", || pods.pod("uid-1").is_some()).await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_watch_is_taken_up_again_where_the_last_bookmark_was() {
    let api = FakeApi::default();
    let (_handle, _stop) = start(&api);
    until("watching", || api.requests("/api/v1/pods").len() == 2).await;
    api.bookmark("pods", 500);
    until("taken up again", || api.requests("/api/v1/pods").len() == 3).await;
    let requests = api.requests("/api/v1/pods");
    assert!(requests[2].contains("watch=true"), "{requests:?}");
    assert!(requests[2].contains("resourceVersion=500"), "{requests:?}");
}

#[tokio::test(start_paused = true)]
async fn a_missing_right_names_the_rule_and_the_rest_goes_on() {
    let api = FakeApi::default();
    api.forbid("nodes", true);
    api.put("pods", pod("uid-1"));
    let (handle, _stop) = start(&api);
    let pods = handle.cluster().directory();
    until("the pod is known", || pods.pod("uid-1").is_some()).await;
    until("the missing right is known", || handle.cluster().status().last_error.is_some()).await;
    let error = handle.cluster().status().last_error.unwrap();
    assert_eq!((error.resource.as_str(), error.kind.as_str()), ("nodes", "forbidden"));
    assert!(error.remedy.contains("resources [nodes], verbs [get, list, watch]"), "{error:?}");

    api.put("nodes", json!({"metadata": {"name": "node-1", "uid": "n-uid"}}));
    api.forbid("nodes", false);
    let uid = || pods.node().attributes.str("k8s.node.uid") == Some("n-uid");
    until("the node is known once it is granted", uid).await;
}

#[tokio::test(start_paused = true)]
async fn a_cronjob_is_looked_up_once_without_keeping_its_pods_waiting() {
    let api = FakeApi::default();
    api.forbid("jobs", true);
    api.put("jobs", job("job-uid"));
    api.put("pods", job_pod("uid-1"));
    api.put("pods", job_pod("uid-2"));
    let (handle, _stop) = start(&api);
    let pods = handle.cluster().directory();
    until("the pods are known", || pods.pod("uid-2").is_some()).await;
    let before = pods.pod("uid-1").unwrap();
    assert_eq!(before.attributes.str("k8s.job.name"), Some("report-1"));
    assert_eq!(before.attributes.str("k8s.cronjob.name"), None);
    until("the job was asked for", || {
        !api.requests("/apis/batch/v1/namespaces/shop/jobs/report-1").is_empty()
    })
    .await;

    api.forbid("jobs", false);
    until("the CronJob is known", || cronjob(&pods, "uid-1").as_deref() == Some("report")).await;
    assert_eq!(cronjob(&pods, "uid-2").as_deref(), Some("report"));
    assert!(!Arc::ptr_eq(&before, &pods.pod("uid-1").unwrap()));
    let asked = api.requests("/apis/").len();
    api.put("pods", job_pod("uid-3"));
    until("the third pod has it", || cronjob(&pods, "uid-3").as_deref() == Some("report")).await;
    assert_eq!(api.requests("/apis/").len(), asked, "it was known already");
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_gone_or_a_namesake_gives_no_cronjob() {
    for there in [None, Some("another-job-uid")] {
        let api = FakeApi::default();
        if let Some(uid) = there {
            api.put("jobs", job(uid));
        }
        api.put("pods", job_pod("uid-1"));
        let (handle, _stop) = start(&api);
        let pods = handle.cluster().directory();
        until("the job was asked for", || !api.requests("/apis/").is_empty()).await;
        sleep(Duration::from_secs(60)).await;
        assert_eq!(cronjob(&pods, "uid-1"), None);
        assert_eq!(api.requests("/apis/").len(), 1, "the answer is final");
    }
}

#[tokio::test(start_paused = true)]
async fn an_object_that_cannot_be_read_does_not_hide_the_others() {
    let api = FakeApi::default();
    let (handle, _stop) = start(&api);
    let pods = handle.cluster().directory();
    until("watching", || api.requests("/api/v1/pods").len() == 2).await;
    let mut odd = pod("uid-odd");
    odd["spec"]["containers"] = json!("none");
    api.put("pods", odd);
    api.put("pods", pod("uid-1"));
    until("the next pod is known", || pods.pod("uid-1").is_some()).await;
    assert_eq!(api.requests("/api/v1/pods").len(), 2, "by the same watch");
}

#[tokio::test(start_paused = true)]
async fn check_names_each_missing_right_with_its_remedy() {
    let api = FakeApi::default();
    let node = Rights { node: true, ..Rights::default() };
    let lease = Some((String::new(), "hawsepipe".to_owned()));
    let both = Rights { node: true, lease, events: true, ..Rights::default() };
    assert_eq!(check_rights_with(api.client(), &both).await, []);
    api.forbid("leases", true);
    assert_eq!(check_rights_with(api.client(), &node).await, [], "it asks for no Lease");
    let findings = check_rights_with(api.client(), &both).await;
    let problems: Vec<_> = findings.iter().map(|finding| finding.problem.as_str()).collect();
    let verbs = ["create leases", "get leases hawsepipe", "update leases hawsepipe"];
    assert_eq!(problems, verbs.map(|verb| format!("no right to {verb}")));
    api.forbid("leases", false);
    api.forbid("jobs", true);
    let findings = check_rights_with(api.client(), &both).await;
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(findings[0].problem, "no right to get jobs");
    assert!(findings[0].remedy.contains("apiGroups [batch], resources [jobs], verbs [get]"));
    api.go_away();
    let findings = check_rights_with(api.client(), &both).await;
    assert_eq!(findings.len(), 1, "said once: {findings:?}");
    assert!(findings[0].problem.contains("Connection refused"), "{findings:?}");
}

#[tokio::test(start_paused = true)]
async fn all_tasks_end_when_they_are_told_to() {
    let api = FakeApi::default();
    let (handle, stop) = start(&api);
    until("connected", || handle.cluster().status().connected).await;
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(1), handle.join()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn metrics_and_status_say_how_it_is() {
    let api = FakeApi::default();
    api.put("pods", pod("uid-1"));
    let (handle, _stop) = start(&api);
    until("watching", || api.requests("/api/v1/pods").len() == 2).await;
    until("the node is watched", || api.requests("/api/v1/nodes").len() == 2).await;
    let mut registry = Registry::with_prefix("hawsepipe");
    handle.cluster().register(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    for line in [
        "hawsepipe_kubernetes_relists_total{resource=\"pods\"} 1",
        "hawsepipe_kubernetes_connected{resource=\"pods\"} 1",
        "hawsepipe_kubernetes_pods 1",
        "# TYPE hawsepipe_kubernetes_last_event_age_seconds gauge",
    ] {
        assert!(text.lines().any(|is| is == line), "{line} is not in\n{text}");
    }
    let status = serde_json::to_value(handle.cluster().status()).unwrap();
    assert_eq!(status["connected"], true);
    assert_eq!(status["pods"], 1);
    assert!(status["connectedSince"].as_str().unwrap().ends_with('Z'), "{status}");
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused_with_the_config_key() {
    let refused = |settings| {
        let client = FakeApi::default().client();
        Cluster::start_with(client, settings, CancellationToken::new()).unwrap_err()
    };
    let error = refused(Settings::of_node(""));
    assert!(matches!(error, ClusterError::NoNodeName), "{error}");
    let bad = Settings { labels: vec!["a[".to_owned()], ..Settings::of_node("node-1") };
    assert!(refused(bad).to_string().starts_with("kubernetes.labels: "));
}
