//! What is done once in the cluster, where this process may be the one that does it.

mod objects;

use std::sync::Arc;
use std::time::Duration;

use hawsepipe_cluster::{Cluster, Connection, Duties, Duty, Leader, LeaderSettings};
use hawsepipe_collect::{CronJobs, EventSettings, Events};
use hawsepipe_model::{FrameSink, SettlingSink};
use prometheus_client::registry::Registry;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use self::objects::ObjectSettings;
pub(super) use self::objects::Objects;
use super::StartError;
use super::collecting::Queue;
use crate::commands::agent::Role;
use crate::config::Config;

/// How long a term may take to put what is at hand into the spool.
const IDLE_WITHIN: Duration = Duration::from_secs(5);

/// What is said where no process has to lead.
pub(crate) const NOTHING_TO_DO: &str = "there is nothing to do once in the cluster: events.enabled and \
                                        heartbeats.cronJobs.enabled are false, and no collector of the cluster's \
                                        objects is on";

/// A candidate at work.
pub(super) struct Leading {
    leader: Leader,
    /// `None`: `events.enabled: false`.
    events: Option<Arc<Events>>,
    /// `None`: no collector of the cluster's objects is on, and no heartbeats of CronJobs are told.
    objects: Option<Arc<Objects>>,
    /// No new term begins, and one that is at work finishes.
    retire: CancellationToken,
    /// The Lease is given back.
    give_back: CancellationToken,
    run: JoinHandle<()>,
}

impl Leading {
    /// Stands for the lead, unless there is nothing to do for whoever leads. `cluster`: what this process watches as a
    /// node's.
    pub(super) async fn start(
        config: &Config,
        role: Role,
        cluster: Option<&Cluster>,
        queue: &Queue<'_>,
        registry: &mut Registry,
    ) -> Result<Option<Self>, StartError> {
        if !role.is_cluster() {
            return Ok(None);
        }
        if !config.has_duties() {
            tracing::info!("{NOTHING_TO_DO}; this process does not stand for the lead");
            return Ok(None);
        }
        let connection = Connection::open(cluster).await?;
        connection.register(registry);
        let events = config.leading.events.clone().map(|selection| {
            let settings = EventSettings {
                selection,
                max_record_bytes: config.logs.max_record_bytes,
                attributes: config.attributes.clone(),
            };
            // Neither the log bulk of a node keeps it waiting, nor do metrics push it out.
            let sink = Arc::new(queue.spool.pushed().clone()) as Arc<dyn SettlingSink>;
            Arc::new(Events::new(settings, connection.clone(), sink, Arc::clone(queue.codec)))
        });
        if let Some(events) = &events {
            events.register(registry);
        }
        let cronjobs = config.leading.cronjobs.then(|| {
            let sink = Arc::new(queue.spool.pushed().clone()) as Arc<dyn SettlingSink>;
            let (attributes, connection) = (config.attributes.clone(), connection.clone());
            Arc::new(CronJobs::new(attributes, connection, sink, Arc::clone(queue.codec)))
        });
        if let Some(cronjobs) = &cronjobs {
            cronjobs.register(registry);
        }
        let chosen = config.metrics.as_ref();
        let choices = chosen.map(|chosen| chosen.of_cluster.clone()).unwrap_or_default();
        let objects = (!choices.is_empty() || cronjobs.is_some()).then(|| {
            let settings = ObjectSettings {
                choices,
                interval: chosen.map_or(Duration::ZERO, |chosen| chosen.interval),
                name: config.leading.lease_name.clone(),
                attributes: config.attributes.clone(),
                sink: Arc::new(queue.spool.sampled().clone()) as Arc<dyn FrameSink>,
                codec: Arc::clone(queue.codec),
                metrics: queue.metrics.clone(),
                cronjobs,
            };
            Arc::new(Objects::new(settings, config.object_kinds(), connection.clone()))
        });
        let settings = LeaderSettings {
            namespace: config.leading.lease_namespace.clone(),
            name: config.leading.lease_name.clone(),
            host: host(&config.node_name),
            on_every_node: role.is_node(),
        };
        let events_duty = events.clone().map(|events| events as Arc<dyn Duty>);
        let objects_duty = objects.clone().map(|objects| objects as Arc<dyn Duty>);
        let duties = Arc::new(Duties::new(events_duty.into_iter().chain(objects_duty).collect()));
        let (retire, give_back) = (CancellationToken::new(), CancellationToken::new());
        let (leader, run) = connection.lead(settings, duties, retire.clone(), give_back.clone());
        leader.register(registry);
        Ok(Some(Self { leader, events, objects, retire, give_back, run: tokio::spawn(run) }))
    }

    /// What `/status` tells.
    pub(super) fn leader(&self) -> Leader {
        self.leader.clone()
    }

    /// What is told of the cluster's objects, where this process may do so.
    pub(super) fn objects(&self) -> Option<Arc<Objects>> {
        self.objects.clone()
    }

    /// Whether it stands for the lead.
    pub(super) fn is_running(&self) -> bool {
        !self.run.is_finished()
    }

    /// Ends what it does; what is at hand is in the spool then.
    pub(super) async fn retire(&self) {
        self.retire.cancel();
        let idle = async {
            if let Some(events) = &self.events {
                events.idle().await;
            }
            if let Some(objects) = &self.objects {
                objects.idle().await;
            }
        };
        if timeout(IDLE_WITHIN, idle).await.is_err() {
            tracing::warn!(
                "events and heartbeats that are at hand do not come into the spool; they are sent by the next leader"
            );
        }
    }

    /// Gives the Lease back, with how far it got by now.
    pub(super) async fn give_back(self) {
        self.give_back.cancel();
        drop(self.run.await);
    }
}

/// What this process is called on the Lease.
fn host(node_name: &str) -> String {
    let known = ["POD_NAME", "HOSTNAME"].into_iter().find_map(|name| std::env::var(name).ok());
    known.filter(|name| !name.is_empty()).unwrap_or_else(|| node_name.to_owned())
}
