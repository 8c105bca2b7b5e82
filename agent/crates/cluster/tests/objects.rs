//! How all objects of the cluster are followed, against a fake API server in memory (`support/fake_api.rs`): a mock. Time is
//! tokio's paused clock: minutes pass at once, and nothing depends on how fast the machine is.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test may, its helpers too

#[allow(dead_code)] // of what it can do, this needs a part
#[path = "support/fake_api.rs"]
mod fake_api;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use fake_api::{FakeApi, Streams};
use hawsepipe_cluster::objects::{
    Cause, Change, Namespace, ObjectKind, ObjectStore, ObjectWatcher, Pod, PodPhase, Uid,
};
use hawsepipe_cluster::{Connection, Rights, check_rights_with};
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

/// Longer than any wait in the crate.
const DEADLINE: Duration = Duration::from_secs(15 * 60);

const PODS: &str = "/api/v1/pods";

/// What a watcher was told: kind, name before and after, cause.
type Told = (ObjectKind, Option<String>, Option<String>, Cause);

#[derive(Default)]
struct Watcher(Mutex<Vec<Told>>, Mutex<Vec<ObjectKind>>);

impl ObjectWatcher for Watcher {
    fn changed(&self, change: &Change<'_>) {
        let name = |it: Option<&hawsepipe_cluster::objects::Object>| {
            it.map(|it| it.metadata().name.to_string())
        };
        let told = (change.kind, name(change.before), name(change.after), change.cause);
        self.0.lock().unwrap().push(told);
    }

    fn listed(&self, store: &ObjectStore, kind: ObjectKind) {
        assert!(store.is_synced(kind));
        self.1.lock().unwrap().push(kind);
    }
}

impl Watcher {
    fn told(&self) -> Vec<Told> {
        self.0.lock().unwrap().clone()
    }
}

/// Follows these kinds, until the test is over.
fn follow(api: &FakeApi, kinds: &[ObjectKind]) -> (Arc<ObjectStore>, Arc<Watcher>, JoinHandle<()>) {
    follow_by(&Connection::with(api.client(), None), kinds)
}

fn follow_by(
    connection: &Connection,
    kinds: &[ObjectKind],
) -> (Arc<ObjectStore>, Arc<Watcher>, JoinHandle<()>) {
    let (store, watcher) = (Arc::new(ObjectStore::new()), Arc::new(Watcher::default()));
    store.subscribe(Arc::clone(&watcher) as Arc<dyn ObjectWatcher>);
    let task = tokio::spawn(connection.objects(kinds).run(Arc::clone(&store)));
    (store, watcher, task)
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < DEADLINE, "never: {what}");
        sleep(Duration::from_millis(50)).await;
    }
}

fn pod(uid: &str, phase: &str) -> Value {
    json!({"metadata": {"name": format!("web-{uid}"), "namespace": "shop", "uid": uid}, "status": {"phase": phase}})
}

fn phase(store: &ObjectStore, uid: &str) -> Option<PodPhase> {
    store.get::<Pod>(&Uid::from(uid)).map(|pod| pod.status.phase)
}

fn named(name: &str) -> Option<String> {
    Some(name.to_owned())
}

#[tokio::test(start_paused = true)]
async fn a_streamed_list_fills_the_store_and_its_watch_goes_on() {
    let api = FakeApi::default();
    api.stream_lists(Streams::Served);
    api.put("pods", pod("a", "Pending"));
    let (store, watcher, _task) = follow(&api, &[ObjectKind::Pods]);
    until("synced", || store.is_synced(ObjectKind::Pods)).await;
    api.put("pods", pod("a", "Running"));
    api.put("pods", pod("b", "Pending"));
    until("b is known", || phase(&store, "b").is_some()).await;
    assert_eq!(phase(&store, "a"), Some(PodPhase::Running));
    api.delete("a");
    until("a is gone", || store.count(ObjectKind::Pods) == 1).await;

    let (kind, a, b) = (ObjectKind::Pods, named("web-a"), named("web-b"));
    let expected = [
        (kind, None, a.clone(), Cause::Listed),
        (kind, a.clone(), a.clone(), Cause::Watched),
        (kind, None, b, Cause::Watched),
        (kind, a, None, Cause::Watched),
    ];
    assert_eq!(watcher.told(), expected);
    assert_eq!(*watcher.1.lock().unwrap(), [kind], "told once that all was listed");
    let requests = api.requests(PODS);
    assert_eq!(requests.len(), 1, "{requests:?}");
    for part in ["watch=true", "resourceVersionMatch=NotOlderThan", "allowWatchBookmarks=true"] {
        assert!(requests[0].contains(part), "{requests:?}");
    }
    assert!(requests[0].ends_with("resourceVersion="), "what is now, not what was: {requests:?}");

    api.end_watches();
    until("watched again", || api.requests(PODS).len() == 2).await;
    let requests = api.requests(PODS);
    assert!(requests[1].ends_with("resourceVersion=4"), "from where it was: {requests:?}");
    assert!(!requests[1].contains("sendInitialEvents"), "{requests:?}");
}

#[tokio::test(start_paused = true)]
async fn where_lists_are_not_streamed_they_are_read_in_pages() {
    for streams in [Streams::Refused, Streams::Lacking, Streams::Ignored, Streams::Silent] {
        let api = FakeApi::default();
        api.stream_lists(streams);
        for uid in 0..1001 {
            api.put("pods", pod(&uid.to_string(), "Running"));
        }
        let (store, watcher, _task) = follow(&api, &[ObjectKind::Pods]);
        until("synced", || store.is_synced(ObjectKind::Pods)).await;
        assert_eq!(store.all::<Pod>().len(), 1001);
        assert_eq!(watcher.told().len(), 1001, "each once");
        until("watching", || api.requests(PODS).len() == 5).await;
        let requests = api.requests(PODS);
        assert!(
            requests[1].contains("limit=500") && !requests[1].contains("continue"),
            "{requests:?}"
        );
        assert!(requests[3].contains("continue=1000"), "{requests:?}");
        assert!(requests.iter().all(|uri| !uri.contains("resourceVersion=0")), "{requests:?}");
        assert!(requests[4].ends_with("resourceVersion=1001"), "{requests:?}");
        api.delete("7");
        until("7 is gone", || store.count(ObjectKind::Pods) == 1000).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_that_is_forgotten_in_the_middle_starts_again() {
    let api = FakeApi::default();
    for uid in 0..600 {
        api.put("pods", pod(&uid.to_string(), "Running"));
    }
    api.forget_next_page();
    let connection = Connection::with(api.client(), None);
    let mut registry = Registry::default();
    connection.register(&mut registry);
    let (store, _watcher, _task) = follow_by(&connection, &[ObjectKind::Pods]);
    until("synced", || store.is_synced(ObjectKind::Pods)).await;
    assert_eq!(store.count(ObjectKind::Pods), 600);
    let text = metrics(&registry);
    assert!(text.contains("kubernetes_relists_total{resource=\"cluster/pods\"} 1"), "{text}");
    let firsts = api.requests(PODS).iter().filter(|uri| uri.ends_with("limit=500")).count();
    assert_eq!(firsts, 2, "from its begin");
    assert!(!text.contains("kubernetes_errors_total{"), "that is no failure: {text}");
}

#[tokio::test(start_paused = true)]
async fn after_a_gap_a_new_list_says_what_is_new_what_differs_and_what_is_gone() {
    for streams in [Streams::Served, Streams::Refused] {
        let api = FakeApi::default();
        api.stream_lists(streams);
        for uid in ["a", "b", "c"] {
            api.put("pods", pod(uid, "Pending"));
        }
        let (store, watcher, _task) = follow(&api, &[ObjectKind::Pods]);
        until("synced", || store.is_synced(ObjectKind::Pods)).await;
        let watching = api.requests(PODS).len();
        let before = watcher.told().len();
        api.lose("a");
        api.go_away();
        api.put("pods", pod("b", "Failed"));
        api.put("pods", pod("d", "Pending"));
        sleep(Duration::from_secs(60)).await;
        assert_eq!(store.count(ObjectKind::Pods), 3, "what was known stays");
        assert!(store.is_synced(ObjectKind::Pods));
        api.expire();
        api.come_back();
        until("d is known", || phase(&store, "d").is_some()).await;
        until("a is gone", || phase(&store, "a").is_none()).await;
        assert!(api.requests(PODS).len() > watching);

        let mut told = watcher.told().split_off(before);
        told.sort_by_key(|(_, before, after, _)| before.clone().or(after.clone()));
        let (kind, cause) = (ObjectKind::Pods, Cause::Listed);
        let expected = [
            (kind, named("web-a"), None, cause),
            (kind, named("web-b"), named("web-b"), cause),
            (kind, None, named("web-d"), cause),
        ];
        assert_eq!(told, expected, "and nothing of c, which is as it was");
    }
}

#[tokio::test(start_paused = true)]
async fn a_kind_without_a_right_is_switched_off_alone_and_comes_back_when_it_is_granted() {
    let api = FakeApi::default();
    api.forbid("pods", true);
    api.put("pods", pod("a", "Running"));
    api.put(
        "namespaces",
        json!({"metadata": {"name": "shop", "uid": "ns"}, "status": {"phase": "Active"}}),
    );
    let (store, _watcher, _task) = follow(&api, &[ObjectKind::Pods, ObjectKind::Namespaces]);
    let off = || store.status().kinds["pods"].off.clone();
    until("namespaces are known", || store.find::<Namespace>("", "shop").is_some()).await;
    until("pods are off", || off().is_some()).await;
    let remedy = off().unwrap().remedy;
    assert!(
        remedy.contains("grant apiGroups [\"\"], resources [pods], verbs [list, watch]"),
        "{remedy}"
    );
    assert!(off().unwrap().message.contains("403"), "{:?}", off());
    assert!(!store.is_synced(ObjectKind::Pods));
    let status = serde_json::to_value(store.status()).unwrap();
    assert_eq!(status["namespaces"]["objects"], 1);
    assert!(status["namespaces"]["syncedSince"].is_string(), "{status}");
    assert!(status["namespaces"].get("off").is_none(), "{status}");
    assert_eq!(status.as_object().unwrap().len(), 2, "only what is followed: {status}");

    sleep(Duration::from_secs(9 * 60)).await;
    assert_eq!(api.requests(PODS).len(), 1, "it is not asked for again and again");
    api.forbid("pods", false);
    until("pods are known", || store.is_synced(ObjectKind::Pods)).await;
    assert_eq!(store.count(ObjectKind::Pods), 1);
    assert!(off().is_none());

    api.forbid("pods", true);
    api.end_watches();
    until("pods are off again", || off().is_some()).await;
    assert!(!store.is_synced(ObjectKind::Pods), "nobody is to rely on it");
    assert_eq!(store.count(ObjectKind::Pods), 1, "what was known stays");
    assert!(store.is_synced(ObjectKind::Namespaces));
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_the_server_does_not_have_is_switched_off_alone() {
    let api = FakeApi::default();
    api.lacks("/apis/autoscaling/v2");
    api.put("services", json!({"metadata": {"name": "web", "namespace": "shop", "uid": "s"}}));
    let kinds = [ObjectKind::HorizontalPodAutoscalers, ObjectKind::Services];
    let connection = Connection::with(api.client(), None);
    let mut registry = Registry::default();
    connection.register(&mut registry);
    let (store, _watcher, _task) = follow_by(&connection, &kinds);
    until("services are known", || store.is_synced(ObjectKind::Services)).await;
    let off = || store.status().kinds["horizontalpodautoscalers"].off.clone();
    until("it is off", || off().is_some()).await;
    let remedy = off().unwrap().remedy;
    assert!(remedy.contains("no horizontalpodautoscalers"), "{remedy}");
    let text = metrics(&registry);
    let counted =
        "errors_total{resource=\"cluster/horizontalpodautoscalers\",kind=\"not_found\"} 1";
    assert!(text.contains(counted), "{text}");
    assert!(text.contains("kubernetes_connected{resource=\"cluster/services\"} 1"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn an_object_that_cannot_be_read_is_left_out_alone_and_what_was_known_of_it_stays() {
    for streams in [Streams::Served, Streams::Refused] {
        let api = FakeApi::default();
        api.stream_lists(streams);
        api.put("pods", pod("a", "Running"));
        api.put("pods", pod("b", "Running"));
        let connection = Connection::with(api.client(), None);
        let mut registry = Registry::default();
        connection.register(&mut registry);
        let (store, _watcher, _task) = follow_by(&connection, &[ObjectKind::Pods]);
        until("synced", || store.is_synced(ObjectKind::Pods)).await;
        let mut odd = pod("a", "Failed");
        odd["spec"] = json!({"containers": "many"});
        api.put("pods", odd.clone());
        api.say("pods", &json!("this is no event"));
        api.put("pods", json!({"metadata": {"name": "without-uid", "uid": ""}}));
        api.put("pods", pod("c", "Running"));
        until("c is known", || phase(&store, "c").is_some()).await;
        assert_eq!(phase(&store, "a"), Some(PodPhase::Running));

        api.expire();
        api.put("pods", pod("d", "Running"));
        until("d is known", || phase(&store, "d").is_some()).await;
        assert_eq!(phase(&store, "a"), Some(PodPhase::Running), "a list does not take it away");
        assert_eq!(store.count(ObjectKind::Pods), 4);
        let text = metrics(&registry);
        assert!(text.contains("errors_total{resource=\"cluster/pods\",kind=\"decode\"}"), "{text}");

        api.delete("a");
        until("a is gone", || phase(&store, "a").is_none()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_backup_was_restored_the_store_is_as_the_server_again() {
    let api = FakeApi::default();
    api.stream_lists(Streams::Served);
    api.put("pods", pod("a", "Running"));
    api.put("pods", pod("b", "Running"));
    let (store, _watcher, _task) = follow(&api, &[ObjectKind::Pods]);
    until("synced", || store.count(ObjectKind::Pods) == 2).await;
    api.restore(1);
    api.refuse_watches(Some(504));
    // Of the same version as another one before.
    api.put("pods", pod("c", "Failed"));
    until("c is known", || phase(&store, "c").is_some()).await;
    until("b is gone", || phase(&store, "b").is_none()).await;
    assert_eq!(phase(&store, "a"), Some(PodPhase::Running));
}

#[tokio::test(start_paused = true)]
async fn the_api_server_has_the_patience_that_it_asks_for() {
    let api = FakeApi::default();
    api.stream_lists(Streams::Served);
    api.throttle_next(120);
    let began = Instant::now();
    let (store, _watcher, _task) = follow(&api, &[ObjectKind::Pods]);
    until("synced", || store.is_synced(ObjectKind::Pods)).await;
    assert!(began.elapsed() >= Duration::from_secs(120), "{:?}", began.elapsed());
    assert_eq!(api.requests(PODS).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_throttled_page_is_asked_for_again_and_not_those_before_it() {
    let api = FakeApi::default();
    for uid in 0..600 {
        api.put("pods", pod(&uid.to_string(), "Running"));
    }
    api.throttle_next_page(45);
    let began = Instant::now();
    let (store, _watcher, _task) = follow(&api, &[ObjectKind::Pods]);
    until("synced", || store.is_synced(ObjectKind::Pods)).await;
    assert!(began.elapsed() >= Duration::from_secs(45), "{:?}", began.elapsed());
    assert_eq!(store.count(ObjectKind::Pods), 600);
    let requests = api.requests(PODS);
    let pages: Vec<_> = requests.iter().filter(|uri| uri.contains("limit=500")).collect();
    assert_eq!(pages.len(), 3, "{pages:?}");
    assert!(pages[1..].iter().all(|uri| uri.contains("continue=500")), "{pages:?}");
}

#[tokio::test(start_paused = true)]
async fn few_kinds_list_at_the_same_time() {
    let api = FakeApi::default();
    api.stream_lists(Streams::Silent);
    let kinds = [
        ObjectKind::Pods,
        ObjectKind::Nodes,
        ObjectKind::Namespaces,
        ObjectKind::Services,
        ObjectKind::Jobs,
    ];
    let (_store, _watcher, _task) = follow(&api, &kinds);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(api.requests("/").len(), 2, "{:?}", api.requests("/"));
    until("all have listed", || api.requests("/apis/batch/v1/jobs").len() == 3).await;
}

#[tokio::test(start_paused = true)]
async fn of_replica_sets_only_the_metadata_is_asked_for() {
    for streams in [Streams::Served, Streams::Refused] {
        let api = FakeApi::default();
        api.stream_lists(streams);
        let (store, _watcher, _task) = follow(&api, &[ObjectKind::ReplicaSets, ObjectKind::Pods]);
        until("synced", || store.is_synced(ObjectKind::ReplicaSets)).await;
        until("synced", || store.is_synced(ObjectKind::Pods)).await;
        let accepted = api.accepted("/apis/apps/v1/replicasets");
        assert!(accepted.iter().all(|it| it.contains("as=PartialObjectMetadata")), "{accepted:?}");
        let accepted = api.accepted(PODS);
        assert!(accepted.iter().all(|it| !it.contains("as=")), "{accepted:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_asked_for_any_more_when_the_follower_is_dropped() {
    let api = FakeApi::default();
    let (store, _watcher, task) = follow(&api, &[ObjectKind::Pods]);
    until("synced", || store.is_synced(ObjectKind::Pods)).await;
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    let asked = api.requests("/").len();
    api.put("pods", pod("a", "Running"));
    api.end_watches();
    sleep(Duration::from_secs(600)).await;
    assert_eq!((api.requests("/").len(), store.count(ObjectKind::Pods)), (asked, 0));
}

#[tokio::test]
async fn the_rights_for_each_kind_are_checked() {
    let api = FakeApi::default();
    let rights =
        Rights { objects: vec![ObjectKind::Pods, ObjectKind::EndpointSlices], ..Rights::default() };
    assert!(check_rights_with(api.client(), &rights).await.is_empty());
    api.forbid("endpointslices", true);
    let findings = check_rights_with(api.client(), &rights).await;
    let problems: Vec<_> = findings.iter().map(|finding| finding.problem.as_str()).collect();
    assert_eq!(
        problems,
        ["no right to list endpointslices", "no right to watch endpointslices"],
        "{findings:?}"
    );
    let rule = "apiGroups [discovery.k8s.io], resources [endpointslices], verbs [list, watch]";
    assert!(findings[0].remedy.contains(rule), "{findings:?}");
}

fn metrics(registry: &Registry) -> String {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, registry).unwrap();
    text
}
