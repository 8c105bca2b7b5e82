//! The port for people and probes: `/metrics`, `/healthz`, `/readyz`, `/status`.
//!
//! In: what there is to show. Out: HTTP answers. `/readyz` says whether the sources run and the spool can be written;
//! a destination that is away shows in its body and does not make the pod unready, because a roll-out must not stop
//! when buffering is what matters.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use serde::Serialize;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Below the second that a probe waits by default.
const READY_TIMEOUT: Duration = Duration::from_millis(800);

/// What `/readyz` says.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Readiness {
    /// Whether the pod is ready.
    pub(crate) ready: bool,
    /// What keeps it from being ready, or what a person should know though it is.
    pub(crate) messages: Vec<String>,
}

/// What the port shows.
pub(crate) trait Shown: Send + Sync + 'static {
    /// For `/readyz`.
    fn readiness(&self) -> Readiness;
    /// For `/status`.
    fn status(&self) -> Value;
}

/// Why the port cannot be served.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}; give another address with {key}")]
pub(crate) struct AdminError {
    address: SocketAddr,
    key: &'static str,
    source: std::io::Error,
}

/// The port, open but not served yet.
#[derive(Debug)]
pub(crate) struct Admin {
    listener: TcpListener,
    address: SocketAddr,
}

impl Admin {
    /// Opens the port. `key` is where its address was given.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub(crate) async fn bind(address: SocketAddr, key: &'static str) -> Result<Self, AdminError> {
        let failed = |source| AdminError { address, key, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address })
    }

    /// The address, with the port that was chosen where 0 was asked for.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `cancel`.
    pub(crate) async fn serve(
        self,
        registry: Arc<Registry>,
        shown: Arc<dyn Shown>,
        cancel: CancellationToken,
    ) {
        let state = Arc::new(Page { looking: Arc::default(), registry, shown });
        let router = Router::new()
            .route("/healthz", get(async || "ok\n"))
            .route("/readyz", get(readyz))
            .route("/status", get(status))
            .route("/metrics", get(metrics))
            .with_state(state);
        let server =
            axum::serve(self.listener, router).with_graceful_shutdown(cancel.cancelled_owned());
        if let Err(error) = server.await {
            tracing::error!(%error, "the admin port is not served any more");
        }
    }
}

struct Page {
    looking: Arc<tokio::sync::Mutex<()>>,
    registry: Arc<Registry>,
    shown: Arc<dyn Shown>,
}

async fn readyz(State(page): State<Arc<Page>>) -> Response {
    // It writes to a disk, which may hang: one look at a time, so that probes do not pile up behind it.
    let Ok(turn) = Arc::clone(&page.looking).try_lock_owned() else {
        let messages =
            vec!["the probe before this one still waits for the spool's disk".to_owned()];
        let readiness = Readiness { ready: false, messages };
        return (StatusCode::SERVICE_UNAVAILABLE, Json(readiness)).into_response();
    };
    let asked = tokio::task::spawn_blocking(move || {
        let readiness = page.shown.readiness();
        drop(turn);
        readiness
    });
    let readiness = match tokio::time::timeout(READY_TIMEOUT, asked).await {
        Ok(Ok(readiness)) => readiness,
        Ok(Err(error)) => Readiness { ready: false, messages: vec![error.to_string()] },
        Err(_) => {
            let message = format!("the spool's disk does not answer within {READY_TIMEOUT:?}");
            Readiness { ready: false, messages: vec![message] }
        }
    };
    let code = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(readiness)).into_response()
}

async fn status(State(page): State<Arc<Page>>) -> Json<Value> {
    Json(page.shown.status())
}

async fn metrics(State(page): State<Arc<Page>>) -> Response {
    let mut text = String::new();
    match encode(&mut text, &page.registry) {
        Ok(()) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
