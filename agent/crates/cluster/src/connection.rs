//! A connection to the API server for what one process of the cluster does.
//!
//! In: the pod's ServiceAccount, or else KUBECONFIG. Out: who leads, and the events and objects of the
//! cluster.

use std::sync::Arc;

use kube::Client;
use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;

use crate::cluster::Cluster;
use crate::events::EventFollower;
use crate::leader::{Duty, Leader, LeaderSettings};
use crate::link::Link;
use crate::objects::{ObjectFollower, ObjectKind};
use crate::{ClusterError, client, lookups};

/// A connection to the API server.
#[derive(Clone)]
pub struct Connection {
    client: Client,
    link: Arc<Link>,
    /// Somebody else has registered its metrics.
    registered: bool,
}

impl Connection {
    /// Connects; what cannot be reached is tried until it can. Beside `cluster`, where there is one, it is told of as one.
    ///
    /// # Errors
    /// [`ClusterError`] if there is no API server to try.
    pub async fn open(cluster: Option<&Cluster>) -> Result<Self, ClusterError> {
        Ok(Self::with(client::connect().await?, cluster))
    }

    /// A connection by a client that is already there.
    #[must_use]
    pub fn with(client: Client, cluster: Option<&Cluster>) -> Self {
        let link = cluster.map(|cluster| Arc::clone(&cluster.link)).unwrap_or_default();
        Self { client, link, registered: cluster.is_some() }
    }

    /// Registers its metrics; their names begin with `kubernetes_`, behind whatever prefix `registry` has.
    pub fn register(&self, registry: &mut Registry) {
        if !self.registered {
            self.link.metrics.register(registry);
        }
    }

    /// Whether the API server answers, as far as the last requests tell.
    #[must_use]
    pub fn is_reachable(&self) -> bool {
        self.link.is_reachable()
    }

    /// The UID of the namespace kube-system, which is the cluster's (`k8s.cluster.uid`); asked for until there is an answer.
    /// `None`: there is no such namespace.
    pub async fn cluster_uid(&self) -> Option<String> {
        lookups::kube_system_uid(&self.client, &self.link).await
    }

    /// Follows the events of the cluster.
    #[must_use]
    pub fn events(&self) -> EventFollower {
        EventFollower::new(self.client.clone(), Arc::clone(&self.link))
    }

    /// Follows all objects of these kinds.
    #[must_use]
    pub fn objects(&self, kinds: &[ObjectKind]) -> ObjectFollower {
        ObjectFollower::new(self.client.clone(), Arc::clone(&self.link), kinds)
    }

    /// Who leads, as this process sees it, and what keeps it so: to be run until it ends, after `give_back`. After
    /// `retire` the duty finishes what is at hand, and no new term begins.
    pub fn lead(
        &self,
        mut settings: LeaderSettings,
        duty: Arc<dyn Duty>,
        retire: CancellationToken,
        give_back: CancellationToken,
    ) -> (Leader, impl Future<Output = ()> + Send + use<>) {
        if settings.namespace.is_empty() {
            self.client.default_namespace().clone_into(&mut settings.namespace);
        }
        let leader = Leader::new(settings, Arc::clone(&self.link));
        let run = leader.clone().run(self.client.clone(), duty, retire, give_back);
        (leader, run)
    }
}
