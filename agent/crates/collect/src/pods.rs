//! The pods of the node, as its cgroups show them, with what is known of each.
//!
//! In: the cgroup trees, the [`PodDirectory`](hawsepipe_model::PodDirectory). Out: [`Pods`], read once a tick by
//! whoever asks first, and a [`Book`] in which a collector keeps what it knew of each pod or container the last time.
//! Always: what ends while it is read is no error; attributes and start times of what goes on stay the same until the
//! metadata changes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use hawsepipe_host::ReadError;
use hawsepipe_host::cgroup::{CgroupPath, Cgroups, ContainerCgroup, CpuStats, PodCgroup};
use hawsepipe_model::{Attributes, PodMeta, Resources};

use crate::collector::CollectError;
use crate::tick::{Sources, now_unix_nano};

/// How long metadata that can be expected is waited for. Until then nothing is told, which loses nothing: counters go
/// on. Afterwards what the cgroup's path says is told, under another identity.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often limits are read again: a node has hundreds of cgroups, and a limit is set once in their life.
const LIMITS_EVERY: Duration = Duration::from_secs(60);

/// The pods of the node.
pub(crate) struct Pods {
    pub(crate) cgroups: Cgroups,
    pub(crate) pods: Vec<Pod>,
    /// Whether metadata can be expected.
    expected: bool,
}

/// A pod.
pub(crate) struct Pod {
    pub(crate) cgroup: PodCgroup,
    /// What is known of it, if it is.
    pub(crate) meta: Option<Arc<PodMeta>>,
}

/// Lists the pods.
///
/// # Errors
/// When there are no cgroups here or they cannot be listed.
pub(crate) fn read(sources: &Sources) -> Result<Pods, CollectError> {
    let mut found = sources.cgroups.lock();
    if found.is_none() {
        let reason = "no control groups are mounted here";
        let cgroups = Cgroups::find(&sources.host);
        *found = Some(cgroups.map_err(|error| CollectError::from(error).or_unavailable(reason))?);
    }
    let Some(cgroups) = &mut *found else { return Err(CollectError::Unavailable(String::new())) };
    let pods = cgroups.pods()?.into_iter();
    let pods = pods.map(|cgroup| Pod { meta: sources.pods.pod(&cgroup.uid), cgroup });
    let pods: Vec<_> = pods.collect();
    if pods.is_empty() && sources.kubelet.is_some() {
        // Where there is a kubelet there are pods: what is seen here is a namespace of the agent's own.
        let reason = "no control groups of pods are seen here; is the host's /sys mounted?";
        return Err(CollectError::Unavailable(reason.to_owned()));
    }
    Ok(Pods { pods, cgroups: cgroups.clone(), expected: sources.pods.expected() })
}

/// What was read, or `None` where this kernel or this host does not have it.
///
/// # Errors
/// Anything else.
pub(crate) fn there<T>(read: Result<T, ReadError>) -> Result<Option<T>, ReadError> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_missing() => Ok(None),
        Err(error) => Err(error),
    }
}

impl Pods {
    /// Who the pod is; `None` while that is waited for.
    pub(crate) fn pod<'a>(&self, pod: &Pod, entry: &'a mut Entry) -> Option<&'a About> {
        if pod.meta.is_none() && self.is_early(entry) {
            return None;
        }
        let uid = &*pod.cgroup.uid;
        let path = &pod.cgroup.path;
        entry.keep(pod.meta.as_ref(), pod.meta.is_some(), || {
            let mut attributes = Attributes::new();
            attributes.set("k8s.pod.uid", uid);
            let Some(meta) = &pod.meta else { return self.unknown(attributes, path) };
            attributes.extend(&meta.attributes);
            let resources = meta.resources;
            self.known(attributes, meta.started_unix_nano, path, resources)
        })
    }

    /// Who the container is; `None` for a sandbox, and while that is waited for. `eldest` is when the first one of
    /// the pod was seen: one of those, if its name never comes, is the sandbox, which no status names and which comes
    /// before all others.
    pub(crate) fn container<'a>(
        &self,
        pod: &Pod,
        container: &ContainerCgroup,
        eldest: Instant,
        entry: &'a mut Entry,
    ) -> Option<&'a About> {
        let run = pod.meta.as_ref().and_then(|meta| meta.run(&container.id));
        if run.is_none()
            && (self.is_early(entry) || (pod.meta.is_some() && entry.first_seen <= eldest))
        {
            return None;
        }
        entry.keep(pod.meta.as_ref(), run.is_some(), || {
            let mut attributes = Attributes::new();
            attributes.set("k8s.pod.uid", &*pod.cgroup.uid);
            attributes.set("container.id", &*container.id);
            let path = &container.path;
            let Some(meta) = &pod.meta else { return self.unknown(attributes, path) };
            let Some((name, of, restart)) = run else {
                attributes.extend(&meta.attributes);
                return self.unknown(attributes, path);
            };
            attributes.extend(&run_attributes(meta, name, restart));
            let runs = of.ids.keys().next_back() == Some(&restart);
            let started = of.started_unix_nano.filter(|_| runs);
            self.known(attributes, started, path, of.resources)
        })
    }

    fn is_early(&self, entry: &Entry) -> bool {
        self.expected && entry.first_seen.elapsed() < PATIENCE
    }

    fn known(
        &self,
        attributes: Attributes,
        started: Option<u64>,
        path: &CgroupPath,
        resources: Resources,
    ) -> About {
        let start_unix_nano = started.unwrap_or_else(|| self.made(path)).min(now_unix_nano());
        About { attributes: Arc::new(attributes), start_unix_nano, resources }
    }

    fn unknown(&self, mut attributes: Attributes, path: &CgroupPath) -> About {
        if self.expected {
            // As the logs say it.
            attributes.set("hawsepipe.metadata.complete", false);
        }
        self.known(attributes, None, path, Resources::default())
    }

    /// When the cgroup was made, as far as its folder tells; else now.
    fn made(&self, path: &CgroupPath) -> u64 {
        let made = self.cgroups.seen_since(path).ok();
        let since = made.and_then(|made| made.duration_since(UNIX_EPOCH).ok());
        since.map_or_else(now_unix_nano, nanos)
    }
}

/// What is told of a run of a container: what its log records say too.
pub(crate) fn run_attributes(meta: &PodMeta, name: &str, restart: u32) -> Attributes {
    let mut attributes = meta.container_attributes(name, restart);
    attributes.set("k8s.container.name", name);
    attributes.set("k8s.container.restart_count", i64::from(restart));
    attributes
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// What a collector knows from tick to tick, by the id of a container or the UID of a pod. Who is not seen in a tick
/// is forgotten.
pub(crate) struct Book {
    entries: HashMap<Box<str>, Entry>,
    /// When the tick began.
    now: Instant,
}

/// What is known of one.
pub(crate) struct Entry {
    pub(crate) first_seen: Instant,
    last_seen: Instant,
    meta: Option<Arc<PodMeta>>,
    named: bool,
    about: Option<About>,
    /// CPU time in nanoseconds, and when it was read.
    cpu: Option<(u64, Instant)>,
    memory_limit: Seldom<Option<u64>>,
    /// Without a limit of CPU time, what stands still until one is set: how often it was throttled.
    unthrottled: Seldom<Option<CpuStats>>,
    /// Processes of it that were killed because memory ran out, as it was read last.
    oom_kills: Option<u64>,
    /// How many the host had at the last two readings of that.
    oom_kills_of_host: [Option<u64>; 2],
}

/// What changes seldom, and when it was read.
struct Seldom<T>(Option<(T, Instant)>);

/// Who it is.
#[derive(Clone)]
pub(crate) struct About {
    pub(crate) attributes: Arc<Attributes>,
    /// Since when its counters count, nanoseconds since the epoch.
    pub(crate) start_unix_nano: u64,
    /// What it asks for.
    pub(crate) resources: Resources,
}

impl Default for Book {
    fn default() -> Self {
        Self { entries: HashMap::new(), now: Instant::now() }
    }
}

impl Book {
    /// A tick begins.
    pub(crate) fn begin(&mut self) {
        self.now = Instant::now();
    }

    /// It is there; the entry is made if it is new.
    pub(crate) fn see(&mut self, id: &str) -> &mut Entry {
        let now = self.now;
        let entry = self.entries.entry(id.into()).or_insert_with(|| Entry {
            first_seen: now,
            last_seen: now,
            meta: None,
            named: false,
            about: None,
            cpu: None,
            memory_limit: Seldom(None),
            unthrottled: Seldom(None),
            oom_kills: None,
            oom_kills_of_host: [None; 2],
        });
        entry.last_seen = now;
        entry
    }

    /// A tick ends: who was not seen is forgotten.
    pub(crate) fn end(&mut self) {
        let now = self.now;
        self.entries.retain(|_, entry| entry.last_seen == now);
    }
}

impl Entry {
    /// Who it is, made anew only when what is known of it has changed. The start stays while nothing else changes: a
    /// kernel that forgets when it made a folder, or a status that comes late, is no new beginning.
    fn keep(
        &mut self,
        meta: Option<&Arc<PodMeta>>,
        named: bool,
        make: impl FnOnce() -> About,
    ) -> Option<&About> {
        let same = match (&self.meta, meta) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            _ => false,
        };
        if self.about.is_none() || !same || self.named != named {
            let mut new = make();
            if let Some(old) = self.about.as_ref().filter(|old| old.attributes == new.attributes) {
                new = About { resources: new.resources, ..old.clone() };
            }
            self.about = Some(new);
            self.meta = meta.cloned();
            self.named = named;
        }
        self.about.as_ref()
    }

    /// CPUs used since the last reading.
    pub(crate) fn cpu_usage(&mut self, time_ns: u64) -> Option<f64> {
        let now = Instant::now();
        let (before, at) = self.cpu.replace((time_ns, now))?;
        let used = time_ns.checked_sub(before)? as f64 / 1e9;
        let passed = now.duration_since(at).as_secs_f64();
        (passed > 0.0).then(|| used / passed)
    }

    /// The limit of memory, read by `read` now and then.
    ///
    /// # Errors
    /// The reader's.
    pub(crate) fn memory_limit(
        &mut self,
        read: impl FnOnce() -> Result<Option<u64>, ReadError>,
    ) -> Result<Option<u64>, ReadError> {
        if let Some(limit) = self.memory_limit.known() {
            return Ok(*limit);
        }
        let limit = read()?;
        self.memory_limit.keep(limit);
        Ok(limit)
    }

    /// CPU time and throttling. What has no limit is not throttled, and is not read for it.
    ///
    /// # Errors
    /// As [`Cgroups::cpu`].
    pub(crate) fn cpu(
        &mut self,
        cgroups: &Cgroups,
        path: &CgroupPath,
    ) -> Result<CpuStats, ReadError> {
        match self.unthrottled.known() {
            Some(Some(still)) => Ok(CpuStats { usage_ns: cgroups.cpu_time(path)?, ..*still }),
            Some(None) => cgroups.cpu(path),
            None => {
                // In this order: a limit may be taken away at any time.
                let limited = cgroups.may_be_throttled(path)?;
                let cpu = cgroups.cpu(path)?;
                self.unthrottled.keep((!limited).then_some(cpu));
                Ok(cpu)
            }
        }
    }

    /// Processes of it that were killed because memory ran out, by `read` unless the host, of which `host` is the
    /// number as it was read before, killed none meanwhile. The kernel counts a kill for the host, then for the cgroup
    /// (`__oom_kill_process` in `mm/oom_kill.c`): a reading may come between the two, so the number of the host has to
    /// be the same at two readings before it is relied upon.
    ///
    /// # Errors
    /// The reader's.
    pub(crate) fn oom_kills(
        &mut self,
        host: Option<u64>,
        read: impl FnOnce() -> Result<Option<u64>, ReadError>,
    ) -> Result<Option<u64>, ReadError> {
        if host.is_none() || self.oom_kills_of_host != [host; 2] {
            self.oom_kills = read()?;
            self.oom_kills_of_host = [host, self.oom_kills_of_host[0]];
        }
        Ok(self.oom_kills)
    }
}

impl<T> Seldom<T> {
    /// What was read, unless that is long ago.
    fn known(&self) -> Option<&T> {
        let known = self.0.as_ref().filter(|(_, at)| at.elapsed() < LIMITS_EVERY);
        known.map(|(value, _)| value)
    }

    /// It was read now.
    fn keep(&mut self, value: T) {
        self.0 = Some((value, Instant::now()));
    }
}

#[cfg(test)]
mod tests;
