//! The heartbeats of the host's jobs, put to work.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hawsepipe_collect::{HeartbeatSettings, Heartbeats, Jobs, Sources};
use hawsepipe_host::HostRoot;
use hawsepipe_model::{FrameSink, PodDirectory, PreferredCodec};
use hawsepipe_spool::Spool;
use prometheus_client::registry::Registry;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::StartError;
use crate::commands::agent::Role;
use crate::config::Config;
use crate::heartbeats::folder::Folder;
use crate::heartbeats::{Taker, bind};

/// The file that keeps what is known of the jobs, in the spool's folder.
const FILE: &str = "heartbeats.json";
/// How long requests under way may take at the end.
const IDLE_WITHIN: Duration = Duration::from_secs(5);

/// The port and the folder, taken from.
pub(super) struct Beating {
    jobs: Arc<Jobs>,
    address: SocketAddr,
    cancel: CancellationToken,
    tasks: [JoinHandle<()>; 2],
}

impl Beating {
    /// Takes heartbeats, unless the configuration does not want it.
    pub(super) async fn start(
        config: &Config,
        role: Role,
        (spool, codec): (&Spool, &Arc<PreferredCodec>),
        pods: &Arc<dyn PodDirectory>,
        registry: &mut Registry,
    ) -> Result<Option<Self>, StartError> {
        let Some(wanted) = config.heartbeats.as_ref().filter(|_| role.is_node()) else {
            return Ok(None);
        };
        let (listener, address) = bind(wanted.listen).await?;
        let folder = Folder::of(&config.spool.path);
        let host =
            config.metrics.as_ref().map_or_else(HostRoot::here, |metrics| metrics.host.clone());
        let settings = HeartbeatSettings {
            file: config.spool.path.join(FILE),
            plans: wanted.plans.clone(),
            sources: Sources::new(host),
            attributes: config.attributes.clone(),
        };
        let sink = Arc::new(spool.pushed().clone()) as Arc<dyn FrameSink>;
        let (codec, pods) = (Arc::clone(codec), Arc::clone(pods));
        let opened = spawn_blocking(move || {
            if let Err(error) = folder.make() {
                tracing::warn!(%error, "jobs that run while no agent does cannot keep their heartbeats");
            }
            Heartbeats::open(settings, sink, codec, pods).map(|heartbeats| (heartbeats, folder))
        });
        let (heartbeats, folder) = opened.await.map_err(StartError::Ended)??;
        let jobs = heartbeats.jobs();
        let taker = Taker::new(Arc::new(heartbeats), folder);
        taker.register(registry);
        let cancel = CancellationToken::new();
        let serve = tokio::spawn(taker.clone().serve(listener, cancel.clone()));
        let tasks = [serve, tokio::spawn(taker.look(cancel.clone()))];
        tracing::info!(heartbeats = %address, "takes heartbeats of jobs");
        Ok(Some(Self { jobs, address, cancel, tasks }))
    }

    /// What is known of the jobs.
    pub(super) fn jobs(&self) -> Arc<Jobs> {
        Arc::clone(&self.jobs)
    }

    /// Where they are taken.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether they are taken.
    pub(super) fn is_running(&self) -> bool {
        !self.tasks.iter().any(JoinHandle::is_finished)
    }

    /// Takes no more, once what is under way is in the spool.
    pub(super) async fn stop(self) {
        self.cancel.cancel();
        for task in self.tasks {
            if timeout(IDLE_WITHIN, task).await.is_err() {
                tracing::warn!("a heartbeat that is under way does not come into the spool");
            }
        }
    }
}
