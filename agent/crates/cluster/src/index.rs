//! The pods of this node, and the node, as the collectors see them.
//!
//! In: what the watches and look-ups find. Out: [`PodDirectory`]. Always holds: an answer comes from memory, at once,
//! whether the API server can be reached or not; a pod is found by its UID or by a static pod's hash, never by its
//! name; the same `Arc` is given until the metadata changes; what is kept is bounded.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hawsepipe_model::{Attributes, NodeMeta, PodDirectory, PodMeta};
use parking_lot::RwLock;

use crate::pod::Known;
use crate::workload::{CronJob, JobRef};

/// How long a deleted pod is remembered after its deletion or, if later, after somebody last asked for it: its last
/// lines may be unread.
pub const DELETED_KEPT_FOR: Duration = Duration::from_secs(10 * 60);

/// How many deleted pods are remembered at most (some 5 KiB each). Beyond that the one that nobody has asked for the
/// longest goes first.
pub const DELETED_KEPT_MAX: usize = 2048;

/// The pods of one node, by UID. See [`PodDirectory`].
#[derive(Debug)]
pub struct PodIndex {
    pods: RwLock<Pods>,
    node: RwLock<NodeState>,
    /// What the times in [`Entry`] count from.
    epoch: Instant,
}

#[derive(Debug, Default)]
struct Pods {
    by_uid: HashMap<String, Entry>,
    /// UID by the hash of a static pod.
    by_hash: HashMap<String, String>,
    /// What is known of the CronJob of a Job, by the Job's UID, as long as a pod of that Job is remembered.
    cronjobs: HashMap<String, Lookup>,
    deleted: usize,
}

/// What is known of a Job's owner.
#[derive(Debug, PartialEq, Eq)]
enum Lookup {
    /// It is being looked up.
    Asked,
    /// No CronJob, or the Job is gone.
    Nothing,
    /// This one.
    Found(CronJob),
}

#[derive(Debug)]
struct Entry {
    known: Known,
    /// Milliseconds since the epoch when somebody last asked.
    asked: AtomicU64,
    /// Milliseconds since the epoch when the pod was deleted.
    deleted: Option<u64>,
}

#[derive(Debug, Default)]
struct NodeState {
    node: Attributes,
    cluster_uid: String,
    kubelet: Option<(String, Option<u16>)>,
    meta: Arc<NodeMeta>,
}

/// How many pods are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Count {
    /// Pods that exist.
    pub(crate) live: usize,
    /// Deleted pods that are remembered.
    pub(crate) deleted: usize,
}

impl PodIndex {
    /// No pods yet, and of the node only its name.
    pub(crate) fn new(node_name: &str) -> Self {
        let index =
            Self { pods: RwLock::default(), node: RwLock::default(), epoch: Instant::now() };
        let mut node = Attributes::new();
        node.set("k8s.node.name", node_name);
        index.set_node(node);
        index
    }

    /// A pod was added or has changed. Answers with its Job if that one's CronJob is to be looked up.
    pub(crate) fn apply(&self, known: Known) -> Option<JobRef> {
        self.pods.write().apply(known, self.now())
    }

    /// A pod was deleted; `last` is its last state.
    pub(crate) fn delete(&self, last: Known) {
        let now = self.now();
        let uid = last.meta.uid.clone();
        let mut pods = self.pods.write();
        for hash in &last.hashes {
            // The next mirror pod may have it already.
            pods.by_hash.entry(hash.clone()).or_insert_with(|| uid.clone());
        }
        // Nobody needs to look up the Job of a pod that was never seen alive.
        if let Some(job) = pods.put(last, now) {
            pods.cronjobs.remove(&job.uid);
        }
        pods.delete(&uid, now);
        pods.sweep(now);
    }

    /// These are all pods there are: all others are deleted. Answers with the Jobs to look up.
    pub(crate) fn replace(&self, all: Vec<Known>) -> Vec<JobRef> {
        let now = self.now();
        let live: HashSet<_> = all.iter().map(|known| known.meta.uid.clone()).collect();
        let mut pods = self.pods.write();
        let jobs = all.into_iter().filter_map(|known| pods.apply(known, now)).collect();
        let gone: Vec<_> = pods.by_uid.keys().filter(|uid| !live.contains(*uid)).cloned().collect();
        for uid in gone {
            pods.delete(&uid, now);
        }
        pods.sweep(now);
        jobs
    }

    /// A Job's look-up is over; `cronjob` is added to its pods.
    pub(crate) fn set_cronjob(&self, job: &JobRef, cronjob: Option<CronJob>) {
        let mut pods = self.pods.write();
        let Some(lookup) = pods.cronjobs.get_mut(&job.uid) else {
            return;
        };
        let Some(cronjob) = cronjob else {
            *lookup = Lookup::Nothing;
            return;
        };
        *lookup = Lookup::Found(cronjob.clone());
        for entry in pods.by_uid.values_mut().filter(|entry| entry.known.is_of(&job.uid)) {
            let mut known = entry.known.clone();
            known.add_cronjob(&cronjob);
            entry.update(known);
        }
    }

    /// A Job could not be queued for its look-up: the next change of its pod asks again.
    pub(crate) fn unask(&self, job: &JobRef) {
        let mut pods = self.pods.write();
        if pods.cronjobs.get(&job.uid) == Some(&Lookup::Asked) {
            pods.cronjobs.remove(&job.uid);
        }
    }

    /// Forgets deleted pods whose time is over.
    pub(crate) fn sweep(&self) {
        self.pods.write().sweep(self.now());
    }

    /// The node was seen.
    pub(crate) fn set_node(&self, node: Attributes) {
        let mut state = self.node.write();
        state.node = node;
        state.rebuild();
    }

    /// Where the node's kubelet listens.
    pub(crate) fn set_kubelet(&self, kubelet: Option<(String, Option<u16>)>) {
        self.node.write().kubelet = kubelet;
    }

    /// Where the node's kubelet listens, and at which port if the node says it.
    pub(crate) fn kubelet(&self) -> Option<(String, Option<u16>)> {
        self.node.read().kubelet.clone()
    }

    /// The cluster's identity was found.
    pub(crate) fn set_cluster_uid(&self, uid: String) {
        let mut state = self.node.write();
        state.cluster_uid = uid;
        state.rebuild();
    }

    /// How many pods are known.
    pub(crate) fn count(&self) -> Count {
        let pods = self.pods.read();
        Count { live: pods.by_uid.len() - pods.deleted, deleted: pods.deleted }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl PodDirectory for PodIndex {
    fn pod(&self, uid: &str) -> Option<Arc<PodMeta>> {
        let pods = self.pods.read();
        let entry = pods.find(uid)?;
        entry.asked.store(self.now(), Ordering::Relaxed);
        Some(Arc::clone(&entry.known.meta))
    }

    fn node(&self) -> Arc<NodeMeta> {
        Arc::clone(&self.node.read().meta)
    }

    fn expected(&self) -> bool {
        true
    }
}

impl Pods {
    /// A UID goes before a hash: no annotation can take another pod's place.
    fn find(&self, uid: &str) -> Option<&Entry> {
        self.by_uid.get(uid).or_else(|| self.by_uid.get(self.by_hash.get(uid)?))
    }

    /// A pod is there: its hash, if it has one, is its own now.
    fn apply(&mut self, known: Known, now: u64) -> Option<JobRef> {
        for hash in &known.hashes {
            self.by_hash.insert(hash.clone(), known.meta.uid.clone());
        }
        self.put(known, now)
    }

    fn put(&mut self, mut known: Known, now: u64) -> Option<JobRef> {
        let wanted = self.add_cronjob(&mut known);
        let uid = known.meta.uid.clone();
        if let Some(entry) = self.by_uid.get_mut(&uid) {
            known.remember_runs(&entry.known.meta);
            entry.update(known);
            if entry.deleted.take().is_some() {
                self.deleted -= 1;
            }
        } else {
            let entry = Entry { known, asked: AtomicU64::new(now), deleted: None };
            self.by_uid.insert(uid, entry);
        }
        wanted
    }

    /// Adds the CronJob if it is known; answers with the Job if nobody has asked for it yet.
    fn add_cronjob(&mut self, known: &mut Known) -> Option<JobRef> {
        let job = known.job.clone()?;
        match self.cronjobs.get(&job.uid) {
            Some(Lookup::Found(cronjob)) => known.add_cronjob(cronjob),
            Some(Lookup::Asked | Lookup::Nothing) => {}
            None => {
                self.cronjobs.insert(job.uid.clone(), Lookup::Asked);
                return Some(job);
            }
        }
        None
    }

    fn delete(&mut self, uid: &str, now: u64) {
        if let Some(entry) = self.by_uid.get_mut(uid)
            && entry.deleted.replace(now).is_none()
        {
            self.deleted += 1;
        }
    }

    fn sweep(&mut self, now: u64) {
        if self.deleted == 0 {
            return;
        }
        let kept_for = u64::try_from(DELETED_KEPT_FOR.as_millis()).unwrap_or(u64::MAX);
        let mut deleted: Vec<_> = self
            .by_uid
            .iter()
            .filter_map(|(uid, entry)| Some((entry.wanted_at()?, uid.clone())))
            .collect();
        deleted.sort_unstable();
        let too_many = deleted.len().saturating_sub(DELETED_KEPT_MAX);
        for (position, (wanted_at, uid)) in deleted.iter().enumerate() {
            if position < too_many || now.saturating_sub(*wanted_at) >= kept_for {
                self.forget(uid);
            }
        }
    }

    fn forget(&mut self, uid: &str) {
        let Some(entry) = self.by_uid.remove(uid) else {
            return;
        };
        self.deleted -= 1;
        for hash in &entry.known.hashes {
            if self.by_hash.get(hash).is_some_and(|owner| owner == uid) {
                self.by_hash.remove(hash);
            }
        }
        if let Some(job) = &entry.known.job
            && !self.by_uid.values().any(|other| other.known.is_of(&job.uid))
        {
            self.cronjobs.remove(&job.uid);
        }
    }
}

impl Entry {
    /// The `Arc` changes only if what it holds does.
    fn update(&mut self, mut known: Known) {
        if self.known.meta == known.meta {
            known.meta = Arc::clone(&self.known.meta);
        }
        self.known = known;
    }

    /// When a deleted pod was last of use.
    fn wanted_at(&self) -> Option<u64> {
        self.deleted.map(|deleted| deleted.max(self.asked.load(Ordering::Relaxed)))
    }
}

impl NodeState {
    fn rebuild(&mut self) {
        let mut attributes = self.node.clone();
        // "A pseudo-ID for the cluster, set to the UID of the `kube-system` namespace" (semantic conventions).
        attributes.set("k8s.cluster.uid", self.cluster_uid.as_str());
        if self.meta.attributes != attributes {
            self.meta = Arc::new(NodeMeta { attributes });
        }
    }
}

#[cfg(test)]
mod tests;
