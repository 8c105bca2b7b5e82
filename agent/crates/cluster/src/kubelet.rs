//! The kubelet of this node, as far as it is asked for numbers.
//!
//! In: `/stats/summary` of the kubelet's own port, and `/metrics/cadvisor` if asked for. Out: a [`Summary`], a
//! [`Cadvisor`], or a [`KubeletError`] that says what to do.
//! Always: an answer is waited for no longer than [`ANSWER_WITHIN`], and no more than [`LONGEST`] of it is read; the
//! token is read again for every request, and is sent to nobody whose certificate does not verify unless the
//! configuration says so.
//!
//! Whose certificate: a kubelet has one of the cluster's CA where somebody signs its requests (`serverTLSBootstrap`),
//! else one that it signed itself. So the cluster's CA is trusted, and `caFile` with it; only where the configuration
//! allows it a certificate that neither vouches for is taken, and that is said.

mod cadvisor;
mod connection;
mod error;
mod summary;
mod tls;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::time::timeout;

pub use self::cadvisor::{Cadvisor, CadvisorContainer, DiskIo};
use self::connection::{Connection, Endpoint, Take};
pub use self::error::KubeletError;
pub use self::summary::{
    ContainerStats, CpuStats, FsStats, MemoryStats, NetworkStats, NodeStats, PodRef, PodStats,
    PvcRef, Rlimit, RuntimeStats, Summary, SwapStats, VolumeStats,
};
use crate::index::PodIndex;

/// How long an answer may take: on a full and busy node the kubelet needs seconds.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// The longest answer. A pod has some 10 KiB in the summary and 100 KiB in cAdvisor's metrics, a node at the most some
/// hundreds of pods.
pub const LONGEST: usize = 64 << 20;

/// Where a pod's ServiceAccount is mounted.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Where the kubelet listens unless the node says otherwise.
const PORT: u16 = 10250;

/// A page of the kubelet's.
#[derive(Debug, Clone, Copy)]
struct Page {
    path: &'static str,
    /// What it is written in.
    form: &'static str,
    /// What the kubelet wants its reader to be granted (`pkg/kubelet/server/auth.go`).
    right: &'static str,
}

const SUMMARY: Page =
    Page { path: "/stats/summary", form: "application/json", right: "nodes/stats" };
const CADVISOR: Page =
    Page { path: "/metrics/cadvisor", form: "text/plain", right: "nodes/metrics" };

/// What is asked, and how.
pub trait KubeletSource: Send + Sync {
    /// What the kubelet says now. It is waited for on the thread of whoever asks, which is none of the async ones.
    ///
    /// # Errors
    /// [`KubeletError`], for a person.
    fn summary(&self) -> Result<Summary, KubeletError>;

    /// What it counts of containers beyond that.
    ///
    /// # Errors
    /// [`KubeletError`], for a person.
    fn cadvisor(&self) -> Result<Cadvisor, KubeletError>;
}

/// What the configuration's `metrics.kubelet` says.
#[derive(Debug, Clone)]
pub struct KubeletSettings {
    /// `https://HOST:PORT`; `None`: the node's own address.
    pub endpoint: Option<String>,
    /// CA certificates beside the cluster's.
    pub ca_file: Option<PathBuf>,
    /// Whether a certificate that does not verify is taken.
    pub insecure_skip_verify: bool,
    /// The node's address, if the environment says it (a pod's `status.hostIP`).
    pub node_ip: Option<String>,
    /// The node's name, which a certificate may carry instead of its address.
    pub node_name: String,
    /// The folder with `token` and `ca.crt`.
    pub service_account: PathBuf,
}

impl KubeletSettings {
    /// With the ServiceAccount of a pod, and nothing else said.
    #[must_use]
    pub fn of_node(node_name: &str) -> Self {
        Self {
            endpoint: None,
            ca_file: None,
            insecure_skip_verify: false,
            node_ip: None,
            node_name: node_name.to_owned(),
            service_account: SERVICE_ACCOUNT.into(),
        }
    }

    /// Whether this is an endpoint.
    ///
    /// # Errors
    /// [`KubeletError::NoEndpoint`] if it is none.
    pub fn check_endpoint(text: &str) -> Result<(), KubeletError> {
        Endpoint::parse(text).map(drop)
    }
}

/// The kubelet of this node.
pub struct Kubelet {
    settings: KubeletSettings,
    index: Option<Arc<PodIndex>>,
    runtime: Handle,
    /// Kept open from tick to tick: a handshake costs more than the answer.
    connection: Mutex<Option<Connection>>,
    /// Why the certificate was not verified, if it was taken all the same.
    unverified: Arc<Mutex<Option<String>>>,
}

impl Kubelet {
    /// Asks on `runtime`. `index` knows the node's address, where there is one.
    #[must_use]
    pub fn new(settings: KubeletSettings, index: Option<Arc<PodIndex>>, runtime: Handle) -> Self {
        let (connection, unverified) = (Mutex::default(), Arc::default());
        Self { settings, index, runtime, connection, unverified }
    }

    /// Why its certificate did not verify, if it was taken all the same.
    #[must_use]
    pub fn unverified(&self) -> Option<String> {
        self.unverified.lock().clone()
    }

    /// Asks for `/stats/summary`.
    ///
    /// # Errors
    /// [`KubeletError`], for a person.
    pub async fn fetch(&self) -> Result<Summary, KubeletError> {
        Summary::parse(&self.get::<Vec<u8>>(SUMMARY).await?)
    }

    /// Asks for `/metrics/cadvisor`.
    ///
    /// # Errors
    /// [`KubeletError`], for a person.
    pub async fn fetch_cadvisor(&self) -> Result<Cadvisor, KubeletError> {
        self.get::<cadvisor::Reader>(CADVISOR).await?.finish()
    }

    async fn get<T: Take>(&self, page: Page) -> Result<T, KubeletError> {
        let answer = timeout(ANSWER_WITHIN, self.ask(page)).await;
        answer.map_err(|_elapsed| KubeletError::Silent { limit: ANSWER_WITHIN })?
    }

    async fn ask<T: Take>(&self, page: Page) -> Result<T, KubeletError> {
        let endpoint = self.endpoint()?;
        let token = if endpoint.tls { Some(self.token()?) } else { None };
        // Who is cut off by the time limit takes it along.
        let kept = self.connection.lock().take();
        if let Some(mut connection) = kept.filter(|kept| kept.goes_to(&endpoint)) {
            match connection.get(page, token.as_deref()).await {
                // It was closed while nobody asked.
                Err(KubeletError::Unreachable { .. }) => {}
                answer => return self.keep(connection, answer),
            }
        }
        let mut connection = self.connect(&endpoint).await?;
        let answer = connection.get(page, token.as_deref()).await;
        self.keep(connection, answer)
    }

    /// Keeps the connection for the next time, if what it gave was read to its end.
    fn keep<T>(
        &self,
        connection: Connection,
        answer: Result<T, KubeletError>,
    ) -> Result<T, KubeletError> {
        if answer.is_ok() {
            *self.connection.lock() = Some(connection);
        }
        answer
    }

    async fn connect(&self, endpoint: &Endpoint) -> Result<Connection, KubeletError> {
        let tls = if endpoint.tls {
            *self.unverified.lock() = None;
            Some(tls::config(&self.settings, Arc::clone(&self.unverified))?)
        } else {
            None
        };
        let connection = Connection::open(endpoint, tls).await?;
        if let Some(reason) = self.unverified() {
            tracing::warn!(
                reason,
                "the kubelet's certificate is not verified (metrics.kubelet.insecureSkipVerify)"
            );
        }
        Ok(connection)
    }

    fn token(&self) -> Result<String, KubeletError> {
        let path = self.settings.service_account.join("token");
        match std::fs::read_to_string(&path) {
            Ok(token) => Ok(token.trim().to_owned()),
            Err(source) => Err(KubeletError::NoToken { path, source }),
        }
    }

    /// What is said goes before the environment, and that before what the node says of itself.
    fn endpoint(&self) -> Result<Endpoint, KubeletError> {
        if let Some(endpoint) = &self.settings.endpoint {
            return Endpoint::parse(endpoint);
        }
        let by_node = self.index.as_ref().and_then(|index| index.kubelet());
        let port = by_node.as_ref().and_then(|(_, port)| *port).unwrap_or(PORT);
        let host = self.settings.node_ip.clone().filter(|ip| !ip.is_empty());
        let host = host.or(by_node.map(|(host, _)| host)).ok_or(KubeletError::NoAddress)?;
        Ok(Endpoint { tls: true, host, port })
    }
}

impl KubeletSource for Kubelet {
    fn summary(&self) -> Result<Summary, KubeletError> {
        self.runtime.block_on(self.fetch())
    }

    fn cadvisor(&self) -> Result<Cadvisor, KubeletError> {
        self.runtime.block_on(self.fetch_cadvisor())
    }
}
