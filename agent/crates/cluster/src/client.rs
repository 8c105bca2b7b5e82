//! A client for the API server.

use std::time::Duration;

use kube::Client;
use kube::config::{Config, KubeConfigOptions};

use crate::ClusterError;

/// How long a connection may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// The variable by which a pod knows the API server.
const IN_CLUSTER: &str = "KUBERNETES_SERVICE_HOST";

/// A client with the pod's ServiceAccount, else with the kubeconfig that KUBECONFIG names (or `~/.kube/config`).
pub(crate) async fn connect() -> Result<Client, ClusterError> {
    let mut config = if std::env::var_os(IN_CLUSTER).is_some() {
        Config::incluster().map_err(|error| ClusterError::NoApiServer {
            reason: format!("{IN_CLUSTER} is set, as in a pod, but {error}"),
        })?
    } else {
        let options = KubeConfigOptions::default();
        Config::from_kubeconfig(&options).await.map_err(|error| ClusterError::NoApiServer {
            reason: format!("{IN_CLUSTER} is not set, and there is no usable kubeconfig: {error}"),
        })?
    };
    config.connect_timeout = Some(CONNECT_WITHIN);
    // Every caller here has a backoff of its own.
    config.default_retry = false;
    Client::try_from(config).map_err(ClusterError::Client)
}
