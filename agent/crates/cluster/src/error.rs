//! What can go wrong before anything runs. Afterwards nothing is an error: the watches try on, and say so.

/// Why the cluster cannot be watched at all.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// There is no API server to ask.
    #[error(
        "no Kubernetes API server is known: {reason}. In a pod, let its ServiceAccount's token be mounted; elsewhere \
         set KUBECONFIG; or set kubernetes.source: none to run without pod metadata"
    )]
    NoApiServer {
        /// What was looked for and not found.
        reason: String,
    },
    /// There is a configuration, but no client can be made of it.
    #[error(
        "cannot make a client for the Kubernetes API server: {0}. Check the cluster's CA and the credentials"
    )]
    Client(#[source] kube::Error),
    /// A glob does not parse.
    #[error("{field}: {source}. A glob looks like app.kubernetes.io/*")]
    Glob {
        /// The config key.
        field: &'static str,
        /// What is wrong with the glob.
        source: globset::Error,
    },
    /// Without a node's name there is nothing to select by.
    #[error(
        "kubernetes.nodeName is empty: set it to the name of this node (in a pod: NODE_NAME from spec.nodeName)"
    )]
    NoNodeName,
}
