//! Where the host's file systems are.
//!
//! In: folders. Out: paths, and they are made nowhere else. What always holds: a path that comes out is inside the
//! folder that it was asked of, whatever a file named it.

use std::path::{Component, Path, PathBuf};

/// Where `proc`, `sys` and, if it is there, the root file system of the host are: `/proc`, `/sys` and `/` on the host
/// itself, `/host/proc` and `/host/sys` in a pod that mounts them, a folder of fixtures in a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostRoot {
    proc: PathBuf,
    sys: PathBuf,
    files: Option<PathBuf>,
}

impl HostRoot {
    /// The host that this process runs on, seen from its own namespaces.
    #[must_use]
    pub fn here() -> Self {
        Self::new("/proc", "/sys", Some("/".into()))
    }

    /// A host whose file systems are mounted elsewhere. Without `files`, what needs the host's own files (how full its
    /// file systems are, `/etc/os-release`) is not there.
    #[must_use]
    pub fn new(proc: impl Into<PathBuf>, sys: impl Into<PathBuf>, files: Option<PathBuf>) -> Self {
        Self { proc: proc.into(), sys: sys.into(), files }
    }

    /// A file below the host's `/proc`.
    #[must_use]
    pub fn proc(&self, path: impl AsRef<Path>) -> PathBuf {
        inside(&self.proc, path.as_ref())
    }

    /// A file below the host's `/sys`.
    #[must_use]
    pub fn sys(&self, path: impl AsRef<Path>) -> PathBuf {
        inside(&self.sys, path.as_ref())
    }

    /// A file of `/proc/net` as the host sees it. `/proc/net` is a link to `self/net`: the network namespace of
    /// whoever reads, which in a pod is the pod's own. Process 1 is in the host's.
    #[must_use]
    pub fn net(&self, path: impl AsRef<Path>) -> PathBuf {
        inside(&inside(&self.proc, Path::new("1/net")), path.as_ref())
    }

    /// A file of the host by its path there (`/etc/os-release`); `None` where the host's root is not mounted.
    #[must_use]
    pub fn file(&self, path: impl AsRef<Path>) -> Option<PathBuf> {
        self.files.as_deref().map(|files| inside(files, path.as_ref()))
    }
}

/// `path` below `folder`: a leading `/` does not start anew, and `..` leads nowhere.
fn inside(folder: &Path, path: &Path) -> PathBuf {
    let mut whole = folder.to_path_buf();
    whole.extend(path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name),
        Component::Prefix(_) | Component::RootDir | Component::CurDir | Component::ParentDir => {
            None
        }
    }));
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_inside_the_folder_that_it_was_asked_of() {
        let root = HostRoot::new("/host/proc", "/host/sys", Some("/host/root".into()));
        assert_eq!(root.proc("stat"), Path::new("/host/proc/stat"));
        assert_eq!(root.sys("/class/net"), Path::new("/host/sys/class/net"));
        assert_eq!(root.net("dev"), Path::new("/host/proc/1/net/dev"));
        assert_eq!(root.proc("../../etc/shadow"), Path::new("/host/proc/etc/shadow"));
        assert_eq!(root.file("/"), Some("/host/root".into()));
        assert_eq!(root.file("/var/lib"), Some("/host/root/var/lib".into()));
        assert_eq!(HostRoot::here().file("/var"), Some("/var".into()));
        assert_eq!(HostRoot::new("/host/proc", "/host/sys", None).file("/var"), None);
    }
}
