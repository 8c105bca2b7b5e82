//! The Kubernetes API, as far as an agent needs it. The only crate that knows `kube`.
//!
//! In: one watch of the node's own pods and one of the node, a look at a Job for its CronJob, one at the namespace
//! kube-system. Out: [`PodIndex`], which answers from memory what is known of a pod and of the node, with
//! OpenTelemetry's attribute names.
//!
//! Always holds:
//! - nobody who reads the index waits for the API server; when it is away, the index keeps what it has;
//! - only the fields that are used are ever read into memory, and only attributes are kept;
//! - what it asks the API server for is exactly what [`check_rights`] checks, and nothing else.
//!
//! What one process of the cluster does ([`Connection`]): one that holds a Lease leads ([`Leader`]), and follows the events
//! of the whole cluster ([`EventFollower`]) and the state of its objects ([`objects`]).
//!
//! The node's kubelet is asked apart from that ([`kubelet`]), and only when somebody wants its numbers.
//!
//! ```no_run
//! # async fn example() -> Result<(), hawsepipe_cluster::ClusterError> {
//! use hawsepipe_cluster::{Cluster, Settings};
//! use tokio_util::sync::CancellationToken;
//!
//! let stop = CancellationToken::new();
//! let handle = Cluster::start(Settings::of_node("node-1"), stop.clone()).await?;
//! let pods = handle.cluster().directory();
//! println!("{:?}", pods.pod("0c7d6c41-27f3-4bd8-9d5c-9b7c4e0a3c11"));
//! stop.cancel();
//! handle.join().await;
//! # Ok(())
//! # }
//! ```

mod backoff;
mod client;
mod cloud;
mod cluster;
mod connection;
mod error;
mod event;
mod events;
mod failure;
mod image;
mod index;
pub mod kubelet;
mod leader;
mod link;
mod lookups;
mod metrics;
mod node;
mod none;
mod object;
pub mod objects;
mod pod;
mod quantity;
mod resources;
mod rights;
mod selection;
mod service;
mod watch;
mod workload;

pub use cluster::{Cluster, ClusterStatus, Handle, Settings};
pub use connection::Connection;
pub use error::ClusterError;
pub use event::{Event, EventMeta, EventSource, Regarding, Series};
pub use events::{EventFollower, Found};
pub use image::ImageRef;
pub use index::{DELETED_KEPT_FOR, DELETED_KEPT_MAX, PodIndex};
pub use leader::{Duties, Duty, EventsProgress, Leader, LeaderSettings, LeaderStatus, Progress};
pub use link::LastError;
pub use none::NoCluster;
pub use rights::{Finding, Rights, check_rights, check_rights_with};

/// The client that [`Cluster::start_with`] takes.
pub use kube::Client;
