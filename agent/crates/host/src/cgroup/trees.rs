//! Where the trees are.
//!
//! `mountinfo` says it. Where that cannot be read, or shows none (a container that mounts the host's `/sys` and has
//! another `/proc`), the places are tried that systemd and every distribution use.

use std::path::{Path, PathBuf};

use super::CgroupPath;
use super::folder::Held;
use crate::HostRoot;
use crate::error::ReadError;
use crate::mounts;

/// Which versions a host has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CgroupMode {
    /// Version 1 alone.
    V1,
    /// Version 2 alone.
    V2,
    /// Controllers in version 1, and a tree of version 2 beside them, with or without controllers of its own.
    Hybrid,
}

/// The controllers of version 1 that are read, and the one by which cgroups are listed first: what runs has processes,
/// and of all trees that one has the fewest files to list.
const CONTROLLERS: [&str; 5] = ["pids", "memory", "cpuacct", "cpu", "blkio"];

/// The host's cgroups. They are found once: a host does not change its trees while it runs.
#[derive(Debug, Clone)]
pub struct Cgroups {
    /// Trees of version 1, for each of [`CONTROLLERS`].
    controllers: [Option<PathBuf>; CONTROLLERS.len()],
    unified: Option<PathBuf>,
    /// The tree that cgroups are listed in.
    listed: PathBuf,
    /// Below which cgroups the pods are, as far as is known.
    pub(super) kube: Vec<CgroupPath>,
    /// The folders that pods are in.
    held: Held,
}

impl Cgroups {
    /// Finds the trees.
    ///
    /// # Errors
    /// [`ReadError::Missing`] when there are none: nothing is mounted there, or the host's `/sys` is not seen here.
    pub fn find(root: &HostRoot) -> Result<Self, ReadError> {
        let (mut controllers, mut unified) = (CONTROLLERS.map(|_| None), None);
        mounted(root, &mut controllers, &mut unified);
        if unified.is_none() && controllers.iter().all(Option::is_none) {
            usual(root, &mut controllers, &mut unified);
        }
        let listed = controllers.iter().flatten().next().or(unified.as_ref()).cloned();
        let listed = listed.ok_or_else(|| ReadError::Missing { path: root.sys("fs/cgroup") })?;
        Ok(Self { controllers, unified, listed, kube: Vec::new(), held: Held::default() })
    }

    /// Which versions there are.
    #[must_use]
    pub fn mode(&self) -> CgroupMode {
        match (&self.unified, self.controllers.iter().any(Option::is_some)) {
            (None, _) => CgroupMode::V1,
            (Some(_), false) => CgroupMode::V2,
            (Some(_), true) => CgroupMode::Hybrid,
        }
    }

    /// A controller's tree of version 1.
    pub(super) fn controller(&self, name: &str) -> Option<&Path> {
        let known = CONTROLLERS.iter().zip(&self.controllers).find(|(known, _)| **known == name);
        known.and_then(|(_, tree)| tree.as_deref())
    }

    /// The tree of version 2.
    pub(super) fn unified(&self) -> Option<&Path> {
        self.unified.as_deref()
    }

    /// Holds these cgroups' folders, in every tree, for what is read below them.
    pub(super) fn hold(&mut self, above: &[CgroupPath]) {
        let trees = self.controllers.iter().flatten().chain(&self.unified);
        self.held = Held::open(trees.flat_map(|tree| above.iter().map(|path| path.in_tree(tree))));
    }

    pub(super) fn held(&self) -> &Held {
        &self.held
    }

    /// The tree that cgroups are listed in.
    pub(super) fn listed(&self) -> &Path {
        &self.listed
    }
}

/// The trees that `mountinfo` tells of. Of several mounts of one, the first counts: later ones are parts of it for
/// somebody's container.
fn mounted(root: &HostRoot, controllers: &mut [Option<PathBuf>], unified: &mut Option<PathBuf>) {
    let is_cgroup = |fs_type: &str, _: &str| fs_type == "cgroup" || fs_type == "cgroup2";
    let Ok(found) = mounts::read_kept(root, is_cgroup) else { return };
    for mount in &found.mounts {
        let place = match mount.mount_point.strip_prefix("/sys/") {
            Some(path) => Some(root.sys(path)),
            None => root.file(&*mount.mount_point),
        };
        let Some(place) = place.filter(|place| place.is_dir()) else { continue };
        if &*mount.fs_type == "cgroup2" {
            unified.get_or_insert(place);
            continue;
        }
        let options: Vec<&str> = mount.super_options.split(',').collect();
        for (name, tree) in CONTROLLERS.iter().zip(controllers.iter_mut()) {
            if options.contains(name) {
                tree.get_or_insert_with(|| place.clone());
            }
        }
    }
}

fn usual(root: &HostRoot, controllers: &mut [Option<PathBuf>], unified: &mut Option<PathBuf>) {
    let top = root.sys("fs/cgroup");
    let is_unified = |folder: &PathBuf| folder.join("cgroup.controllers").is_file();
    *unified = [top.clone(), top.join("unified")].into_iter().find(is_unified);
    if unified.as_ref() == Some(&top) {
        return;
    }
    for (name, tree) in CONTROLLERS.iter().zip(controllers.iter_mut()) {
        let joint = if name.starts_with("cpu") { "cpu,cpuacct" } else { name };
        *tree = [top.join(name), top.join(joint)].into_iter().find(|folder| folder.is_dir());
    }
}
