//! What is done once in the cluster, where this process may be the one that does it.

use std::sync::Arc;
use std::time::Duration;

use hawsepipe_cluster::{Cluster, Connection, Leader, LeaderSettings};
use hawsepipe_collect::{EventSettings, Events};
use hawsepipe_model::{PreferredCodec, SettlingSink};
use hawsepipe_spool::Spool;
use prometheus_client::registry::Registry;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::StartError;
use crate::commands::agent::Role;
use crate::config::Config;

/// How long a term may take to put what is at hand into the spool.
const IDLE_WITHIN: Duration = Duration::from_secs(5);

/// A candidate at work.
pub(super) struct Leading {
    leader: Leader,
    events: Arc<Events>,
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
        (spool, codec): (&Spool, &Arc<PreferredCodec>),
        registry: &mut Registry,
    ) -> Result<Option<Self>, StartError> {
        let Some(selection) = config.leading.events.clone().filter(|_| role.is_cluster()) else {
            return Ok(None);
        };
        let connection = Connection::open(cluster).await?;
        connection.register(registry);
        let settings = EventSettings {
            selection,
            max_record_bytes: config.logs.max_record_bytes,
            attributes: config.attributes.clone(),
        };
        // Neither the log bulk of a node keeps it waiting, nor do metrics push it out.
        let sink = Arc::new(spool.pushed().clone()) as Arc<dyn SettlingSink>;
        let events = Arc::new(Events::new(settings, connection.clone(), sink, Arc::clone(codec)));
        events.register(registry);
        let settings = LeaderSettings {
            namespace: config.leading.lease_namespace.clone(),
            name: config.leading.lease_name.clone(),
            host: host(&config.node_name),
            on_every_node: role.is_node(),
        };
        let (retire, give_back) = (CancellationToken::new(), CancellationToken::new());
        let (leader, run) =
            connection.lead(settings, Arc::clone(&events) as _, retire.clone(), give_back.clone());
        leader.register(registry);
        Ok(Some(Self { leader, events, retire, give_back, run: tokio::spawn(run) }))
    }

    /// What `/status` tells.
    pub(super) fn leader(&self) -> Leader {
        self.leader.clone()
    }

    /// Whether it stands for the lead.
    pub(super) fn is_running(&self) -> bool {
        !self.run.is_finished()
    }

    /// Ends what it does; what is at hand is in the spool then.
    pub(super) async fn retire(&self) {
        self.retire.cancel();
        if timeout(IDLE_WITHIN, self.events.idle()).await.is_err() {
            tracing::warn!(
                "events that are at hand do not come into the spool; they are sent by the next leader"
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
