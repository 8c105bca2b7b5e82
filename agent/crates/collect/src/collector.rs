//! What a collector is: a declaration, and a state that reads.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use hawsepipe_cluster::objects::ObjectKind;
use hawsepipe_host::{HostRoot, ReadError};

use crate::collectors;
use crate::metric::Metric;
use crate::points::Points;
use crate::settings::Options;
use crate::tick::Tick;

/// A collector as its file declares it.
#[derive(Debug)]
pub struct Collector {
    /// Its name, which is its file's and its key in the configuration.
    pub name: &'static str,
    /// What it tells, in a few words.
    pub about: &'static str,
    /// What it reads: files as the host names them, or collections as the API server does.
    pub reads: &'static [&'static str],
    /// What must be there for it.
    pub needs: &'static [Need],
    /// Whether it runs unless the configuration says otherwise.
    pub default: bool,
    /// Its metrics.
    pub metrics: &'static [&'static Metric],
    /// What `include` and `exclude` select, if it has something to select.
    pub selects: Option<&'static str>,
    /// How many of something are told at most unless the configuration says otherwise, if it has such a bound.
    pub top: Option<usize>,
    /// Makes its state.
    pub(crate) new: fn(&Options) -> Box<dyn Collect>,
}

impl Collector {
    /// What it tells of.
    #[must_use]
    pub fn scope(&self) -> Scope {
        if self.kinds().next().is_some() { Scope::Cluster } else { Scope::Node }
    }

    /// The kinds of the cluster's objects that it tells of.
    pub fn kinds(&self) -> impl Iterator<Item = ObjectKind> + use<> {
        self.needs.iter().filter_map(|need| match need {
            Need::Objects(kind) => Some(*kind),
            _ => None,
        })
    }

    /// Its metric of that name.
    #[must_use]
    pub fn metric(&self, name: &str) -> Option<&'static Metric> {
        self.metrics.iter().copied().find(|metric| metric.name == name)
    }
}

/// What a collector tells of, and so where it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The node or host: on each.
    Node,
    /// The whole cluster: in the one process that leads.
    Cluster,
}

/// What must be there for a collector: a mount, in a pod, the kubelet, or objects of the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// The host's `/proc`.
    Proc,
    /// The host's `/sys`.
    Sys,
    /// The host's root file system.
    Root,
    /// The node's kubelet.
    Kubelet,
    /// All objects of this kind, which are followed while this process leads.
    Objects(ObjectKind),
}

impl Need {
    /// The configuration's key of the place where it is mounted, or of what makes it be there.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Proc => "metrics.procPath",
            Self::Sys => "metrics.sysPath",
            Self::Root => "metrics.rootPath",
            Self::Kubelet => "metrics.kubelet",
            Self::Objects(_) => "cluster",
        }
    }

    /// Where it is mounted, if it is.
    #[must_use]
    pub fn place(self, host: &HostRoot) -> Option<PathBuf> {
        match self {
            Self::Proc => Some(host.proc("")),
            Self::Sys => Some(host.sys("")),
            Self::Root => host.file(""),
            Self::Kubelet | Self::Objects(_) => None,
        }
    }

    /// Whether what is mounted there is it.
    #[must_use]
    pub fn is_there(self, host: &HostRoot) -> bool {
        match self {
            Self::Proc => host.proc("stat").exists(),
            Self::Sys => host.sys("devices/system").exists(),
            Self::Root => host.file("etc").is_some_and(|path| path.exists()),
            // Only an answer tells.
            Self::Kubelet | Self::Objects(_) => true,
        }
    }

    /// The path on the host, or the word for what has none.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::Proc => "/proc",
            Self::Sys => "/sys",
            Self::Root => "/",
            Self::Kubelet => "kubelet",
            Self::Objects(kind) => kind.resource(),
        }
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.path())
    }
}

/// What reads, with what it remembers from tick to tick.
pub(crate) trait Collect: Send {
    /// Reads once. What was put out before an error counts.
    ///
    /// # Errors
    /// When a source that most of it depends on cannot be read.
    fn collect(&mut self, tick: &Tick, out: &mut Points) -> Result<(), CollectError>;

    /// Whether there is more to tell in this tick: it is asked again when what it has told is written. So not all that is
    /// told of a large cluster is in memory at once.
    fn more(&self) -> bool {
        false
    }
}

/// A collector that remembers nothing is a function.
impl<F> Collect for F
where
    F: FnMut(&Tick, &mut Points) -> Result<(), CollectError> + Send,
{
    fn collect(&mut self, tick: &Tick, out: &mut Points) -> Result<(), CollectError> {
        self(tick, out)
    }
}

/// Why a collector has nothing, or not everything.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CollectError {
    /// A source cannot be read.
    #[error("{0}")]
    Read(Arc<ReadError>),
    /// What it tells is not to be had on this host, or not from here. No failure: it is said, and not counted.
    #[error("{0}")]
    Unavailable(String),
    /// Something else.
    #[error("{0}")]
    Failed(String),
}

impl From<ReadError> for CollectError {
    fn from(error: ReadError) -> Self {
        Self::Read(Arc::new(error))
    }
}

impl CollectError {
    /// For a source that many hosts do not have: that it is missing is no failure there, for `reason`.
    pub(crate) fn or_unavailable(self, reason: &str) -> Self {
        match &self {
            Self::Read(error) if error.is_missing() => {
                Self::Unavailable(format!("{error}: {reason}"))
            }
            _ => self,
        }
    }
}

/// All collectors, by name.
#[must_use]
pub fn list() -> &'static [&'static Collector] {
    collectors::ALL
}

/// The collectors that tell of this, by name.
pub fn list_of(scope: Scope) -> impl Iterator<Item = &'static Collector> {
    list().iter().copied().filter(move |collector| collector.scope() == scope)
}

/// The collector of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Collector> {
    list().iter().copied().find(|collector| collector.name == name)
}
