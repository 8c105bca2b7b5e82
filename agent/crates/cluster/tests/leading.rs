//! How the lead is had, kept, lost and given back, against a fake API server in memory (`support/fake_api.rs`): a mock. The
//! same promises are tested on a real API server in the end-to-end tests. Time is tokio's paused clock.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test may, its helpers too

#[allow(dead_code)] // of what it can do, this needs a part
#[path = "support/fake_api.rs"]
mod fake_api;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fake_api::FakeApi;
use futures::future::BoxFuture;
use hawsepipe_cluster::{
    Connection, Duties, Duty, EventsProgress, Leader, LeaderSettings, Progress,
};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

/// Longer than any wait in the crate.
const DEADLINE: Duration = Duration::from_secs(15 * 60);
/// `leaseDurationSeconds`.
const LEASE: Duration = Duration::from_secs(15);

async fn until(what: &str, condition: impl Fn() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < DEADLINE, "never: {what}");
        sleep(Duration::from_millis(50)).await;
    }
}

/// A duty that only says when it is at work.
#[derive(Default)]
struct Idle {
    at_work: AtomicBool,
    since: Mutex<Option<Progress>>,
    /// How far it says that it is; 0: nothing.
    reached: AtomicU64,
}

struct AtWork<'a>(&'a AtomicBool);

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

impl Duty for Idle {
    fn lead(&self, since: Option<Progress>, retire: CancellationToken) -> BoxFuture<'_, ()> {
        *self.since.lock().unwrap() = since;
        Box::pin(async move {
            self.at_work.store(true, Ordering::SeqCst);
            let _at_work = AtWork(&self.at_work);
            retire.cancelled().await;
        })
    }

    fn progress(&self) -> Option<Progress> {
        let reached = self.reached.load(Ordering::SeqCst);
        (reached > 0).then(|| progress(reached))
    }
}

fn progress(resource_version: u64) -> Progress {
    Progress::of_events(EventsProgress {
        resource_version,
        time: "2026-01-01T00:00:00Z".parse().unwrap(),
    })
}

struct Candidate {
    leader: Leader,
    duty: Arc<Idle>,
    retire: CancellationToken,
    give_back: CancellationToken,
    task: JoinHandle<()>,
}

impl Candidate {
    fn start(api: &FakeApi, host: &str, on_every_node: bool) -> Self {
        let settings = LeaderSettings {
            namespace: String::new(),
            name: "hawsepipe-leader".to_owned(),
            host: host.to_owned(),
            on_every_node,
        };
        let (duty, retire, give_back) =
            (Arc::new(Idle::default()), CancellationToken::new(), CancellationToken::new());
        let connection = Connection::with(api.client(), None);
        let (leader, run) =
            connection.lead(settings, Arc::clone(&duty) as _, retire.clone(), give_back.clone());
        Self { leader, duty, retire, give_back, task: tokio::spawn(run) }
    }

    fn leads(&self) -> bool {
        let leads = self.leader.status().leading;
        assert!(leads || !self.duty.at_work.load(Ordering::SeqCst), "at work without the lead");
        leads
    }
}

fn lease(api: &FakeApi) -> Value {
    api.object("leases", "hawsepipe-leader").expect("the Lease is there")
}

#[tokio::test(start_paused = true)]
async fn one_of_two_leads_and_the_other_one_follows_when_it_falls_silent() {
    let api = FakeApi::default();
    let first = Candidate::start(&api, "a", false);
    until("the first leads", || first.leads()).await;
    let second = Candidate::start(&api, "b", false);
    sleep(LEASE * 4).await;
    assert!(first.leads() && !second.leads());
    assert!(second.leader.status().holder.starts_with("a_"), "{:?}", second.leader.status());
    let spec = lease(&api)["spec"].clone();
    assert_eq!((&spec["leaseDurationSeconds"], &spec["leaseTransitions"]), (&json!(15), &json!(0)));

    first.task.abort();
    let died = Instant::now();
    until("the second leads", || second.leads()).await;
    assert!(died.elapsed() > LEASE - Duration::from_secs(5), "it waits for the Lease to run out");
    assert!(died.elapsed() < LEASE * 2, "{:?}", died.elapsed());
    assert_eq!(lease(&api)["spec"]["leaseTransitions"], json!(1));
}

#[tokio::test(start_paused = true)]
async fn a_lead_that_is_given_back_is_taken_at_once_with_how_far_it_got() {
    let api = FakeApi::default();
    let first = Candidate::start(&api, "a", false);
    until("the first leads", || first.leads()).await;
    let second = Candidate::start(&api, "b", false);
    first.duty.reached.store(7, Ordering::SeqCst);
    until("it is written", || second.leader.status().progress == Some(progress(7))).await;

    first.retire.cancel();
    until("it rests", || !first.duty.at_work.load(Ordering::SeqCst)).await;
    sleep(LEASE * 3).await;
    assert!(first.leads(), "it holds the Lease while what was sent is acknowledged");
    first.duty.reached.store(9, Ordering::SeqCst);
    first.give_back.cancel();
    let given_back = Instant::now();
    until("the second leads", || second.leads()).await;
    assert!(given_back.elapsed() < Duration::from_secs(6), "{:?}", given_back.elapsed());
    assert_eq!(*second.duty.since.lock().unwrap(), Some(progress(9)), "what came last counts");
    first.task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_cannot_renew_ends_its_term_before_another_one_may_take_it() {
    let api = FakeApi::default();
    let leader = Candidate::start(&api, "a", false);
    until("it leads", || leader.leads()).await;
    api.go_away();
    let away = Instant::now();
    until("it does not lead any more", || !leader.leads()).await;
    assert!(away.elapsed() < LEASE, "{:?}", away.elapsed());
    api.come_back();
    until("it leads again", || leader.leads()).await;
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_deleted_or_emptied_is_taken_again_within_the_term() {
    let api = FakeApi::default();
    let leader = Candidate::start(&api, "a", false);
    until("it leads", || leader.leads()).await;
    leader.duty.reached.store(3, Ordering::SeqCst);
    until("progress is written", || leader.leader.status().progress.is_some()).await;
    api.lose("hawsepipe-leader");
    until("it is there again", || api.object("leases", "hawsepipe-leader").is_some()).await;
    let annotations = lease(&api)["metadata"]["annotations"].clone();
    assert!(annotations["hawsepipe.dev/progress"].as_str().unwrap().contains('3'), "{annotations}");

    let mut emptied = lease(&api);
    emptied["spec"]["holderIdentity"] = json!("");
    emptied["metadata"]["labels"] = json!({"someone": "else's"});
    api.put("leases", emptied);
    let held = || lease(&api)["spec"]["holderIdentity"].as_str().unwrap().starts_with("a_");
    until("its name stands there again", held).await;
    assert_eq!(lease(&api)["metadata"]["labels"]["someone"], "else's", "what is another's stays");
    assert!(leader.leads());
    assert_eq!(leader.duty.since.lock().unwrap().clone(), None, "it is the same term");
}

/// Whoever uninstalls deletes the Lease, and the processes a moment later.
#[tokio::test(start_paused = true)]
async fn a_lease_that_is_deleted_is_not_made_again_at_once_nor_by_one_that_ends() {
    let api = FakeApi::default();
    let leader = Candidate::start(&api, "a", false);
    until("it leads", || leader.leads()).await;
    let follower = Candidate::start(&api, "b", false);
    until("it has looked", || !follower.leader.status().holder.is_empty()).await;
    api.lose("hawsepipe-leader");
    let there = || api.object("leases", "hawsepipe-leader").is_some();
    sleep(Duration::from_secs(2)).await;
    assert!(!there(), "it may be told to end");
    leader.retire.cancel();
    follower.retire.cancel();
    sleep(LEASE * 2).await;
    leader.give_back.cancel();
    leader.task.await.unwrap();
    follower.task.await.unwrap();
    assert!(!there());
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_finds_another_ones_name_stops_and_writes_nothing_over_it() {
    let api = FakeApi::default();
    let leader = Candidate::start(&api, "a", false);
    until("it leads", || leader.leads()).await;
    let mut taken = lease(&api);
    taken["spec"]["holderIdentity"] = json!("another");
    taken["metadata"]["annotations"] = json!({"hawsepipe.dev/progress": r#"{"version":1}"#});
    leader.duty.reached.store(5, Ordering::SeqCst);
    api.put("leases", taken.clone());
    until("it does not lead any more", || !leader.leads()).await;
    assert_eq!(lease(&api)["spec"]["holderIdentity"], "another");
    assert_eq!(lease(&api)["metadata"]["annotations"], taken["metadata"]["annotations"]);
    // The other one is never heard of again.
    until("it leads again", || leader.leads()).await;
}

#[tokio::test(start_paused = true)]
async fn a_missing_right_is_told_with_its_rule_and_tried_slowly_until_it_is_there() {
    let api = FakeApi::default();
    api.forbid("leases", true);
    let candidate = Candidate::start(&api, "a", false);
    sleep(Duration::from_secs(600)).await;
    let error = candidate.leader.status().last_error.unwrap();
    assert_eq!((error.resource.as_str(), error.kind.as_str()), ("leases", "forbidden"));
    assert!(error.remedy.contains("verbs [create, get, update]"), "{}", error.remedy);
    let asked = api.requests("/apis/coordination.k8s.io").len();
    assert!(asked < 60, "{asked} requests in ten minutes");
    api.forbid("leases", false);
    until("it leads", || candidate.leads()).await;
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_of_the_last_leader_is_passed_over() {
    let api = FakeApi::default();
    let garbage = json!({"hawsepipe.dev/progress": "{", "hawsepipe.dev/candidates": "many"});
    api.put(
        "leases",
        json!({"metadata": {"name": "hawsepipe-leader", "uid": "u", "annotations": garbage}}),
    );
    let leader = Candidate::start(&api, "a", false);
    until("it leads", || leader.leads()).await;
    assert_eq!(leader.duty.since.lock().unwrap().clone(), None);
}

#[tokio::test(start_paused = true)]
async fn on_every_node_the_leader_counts_the_nodes_by_one_object_and_says_how_many_candidates_there_are()
 {
    let api = FakeApi::default();
    for number in 0..40 {
        let name = format!("node-{number}");
        api.put("nodes", json!({"metadata": {"name": name, "uid": name}}));
    }
    let first = Candidate::start(&api, "a", true);
    until("it leads", || first.leads()).await;
    until("they are counted", || first.leader.status().candidates == 40).await;
    assert!(api.requests("/api/v1/nodes").iter().all(|uri| uri.contains("limit=1")));

    let second = Candidate::start(&api, "b", true);
    until("it has looked", || second.leader.status().candidates == 40).await;
    let before = api.requests("/apis/coordination.k8s.io").len();
    sleep(Duration::from_secs(1200)).await;
    let renewals = 1200 / 5;
    let looks = api.requests("/apis/coordination.k8s.io").len() - before - renewals;
    assert!(looks < 1200 * 2 / 40 * 2, "{looks} looks of one of forty in 20 minutes");
    first.task.abort();
    until("the second leads", || second.leads()).await;
}

#[tokio::test(start_paused = true)]
async fn duties_are_at_work_side_by_side_for_a_term_and_what_none_says_of_how_far_it_got_stays() {
    let [tells, tells_nothing] = [Arc::new(Idle::default()), Arc::new(Idle::default())];
    let both = || vec![Arc::clone(&tells) as Arc<dyn Duty>, Arc::clone(&tells_nothing) as _];
    let at_work = |duty: &Idle| duty.at_work.load(Ordering::SeqCst);
    let duties = Arc::new(Duties::new(both()));
    assert_eq!(duties.progress(), None);
    let retire = CancellationToken::new();
    let (leading, told) = (Arc::clone(&duties), retire.clone());
    let term = tokio::spawn(async move { leading.lead(Some(progress(5)), told).await });
    until("both are at work", || at_work(&tells) && at_work(&tells_nothing)).await;
    for duty in [&tells, &tells_nothing] {
        assert_eq!(*duty.since.lock().unwrap(), Some(progress(5)));
    }
    assert_eq!(duties.progress(), None, "what stands on the Lease stays");
    tells.reached.store(7, Ordering::SeqCst);
    assert_eq!(duties.progress(), Some(progress(7)));
    retire.cancel();
    term.await.unwrap();
    assert!(!at_work(&tells) && !at_work(&tells_nothing));

    // A term that is over takes all of them along.
    let leading = Arc::clone(&duties);
    let term = tokio::spawn(async move { leading.lead(None, CancellationToken::new()).await });
    until("both are at work", || at_work(&tells) && at_work(&tells_nothing)).await;
    term.abort();
    assert!(term.await.unwrap_err().is_cancelled());
    assert!(!at_work(&tells) && !at_work(&tells_nothing));
}
