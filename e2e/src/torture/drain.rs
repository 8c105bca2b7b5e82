//! Waits until the receiver holds what it will hold, reads it and the ledger, and judges.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::cluster::{self, Cluster};
use crate::release::{self, RECEIVER_POD};
use crate::torture::arrived::Arrived;
use crate::torture::ledger::Ledger;
use crate::torture::verdict::{self, Truth, Verdict};
use crate::torture::written::Written;
use crate::wait;

/// Waits until the receiver holds what it will hold. Whether more will come nobody can know: it is
/// over when everything is there or accounted for, else when nothing has come for much longer than
/// the agent waits between two attempts.
pub(crate) fn drain(
    cluster: &Cluster,
    namespace: &str,
    node: &str,
    written: &Written,
    truth: Truth,
) -> Result<(Arrived, Ledger, Verdict)> {
    const SHORT: Duration = Duration::from_secs(15);
    const LONG: Duration = Duration::from_secs(75);
    let deadline = Instant::now() + Duration::from_secs(900);
    let mut quiet = SHORT;
    loop {
        wait_until_nothing_comes(cluster, quiet, deadline)?;
        let mut arrived = read(cluster, namespace)?;
        let lines = arrived.of(namespace);
        let ledger = read_ledger(cluster, namespace, node)?;
        let verdict = verdict::judge(written, &lines, &ledger, truth);
        let over = quiet == LONG || Instant::now() > deadline;
        if over || verdict.unaccounted.is_empty() {
            arrived.distinct = verdict::distinct(&lines);
            return Ok((arrived, ledger, verdict));
        }
        quiet = LONG;
    }
}

/// Waits until the receiver's records have been as many for so long.
fn wait_until_nothing_comes(cluster: &Cluster, quiet: Duration, deadline: Instant) -> Result<()> {
    let mut last = (None, Instant::now());
    let patience = deadline.saturating_duration_since(Instant::now()) + quiet;
    wait::until("the receiver to be silent", patience, Duration::from_secs(2), || {
        let status: Value =
            serde_json::from_str(&release::admin(cluster, RECEIVER_POD, "status")?)?;
        let records = status["store"]["records"].as_u64().context("store.records in /status")?;
        if last.0 != Some(records) {
            last = (Some(records), Instant::now());
        }
        let over = last.1.elapsed() > quiet || Instant::now() > deadline;
        Ok(over.then_some(()))
    })
}

/// Reads the receiver, all of it, keeping numbers only.
fn read(cluster: &Cluster, namespace: &str) -> Result<Arrived> {
    let receiver = release::container_id(&release::receiver_pod(cluster)?)?;
    let mut arrived = Arrived::default();
    let argv = ["hawsepipe", "logs", "-n", namespace];
    let read = cluster::stream(&mut cluster.container_exec(&receiver, &argv), |line| {
        arrived.line(line.as_bytes());
        Ok(())
    });
    match read {
        // Said with exit code 1, as kubectl does for a pod that does not exist.
        Err(error) if !error.to_string().contains("has no logs of") => Err(error),
        _ => Ok(arrived),
    }
}

fn read_ledger(cluster: &Cluster, namespace: &str, node: &str) -> Result<Ledger> {
    let patience = Duration::from_secs(60);
    let status = wait::until("the agent's /status", patience, Duration::from_secs(1), || {
        let pod = release::name(&release::agent_pod_on(cluster, node)?);
        release::admin(cluster, &pod, "status").map(Some)
    })?;
    let mut ledger = Ledger::default();
    ledger.add(&status, namespace)?;
    Ok(ledger)
}
