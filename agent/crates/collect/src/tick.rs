//! One tick: the moment, and what was read in it.
//!
//! In: the [`Sources`]. Out: readings, each made once, by whoever asks first, and shared by all who ask in the same
//! tick.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use hawsepipe_cluster::kubelet::KubeletSource;
use hawsepipe_cluster::objects::ObjectStore;
use hawsepipe_host::cgroup::Cgroups;
use hawsepipe_host::os_release::{self, OsRelease};
use hawsepipe_host::{HostRoot, ReadError};
use hawsepipe_model::{Attributes, NodeMeta, PodDirectory, PodMeta};
use parking_lot::Mutex;

use crate::collector::{CollectError, Scope};
use crate::cronjobs::JobTallies;
use crate::heartbeats::Jobs;
use crate::pressures::Pressures;

/// What collectors read from.
pub struct Sources {
    /// The host's files.
    pub host: HostRoot,
    /// Whoever knows the pods of the node.
    pub(crate) pods: Arc<dyn PodDirectory>,
    /// The host's cgroups, once they are found: where they are does not change.
    pub(crate) cgroups: Mutex<Option<Cgroups>>,
    /// What those were waiting, as it was read last.
    pub(crate) pressures: Mutex<Pressures>,
    /// The node's kubelet, where there is one.
    pub(crate) kubelet: Option<Arc<dyn KubeletSource>>,
    /// The jobs that send heartbeats, where they are taken.
    pub(crate) jobs: Option<Arc<Jobs>>,
    /// The CronJobs and Jobs of the cluster, where their heartbeats are told.
    pub(crate) cronjobs: Option<Arc<JobTallies>>,
    /// The cluster's objects, where that is what is told of.
    cluster: Option<OfCluster>,
    boot: OnceLock<u64>,
    /// The host's distribution, which changes when it boots.
    release: OnceLock<OsRelease>,
}

/// The cluster, for what tells of it.
struct OfCluster {
    objects: Arc<ObjectStore>,
    uid: Arc<OnceLock<String>>,
    /// Whether the API server answers, where somebody knows.
    reachable: Option<Box<dyn Fn() -> bool + Send + Sync>>,
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources").field("host", &self.host).finish_non_exhaustive()
    }
}

impl Sources {
    /// Reads from these, and knows no pods.
    #[must_use]
    pub fn new(host: HostRoot) -> Self {
        let pods = Arc::new(Nobody::default());
        Self {
            host,
            pods,
            cgroups: Mutex::default(),
            pressures: Mutex::default(),
            kubelet: None,
            jobs: None,
            cronjobs: None,
            cluster: None,
            boot: OnceLock::new(),
            release: OnceLock::new(),
        }
    }

    /// Reads from the cluster's objects alone: for collectors of [`Scope::Cluster`]. What is told carries the cluster's
    /// UID (`k8s.cluster.uid`) once `uid` has it, and nothing of the host, the node or the pod that reads.
    #[must_use]
    pub fn of_cluster(objects: Arc<ObjectStore>, uid: Arc<OnceLock<String>>) -> Self {
        let cluster = Some(OfCluster { objects, uid, reachable: None });
        Self { cluster, ..Self::new(HostRoot::new("/proc", "/sys", None)) }
    }

    /// Reads from the same, and asks `reachable` whether the API server answers.
    #[must_use]
    pub fn with_api_server(mut self, reachable: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        if let Some(cluster) = &mut self.cluster {
            cluster.reachable = Some(Box::new(reachable));
        }
        self
    }

    /// Whether the API server answers, where somebody knows.
    pub(crate) fn api_server_reachable(&self) -> Option<bool> {
        self.cluster.as_ref()?.reachable.as_ref().map(|reachable| reachable())
    }

    /// What is told of.
    pub(crate) fn scope(&self) -> Scope {
        if self.cluster.is_some() { Scope::Cluster } else { Scope::Node }
    }

    /// The cluster's objects.
    ///
    /// # Errors
    /// Where they are not followed.
    pub(crate) fn objects(&self) -> Result<&Arc<ObjectStore>, CollectError> {
        let reason =
            "this process does not follow the objects of the cluster; the one that leads does";
        let none = || CollectError::Unavailable(reason.to_owned());
        self.cluster.as_ref().map(|cluster| &cluster.objects).ok_or_else(none)
    }

    /// Reads from the same, and knows these pods.
    #[must_use]
    pub fn with_pods(self, pods: Arc<dyn PodDirectory>) -> Self {
        Self { pods, ..self }
    }

    /// Reads from the same, and from this kubelet.
    #[must_use]
    pub fn with_kubelet(self, kubelet: Option<Arc<dyn KubeletSource>>) -> Self {
        Self { kubelet, ..self }
    }

    /// Reads from the same, and from these jobs.
    #[must_use]
    pub fn with_jobs(self, jobs: Option<Arc<Jobs>>) -> Self {
        Self { jobs, ..self }
    }

    /// Reads from the same, and from these CronJobs and Jobs.
    #[must_use]
    pub fn with_cronjobs(self, cronjobs: Option<Arc<JobTallies>>) -> Self {
        Self { cronjobs, ..self }
    }

    /// What is known of what is told of, by OpenTelemetry's names: what the host says of itself, or the cluster's UID. A pod has a name of its own, and no machine-id but the
    /// host's root is mounted: there it is the API server that knows (`PodDirectory::node`).
    #[must_use]
    pub fn attributes(&self) -> Attributes {
        let mut attributes = Attributes::new();
        if let Some(cluster) = &self.cluster {
            let uid = cluster.uid.get().map_or("", String::as_str);
            attributes.set("k8s.cluster.uid", uid);
            return attributes;
        }
        attributes.set("os.type", "linux");
        if self.host.proc("") == Path::new("/proc") {
            let name = rustix::system::uname();
            attributes.set("host.name", &*name.nodename().to_string_lossy());
        }
        let id = self.host.file("etc/machine-id").map(std::fs::read_to_string);
        if let Some(Ok(id)) = id {
            attributes.set("host.id", id.trim());
        }
        let read = || os_release::read(&self.host).unwrap_or_default();
        let release = self.release.get_or_init(read);
        for (key, field) in
            [("os.name", "NAME"), ("os.version", "VERSION_ID"), ("os.description", "PRETTY_NAME")]
        {
            attributes.set(key, release.get(field).map_or("", |value| &**value));
        }
        attributes
    }

    /// When the host booted, nanoseconds since the epoch: what counters of the kernel count from. It is asked once,
    /// because the kernel's answer moves with the clock and a start time must not. 0 where it is not known.
    pub(crate) fn boot_unix_nano(&self) -> u64 {
        if self.cluster.is_some() {
            return 0;
        }
        if let Some(boot) = self.boot.get() {
            return *boot;
        }
        let stat = hawsepipe_host::stat::read(&self.host).ok();
        match stat.and_then(|stat| stat.boot_time) {
            Some(seconds) => *self.boot.get_or_init(|| seconds.saturating_mul(1_000_000_000)),
            None => 0,
        }
    }
}

/// Knows no pod.
#[derive(Default)]
struct Nobody(Arc<NodeMeta>);

impl PodDirectory for Nobody {
    fn pod(&self, _uid: &str) -> Option<Arc<PodMeta>> {
        None
    }

    fn node(&self) -> Arc<NodeMeta> {
        Arc::clone(&self.0)
    }

    fn expected(&self) -> bool {
        false
    }
}

/// A reading, or why there is none; the same for all who ask.
type Shared<T> = Result<Arc<T>, CollectError>;

/// One tick.
#[derive(Debug)]
pub(crate) struct Tick {
    sources: Arc<Sources>,
    /// When it began, on a clock that nobody sets.
    at: Instant,
    readings: Mutex<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>,
}

impl Tick {
    /// A tick that begins now.
    pub(crate) fn new(sources: Arc<Sources>) -> Self {
        Self { sources, at: Instant::now(), readings: Mutex::default() }
    }

    /// What is read from.
    pub(crate) fn sources(&self) -> &Sources {
        &self.sources
    }

    /// When it began, on a clock that nobody sets.
    pub(crate) fn at(&self) -> Instant {
        self.at
    }

    /// A reading of the host, by its reader: `tick.read(stat::read)`. The first one who asks reads, others wait for it.
    ///
    /// # Errors
    /// The reader's.
    pub(crate) fn read<T, F>(&self, reader: F) -> Shared<T>
    where
        T: Any + Send + Sync,
        F: FnOnce(&HostRoot) -> Result<T, ReadError> + 'static,
    {
        self.share::<F, T>(|sources| Ok(reader(&sources.host)?))
    }

    /// A reading of what not every host has: `None` where it is missing.
    ///
    /// # Errors
    /// The reader's, but for that.
    pub(crate) fn read_if_there<T, F>(&self, reader: F) -> Result<Option<Arc<T>>, CollectError>
    where
        T: Any + Send + Sync,
        F: FnOnce(&HostRoot) -> Result<T, ReadError> + 'static,
    {
        match self.read(reader) {
            Err(CollectError::Read(error)) if error.is_missing() => Ok(None),
            read => read.map(Some),
        }
    }

    /// A reading of more than the host's files, shared as those are: `tick.ask(pods::read)`.
    ///
    /// # Errors
    /// The reader's.
    pub(crate) fn ask<T, F>(&self, reader: F) -> Shared<T>
    where
        T: Any + Send + Sync,
        F: FnOnce(&Sources) -> Result<T, CollectError> + 'static,
    {
        self.share::<F, T>(reader)
    }

    /// What `F`, a reader, is asked for: by `read` if nobody has asked yet.
    fn share<F, T>(&self, read: impl FnOnce(&Sources) -> Result<T, CollectError>) -> Shared<T>
    where
        T: Any + Send + Sync,
        F: 'static,
    {
        // Every function has a type of its own, and that is its key; what it captured would not be in the key.
        const { assert!(size_of::<F>() == 0, "a reader captures nothing") };
        let slot = {
            let mut readings = self.readings.lock();
            let slot = readings
                .entry(TypeId::of::<F>())
                .or_insert_with(|| Arc::new(OnceLock::<Shared<T>>::new()));
            Arc::clone(slot)
        };
        let read = || read(&self.sources).map(Arc::new);
        // Outside the lock: a file that hangs holds up those alone who want the same one.
        match slot.downcast_ref::<OnceLock<Shared<T>>>() {
            Some(slot) => slot.get_or_init(read).clone(),
            // A function returns one type.
            None => read(),
        }
    }
}

/// Nanoseconds since the epoch.
pub(crate) fn now_unix_nano() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use hawsepipe_host::loadavg::{self, LoadAverage};

    use super::*;

    fn tick(folder: &Path) -> Tick {
        Tick::new(Arc::new(Sources::new(HostRoot::new(folder, folder, None))))
    }

    #[test]
    fn a_file_is_read_once_a_tick_whoever_asks() {
        static READS: AtomicUsize = AtomicUsize::new(0);
        fn reader(root: &HostRoot) -> Result<LoadAverage, ReadError> {
            READS.fetch_add(1, Ordering::Relaxed);
            loadavg::read(root)
        }
        fn another(root: &HostRoot) -> Result<LoadAverage, ReadError> {
            loadavg::read(root)
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("loadavg");
        std::fs::write(&file, "1.0 2.0 3.0 1/2 3\n").unwrap();
        let tick = tick(folder.path());
        let first = tick.read(reader).unwrap();
        std::fs::write(&file, "9.0 9.0 9.0 1/2 3\n").unwrap();
        let second = tick.read(reader).unwrap();
        assert!(Arc::ptr_eq(&first, &second));
        assert_eq!(READS.load(Ordering::Relaxed), 1);
        assert_eq!(tick.read(another).unwrap().one_minute, 9.0, "another reader, another reading");
    }

    #[test]
    fn the_host_says_which_distribution_it_has_where_its_root_is_mounted() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("etc")).unwrap();
        let text = "NAME=Debian\nVERSION_ID=\"12\"\nPRETTY_NAME=\"Debian 12 (bookworm)\"\n";
        std::fs::write(folder.path().join("etc/os-release"), text).unwrap();
        let of = |root| Sources::new(HostRoot::new("/nowhere", "/nowhere", root)).attributes();
        let told = of(Some(folder.path().into()));
        assert_eq!(told.str("os.name"), Some("Debian"));
        assert_eq!(told.str("os.version"), Some("12"));
        assert_eq!(told.str("os.description"), Some("Debian 12 (bookworm)"));
        assert_eq!(of(None).str("os.name"), None);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_tried_once_a_tick_too() {
        static READS: AtomicUsize = AtomicUsize::new(0);
        fn reader(root: &HostRoot) -> Result<LoadAverage, ReadError> {
            READS.fetch_add(1, Ordering::Relaxed);
            loadavg::read(root)
        }
        let tick = tick(Path::new("/nowhere"));
        for _ in 0..2 {
            assert!(tick.read(reader).unwrap_err().to_string().contains("/nowhere/loadavg"));
        }
        assert_eq!(READS.load(Ordering::Relaxed), 1);
    }
}
