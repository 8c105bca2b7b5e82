//! `hawsepipe receive`: the receiving end, until it is told to stop.
//!
//! In: addresses, a key, a folder. Out: OTLP taken on two ports, the logs kept for `hawsepipe logs`, and the admin port.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use hawsepipe_receive::{
    DEFAULT_MAX_MESSAGE_BYTES, Handle, Receiver, Settings, StartError, TlsFiles, store,
};
use prometheus_client::registry::Registry;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::admin::{Admin, AdminError, Readiness, Shown};
use crate::config::text::{parse_bytes, parse_span};

/// Options of `hawsepipe receive`.
#[derive(Debug, Args)]
pub(crate) struct ReceiveArgs {
    /// Where OTLP/gRPC and `hawsepipe logs` are served.
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:4317")]
    grpc: SocketAddr,
    /// Where OTLP/HTTP is served.
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:4318")]
    http: SocketAddr,
    /// The key that senders and readers must show, in the header x-api-key or as a bearer token. Read
    /// again when the file changes.
    #[arg(long, value_name = "FILE", env = "HAWSEPIPE_KEY_FILE")]
    key_file: PathBuf,
    /// The folder that the logs are kept in.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Most bytes that the logs may take on the disk; the oldest go first.
    #[arg(long, value_name = "SIZE", default_value = "1GiB", value_parser = size)]
    max_bytes: u64,
    /// How long logs are kept.
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = span)]
    max_age: Duration,
    /// Where /healthz, /readyz, /metrics and /status are served.
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:9464")]
    admin: SocketAddr,
    /// The certificate for TLS on both OTLP ports, with its chain, in PEM. Without it they speak plain
    /// text. Read again when the file changes.
    #[arg(long, value_name = "FILE", requires = "tls_key_file")]
    tls_cert_file: Option<PathBuf>,
    /// The private key of the certificate, in PEM.
    #[arg(long, value_name = "FILE", requires = "tls_cert_file")]
    tls_key_file: Option<PathBuf>,
}

/// Why the receiver does not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReceiveError {
    /// The receiver cannot start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The admin port cannot be opened.
    #[error(transparent)]
    Admin(#[from] AdminError),
}

/// Runs the receiver until `stop`.
///
/// # Errors
/// When it cannot start.
pub(crate) async fn run(args: ReceiveArgs, stop: CancellationToken) -> Result<(), ReceiveError> {
    let admin = Admin::bind(args.admin, "--admin").await?;
    let tls = args.tls_cert_file.zip(args.tls_key_file);
    let receiver = Receiver::start(Settings {
        grpc: args.grpc,
        http: args.http,
        key_file: args.key_file,
        tls: tls.map(|(cert_file, key_file)| TlsFiles { cert_file, key_file }),
        store: store::Settings {
            path: args.data,
            max_bytes: args.max_bytes,
            max_age: args.max_age,
        },
        max_message_bytes: DEFAULT_MAX_MESSAGE_BYTES,
    })
    .await?;
    let mut registry = Registry::with_prefix("hawsepipe");
    receiver.register(&mut registry);
    tracing::info!(address = %admin.address(), "admin port listens");
    let page = Arc::new(Page(receiver.handle()));
    tokio::spawn(admin.serve(Arc::new(registry), page, stop.clone()));
    stop.cancelled().await;
    tracing::info!("shutting down");
    receiver.shutdown().await;
    Ok(())
}

/// What the admin port shows of a receiver.
struct Page(Handle);

impl Shown for Page {
    fn readiness(&self) -> Readiness {
        let error = self.0.status().store.last_error;
        Readiness { ready: error.is_none(), messages: error.into_iter().collect() }
    }

    fn status(&self) -> Value {
        serde_json::to_value(self.0.status()).unwrap_or_default()
    }
}

fn size(text: &str) -> Result<u64, String> {
    let bytes = parse_bytes(text).ok_or("no size; write for instance 1GiB or 512MiB")?;
    Ok(bytes as u64)
}

fn span(text: &str) -> Result<Duration, String> {
    parse_span(text).ok_or_else(|| "no time; write for instance 7d or 12h".to_owned())
}
