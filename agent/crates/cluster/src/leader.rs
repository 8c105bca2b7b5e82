//! One process of the cluster does what is done once: the one that holds the Lease (`coordination.k8s.io/v1`).
//!
//! In: the Lease; a [`Duty`]. Out: the duty at work while the Lease is held, and how far it got on the Lease, so that the
//! next leader carries on. Always:
//! - every write is an update of the version seen last: a process that was stopped and wakes up cannot write over another
//!   one's word, nor its progress;
//! - no two clocks are compared: a leader that could not renew ends its term by its own clock, counted from when the last
//!   write that was taken was *sent*, before others, who count from when they *saw* that write, take the Lease;
//! - the duty is dropped in the same moment in which the term ends.
//!
//! This is not client-go's election in Rust (ADR 013): that one is fenced by renewal times
//! alone, and keeps nothing beside them.

mod duties;
mod lease;
mod progress;
mod waiting;

use std::hash::{BuildHasher, RandomState};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use kube::Client;
use kube::api::{Api, ListParams};
use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use serde::Serialize;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

pub use self::duties::Duties;
use self::lease::{Lease, Standing, Words};
pub use self::progress::{EventsProgress, Progress};
use self::waiting::candidates_wait;
use crate::backoff::{Backoff, jitter};
use crate::failure::{Failure, Resource};
use crate::link::{LastError, Link};

/// What others wait for, since they saw the Lease change, before they take it: `leaseDurationSeconds`. The default of
/// Kubernetes' own components (`--leader-elect-lease-duration`).
const DURATION: Duration = Duration::from_secs(15);
/// A leader that has not renewed for so long ends its term, a third of [`DURATION`] before anybody may take it.
const RENEW_WITHIN: Duration = Duration::from_secs(10);
/// How often it renews.
const RENEW_EVERY: Duration = Duration::from_secs(5);
/// How soon a renewal that failed is tried again.
const RENEW_AGAIN: Duration = Duration::from_secs(1);
/// Processes that start together do not look together.
const START_JITTER: Duration = Duration::from_secs(2);
/// How often the leader counts the candidates.
const COUNT_EVERY: Duration = Duration::from_secs(600);
/// How long that, and giving back, may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Which Lease, and for whom.
#[derive(Debug, Clone)]
pub struct LeaderSettings {
    /// The Lease's namespace; empty: the one that the pod runs in.
    pub namespace: String,
    /// The Lease's name.
    pub name: String,
    /// What this host or pod is called; the identity is made of it, and is another one for each process.
    pub host: String,
    /// Every node has a candidate, so that they are counted as nodes are. Else they are taken for few.
    pub on_every_node: bool,
}

/// What the leader does.
pub trait Duty: Send + Sync {
    /// Does it, on from `since`, until `retire`: then finishes what is at hand and returns. Dropped when the term ends.
    fn lead(&self, since: Option<Progress>, retire: CancellationToken) -> BoxFuture<'_, ()>;

    /// How far it got and was acknowledged in this term, never behind its `since`. `None`: what stands on the Lease stays.
    fn progress(&self) -> Option<Progress>;
}

/// How the lead stands. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Leader {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    settings: LeaderSettings,
    identity: String,
    link: Arc<Link>,
    state: Mutex<State>,
    leading: Gauge,
    terms: Counter,
}

#[derive(Debug, Default)]
struct State {
    since: Option<Timestamp>,
    holder: String,
    transitions: i32,
    candidates: u64,
    progress: Option<Progress>,
}

/// How the lead stands, for `/status`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LeaderStatus {
    /// The Lease: namespace and name.
    pub lease: String,
    /// What this process is called there.
    pub identity: String,
    /// Whether this process leads.
    pub leading: bool,
    /// Since when, RFC 3339.
    pub since: Option<String>,
    /// Who leads, as it was seen last; empty: nobody.
    pub holder: String,
    /// How often the Lease went from one holder to another.
    pub transitions: i32,
    /// How many could lead, as the leader counted.
    pub candidates: u64,
    /// How far the leader got, as it was written or seen last.
    pub progress: Option<Progress>,
    /// The last thing that went wrong with the API server.
    pub last_error: Option<LastError>,
}

/// How a term ended.
#[derive(Debug)]
enum Lost {
    /// It could not be renewed in time.
    Silent,
    /// Another one's name stands on the Lease.
    Taken(String),
}

// === impl Leader ===

impl Leader {
    pub(crate) fn new(settings: LeaderSettings, link: Arc<Link>) -> Self {
        let random = RandomState::new().hash_one(std::process::id());
        let identity = format!("{}_{random:016x}", settings.host);
        let (state, leading, terms) = (Mutex::default(), Gauge::default(), Counter::default());
        Self { shared: Arc::new(Shared { settings, identity, link, state, leading, terms }) }
    }

    /// How it stands.
    #[must_use]
    pub fn status(&self) -> LeaderStatus {
        let Shared { settings, identity, link, state, .. } = &*self.shared;
        let state = state.lock();
        LeaderStatus {
            lease: format!("{}/{}", settings.namespace, settings.name),
            identity: identity.clone(),
            leading: state.since.is_some(),
            since: state.since.as_ref().map(Timestamp::to_string),
            holder: state.holder.clone(),
            transitions: state.transitions,
            candidates: state.candidates,
            progress: state.progress.clone(),
            last_error: link.last_error(),
        }
    }

    /// Registers the metrics, named `leader` and `leader_terms` behind whatever prefix `registry` has.
    pub fn register(&self, registry: &mut Registry) {
        let leading = self.shared.leading.clone();
        registry.register("leader", "Whether this process leads (1) or not (0)", leading);
        let terms = self.shared.terms.clone();
        registry.register("leader_terms", "Times that this process became the leader", terms);
    }

    /// Stands for the lead, again and again, and does the duty while it has it. After `retire` no new term begins, and a
    /// duty at work finishes; `give_back` ends the term, with the progress that it has by then.
    pub(crate) async fn run(
        self,
        client: Client,
        duty: Arc<dyn Duty>,
        retire: CancellationToken,
        give_back: CancellationToken,
    ) {
        let LeaderSettings { namespace, name, .. } = &self.shared.settings;
        let identity = &self.shared.identity;
        let mut lease = Lease::new(client.clone(), namespace, name, identity, DURATION);
        sleep(jitter(START_JITTER)).await;
        loop {
            let sent = tokio::select! {
                biased;
                () = retire.cancelled() => return,
                sent = self.become_leader(&mut lease) => sent,
            };
            let since = lease.progress().unwrap_or_else(|error| {
                let progress = "on the Lease";
                warn!(
                    error,
                    progress, "cannot read how far the last leader got; going on from now"
                );
                None
            });
            self.began(&lease, since.as_ref());
            let ended = {
                let term = self.hold(&mut lease, sent, &*duty, (&client, &retire));
                let (mut term, mut work) = (pin!(term), duty.lead(since, retire.clone()));
                let mut at_work = true;
                loop {
                    // The term first: nothing is done after its end.
                    tokio::select! {
                        biased;
                        lost = &mut term => break Some(lost),
                        () = give_back.cancelled() => break None,
                        () = &mut work, if at_work => at_work = false,
                    }
                }
            };
            match ended {
                Some(lost) => self.lost(&lost),
                None => return self.resign(&mut lease, &*duty).await,
            }
        }
    }

    /// Looks until the Lease could be taken; with when that was sent.
    async fn become_leader(&self, lease: &mut Lease) -> Instant {
        let mut backoff = Backoff::new();
        let mut second = false;
        loop {
            match self.try_to_take(lease).await {
                Ok(Some(sent)) => return sent,
                Ok(None) => {
                    backoff.reset();
                    self.saw(lease);
                    let wait = candidates_wait(lease.candidates(), &mut second);
                    sleep(wait).await;
                }
                Err(failure) => {
                    self.shared.link.failed(Resource::leases, &failure);
                    sleep(backoff.next(failure.retry_after)).await;
                }
            }
        }
    }

    async fn try_to_take(&self, lease: &mut Lease) -> Result<Option<Instant>, Failure> {
        let standing = lease.look().await?;
        self.shared.link.good(Resource::leases);
        self.shared.state.lock().holder = match &standing {
            Standing::Free | Standing::Gone => String::new(),
            Standing::Mine => self.shared.identity.clone(),
            Standing::Held { by, .. } => by.clone(),
        };
        match standing {
            Standing::Held { silent: false, .. } | Standing::Gone => Ok(None),
            Standing::Held { by, silent: true } => {
                info!(holder = by, "the leader is silent, taking its place");
                lease.take().await
            }
            // Its own: the answer to a write was lost.
            Standing::Free | Standing::Mine => lease.take().await,
        }
    }

    /// Renews until the term is over.
    async fn hold(
        &self,
        lease: &mut Lease,
        sent: Instant,
        duty: &dyn Duty,
        (client, retire): (&Client, &CancellationToken),
    ) -> Lost {
        let candidates = AtomicU64::new(0);
        let renewals = self.renew(lease, sent, duty, (&candidates, retire));
        if !self.shared.settings.on_every_node {
            return renewals.await;
        }
        tokio::select! {
            biased;
            lost = renewals => lost,
            never = self.count(client, &candidates) => match never {},
        }
    }

    async fn renew(
        &self,
        lease: &mut Lease,
        sent: Instant,
        duty: &dyn Duty,
        (candidates, retire): (&AtomicU64, &CancellationToken),
    ) -> Lost {
        let (mut end, mut next) = (sent + RENEW_WITHIN, sent + RENEW_EVERY);
        loop {
            sleep_until(next.min(end)).await;
            if Instant::now() >= end {
                return Lost::Silent;
            }
            let counted = candidates.load(Ordering::Relaxed);
            let candidates = (counted > 0).then_some(counted);
            let words = Words { progress: duty.progress(), candidates };
            let written = timeout_at(end, async {
                if lease.is_there()
                    && let Some(sent) = lease.renew(words.clone()).await?
                {
                    return Ok(Ok(sent));
                }
                // Somebody has changed or deleted it. What another one wrote stays, unless it names nobody.
                Ok(match lease.look().await? {
                    Standing::Held { by, .. } => Err(Some(by)),
                    Standing::Gone => Err(None),
                    // Nobody would delete what is made by a process that ends.
                    Standing::Free if retire.is_cancelled() && !lease.is_there() => Err(None),
                    Standing::Free | Standing::Mine => {
                        lease.renew(words).await?.ok_or(None::<String>)
                    }
                })
            });
            match written.await {
                Err(_elapsed) => return Lost::Silent,
                Ok(Ok(Ok(sent))) => {
                    self.shared.link.good(Resource::leases);
                    self.wrote(lease);
                    (end, next) = (sent + RENEW_WITHIN, sent + RENEW_EVERY);
                }
                Ok(Ok(Err(Some(by)))) => return Lost::Taken(by),
                Ok(Ok(Err(None))) => next = Instant::now() + jitter(RENEW_AGAIN),
                Ok(Err(failure)) => {
                    self.shared.link.failed(Resource::leases, &failure);
                    let asked = failure.retry_after.unwrap_or_default();
                    next = Instant::now() + asked.max(RENEW_AGAIN / 2 + jitter(RENEW_AGAIN));
                }
            }
        }
    }

    /// Counts the nodes, by one object that is not even read: what remains behind it says how many there are.
    async fn count(&self, client: &Client, candidates: &AtomicU64) -> std::convert::Infallible {
        let nodes: Api<Node> = Api::all(client.clone());
        let one = ListParams::default().limit(1);
        let mut backoff = Backoff::new();
        loop {
            let answer = timeout(ANSWER_WITHIN, nodes.list_metadata(&one)).await;
            let answer = answer.map_err(|_elapsed| Failure::timeout(ANSWER_WITHIN));
            match answer.and_then(|answer| answer.map_err(Failure::from)) {
                Ok(list) => {
                    let remaining = list.metadata.remaining_item_count.unwrap_or(0);
                    let remaining = u64::try_from(remaining).unwrap_or(0);
                    candidates.store(list.items.len() as u64 + remaining, Ordering::Relaxed);
                    backoff.reset();
                    sleep(COUNT_EVERY).await;
                }
                Err(failure) => {
                    debug!(error = failure.message, "cannot count the nodes");
                    sleep(backoff.next(failure.retry_after)).await;
                }
            }
        }
    }

    /// Gives the Lease back, with what was acknowledged by now. Once more if somebody has changed it: it is worth a little.
    async fn resign(&self, lease: &mut Lease, duty: &dyn Duty) {
        if !lease.is_there() {
            // It was deleted: there is nothing to give back.
            return self.ended();
        }
        let words = Words { progress: duty.progress(), candidates: None };
        let given = timeout(ANSWER_WITHIN, async {
            if lease.give_back(words.clone()).await?.is_none()
                && lease.look().await? == Standing::Mine
            {
                lease.give_back(words).await?;
            }
            Ok::<(), Failure>(())
        });
        match given.await {
            Ok(Ok(())) => info!("the lead is given back"),
            Ok(Err(failure)) => {
                info!(error = failure.message, "the lead is not given back, it runs out")
            }
            Err(_elapsed) => info!("the lead is not given back, it runs out"),
        }
        self.ended();
    }

    fn began(&self, lease: &Lease, since: Option<&Progress>) {
        self.shared.leading.set(1);
        self.shared.terms.inc();
        let mut state = self.shared.state.lock();
        state.since = Some(Timestamp::now());
        state.holder.clone_from(&self.shared.identity);
        state.transitions = lease.transitions();
        state.candidates = lease.candidates();
        state.progress = since.cloned();
        drop(state);
        info!(identity = self.shared.identity, progress = ?since, "this process leads");
    }

    fn lost(&self, lost: &Lost) {
        self.ended();
        match lost {
            Lost::Silent => {
                warn!("the lead could not be renewed in time; this process does not lead any more")
            }
            Lost::Taken(by) => {
                self.shared.state.lock().holder.clone_from(by);
                warn!(holder = by, "another one leads; this process does not lead any more");
            }
        }
    }

    fn ended(&self) {
        self.shared.leading.set(0);
        let mut state = self.shared.state.lock();
        state.since = None;
        state.holder = String::new();
    }

    fn wrote(&self, lease: &Lease) {
        self.saw(lease);
        self.shared.state.lock().holder.clone_from(&self.shared.identity);
    }

    fn saw(&self, lease: &Lease) {
        let mut state = self.shared.state.lock();
        state.transitions = lease.transitions();
        state.candidates = lease.candidates();
        state.progress = lease.progress().unwrap_or_default();
    }
}
