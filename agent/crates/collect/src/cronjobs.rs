//! Heartbeats of CronJobs and Jobs, from the objects of the cluster to frames in the queue.
//!
//! In: the changes of an [`ObjectStore`], while this process leads, and the time. Out: frames of log records in a lane, how far they
//! are delivered, and what the collector `cluster_heartbeats` tells. Always:
//! - a time of a CronJob's schedule is told as scheduled or as missed, once; of a Job each state is told once;
//! - how far it got is told only of what the destinations have settled; what happened later is told by the next leader, from
//!   the objects, so that the last minute before a change of leader may come twice;
//! - what comes twice is known by `hawsepipe.heartbeat.id`.

mod batch;
mod known;
mod missed;
mod plan;
mod pods;
mod run;
mod tallies;
mod whose;

use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hawsepipe_cluster::Connection;
use hawsepipe_cluster::objects::{ObjectKind, ObjectStore};
use hawsepipe_model::{Attributes, PreferredCodec, SettlingSink};
use jiff::Timestamp;
use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use self::known::{Due, Kinds, Known};
pub use self::tallies::JobTallies;
use crate::lane;
use crate::marks::Marks;

/// How often it is looked what is due.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// So long after a time is over it is clear that nothing came: a Job may be on its way here, and clocks differ a bit.
const SETTLE: Duration = Duration::from_secs(10);
/// What happened so long ago has come here, and was told: a kubelet says a bit later that a container runs.
const LAG: Duration = Duration::from_secs(60);
/// How long the first heartbeats wait for the cluster's UID.
const METADATA_WITHIN: Duration = Duration::from_secs(10);

/// The kinds that are to be in the store.
pub(crate) const KINDS: [ObjectKind; 3] =
    [ObjectKind::CronJobs, ObjectKind::Jobs, ObjectKind::Pods];

/// Sends the heartbeats of CronJobs and Jobs, while this process leads.
pub struct CronJobs {
    connection: Connection,
    writer: Writer,
    tallies: Arc<JobTallies>,
    at_work: watch::Sender<bool>,
}

/// Puts heartbeats into the lane, and knows how far they are settled.
struct Writer {
    /// Attributes that are added to everything; they win.
    attributes: Attributes,
    sink: Arc<dyn SettlingSink>,
    codec: Arc<PreferredCodec>,
    cluster_uid: OnceLock<String>,
    marks: Mutex<Marks<Timestamp>>,
    sent: Counter,
    dropped: Counter,
    unknown: Gauge,
}

/// Says that a term is over, also when it ends in the middle.
struct AtWork<'a>(&'a CronJobs);

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.0.tallies.0.lock().take();
        self.0.writer.unknown.set(0);
        self.0.at_work.send_replace(false);
    }
}

// === impl CronJobs ===

impl CronJobs {
    /// The kinds that are to be in the store: what it needs the right to list and to watch.
    pub const KINDS: &[ObjectKind] = &KINDS;

    /// `attributes` are added to everything, and win.
    #[must_use]
    pub fn new(
        attributes: Attributes,
        connection: Connection,
        sink: Arc<dyn SettlingSink>,
        codec: Arc<PreferredCodec>,
    ) -> Self {
        let at_work = watch::Sender::new(false);
        let writer = Writer::new(attributes, sink, codec);
        Self { connection, writer, tallies: Arc::default(), at_work }
    }

    /// Registers its counters; `registry` is the agent's, with its prefix `hawsepipe`.
    pub fn register(&self, registry: &mut Registry) {
        let cronjobs = registry.sub_registry_with_prefix("cronjobs");
        let help = "Heartbeats of CronJobs and Jobs that were put into the spool";
        cronjobs.register("records", help, self.writer.sent.clone());
        let help = "Jobs that were gone before the spool had room for their heartbeats";
        cronjobs.register("dropped_jobs", help, self.writer.dropped.clone());
        let help =
            "CronJobs whose schedule or time zone cannot be read: what they miss is not known";
        cronjobs.register("unknown_schedules", help, self.writer.unknown.clone());
    }

    /// How often each job did what, for the collector `cluster_heartbeats`; nothing while this process does not lead.
    #[must_use]
    pub fn tallies(&self) -> Arc<JobTallies> {
        Arc::clone(&self.tallies)
    }

    /// A term, on from `since`, until `retire`: then what is due is put into the lane. `store` is filled with
    /// [`KINDS`](Self::KINDS) from now on, and is empty.
    pub async fn lead(
        &self,
        store: &ObjectStore,
        since: Option<Timestamp>,
        retire: CancellationToken,
    ) {
        self.at_work.send_replace(true);
        let _at_work = AtWork(self);
        let known = Arc::new(Known::new(since, self.writer.dropped.clone()));
        store.subscribe(Arc::clone(&known) as _);
        *self.tallies.0.lock() = Some(Arc::clone(&known));
        self.writer.begin(since);
        let begun = since.unwrap_or_else(Timestamp::now);
        self.writer.run(store, &known, begun, retire, self.find_cluster_uid()).await;
    }

    /// Up to when everything was told, and is settled.
    #[must_use]
    pub fn progress(&self) -> Option<Timestamp> {
        self.writer.progress()
    }

    /// Waits until no term is at work.
    pub async fn idle(&self) {
        // The sender is this.
        drop(self.at_work.subscribe().wait_for(|at_work| !at_work).await);
    }

    async fn find_cluster_uid(&self) {
        if self.writer.cluster_uid.get().is_none()
            && let Some(uid) = self.connection.cluster_uid().await
        {
            self.writer.cluster_uid.get_or_init(|| uid);
        }
    }
}

// === impl Writer ===

impl Writer {
    fn new(
        attributes: Attributes,
        sink: Arc<dyn SettlingSink>,
        codec: Arc<PreferredCodec>,
    ) -> Self {
        Self {
            attributes,
            sink,
            codec,
            cluster_uid: OnceLock::new(),
            marks: Mutex::default(),
            sent: Counter::default(),
            dropped: Counter::default(),
            unknown: Gauge::default(),
        }
    }

    fn begin(&self, since: Option<Timestamp>) {
        self.marks.lock().begin(since);
    }

    /// Looks each second what is due, until `retire` and once more. It waits a bit for `learn`.
    async fn run(
        &self,
        store: &ObjectStore,
        known: &Known,
        begun: Timestamp,
        retire: CancellationToken,
        learn: impl Future<Output = ()>,
    ) {
        let mut learn = pin!(learn);
        let mut has_learnt = tokio::select! {
            learnt = timeout(METADATA_WITHIN, &mut learn) => learnt.is_ok(),
            () = retire.cancelled() => false,
        };
        let mut ticks = interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let is_over = tokio::select! {
                biased;
                () = retire.cancelled() => true,
                () = &mut learn, if !has_learnt => {
                    has_learnt = true;
                    continue;
                }
                _ = ticks.tick() => false,
            };
            let now = Timestamp::now();
            if let Some(due) = known.look(Kinds::of(store), now) {
                self.unknown.set(i64::try_from(known.unknown()).unwrap_or(i64::MAX));
                self.write(&due, told_by(now).max(begun)).await;
            }
            if is_over {
                return;
            }
        }
    }

    /// Puts what is due into the lane, however long that takes; everything up to `told` is told then.
    async fn write(&self, due: &[Due], told: Timestamp) {
        let cluster = self.cluster_uid.get().map(String::as_str);
        let frames = batch::frames(due, cluster, &self.attributes, self.codec.get());
        for frame in frames {
            let records = frame.records;
            let number = lane::put(&self.sink, frame, "heartbeats").await;
            self.sent.inc_by(records);
            self.marks.lock().put(number, None);
        }
        self.marks.lock().reached(told);
    }

    fn progress(&self) -> Option<Timestamp> {
        let settled = self.sink.settled();
        self.marks.lock().settled(settled)
    }
}

/// Up to when everything is told by a look at `now`.
fn told_by(now: Timestamp) -> Timestamp {
    now.checked_sub(LAG).unwrap_or(Timestamp::MIN)
}

#[cfg(test)]
mod tests;
