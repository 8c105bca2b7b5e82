//! Control groups, version 1, version 2 and both at once: which there are for pods and containers, and what they count.
//!
//! In: the trees as they are mounted, found in `mountinfo`. Out: pods with their containers ([`Cgroups::pods`]), and
//! what any cgroup used ([`Cgroups::cpu`], [`memory`](Cgroups::memory), [`io`](Cgroups::io), [`pids`](Cgroups::pids),
//! [`pressure`](Cgroups::pressure)), and how much memory it may use ([`Cgroups::memory_limit`]), the same whichever version it comes from. A node has
//! hundreds of cgroups and the kernel takes its time for each file: no file is read that was not asked for. What
//! always holds: a cgroup has one path, in whichever trees it is; each resource is read from the tree that has its
//! controller, so that a host that has some in version 1 and some in version 2 (systemd's hybrid layout) is nothing
//! special; a cgroup that ended since it was listed is [`ReadError::Gone`], a file that this kernel does not have is
//! [`ReadError::Missing`].

mod folder;
mod kube;
mod stats;
mod trees;
mod v1;
mod v2;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use folder::Folder;
pub use kube::{ContainerCgroup, PodCgroup, Qos};
pub use stats::{CpuStats, DeviceIo, IoStats, MemoryStats};
pub use trees::{CgroupMode, Cgroups};

use crate::error::ReadError;
use crate::pressure::{self, Pressure, PressureKind};

/// A cgroup's path from the top of its trees: `/kubepods/burstable/pod…`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CgroupPath(Box<str>);

impl CgroupPath {
    /// The path as it stands in `/proc/PID/cgroup`.
    #[must_use]
    pub fn new(path: &str) -> Self {
        Self(format!("/{}", path.trim_matches('/')).into())
    }

    /// The top: everything on the host.
    #[must_use]
    pub fn root() -> Self {
        Self::new("/")
    }

    /// With the `/` that it begins with.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last part; empty for the top.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    fn child(&self, name: &str) -> Self {
        Self(format!("{}/{name}", self.0.trim_end_matches('/')).into())
    }

    /// The one above; the top's is the top.
    #[must_use]
    pub fn parent(&self) -> Self {
        Self::new(self.0.rsplit_once('/').map_or("", |(above, _)| above))
    }

    /// Where it is in a tree.
    fn in_tree(&self, tree: &Path) -> PathBuf {
        tree.join(self.0.trim_start_matches('/'))
    }
}

impl fmt::Display for CgroupPath {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(&self.0)
    }
}

/// Which version's files a resource is in, and where: the cgroup's folder in that controller's tree.
enum Place<'a> {
    V1(Folder<'a>),
    V2(Folder<'a>),
}

impl Cgroups {
    /// The cgroups right below one, sorted by name. Below the top they are the host's slices.
    ///
    /// # Errors
    /// [`ReadError::Gone`] when it ended.
    pub fn children(&self, path: &CgroupPath) -> Result<Vec<CgroupPath>, ReadError> {
        let names = self.folder(self.listed(), path).folders();
        let names = names.map_err(|error| self.told(path, error))?;
        Ok(names.iter().map(|name| path.child(name)).collect())
    }

    /// CPU time alone, in nanoseconds.
    ///
    /// # Errors
    /// [`ReadError::Gone`] when the cgroup ended, [`ReadError::Missing`] when the host does not count CPU by cgroup.
    pub fn cpu_time(&self, path: &CgroupPath) -> Result<u64, ReadError> {
        let read = match self.place("cpuacct", path) {
            Ok(Place::V1(accounting)) => v1::cpu_time(&accounting),
            Ok(Place::V2(folder)) => v2::cpu(&folder).map(|cpu| cpu.usage_ns),
            Err(error) => Err(error),
        };
        read.map_err(|error| self.told(path, error))
    }

    /// CPU time and throttling.
    ///
    /// # Errors
    /// [`ReadError::Gone`] when the cgroup ended, [`ReadError::Missing`] when the host does not count CPU by cgroup.
    pub fn cpu(&self, path: &CgroupPath) -> Result<CpuStats, ReadError> {
        let read = match self.place("cpuacct", path) {
            Ok(Place::V1(accounting)) => v1::cpu(&accounting, self.v1("cpu", path).as_ref()),
            Ok(Place::V2(folder)) => v2::cpu(&folder),
            Err(error) => Err(error),
        };
        read.map_err(|error| self.told(path, error))
    }

    /// False where a file of its own says that no limit of CPU time is set: until one is, nothing that is counted of
    /// throttling changes. Only version 1 has its throttling in another file than its CPU time, so only there is this
    /// worth a reading; elsewhere it is true, and nothing is read.
    ///
    /// # Errors
    /// [`ReadError::Gone`] when the cgroup ended.
    pub fn may_be_throttled(&self, path: &CgroupPath) -> Result<bool, ReadError> {
        let Some(folder) = self.v1("cpu", path) else { return Ok(true) };
        match v1::has_quota(&folder).map_err(|error| self.told(path, error)) {
            Err(error) if error.is_missing() => Ok(true),
            read => read,
        }
    }

    /// Memory.
    ///
    /// # Errors
    /// [`ReadError::Gone`] when the cgroup ended, [`ReadError::Missing`] when the host does not count memory by cgroup.
    pub fn memory(&self, path: &CgroupPath) -> Result<MemoryStats, ReadError> {
        let read = match self.place("memory", path) {
            Ok(Place::V1(folder)) => v1::memory(&folder),
            Ok(Place::V2(folder)) => v2::memory(&folder, *path == CgroupPath::root()),
            Err(error) => Err(error),
        };
        read.map_err(|error| self.told(path, error))
    }

    /// Processes of it that were killed because its memory ran out, since it was made.
    ///
    /// # Errors
    /// [`ReadError::Gone`] when the cgroup ended, [`ReadError::Missing`] when the kernel does not say (version 1 before
    /// 4.13).
    pub fn oom_kills(&self, path: &CgroupPath) -> Result<u64, ReadError> {
        let read = match self.place("memory", path) {
            Ok(Place::V1(folder)) => oom_kills(&folder, "memory.oom_control"),
            Ok(Place::V2(folder)) => oom_kills(&folder, "memory.events"),
            Err(error) => Err(error),
        };
        read.map_err(|error| self.told(path, error))
    }

    /// Transfers from and to block devices: bytes, and with `operations` how many they were, which version 1 has in a
    /// file of its own. Devices that were not used are not listed.
    ///
    /// # Errors
    /// [`ReadError::Gone`] when the cgroup ended, [`ReadError::Missing`] when the host does not count I/O by cgroup.
    pub fn io(&self, path: &CgroupPath, operations: bool) -> Result<IoStats, ReadError> {
        let read = match self.place("blkio", path) {
            Ok(Place::V1(folder)) => v1::io(&folder, operations),
            Ok(Place::V2(folder)) => v2::io(&folder),
            Err(error) => Err(error),
        };
        read.map_err(|error| self.told(path, error))
    }

    /// How many processes and threads there are.
    ///
    /// # Errors
    /// [`ReadError::Gone`] when the cgroup ended, [`ReadError::Missing`] when the host does not count them by cgroup,
    /// or for the top.
    pub fn pids(&self, path: &CgroupPath) -> Result<u64, ReadError> {
        let read = match self.place("pids", path) {
            // The same file in both versions.
            Ok(Place::V1(folder) | Place::V2(folder)) => folder.required("pids.current"),
            Err(error) => Err(error),
        };
        read.map_err(|error| self.told(path, error))
    }

    /// How much memory the cgroup may use at the most, in bytes; `None` without a limit of its own: one further up may
    /// hold it all the same. It changes seldom.
    ///
    /// # Errors
    /// [`ReadError::Gone`] when the cgroup ended, [`ReadError::Missing`] when the host does not count memory by cgroup,
    /// or for the top.
    pub fn memory_limit(&self, path: &CgroupPath) -> Result<Option<u64>, ReadError> {
        let read = match self.place("memory", path) {
            Ok(Place::V1(folder)) => v1::memory_limit(&folder),
            Ok(Place::V2(folder)) => folder.number("memory.max"),
            Err(error) => Err(error),
        };
        read.map_err(|error| self.told(path, error))
    }

    /// For how long the cgroup's threads waited. Only version 2 has it; on a hybrid host it is read there.
    ///
    /// # Errors
    /// [`ReadError::Gone`] when the cgroup ended, [`ReadError::Missing`] when the kernel does not have it.
    pub fn pressure(&self, path: &CgroupPath, kind: PressureKind) -> Result<Pressure, ReadError> {
        let name = format!("{}.pressure", kind.name());
        let read = match self.unified() {
            Some(tree) => self.folder(tree, path).parse(&name, pressure::parse),
            None => Err(ReadError::Missing { path: path.in_tree(self.listed()).join(name) }),
        };
        read.map_err(|error| self.told(path, error))
    }

    /// When the cgroup was made, at the latest: a hint of when its container started. The kernel makes up the times
    /// of such a folder when it is first looked at (`set_default_inode_attr` in `fs/kernfs/inode.c`), and again once
    /// it forgot them.
    ///
    /// # Errors
    /// [`ReadError::Gone`] when the cgroup ended.
    pub fn seen_since(&self, path: &CgroupPath) -> Result<SystemTime, ReadError> {
        use std::os::unix::fs::MetadataExt;
        let folder = path.in_tree(self.listed());
        let metadata = std::fs::metadata(&folder)
            .map_err(|source| ReadError::from_io(&folder, source).was_there())?;
        let since = std::time::Duration::new(
            u64::try_from(metadata.ctime()).unwrap_or(0),
            u32::try_from(metadata.ctime_nsec()).unwrap_or(0),
        );
        Ok(SystemTime::UNIX_EPOCH + since)
    }

    fn place(&self, controller: &str, path: &CgroupPath) -> Result<Place<'_>, ReadError> {
        if let Some(folder) = self.v1(controller, path) {
            return Ok(Place::V1(folder));
        }
        let unified = self.unified().map(|tree| Place::V2(self.folder(tree, path)));
        unified.ok_or_else(|| ReadError::Missing { path: path.in_tree(self.listed()) })
    }

    fn v1(&self, controller: &str, path: &CgroupPath) -> Option<Folder<'_>> {
        self.controller(controller).map(|tree| self.folder(tree, path))
    }

    fn folder(&self, tree: &Path, path: &CgroupPath) -> Folder<'_> {
        Folder::new(path.in_tree(tree), self.held())
    }

    /// Tells a cgroup that ended from a file that this host does not have: by whether the cgroup is still listed.
    fn told(&self, path: &CgroupPath, error: ReadError) -> ReadError {
        let is_listed = || path.in_tree(self.listed()).is_dir();
        if error.is_missing() && !is_listed() { error.was_there() } else { error }
    }
}

/// The same line in both versions, in different files.
fn oom_kills(folder: &Folder<'_>, name: &str) -> Result<u64, ReadError> {
    let mut kills = None;
    folder.pairs(name, |name, number| {
        if name == b"oom_kill" {
            kills = Some(number);
        }
    })?;
    kills.ok_or_else(|| ReadError::Missing { path: folder.path(name) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_have_one_form() {
        assert_eq!(CgroupPath::new("a/b/").as_str(), "/a/b");
        assert_eq!(CgroupPath::root().as_str(), "/");
        assert_eq!(CgroupPath::root().name(), "");
        let child = CgroupPath::root().child("a").child("b");
        assert_eq!(child.parent(), CgroupPath::new("a"));
        assert_eq!(child.parent().parent().parent(), CgroupPath::root());
        assert_eq!((child.as_str(), child.name()), ("/a/b", "b"));
        assert_eq!(child.in_tree(Path::new("/sys/fs/cgroup")), Path::new("/sys/fs/cgroup/a/b"));
    }

    #[test]
    fn transfers_of_version_2_are_read_by_device() {
        let io = v2::parse_io(
            b"8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n7:1 7:2 rbytes=9\n253:0 \nx rbytes=1\n8:16 rbytes=x\n",
        );
        let sda = DeviceIo {
            major: 8,
            minor: 0,
            read_bytes: 1,
            write_bytes: 2,
            read_operations: 3,
            write_operations: 4,
        };
        let second = DeviceIo { major: 7, minor: 2, read_bytes: 9, ..DeviceIo::default() };
        assert_eq!(io.devices, [sda, second]);
        assert_eq!(io.skipped.lines, 2);
        assert_eq!(io.skipped.first.map(|error| (error.line, error.field)), Some((4, "device")));
    }

    #[test]
    fn transfers_of_version_1_are_read_by_device_and_sums_are_left_out() {
        let mut io = IoStats::default();
        v1::add_transfers(b"8:0 Read 10\n8:0 Write 20\n8:0 Sync 30\n8:0 Async 0\n8:0 Discard 0\n8:0 Total 30\nTotal 30\n", true, &mut io);
        v1::add_transfers(
            b"8:0 Read 1\n8:0 Write 2\n8:16 Read 3\n8:x Read 1\nTotal 3\n",
            false,
            &mut io,
        );
        let sda = DeviceIo {
            major: 8,
            minor: 0,
            read_bytes: 10,
            write_bytes: 20,
            read_operations: 1,
            write_operations: 2,
        };
        let sdb = DeviceIo { major: 8, minor: 16, read_operations: 3, ..DeviceIo::default() };
        assert_eq!(io.devices, [sda, sdb]);
        assert_eq!(io.skipped.lines, 1);
    }

    proptest! {
        #[test]
        fn prop_no_bytes_make_them_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            v2::parse_io(&bytes);
            v1::add_transfers(&bytes, true, &mut IoStats::default());
        }
    }
}
