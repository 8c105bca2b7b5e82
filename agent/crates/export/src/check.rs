//! Examines a destination, for `hawsepipe check`: resolve, connect, TLS, key.
//!
//! In: [`Settings`]. Out: one [`Finding`] a step, each with a remedy when it failed; steps after a failed one are left
//! out. Nothing is sent but empty export requests.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hawsepipe_model::{Codec, Outcome, PreferredCodec};
use serde::Serialize;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::exporter::Exporter;
use crate::otlp::Otlp;
use crate::settings::{Endpoint, Settings};

/// No step takes longer than this, whatever the request's time limit.
const STEP_TIMEOUT: Duration = Duration::from_secs(10);

/// What one step showed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// `resolve`, `connect`, `tls` or `export`.
    pub step: &'static str,
    /// Whether it went well.
    pub ok: bool,
    /// What was seen; when it did not go well, with what to do about it.
    pub message: String,
}

impl Finding {
    fn good(step: &'static str, message: String) -> Self {
        Self { step, ok: true, message }
    }

    fn bad(step: &'static str, message: String) -> Self {
        Self { step, ok: false, message }
    }
}

/// Examines the destination that `settings` describe.
pub async fn check(settings: &Settings) -> Vec<Finding> {
    let mut findings = Vec::new();
    let endpoint = settings.endpoint();
    let addresses = match resolve(endpoint).await {
        Ok(addresses) => addresses,
        Err(finding) => return vec![finding],
    };
    let shown: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    findings.push(Finding::good("resolve", format!("{} is {}", endpoint.host(), shown.join(", "))));
    match connect(endpoint, &addresses).await {
        Ok(finding) => findings.push(finding),
        Err(finding) => {
            findings.push(finding);
            return findings;
        }
    }
    let preferred = Arc::new(PreferredCodec::new(Codec::Zstd));
    let mut otlp = Otlp::new(settings, preferred);
    if endpoint.is_tls() {
        if let Err(verdict) = otlp.connect().await {
            findings.push(Finding::bad("tls", reason(&verdict.outcome)));
            return findings;
        }
        findings.push(Finding::good("tls", format!("the certificate of {endpoint} is trusted")));
    }
    let verdict = otlp.greet().await;
    findings.push(match verdict.outcome {
        Outcome::Ack { .. } => {
            let codec = otlp.codec().map_or("no compression", Codec::name);
            let key = if settings.auth().is_some() { "accepted with the key" } else { "accepted" };
            let plain = settings.auth().is_some() && !endpoint.is_tls();
            let note = if plain { "; the key travels in plain text (http://)" } else { "" };
            Finding::good("export", format!("an empty export request was {key}, in {codec}{note}"))
        }
        outcome => Finding::bad("export", reason(&outcome)),
    });
    findings
}

async fn resolve(endpoint: &Endpoint) -> Result<Vec<SocketAddr>, Finding> {
    let host = endpoint.host();
    let lookup = tokio::net::lookup_host((host, endpoint.port()));
    let remedy =
        "check the endpoint's host name, and the DNS of this node or pod (resolv.conf, dnsPolicy)";
    match timeout(STEP_TIMEOUT, lookup).await {
        Ok(Ok(addresses)) => {
            let addresses: Vec<_> = addresses.collect();
            if addresses.is_empty() {
                return Err(Finding::bad("resolve", format!("{host} has no address; {remedy}")));
            }
            Ok(addresses)
        }
        Ok(Err(error)) => {
            Err(Finding::bad("resolve", format!("cannot resolve {host}: {error}; {remedy}")))
        }
        Err(_elapsed) => Err(Finding::bad(
            "resolve",
            format!("no answer on {host} within {} s; {remedy}", STEP_TIMEOUT.as_secs()),
        )),
    }
}

async fn connect(endpoint: &Endpoint, addresses: &[SocketAddr]) -> Result<Finding, Finding> {
    let mut failures = Vec::new();
    for address in addresses {
        match timeout(STEP_TIMEOUT, TcpStream::connect(address)).await {
            Ok(Ok(_stream)) => {
                return Ok(Finding::good("connect", format!("{address} takes connections")));
            }
            Ok(Err(error)) => failures.push(format!("{address}: {error}")),
            Err(_elapsed) => {
                failures.push(format!("{address}: no answer within {} s", STEP_TIMEOUT.as_secs()));
            }
        }
    }
    Err(Finding::bad(
        "connect",
        format!(
            "cannot connect to {endpoint} ({}); check the port, firewalls and NetworkPolicies on the way",
            failures.join(", ")
        ),
    ))
}

fn reason(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Ack { message, .. } => message.clone(),
        Outcome::Retry { reason, .. }
        | Outcome::Reject { reason }
        | Outcome::Unserved { reason }
        | Outcome::TooLarge { reason, .. }
        | Outcome::Blocked { reason, .. } => reason.clone(),
    }
}
