//! The agent, put together: the one place where every part is named.
//!
//! In: a [`Config`]. Out: a running [`Agent`]. Started from the destinations backwards, so that whoever gives has
//! someone to give to; stopped from the sources forwards, so that what was read is sent.

mod beating;
mod collecting;
mod leading;
mod metrics;
mod page;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hawsepipe_cluster::{Cluster, ClusterError, NoCluster};
use hawsepipe_collect as collect;
use hawsepipe_export::{Destination, DestinationStatus, Drained, ExportMetrics, StatusHandle};
use hawsepipe_logs as logs;
use hawsepipe_model::{Codec, FrameSink, PodDirectory, PreferredCodec};
use hawsepipe_spool::{self as spool, Remembered, Spool, SpoolError};
use parking_lot::Mutex;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::interval;
use tokio_util::sync::CancellationToken;

use self::beating::Beating;
use self::collecting::Queue;
pub(crate) use self::collecting::kubelet;
use self::leading::Leading;
pub(crate) use self::leading::NOTHING_TO_DO;
use self::page::Page;
use crate::admin::{Admin, AdminError, Shown};
use crate::commands::agent::Role;
use crate::config::{self, Config};
use crate::heartbeats::PortError;
use crate::losses;
use crate::telemetry::Suppressed;

/// Why the agent does not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// The spool's folder cannot be written.
    #[error("spool.path: cannot write to {}: {source}; make it writable, or give another folder", path.display())]
    SpoolFolder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The spool cannot be opened.
    #[error("spool.path: {0}")]
    Spool(#[from] SpoolError),
    /// The admin port cannot be opened.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// The cluster cannot be asked.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The port for heartbeats cannot be opened.
    #[error(transparent)]
    Heartbeats(#[from] PortError),
    /// What is known of the jobs cannot be kept.
    #[error(transparent)]
    Jobs(#[from] collect::BookError),
    /// The log path cannot run.
    #[error(transparent)]
    Logs(#[from] logs::TailerError),
    /// The process was told to stop while it started.
    #[error("stopped while starting: {0}")]
    Ended(#[source] tokio::task::JoinError),
}

/// The running agent.
pub(crate) struct Agent {
    admin: SocketAddr,
    spool: Arc<Spool>,
    shown: Arc<Page>,
    /// What is done once in the cluster; `None`: nothing, by this process.
    leading: Option<Leading>,
    /// `None`: no heartbeats are taken.
    beating: Option<Beating>,
    destinations: JoinSet<Drained>,
    /// Watches end.
    cancel: CancellationToken,
    /// Collectors end.
    collecting: CancellationToken,
    /// Destinations begin to drain.
    drain: CancellationToken,
    shutdown_timeout: Duration,
    log_metrics: logs::Metrics,
}

impl Agent {
    /// Starts every part that the role has.
    ///
    /// # Errors
    /// [`StartError`], for a person.
    pub(crate) async fn start(
        config: Config,
        role: Role,
        suppressed: &Suppressed,
    ) -> Result<Self, StartError> {
        try_spool(&config.spool.path)?;
        let admin = Admin::bind(config.admin, "admin.listen").await?;
        let mut registry = Registry::with_prefix("hawsepipe");
        register_build(&mut registry);
        suppressed.register(&mut registry);
        let (cancel, drain) = (CancellationToken::new(), CancellationToken::new());

        let (spool, remembered) = open_spool(&config).await?;
        metrics::register(&mut registry, &spool);
        let codec = Arc::new(PreferredCodec::new(Codec::Zstd));
        let export_metrics = ExportMetrics::default();
        export_metrics.register(&mut registry);
        let mut destinations = JoinSet::new();
        let mut handles = Vec::new();
        for config::Destination { name, settings, .. } in &config.destinations {
            let Some(source) = spool.source(name) else { continue };
            let destination =
                Destination::otlp(name, settings, Arc::clone(&codec), &export_metrics);
            handles.push(destination.status());
            destinations.spawn(destination.run(source, drain.clone(), config.shutdown_timeout));
        }

        let (pods, cluster) = start_cluster(&config, role, &mut registry, &cancel).await?;
        let sender = losses::Sender {
            spool: Arc::clone(&spool),
            codec: Arc::clone(&codec),
            pods: Arc::clone(&pods),
            attributes: config.attributes.clone(),
        };
        tokio::spawn(sender.run(cancel.clone()));
        let collecting = cancel.child_token();
        let metrics = collect::Metrics::default();
        if config.metrics.is_some() {
            metrics.register(&mut registry);
        }
        let index = cluster.as_ref().map(Cluster::index);
        let node_metrics = config.metrics.as_ref().filter(|_| role.is_node());
        let kubelet = node_metrics.and_then(|metrics| kubelet(metrics, index));
        let kept = kubelet.clone();
        let beating = Beating::start(&config, role, (&spool, &codec), &pods, &mut registry).await?;
        let jobs = beating.as_ref().map(Beating::jobs);
        let queue = Queue { spool: &spool, pods: &pods, codec: &codec, metrics, kubelet, jobs };
        let collectors = queue.start_collectors(node_metrics, &config, &collecting);
        let log_metrics = logs::Metrics::default();
        if role.is_node() {
            log_metrics.register(&mut registry);
        }
        let leading =
            Leading::start(&config, role, cluster.as_ref(), &queue, &mut registry).await?;
        let sink = Arc::new(spool.files().clone()) as Arc<dyn FrameSink>;
        let findings = remembered.findings.clone();
        let settings = log_settings(&config, remembered);
        let registry = Arc::new(registry);
        queue.start_own_metrics(&config, &registry, &collecting);
        let tail = || {
            let (pods, codec) = (Arc::clone(&pods), Arc::clone(&codec));
            logs::Tailer::start(settings, sink, pods, codec, log_metrics.clone())
        };
        let tailer = role.is_node().then(tail).transpose()?;

        let shown = Arc::new(Page {
            role,
            cluster,
            leader: leading.as_ref().map(Leading::leader),
            objects: leading.as_ref().and_then(Leading::objects),
            heartbeats: beating.as_ref().map(Beating::address),
            destinations: handles,
            collectors,
            kubelet: kept,
            spool: Arc::clone(&spool),
            spool_path: config.spool.path,
            findings,
            tailer: Mutex::new(tailer),
        });
        let address = admin.address();
        let page = Arc::clone(&shown) as Arc<dyn Shown>;
        tokio::spawn(admin.serve(registry, page, cancel.clone()));
        tracing::info!(admin = %address, "started");
        Ok(Self {
            admin: address,
            spool,
            shown,
            leading,
            beating,
            destinations,
            cancel,
            collecting,
            drain,
            shutdown_timeout: config.shutdown_timeout,
            log_metrics,
        })
    }

    /// The admin port's address.
    pub(crate) fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Tells how many log records were read, also when the agent has ended.
    pub(crate) fn record_counter(&self) -> impl Fn() -> u64 + use<> {
        let metrics = self.log_metrics.clone();
        move || metrics.records()
    }

    /// Each destination's status.
    pub(crate) fn destinations(&self) -> Vec<DestinationStatus> {
        self.shown.destinations.iter().map(StatusHandle::get).collect()
    }

    /// Waits until a part ends that should not, and says which. Nobody would read or send in its place.
    pub(crate) async fn failed(&mut self) -> &'static str {
        let mut ticks = interval(Duration::from_secs(1));
        loop {
            tokio::select! {
                Some(_) = self.destinations.join_next() => return "a destination's task ended",
                _ = ticks.tick() => {
                    if !self.shown.tails() {
                        return "the log thread ended";
                    }
                    if self.leading.as_ref().is_some_and(|leading| !leading.is_running()) {
                        return "the task that stands for the lead ended";
                    }
                    if self.beating.as_ref().is_some_and(|beating| !beating.is_running()) {
                        return "a task that takes heartbeats ended";
                    }
                }
            }
        }
    }

    /// Ends: sources first, then what they gave is sent, for at most `shutdownTimeout`. True when all of it was; what was
    /// not stays in the spool.
    pub(crate) async fn stop(mut self) -> bool {
        tracing::info!(timeout = ?self.shutdown_timeout, "stopping");
        self.collecting.cancel();
        if let Some(beating) = self.beating {
            beating.stop().await;
        }
        if let Some(leading) = &self.leading {
            leading.retire().await;
        }
        let tailer = self.shown.tailer.lock().take();
        // It ends a thread, which may take the time of a frame.
        let stopped = spawn_blocking(move || drop(tailer)).await;
        if let Err(error) = stopped {
            tracing::error!(%error, "the log thread did not end well");
        }
        self.spool.close();
        self.drain.cancel();
        let mut complete = true;
        while let Some(ended) = self.destinations.join_next().await {
            complete &= ended.is_ok_and(|drained| drained == Drained::Complete);
        }
        if let Some(leading) = self.leading {
            leading.give_back().await;
        }
        self.cancel.cancel();
        tracing::info!(everything_sent = complete, "stopped");
        complete
    }
}

/// Whether the spool's folder, which is made if need be, can be written.
pub(crate) fn try_spool(path: &Path) -> Result<(), StartError> {
    let failed = |source| StartError::SpoolFolder { path: path.to_owned(), source };
    std::fs::create_dir_all(path).map_err(failed)?;
    tempfile::tempfile_in(path).map_err(failed)?;
    Ok(())
}

/// Away from the async threads: it may have much to read.
async fn open_spool(config: &Config) -> Result<(Arc<Spool>, Remembered), StartError> {
    let destination = |it: &config::Destination| spool::DestinationSettings {
        name: it.name.as_str().into(),
        when_full: it.when_full,
        catch_up: it.catch_up,
    };
    let settings = spool::Settings {
        path: config.spool.path.clone(),
        files_max_bytes: config.spool.files_max_bytes,
        pushed_max_bytes: config.spool.pushed_max_bytes,
        sampled_max_bytes: config.spool.sampled_max_bytes,
        working_set: config.spool.working_set,
        min_free: config.spool.min_free,
        destinations: config.destinations.iter().map(destination).collect(),
    };
    let opened = spawn_blocking(move || Spool::open(&settings)).await;
    // It is not joined only when the runtime ends.
    let (spool, remembered) = opened.map_err(StartError::Ended)??;
    for finding in &remembered.findings {
        tracing::warn!(finding, "the spool was not as it should be");
    }
    Ok((Arc::new(spool), remembered))
}

fn log_settings(config: &Config, remembered: Remembered) -> logs::Settings {
    logs::Settings {
        pods_path: config.logs.pods_path.clone(),
        selection: config.logs.selection.clone(),
        start_at: config.logs.start_at,
        max_record_bytes: config.logs.max_record_bytes,
        max_unlinked: config.logs.max_unlinked,
        metadata_timeout: config.logs.metadata_timeout,
        attributes: config.attributes.clone(),
        positions: remembered.positions,
        max_open_files: logs::max_open_files(),
        first_start: remembered.first_start,
    }
}

fn register_build(registry: &mut Registry) {
    let info = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
    registry.register("build", "What is running", info);
}

/// What is known of the pods, and how well the cluster can be reached, where there is one.
type Watched = (Arc<dyn PodDirectory>, Option<Cluster>);

async fn start_cluster(
    config: &Config,
    role: Role,
    registry: &mut Registry,
    cancel: &CancellationToken,
) -> Result<Watched, StartError> {
    let Some(settings) = config.kubernetes.as_ref().filter(|_| role.is_node()) else {
        return Ok((Arc::new(NoCluster::new(&config.node_name)), None));
    };
    let handle = Cluster::start(settings.clone(), cancel.clone()).await?;
    let cluster = handle.cluster().clone();
    cluster.register(registry);
    // The tasks end by themselves once the token is cancelled.
    tokio::spawn(handle.join());
    Ok((cluster.directory(), Some(cluster)))
}
