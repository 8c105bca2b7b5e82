//! A heartbeat on its way: to the agent, or into its folder.

use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use hawsepipe_collect::{Report, Said};
use http_body_util::{BodyExt, Full, Limited};
use hyper::Request;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::complain;
use crate::heartbeats::PATH;
use crate::heartbeats::folder::{Folder, Waiting};

/// How long the agent may take: the disk's sync is in it.
const WITHIN: Duration = Duration::from_secs(1);
/// How long the folder's disk may take.
const FOLDER_WITHIN: Duration = Duration::from_secs(5);
const MAX_ANSWER: usize = 64 << 10;

/// Where the heartbeats of a job go.
pub(super) struct Delivery {
    pub(super) job: String,
    pub(super) agent: String,
    pub(super) folder: Arc<Folder>,
}

// === impl Delivery ===

impl Delivery {
    /// Sends one; what goes wrong is said.
    pub(super) async fn send(&self, report: Report, said: Said) {
        let asked = timeout(WITHIN, self.ask(report, &said)).await;
        let Some(away) = asked.map_or_else(
            |_| Some("no answer in time".to_owned()),
            |asked| asked.err().map(|error| error.to_string()),
        ) else {
            return;
        };
        let (job, folder) = (self.job.clone(), Arc::clone(&self.folder));
        let waiting = Waiting { job, report, said, dropped: 0 };
        let put = timeout(FOLDER_WITHIN, spawn_blocking(move || folder.put(waiting))).await;
        let failed = match put {
            Ok(Ok(Ok(0))) => return,
            Ok(Ok(Ok(dropped))) => {
                complain(&format!(
                    "too many heartbeats wait for an agent, {dropped} of the oldest are gone"
                ));
                return;
            }
            Ok(Ok(Err(error))) => error.to_string(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it does not answer".to_owned(),
        };
        let (agent, folder) = (&self.agent, self.folder.path().display());
        complain(&format!(
            "{} is not told: the agent at {agent}: {away}; the folder {folder}: {failed}",
            report.name()
        ));
    }

    /// An error is a reason to put it into the folder.
    async fn ask(&self, report: Report, said: &Said) -> anyhow::Result<()> {
        let stream = TcpStream::connect(&self.agent).await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let request = Request::post(format!("{PATH}{}/{}", self.job, report.name()))
            .header(HOST, &self.agent)
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(serde_json::to_vec(said)?)))?;
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await;
        let words = body.map(|body| body.to_bytes()).unwrap_or_default();
        bail!("it answers {status}: {}", String::from_utf8_lossy(&words).trim());
    }
}
