//! How the events of the cluster are followed, against a fake API server in memory (`support/fake_api.rs`): a mock. The same
//! promises are tested on a real API server in the end-to-end tests. Time is tokio's paused clock.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test may, its helpers too

#[allow(dead_code)] // of what it can do, this needs a part
#[path = "support/fake_api.rs"]
mod fake_api;

use std::time::Duration;

use fake_api::FakeApi;
use hawsepipe_cluster::{Connection, EventsProgress, Found};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

/// Longer than any wait in the crate.
const DEADLINE: Duration = Duration::from_secs(15 * 60);
const EVENTS: &str = "/apis/events.k8s.io/v1/events";

fn event(name: &str, taken: &str) -> Value {
    json!({"metadata": {"name": name, "namespace": "shop", "uid": name, "creationTimestamp": taken},
        "reason": "Tested", "type": "Normal", "note": name, "eventTime": taken})
}

fn now(name: &str) -> Value {
    event(name, &jiff::Timestamp::now().to_string())
}

fn follow(api: &FakeApi, since: Option<u64>) -> mpsc::Receiver<Found> {
    let (sender, receiver) = mpsc::channel(4);
    let since = since.map(|resource_version| EventsProgress {
        resource_version,
        time: "2026-01-01T12:00:00Z".parse().unwrap(),
    });
    tokio::spawn(Connection::with(api.client(), None).events().run(since, sender));
    receiver
}

/// What comes next: the event's name, if it is one, and how far it is.
async fn next(found: &mut mpsc::Receiver<Found>) -> (Option<String>, Option<u64>) {
    let found = timeout(DEADLINE, found.recv()).await.expect("something is found").unwrap();
    (found.event.map(|it| it.metadata.name), found.reached.map(|it| it.resource_version))
}

fn named(name: &str, reached: Option<u64>) -> (Option<String>, Option<u64>) {
    (Some(name.to_owned()), reached)
}

#[tokio::test(start_paused = true)]
async fn the_first_leader_gives_what_comes_from_now_on_and_every_change_of_it_and_no_deletion() {
    let api = FakeApi::default();
    api.put("events", now("old"));
    let mut found = follow(&api, None);
    assert_eq!(next(&mut found).await, (None, Some(1)));
    until_watching(&api, EVENTS).await;
    api.put("events", now("new"));
    assert_eq!(next(&mut found).await, named("new", Some(2)));
    api.put("events", now("new"));
    assert_eq!(next(&mut found).await, named("new", Some(3)));
    api.delete("new");
    assert_eq!(next(&mut found).await, (None, Some(4)), "passed over, and known to be");
    api.bookmark("events", 17);
    assert_eq!(next(&mut found).await, (None, Some(17)));
    assert!(api.requests(EVENTS)[0].contains("limit=1"));
}

async fn until_watching(api: &FakeApi, path: &str) {
    for _ in 0..10_000 {
        if api.requests(path).iter().any(|uri| uri.contains("watch=true")) {
            return;
        }
        sleep(Duration::from_millis(50)).await;
    }
    panic!("never watched");
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_follows_another_one_watches_from_where_that_was_and_lists_nothing() {
    let api = FakeApi::default();
    for name in ["one", "two", "three"] {
        api.put("events", now(name));
    }
    let mut found = follow(&api, Some(1));
    assert_eq!(next(&mut found).await, named("two", Some(2)));
    assert_eq!(next(&mut found).await, named("three", Some(3)));
    let requests = api.requests(EVENTS);
    let lists = requests.iter().filter(|uri| uri.contains("limit=500")).count();
    assert_eq!(lists, 0, "{requests:?}");
}

#[tokio::test(start_paused = true)]
async fn after_a_forgotten_history_what_is_behind_is_given_once_however_many_pages_it_takes() {
    let api = FakeApi::default();
    for number in 1..=1203 {
        api.put("events", now(&format!("e{number}")));
    }
    api.expire();
    let mut found = follow(&api, Some(2));
    let mut names = std::collections::BTreeSet::new();
    let reached = loop {
        match next(&mut found).await {
            (Some(name), None) => assert!(names.insert(name), "given twice"),
            (None, Some(reached)) => break reached,
            other => panic!("{other:?}: pages come by name, none says how far it is"),
        }
    };
    assert_eq!((names.len(), reached), (1201, 1204));
    assert!(!names.contains("e2") && names.contains("e3"));
    api.put("events", now("after"));
    assert_eq!(next(&mut found).await, named("after", Some(1205)));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_was_restored_from_a_backup_is_noticed_and_what_came_since_then_is_given() {
    let api = FakeApi::default();
    api.put("events", event("delivered", "2026-01-01T11:00:00Z"));
    api.put("events", event("since", "2026-01-01T12:00:05Z"));
    let mut found = follow(&api, Some(900));
    assert_eq!(next(&mut found).await, named("since", None));
    assert_eq!(next(&mut found).await, (None, Some(2)));
    api.put("events", now("next"));
    assert_eq!(next(&mut found).await, named("next", Some(3)));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_goes_back_while_it_is_followed_is_noticed_too() {
    let api = FakeApi::default();
    api.put("events", event("one", "2026-01-01T11:00:00Z"));
    let mut found = follow(&api, Some(0));
    assert_eq!(next(&mut found).await, named("one", Some(1)));
    for number in 2..=5 {
        api.put("events", now(&format!("e{number}")));
        assert_eq!(next(&mut found).await.1, Some(number));
    }
    api.restore(1);
    assert_eq!(next(&mut found).await, (None, Some(1)));
    api.put("events", now("next"));
    assert_eq!(next(&mut found).await, named("next", Some(2)));
}

#[tokio::test(start_paused = true)]
async fn a_server_without_the_group_is_asked_for_the_older_form() {
    let api = FakeApi::default();
    api.lacks("/apis/events.k8s.io");
    let mut found = follow(&api, Some(0));
    until_watching(&api, "/api/v1/events").await;
    api.put("events", now("one"));
    assert_eq!(next(&mut found).await, named("one", Some(1)));
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_the_api_server_passes_over_nothing() {
    let api = FakeApi::default();
    let mut found = follow(&api, Some(0));
    until_watching(&api, EVENTS).await;
    api.go_away();
    api.put("events", now("meanwhile"));
    sleep(Duration::from_secs(300)).await;
    let asked = api.requests(EVENTS).len();
    assert!(asked < 60, "{asked} requests in five minutes of outage");
    api.come_back();
    assert_eq!(next(&mut found).await, named("meanwhile", Some(1)));
}

#[tokio::test(start_paused = true)]
async fn it_ends_when_nobody_takes_what_is_found() {
    let api = FakeApi::default();
    let (sender, receiver) = mpsc::channel(1);
    let run = tokio::spawn(Connection::with(api.client(), None).events().run(None, sender));
    drop(receiver);
    timeout(DEADLINE, run).await.expect("it ends").unwrap();
}
