//! Why the kubelet gives no numbers, and what to do.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Why the kubelet gives no numbers. Each says what to do; none holds the token.
#[derive(Debug, thiserror::Error)]
pub enum KubeletError {
    /// Nobody says where it is.
    #[error(
        "the kubelet's address is not known; let the pod have NODE_IP from status.hostIP, or set \
         metrics.kubelet.endpoint"
    )]
    NoAddress,
    /// The configured endpoint is none.
    #[error("`{endpoint}` is no endpoint of a kubelet; write for instance https://10.0.0.5:10250")]
    NoEndpoint {
        /// What is written.
        endpoint: String,
    },
    /// There is no token.
    #[error("no token for the kubelet: {}: {source}; let the ServiceAccount's token be mounted", path.display())]
    NoToken {
        /// Where it should be.
        path: PathBuf,
        /// Why it cannot be read.
        source: io::Error,
    },
    /// There is nobody to trust.
    #[error("no CA for the kubelet: {}: {reason}; mount it, or give another in metrics.kubelet.caFile", path.display())]
    NoCa {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Its certificate does not verify.
    #[error(
        "the kubelet's certificate does not verify: {reason}; give its CA in metrics.kubelet.caFile, or let kubelets \
         have certificates of the cluster's CA (serverTLSBootstrap: true), or, where the way to the node's own \
         address can be trusted, set metrics.kubelet.insecureSkipVerify: true"
    )]
    Untrusted {
        /// What is wrong with it.
        reason: String,
    },
    /// Nobody listens, or the connection broke.
    #[error(
        "the kubelet at {address} cannot be reached: {reason}; check metrics.kubelet.endpoint and network policies"
    )]
    Unreachable {
        /// Host and port.
        address: String,
        /// Why.
        reason: String,
    },
    /// It says nothing.
    #[error("the kubelet does not answer within {} s; see its log on the node", limit.as_secs())]
    Silent {
        /// How long was waited.
        limit: Duration,
    },
    /// 401.
    #[error(
        "the kubelet refuses the token (401); let it authenticate tokens (authentication.webhook.enabled: true), and \
         let a valid one be mounted: it is read again by itself"
    )]
    Unauthorized,
    /// 403.
    #[error(
        "the kubelet refuses (403: {message}); grant apiGroups [\"\"], resources [{right}], verbs [get] to the \
         ServiceAccount"
    )]
    Forbidden {
        /// What has to be granted.
        right: &'static str,
        /// What it says.
        message: String,
    },
    /// Any other refusal.
    #[error("the kubelet answers {status}: {message}; see its log on the node")]
    Refused {
        /// The status.
        status: u16,
        /// What it says.
        message: String,
    },
    /// The answer is none.
    #[error(
        "what the kubelet answers is no summary: {reason}; check that metrics.kubelet.endpoint is a kubelet's"
    )]
    NoSummary {
        /// Why not.
        reason: String,
    },
    /// The answer is not the metrics of containers.
    #[error(
        "what the kubelet answers at /metrics/cadvisor are no metrics: {reason}; check that metrics.kubelet.endpoint \
         is a kubelet's"
    )]
    NoMetrics {
        /// Why not.
        reason: String,
    },
    /// The answer has no end.
    #[error(
        "the kubelet answers with more than {limit} bytes; check that metrics.kubelet.endpoint is a kubelet's"
    )]
    TooLong {
        /// What is read at the most.
        limit: usize,
    },
}

/// The beginning of what somebody said, in one line.
pub(super) fn beginning(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(800)]);
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    let line: String = text.trim().chars().take(200).map(printable).collect();
    line
}
