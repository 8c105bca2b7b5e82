//! The receiving end of Hawsepipe, for trials, tests and small set-ups.
//!
//! In: OTLP logs, metrics and traces over gRPC and HTTP, under a key. Out: the logs, kept on disk within bounds of
//! bytes and age and read over `hawsepipe.v1.LogQuery` (`hawsepipe logs`); metrics and traces are counted,
//! and of metrics is told which came.
//!
//! What always holds:
//! - Nothing is read from a request, and nothing answered but UNAUTHENTICATED / 401, before its key is checked.
//! - A log request is answered with success only when the kernel has its records.
//! - What one container's records were received in is the order that they are read in.
//! - Readers never hold up senders.
//!
//! ```no_run
//! # async fn example() -> Result<(), hawsepipe_receive::StartError> {
//! use hawsepipe_receive::{DEFAULT_MAX_MESSAGE_BYTES, Receiver, Settings, store};
//!
//! let receiver = Receiver::start(Settings {
//!     grpc: ([127, 0, 0, 1], 0).into(),
//!     http: ([127, 0, 0, 1], 0).into(),
//!     key_file: "/etc/hawsepipe/key".into(),
//!     tls: None,
//!     store: store::Settings {
//!         path: "/var/lib/hawsepipe".into(),
//!         max_bytes: 1 << 30,
//!         max_age: std::time::Duration::from_secs(7 * 24 * 3600),
//!     },
//!     max_message_bytes: DEFAULT_MAX_MESSAGE_BYTES,
//! })
//! .await?;
//! println!("listening on {}", receiver.grpc_addr());
//! receiver.shutdown().await;
//! # Ok(())
//! # }
//! ```

mod auth;
mod door;
mod grpc;
mod http;
mod ingest;
mod metrics;
mod otlp;
mod query;
mod receiver;
mod seen;
mod serve;
mod status;
pub mod store;
mod tls;
mod watched;

pub use auth::{KEY_HEADER, KeyFileError};
pub use receiver::{DEFAULT_MAX_MESSAGE_BYTES, Handle, Receiver, Running, Settings, StartError};
pub use seen::SeenMetric;
pub use status::{Received, Status};
pub use tls::{TlsError, TlsFiles};
