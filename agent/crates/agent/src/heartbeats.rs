//! Takes the heartbeats of the host's jobs: over HTTP, and from the folder where those wait that were made while no agent ran.
//!
//! In: `POST /v1/heartbeat/NAME/start|success|fail`, what it says besides as a query, a JSON object, or a text as the message;
//! files of the [`folder`]. Out: beats in the spool (`hawsepipe_collect::Heartbeats`), and the run's identity as the answer.
//! Always: an answer of 200 means that the beat is on the disk; what is wrong is said so that a person sees it in `curl`'s output.

pub(crate) mod folder;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use hawsepipe_collect::{Beat, Heartbeats, NotTaken, Report, Said};
use jiff::Timestamp;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use self::folder::Folder;

/// Where the requests go, up to the job's name.
pub(crate) const PATH: &str = "/v1/heartbeat/";
/// Longest body of a request, in bytes.
const MAX_BODY: usize = 64 << 10;
/// How long a body may take to come.
const BODY_WITHIN: Duration = Duration::from_secs(10);
/// What a sender is told to wait when the spool is full, in seconds.
const RETRY_SECONDS: u32 = 5;
/// How often the folder is looked at, and what is missed.
const LOOK: Duration = Duration::from_secs(1);

/// Takes heartbeats.
#[derive(Clone)]
pub(crate) struct Taker {
    heartbeats: Arc<Heartbeats>,
    folder: Arc<Folder>,
    bad: Counter,
    dropped: Counter,
}

/// An answer that is no beat's.
struct Refusal(StatusCode, String);

// === impl Taker ===

impl Taker {
    pub(crate) fn new(heartbeats: Arc<Heartbeats>, folder: Folder) -> Self {
        let (bad, dropped) = (Counter::default(), Counter::default());
        Self { heartbeats, folder: Arc::new(folder), bad, dropped }
    }

    /// Registers its counters; `registry` has the prefix `hawsepipe`.
    pub(crate) fn register(&self, registry: &mut Registry) {
        self.heartbeats.register(registry);
        let heartbeats = registry.sub_registry_with_prefix("heartbeats");
        let help =
            "Heartbeats that make no sense: their senders were told, or their files were removed";
        heartbeats.register("bad", help, self.bad.clone());
        let help = "Heartbeats that waited in the folder and were let go for newer ones";
        heartbeats.register("dropped", help, self.dropped.clone());
    }

    /// Serves the port until `cancel`, and then requests under way.
    pub(crate) async fn serve(self, listener: TcpListener, cancel: CancellationToken) {
        let router = Router::new()
            .route(&format!("{PATH}{{*job}}"), post(beat))
            .fallback(async || Refusal(StatusCode::NOT_FOUND, usage()))
            .method_not_allowed_fallback(async || Refusal(StatusCode::METHOD_NOT_ALLOWED, usage()))
            .with_state(self);
        let server = axum::serve(listener, router).with_graceful_shutdown(cancel.cancelled_owned());
        if let Err(error) = server.await {
            tracing::error!(%error, "the port for heartbeats is not served any more");
        }
    }

    /// Takes what is in the folder, and looks what is missed, until `cancel`.
    pub(crate) async fn look(self, cancel: CancellationToken) {
        let mut ticks = interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = cancel.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let this = self.clone();
            // It reads and writes a disk. What waits comes first: it may be the start that would be missed.
            let looked = spawn_blocking(move || {
                let now = Timestamp::now();
                if this.take_from_folder(now) {
                    this.heartbeats.look(now);
                }
            });
            drop(looked.await);
        }
    }

    /// True when nothing waits any more.
    fn take_from_folder(&self, now: Timestamp) -> bool {
        for found in self.folder.list() {
            match found.read() {
                Ok(waiting) => match Beat::new(&waiting.job, waiting.report, waiting.said, now) {
                    Ok(beat) => match self.heartbeats.take(&beat) {
                        Ok(_) => _ = self.dropped.inc_by(waiting.dropped),
                        Err(error) => {
                            tracing::debug!(%error, "heartbeats wait in their folder");
                            return false;
                        }
                    },
                    Err(error) => self.bad_file(&found, &error.to_string()),
                },
                Err(reason) => self.bad_file(&found, &reason),
            }
            self.folder.remove(&found);
        }
        true
    }

    fn bad_file(&self, found: &folder::Found, reason: &str) {
        self.bad.inc();
        tracing::warn!(file = %found.path().display(), reason, "no heartbeat, the file is removed");
    }
}

async fn beat(
    State(taker): State<Taker>,
    Path(job): Path<String>,
    request: Request,
) -> Result<String, Refusal> {
    let beat = match read(&job, request).await {
        Ok(beat) => beat,
        Err(refusal) => {
            taker.bad.inc();
            return Err(refusal);
        }
    };
    // It writes to a disk, and waits for it.
    let taken = spawn_blocking(move || taker.heartbeats.take(&beat)).await;
    match taken {
        Ok(Ok(run)) => Ok(format!("{run}\n")),
        Ok(Err(error @ (NotTaken::Full | NotTaken::Codec(_)))) => {
            Err(Refusal(StatusCode::SERVICE_UNAVAILABLE, error.to_string()))
        }
        Err(error) => Err(Refusal(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
    }
}

async fn read(path: &str, request: Request) -> Result<Beat, Refusal> {
    let bad = |text: String| Refusal(StatusCode::BAD_REQUEST, text);
    let (job, report) = path.rsplit_once('/').unwrap_or_default();
    let report = Report::of(report).ok_or_else(|| Refusal(StatusCode::NOT_FOUND, usage()))?;
    let (head, body) = request.into_parts();
    let Query(query) = Query::<Said>::try_from_uri(&head.uri)
        .map_err(|error| bad(format!("the query: {}", error.body_text())))?;
    let said = said(&head.headers, body).await?;
    Beat::new(job, report, merge(query, said), Timestamp::now())
        .map_err(|error| bad(error.to_string()))
}

/// What the body says: a JSON object, or any text as the message.
async fn said(headers: &HeaderMap, body: Body) -> Result<Said, Refusal> {
    let body = match timeout(BODY_WITHIN, to_bytes(body, MAX_BODY)).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => {
            let text = format!(
                "the body has more than {MAX_BODY} bytes; send less, for instance the last lines"
            );
            return Err(Refusal(StatusCode::PAYLOAD_TOO_LARGE, text));
        }
        Err(_) => {
            let text = format!("the body did not come within {BODY_WITHIN:?}");
            return Err(Refusal(StatusCode::REQUEST_TIMEOUT, text));
        }
    };
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    if kind.is_some_and(|kind| kind.starts_with("application/json")) && !body.is_empty() {
        return serde_json::from_slice(&body).map_err(|error| {
            Refusal(
                StatusCode::BAD_REQUEST,
                format!("the body is no JSON object of a heartbeat: {error}"),
            )
        });
    }
    let text = String::from_utf8_lossy(&body).trim().to_owned();
    Ok(Said { message: Some(text), ..Said::default() })
}

/// The query wins.
fn merge(query: Said, body: Said) -> Said {
    Said {
        run: query.run.or(body.run),
        exit_code: query.exit_code.or(body.exit_code),
        signal: query.signal.or(body.signal),
        duration: query.duration.or(body.duration),
        message: query.message.or(body.message),
        schedule: query.schedule.or(body.schedule),
        time_zone: query.time_zone.or(body.time_zone),
        grace: query.grace.or(body.grace),
        time: query.time.or(body.time),
    }
}

fn usage() -> String {
    format!("there is POST {PATH}NAME/start, /success and /fail")
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self(code, text) = self;
        let mut response = (code, format!("{text}\n")).into_response();
        if code == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, RETRY_SECONDS.into());
        }
        response
    }
}

/// Why heartbeats cannot be taken.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot listen on {address}: {source}; give another address with heartbeats.listen, or set heartbeats.enabled: false"
)]
pub(crate) struct PortError {
    address: SocketAddr,
    source: std::io::Error,
}

/// Opens the port; its address, with the port that was chosen where 0 was asked for.
///
/// # Errors
/// When it cannot be opened.
pub(crate) async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), PortError> {
    let failed = |source| PortError { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}
