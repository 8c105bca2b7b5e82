//! What the admin port shows of the agent: readiness and `/status`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use hawsepipe_cluster::kubelet::Kubelet;
use hawsepipe_cluster::{Cluster, Leader};
use hawsepipe_collect as collect;
use hawsepipe_export::{State, StatusHandle};
use hawsepipe_logs::Tailer;
use hawsepipe_model::{Entry, LossKey};
use hawsepipe_spool::{Lane, Spool};
use jiff::Timestamp;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::leading::Objects;
use super::try_spool;
use crate::admin::{Readiness, Shown};
use crate::commands::agent::Role;

/// The agent's parts, as far as they have something to show.
pub(crate) struct Page {
    pub(crate) role: Role,
    pub(crate) cluster: Option<Cluster>,
    /// How the lead stands, where this process may have it.
    pub(crate) leader: Option<Leader>,
    /// What is told of the cluster's objects, where this process may do so.
    pub(crate) objects: Option<Arc<Objects>>,
    /// Where heartbeats are taken, where they are.
    pub(crate) heartbeats: Option<SocketAddr>,
    pub(crate) destinations: Vec<StatusHandle>,
    /// `None`: nothing is collected of the node.
    pub(crate) collectors: Option<collect::Status>,
    pub(crate) kubelet: Option<Arc<Kubelet>>,
    pub(crate) spool: Arc<Spool>,
    pub(crate) spool_path: PathBuf,
    /// What was found when the spool was opened.
    pub(crate) findings: Vec<String>,
    /// `None`: logs are not this process's affair, or it stops.
    pub(crate) tailer: Mutex<Option<Tailer>>,
}

impl Page {
    /// Whether the log path runs, where it is to.
    pub(crate) fn tails(&self) -> bool {
        !self.role.is_node() || self.tailer.lock().as_ref().is_some_and(Tailer::is_running)
    }

    fn problems(&self) -> Vec<String> {
        let lanes = [self.spool.files(), self.spool.pushed(), self.spool.sampled()];
        let mut problems: Vec<String> = lanes.into_iter().filter_map(Lane::problem).collect();
        problems.dedup();
        problems
    }
}

impl Shown for Page {
    fn readiness(&self) -> Readiness {
        let mut messages = Vec::new();
        let runs = self.tails();
        if !runs {
            messages.push("the log path does not run".to_owned());
        }
        let spool = try_spool(&self.spool_path);
        if let Err(error) = &spool {
            messages.push(error.to_string());
        }
        messages.extend(self.problems());
        let ready = runs && spool.is_ok();
        for status in self.destinations.iter().map(StatusHandle::get) {
            if let (State::Blocked | State::Retrying, Some(reason)) = (status.state, status.reason)
            {
                messages.push(format!("destination {}: {reason}", status.name));
            }
        }
        Readiness { ready, messages }
    }

    fn status(&self) -> Value {
        let tailer = self.tailer.lock();
        let running = tailer.as_ref().is_some_and(Tailer::is_running);
        let logs = tailer.as_ref().map(Tailer::status).unwrap_or_default();
        drop(tailer);
        let destinations: Vec<_> = self.destinations.iter().map(StatusHandle::get).collect();
        let of_node = self.collectors.iter().flat_map(collect::Status::get);
        let of_cluster = self.objects.iter().flat_map(|objects| objects.collectors());
        let collectors: Vec<_> = of_node.chain(of_cluster).collect();
        let losses: Vec<_> = self.spool.ledger().entries().map(loss).collect();
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "logs": self.role.is_node().then(|| json!({
                "running": running,
                "streams": logs.streams,
                "openFiles": logs.open_files,
                "waitingForMetadata": logs.waiting,
                "blockedBySpool": logs.blocked,
            })),
            "metrics": {
                "collectors": (!collectors.is_empty()).then_some(collectors),
                "kubeletUnverified": self.kubelet.as_ref().and_then(|kubelet| kubelet.unverified()),
            },
            "heartbeats": self.heartbeats.map(|listen| json!({"listen": listen})),
            "spool": {
                "files": lane(self.spool.files()),
                "pushed": lane(self.spool.pushed()),
                "sampled": lane(self.spool.sampled()),
                "problems": self.problems(),
                "findings": self.findings,
            },
            "losses": losses,
            "destinations": destinations,
            "kubernetes": self.cluster.as_ref().map(Cluster::status),
            "leader": self.leader.as_ref().map(Leader::status),
            "objects": self.objects.as_ref().and_then(|objects| objects.status()),
        })
    }
}

fn lane(lane: &Lane) -> Value {
    let usage = lane.usage();
    json!({
        "frames": usage.frames,
        "waitingBytes": usage.waiting,
        "usedBytes": usage.used,
        "maxBytes": usage.capacity,
        "segments": usage.segments,
    })
}

fn loss((key, entry): (&LossKey, &Entry)) -> Value {
    let last = Timestamp::from_nanosecond(i128::from(entry.last_unix_nano)).ok();
    let mut value = json!({
        "namespace": &*key.namespace,
        "pod": &*key.pod,
        "reason": key.reason.name(),
        "records": entry.extent.records,
        "bytes": entry.extent.bytes,
        "unknownExtent": entry.extent.unknown,
        "last": last,
    });
    if let Some(destination) = &key.destination {
        value["destination"] = json!(&**destination);
    }
    if !entry.words.is_empty() {
        value["message"] = json!(&*entry.words);
    }
    value
}
