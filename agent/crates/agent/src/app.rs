//! The agent, put together: the one place where every part is named.
//!
//! In: a [`Config`]. Out: a running [`Agent`]. Started from the destinations backwards, so that whoever gives has
//! someone to give to; stopped from the sources forwards, so that what was read is sent.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hawsepipe_cluster::{Cluster, ClusterError, NoCluster};
use hawsepipe_export::{
    Destination, DestinationStatus, Drained, ExportMetrics, State, StatusHandle,
};
use hawsepipe_logs as logs;
use hawsepipe_model::{Codec, FrameSink, PodDirectory, PreferredCodec};
use hawsepipe_spool::Lane;
use parking_lot::Mutex;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::interval;
use tokio_util::sync::CancellationToken;

use crate::admin::{Admin, AdminError, Readiness, Shown};
use crate::config::Config;
use crate::telemetry::Suppressed;

/// Why the agent does not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// The spool's folder cannot be written.
    #[error("spool.path: cannot write to {}: {source}; make it writable, or give another folder", path.display())]
    Spool {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The admin port cannot be opened.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// The cluster cannot be asked.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The log path cannot run.
    #[error(transparent)]
    Logs(#[from] logs::TailerError),
}

/// The running agent.
pub(crate) struct Agent {
    admin: SocketAddr,
    lane: Lane,
    shown: Arc<Page>,
    destinations: JoinSet<Drained>,
    /// Sources and watches end.
    cancel: CancellationToken,
    /// Destinations begin to drain.
    drain: CancellationToken,
    shutdown_timeout: Duration,
    log_metrics: logs::Metrics,
}

impl Agent {
    /// Starts every part.
    ///
    /// # Errors
    /// [`StartError`], for a person.
    pub(crate) async fn start(config: Config, suppressed: &Suppressed) -> Result<Self, StartError> {
        try_spool(&config.spool.path)?;
        let admin = Admin::bind(config.admin, "admin.listen").await?;
        let mut registry = Registry::with_prefix("hawsepipe");
        register_build(&mut registry);
        suppressed.register(&mut registry);
        let (cancel, drain) = (CancellationToken::new(), CancellationToken::new());

        let lane = Lane::new(config.spool.files_max_bytes);
        register_lane(&mut registry, &lane);
        let codec = Arc::new(PreferredCodec::new(Codec::Zstd));
        let export_metrics = ExportMetrics::default();
        export_metrics.register(&mut registry);
        let mut destinations = JoinSet::new();
        let mut handles = Vec::new();
        for (name, settings) in &config.destinations {
            let destination =
                Destination::otlp(name, settings, Arc::clone(&codec), &export_metrics);
            handles.push(destination.status());
            let (source, drain) = (lane.source(), drain.clone());
            destinations.spawn(destination.run(source, drain, config.shutdown_timeout));
        }

        let (pods, cluster) = start_cluster(&config, &mut registry, &cancel).await?;
        let log_metrics = logs::Metrics::default();
        log_metrics.register(&mut registry);
        let sink = Arc::new(lane.clone()) as Arc<dyn FrameSink>;
        let settings = log_settings(&config);
        let tailer = logs::Tailer::start(settings, sink, pods, codec, log_metrics.clone())?;

        let shown = Arc::new(Page {
            cluster,
            destinations: handles,
            lane: lane.clone(),
            spool_path: config.spool.path,
            tailer: Mutex::new(Some(tailer)),
        });
        let address = admin.address();
        let page = Arc::clone(&shown) as Arc<dyn Shown>;
        tokio::spawn(admin.serve(registry, page, cancel.clone()));
        tracing::info!(admin = %address, "started");
        Ok(Self {
            admin: address,
            lane,
            shown,
            destinations,
            cancel,
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
                    let runs = |tailer: &logs::Tailer| tailer.is_running();
                    if !self.shown.tailer.lock().as_ref().is_some_and(runs) {
                        return "the log thread ended";
                    }
                }
            }
        }
    }

    /// Ends: sources first, then what they gave is sent, for at most `shutdownTimeout`. True when all of it was.
    pub(crate) async fn stop(mut self) -> bool {
        tracing::info!(timeout = ?self.shutdown_timeout, "stopping");
        let tailer = self.shown.tailer.lock().take();
        // It ends a thread, which may take the time of a frame.
        let stopped = tokio::task::spawn_blocking(move || drop(tailer)).await;
        if let Err(error) = stopped {
            tracing::error!(%error, "the log thread did not end well");
        }
        self.lane.close();
        self.drain.cancel();
        let mut complete = true;
        while let Some(ended) = self.destinations.join_next().await {
            complete &= ended.is_ok_and(|drained| drained == Drained::Complete);
        }
        self.cancel.cancel();
        tracing::info!(everything_sent = complete, "stopped");
        complete
    }
}

/// Whether the spool's folder, which is made if need be, can be written.
pub(crate) fn try_spool(path: &Path) -> Result<(), StartError> {
    let failed = |source| StartError::Spool { path: path.to_owned(), source };
    std::fs::create_dir_all(path).map_err(failed)?;
    tempfile::tempfile_in(path).map_err(failed)?;
    Ok(())
}

fn log_settings(config: &Config) -> logs::Settings {
    logs::Settings {
        pods_path: config.logs.pods_path.clone(),
        selection: config.logs.selection.clone(),
        start_at: config.logs.start_at,
        max_record_bytes: config.logs.max_record_bytes,
        metadata_timeout: config.logs.metadata_timeout,
        attributes: config.attributes.clone(),
    }
}

fn register_build(registry: &mut Registry) {
    let info = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
    registry.register("build", "What is running", info);
}

fn register_lane(registry: &mut Registry, lane: &Lane) {
    let spool = registry.sub_registry_with_prefix("spool");
    let capacity = i64::try_from(lane.usage().capacity).unwrap_or(i64::MAX);
    spool.register_with_unit(
        "files_max",
        "Budget of the files lane",
        Unit::Bytes,
        ConstGauge::new(capacity),
    );
    spool.register_collector(Box::new(LaneCollector(lane.clone())));
}

/// Reads the lane when someone looks, so that no counter beside it can differ from it.
#[derive(Debug)]
struct LaneCollector(Lane);

impl prometheus_client::collector::Collector for LaneCollector {
    fn encode(
        &self,
        mut encoder: prometheus_client::encoding::DescriptorEncoder<'_>,
    ) -> Result<(), std::fmt::Error> {
        use prometheus_client::encoding::EncodeMetric;
        let usage = self.0.usage();
        let number = |count: usize| ConstGauge::new(i64::try_from(count).unwrap_or(i64::MAX));
        let (bytes, frames) = (number(usage.bytes), number(usage.frames));
        let help = "What waits in the files lane";
        let metric = encoder.encode_descriptor(
            "files_used",
            help,
            Some(&Unit::Bytes),
            bytes.metric_type(),
        )?;
        bytes.encode(metric)?;
        let help = "Frames that wait in the files lane";
        let metric = encoder.encode_descriptor("files_frames", help, None, frames.metric_type())?;
        frames.encode(metric)
    }
}

/// What the admin port shows of the agent.
struct Page {
    cluster: Option<Cluster>,
    destinations: Vec<StatusHandle>,
    lane: Lane,
    spool_path: PathBuf,
    tailer: Mutex<Option<logs::Tailer>>,
}

impl Shown for Page {
    fn readiness(&self) -> Readiness {
        let mut messages = Vec::new();
        let runs = self.tailer.lock().as_ref().is_some_and(logs::Tailer::is_running);
        if !runs {
            messages.push("the log path does not run".to_owned());
        }
        let spool = try_spool(&self.spool_path);
        if let Err(error) = &spool {
            messages.push(error.to_string());
        }
        let ready = runs && spool.is_ok();
        for status in self.destinations.iter().map(StatusHandle::get) {
            if let (State::Blocked | State::Retrying, Some(reason)) = (status.state, status.reason)
            {
                messages.push(format!("destination {}: {reason}", status.name));
            }
        }
        Readiness { ready, messages }
    }

    fn status(&self) -> Value {
        let usage = self.lane.usage();
        let tailer = self.tailer.lock();
        let running = tailer.as_ref().is_some_and(logs::Tailer::is_running);
        let logs = tailer.as_ref().map(logs::Tailer::status).unwrap_or_default();
        drop(tailer);
        let destinations: Vec<_> = self.destinations.iter().map(StatusHandle::get).collect();
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "logs": {
                "running": running,
                "streams": logs.streams,
                "openFiles": logs.open_files,
                "waitingForMetadata": logs.waiting,
                "blockedBySpool": logs.blocked,
            },
            "spool": {
                "files": {
                    "frames": usage.frames,
                    "usedBytes": usage.bytes,
                    "maxBytes": usage.capacity,
                },
            },
            "destinations": destinations,
            "kubernetes": self.cluster.as_ref().map(Cluster::status),
        })
    }
}

/// What is known of the pods, and how well the cluster can be reached, where there is one.
type Watched = (Arc<dyn PodDirectory>, Option<Cluster>);

async fn start_cluster(
    config: &Config,
    registry: &mut Registry,
    cancel: &CancellationToken,
) -> Result<Watched, StartError> {
    let Some(settings) = &config.kubernetes else {
        return Ok((Arc::new(NoCluster::new(&config.node_name)), None));
    };
    let handle = Cluster::start(settings.clone(), cancel.clone()).await?;
    let cluster = handle.cluster().clone();
    cluster.register(registry);
    // The tasks end by themselves once the token is cancelled.
    tokio::spawn(handle.join());
    Ok((cluster.directory(), Some(cluster)))
}
