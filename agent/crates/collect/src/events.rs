//! The events of the cluster, from what the API server says to frames in the queue.
//!
//! In: what an [`EventFollower`](hawsepipe_cluster::EventFollower) finds, while this process leads. Out: frames of log records in
//! a lane, and how far they are delivered. Always:
//! - nothing is let go because the lane is full: the API server keeps events for a while (`--event-ttl`, an hour by default),
//!   and is read no further until there is room;
//! - how far it got is told only of what the destinations have settled, so that the next leader begins before it at the latest;
//! - an event and its changes are told apart by `k8s.event.uid` and `k8s.event.resource_version`: what comes twice has both alike.

mod batch;
mod record;
mod selection;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use hawsepipe_cluster::{Connection, Duty, Progress};
use hawsepipe_model::{Attributes, PreferredCodec, SettlingSink};
use prometheus_client::registry::Registry;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

pub use self::selection::{EventRule, EventSelection};
use self::writer::Writer;

/// Events that are at hand beside those of a frame; none is larger than what etcd takes (1.5 MiB by default).
const AT_HAND: usize = 8;
/// How long the first events wait for the cluster's UID.
const METADATA_WITHIN: Duration = Duration::from_secs(10);

/// What is wanted of the events.
#[derive(Debug, Clone)]
pub struct EventSettings {
    /// Which ones.
    pub selection: EventSelection,
    /// Longest note; what is longer is cut, marked and counted.
    pub max_record_bytes: usize,
    /// Attributes that are added to everything; they win.
    pub attributes: Attributes,
}

/// Sends the events of the cluster, as the [`Duty`] of a leader.
pub struct Events {
    connection: Connection,
    writer: Writer,
    at_work: watch::Sender<bool>,
}

/// Says that a term is over, also when it ends in the middle.
struct AtWork<'a>(&'a watch::Sender<bool>);

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.0.send_replace(false);
    }
}

// === impl Events ===

impl Events {
    /// To be handed to [`Connection::lead`].
    #[must_use]
    pub fn new(
        settings: EventSettings,
        connection: Connection,
        sink: Arc<dyn SettlingSink>,
        codec: Arc<PreferredCodec>,
    ) -> Self {
        let writer = Writer::new(settings, sink, codec);
        Self { connection, writer, at_work: watch::Sender::new(false) }
    }

    /// Registers its counters; `registry` is the agent's, with its prefix `hawsepipe`.
    pub fn register(&self, registry: &mut Registry) {
        let events = registry.sub_registry_with_prefix("events");
        let help = "Kubernetes events, and changes of them, that were put into the spool";
        events.register("records", help, self.writer.sent.clone());
        let help = "Kubernetes events, and changes of them, that the configuration leaves out";
        events.register("excluded", help, self.writer.excluded.clone());
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

impl Duty for Events {
    fn lead(&self, since: Option<Progress>, retire: CancellationToken) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.at_work.send_replace(true);
            let _at_work = AtWork(&self.at_work);
            let since = since.and_then(|progress| progress.events);
            self.writer.begin(since.clone());
            tokio::select! {
                _ = timeout(METADATA_WITHIN, self.find_cluster_uid()) => {}
                () = retire.cancelled() => return,
            }
            let (sender, found) = mpsc::channel(AT_HAND);
            let follow = self.connection.events().run(since, sender);
            let learn = async {
                self.find_cluster_uid().await;
                std::future::pending::<()>().await;
            };
            tokio::select! {
                () = self.writer.write(found, retire) => {}
                () = async { tokio::join!(follow, learn); } => {}
            }
        })
    }

    fn progress(&self) -> Option<Progress> {
        self.writer.progress().map(Progress::of_events)
    }
}

#[cfg(test)]
mod tests;
