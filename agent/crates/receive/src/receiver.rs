//! Puts the receiver together: key, store, ports, and the tasks that keep the store in order.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::auth::KeyFileError;
use crate::door::Door;
use crate::ingest::Ingest;
use crate::metrics::Metrics;
use crate::query::QueryService;
use crate::seen::Seen;
use crate::serve::{bind, serve};
use crate::status::Status;
use crate::store::{self, Store, StoreError};
use crate::tls::{self, TlsError, TlsFiles};
use crate::{grpc, http};

/// The largest request that is taken, in bytes after decompression, unless told otherwise.
pub const DEFAULT_MAX_MESSAGE_BYTES: usize = 64 << 20;
/// How often what was written is synced: what a power cut can cost.
const SYNC_EVERY: Duration = Duration::from_secs(1);
/// How often the store is looked through for what is too old, in syncs.
const EXPIRE_EVERY: u32 = 10;

/// How to run a receiver.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where gRPC is served; port 0 takes a free one.
    pub grpc: SocketAddr,
    /// Where OTLP/HTTP is served; port 0 takes a free one.
    pub http: SocketAddr,
    /// The file with the key that senders and readers must show. Read again when it changes.
    pub key_file: PathBuf,
    /// Certificate and key for both ports; without it they speak plain text.
    pub tls: Option<TlsFiles>,
    /// The store.
    pub store: store::Settings,
    /// The largest request, in bytes after decompression.
    pub max_message_bytes: usize,
}

/// Why a receiver does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The key file cannot be used.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A port cannot be listened on.
    #[error("cannot listen on {addr} for {what}: {source}; choose another address")]
    Bind {
        /// `gRPC` or `HTTP`.
        what: &'static str,
        /// The address.
        addr: SocketAddr,
        /// The system's word.
        source: std::io::Error,
    },
    /// Opening the store broke off.
    #[error("opening the store broke off: {0}")]
    Broken(#[from] tokio::task::JoinError),
}

/// The receiving end.
#[derive(Debug)]
pub struct Receiver;

/// A receiver that runs. Dropped without [`Running::shutdown`], it goes on until the runtime ends.
#[derive(Debug)]
pub struct Running {
    handle: Handle,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// Tells how a receiver is doing; clones ask the same one.
#[derive(Debug, Clone)]
pub struct Handle {
    grpc_addr: SocketAddr,
    http_addr: SocketAddr,
    tls: bool,
    store: Store,
    metrics: Metrics,
    seen: Seen,
}

// === impl Receiver ===

impl Receiver {
    /// Starts a receiver: when this returns, both ports are listening.
    ///
    /// # Errors
    /// When key, certificate, store or ports cannot be used.
    pub async fn start(settings: Settings) -> Result<Running, StartError> {
        let metrics = Metrics::default();
        let door = Arc::new(Door::new(settings.key_file, metrics.clone())?);
        let tls = settings.tls.as_ref().map(tls::acceptors).transpose()?;
        let has_tls = tls.is_some();
        let (grpc_tls, http_tls) = tls.map_or((None, None), |tls| (Some(tls.grpc), Some(tls.http)));
        let (grpc_listener, grpc_addr) = listen("gRPC", settings.grpc).await?;
        let (http_listener, http_addr) = listen("HTTP", settings.http).await?;
        let store = {
            let metrics = metrics.clone();
            spawn_blocking(move || Store::open(settings.store, metrics)).await??
        };

        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        let seen = Seen::default();
        let ingest = Ingest { store: store.clone(), metrics: metrics.clone(), seen: seen.clone() };
        let query = QueryService::new(store.clone(), metrics.clone(), stop.clone());
        let max = settings.max_message_bytes;
        let grpc = grpc::router(ingest.clone(), query, Arc::clone(&door), max);
        let http = http::router(ingest, door, max);
        tasks.spawn(serve(grpc_listener, grpc, grpc_tls, stop.clone()));
        tasks.spawn(serve(http_listener, http, http_tls, stop.clone()));
        tasks.spawn(keep_in_order(store.clone(), stop.clone()));
        tracing::info!(grpc = %grpc_addr, http = %http_addr, tls = has_tls, "receiver listens");
        let handle = Handle { grpc_addr, http_addr, tls: has_tls, store, metrics, seen };
        Ok(Running { handle, stop, tasks })
    }
}

async fn listen(
    what: &'static str,
    addr: SocketAddr,
) -> Result<(tokio::net::TcpListener, SocketAddr), StartError> {
    let bound = bind(addr).await;
    bound.map_err(|source| StartError::Bind { what, addr, source })
}

/// Syncs and expires until `stop`.
async fn keep_in_order(store: Store, stop: CancellationToken) {
    let mut ticks = interval(SYNC_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut tick = 0;
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        let store = store.clone();
        let expire = tick % EXPIRE_EVERY == 0;
        tick = (tick + 1) % EXPIRE_EVERY;
        let work = spawn_blocking(move || {
            store.sync();
            if expire {
                store.expire();
            }
        });
        if let Err(error) = work.await {
            tracing::error!(%error, "keeping the store in order broke off, trying again");
        }
    }
}

// === impl Running ===

impl Running {
    /// Where gRPC is served.
    #[must_use]
    pub fn grpc_addr(&self) -> SocketAddr {
        self.handle.grpc_addr
    }

    /// Where OTLP/HTTP is served.
    #[must_use]
    pub fn http_addr(&self) -> SocketAddr {
        self.handle.http_addr
    }

    /// Makes the receiver's metrics visible, as `receiver_*`; `registry` has the prefix `hawsepipe`.
    pub fn register(&self, registry: &mut Registry) {
        self.handle.metrics.register(registry);
    }

    /// The receiver in numbers.
    #[must_use]
    pub fn status(&self) -> Status {
        self.handle.status()
    }

    /// For whoever shows how the receiver is doing.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Stops listening, lets requests under way end, syncs the store and releases its folder.
    pub async fn shutdown(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        let store = self.handle.store;
        if let Err(error) = spawn_blocking(move || store.sync()).await {
            tracing::error!(%error, "the store's last sync broke off");
        }
    }
}

// === impl Handle ===

impl Handle {
    /// The receiver in numbers.
    #[must_use]
    pub fn status(&self) -> Status {
        let store = self.store.status();
        Status::new(self.grpc_addr, self.http_addr, self.tls, &self.metrics, store, self.seen.get())
    }
}
