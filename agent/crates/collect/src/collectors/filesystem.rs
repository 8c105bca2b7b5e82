//! How full the file systems are.

use std::collections::BTreeMap;
use std::time::Duration;

use hawsepipe_host::filesystems::{FileSystems, Space, SpaceError};
use hawsepipe_host::mounts::{self, Mount};

use crate::collector::{Collect, CollectError, Collector, Need};
use crate::points::{Points, ratio};
use crate::settings::Globs;
use crate::tick::Tick;

pub(crate) static COLLECTOR: Collector = Collector {
    name: "filesystem",
    about: "How full the file systems on block devices (and ZFS) are. Folders that are mounted a second time (bind \
            mounts, as the kubelet makes them for pods) are left out",
    reads: &["/proc/1/mountinfo", "/proc/filesystems", "every mount (statfs)"],
    needs: &[Need::Proc, Need::Root],
    default: true,
    metrics: METRICS,
    selects: Some("file systems by their mount point (`/var/*`)"),
    top: None,
    new: |options| {
        let select = options.select.clone();
        Box::new(Mounted { select, file_systems: FileSystems::new(THREADS) })
    },
};

metrics! {
    /// Bytes of the file system in each state. `reserved` is free for the superuser alone
    USAGE: UpDownCounter Int "system.filesystem.usage" "By"
        ["device", "mode", "mountpoint", "type", "state"] on;
    /// Files that the file system holds, and how many more it can hold
    INODES: UpDownCounter Int "system.filesystem.inodes.usage" "{inodes}"
        ["device", "mode", "mountpoint", "type", "state"] on;
    /// Part of what anyone may use that is used
    UTILIZATION: Gauge Double "system.filesystem.utilization" "1"
        ["device", "mode", "mountpoint", "type"] off;
}

/// File systems that may hang at the same time before others are not asked any more.
const THREADS: usize = 4;
/// A disk answers in microseconds, a server in milliseconds.
const DEADLINE: Duration = Duration::from_secs(1);

struct Mounted {
    select: Globs,
    file_systems: FileSystems,
}

impl Collect for Mounted {
    fn collect(&mut self, tick: &Tick, out: &mut Points) -> Result<(), CollectError> {
        let host = &tick.sources().host;
        if host.file("/").is_none() {
            return Err(CollectError::Unavailable(
                "the host's root file system is not mounted here (metrics.rootPath)".to_owned(),
            ));
        }
        let types = mounts::device_types(host)?;
        let all = mounts::read_kept(host, |kind, mount_point| {
            (types.contains(kind) || kind == "zfs") && self.select.take(mount_point)
        })?;
        // What is mounted last at a place is what is seen there.
        let seen: BTreeMap<&str, &Mount> =
            all.mounts.iter().map(|mount| (&*mount.mount_point, mount)).collect();
        let mut told = Vec::new();
        for mount in seen.into_values().filter(|mount| !is_bound(mount)) {
            let Some(path) = host.file(&*mount.mount_point) else { continue };
            match self.file_systems.read(&path, DEADLINE) {
                Ok(space) => told.push((mount, space)),
                // It was unmounted meanwhile.
                Err(SpaceError::Io { source, .. })
                    if source.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => out.problem(CollectError::Failed(error.to_string())),
            }
        }
        tell(&told, out);
        Ok(())
    }
}

fn tell(told: &[(&Mount, Space)], out: &mut Points) {
    let mode = |mount: &Mount| if mount.is_read_only() { "ro" } else { "rw" };
    let mut usage = out.metric(&USAGE);
    for (mount, space) in told {
        let reserved = space.free.saturating_sub(space.available);
        let states = [("used", space.used()), ("free", space.available), ("reserved", reserved)];
        for (state, bytes) in states {
            let Mount { source, mount_point, fs_type, .. } = mount;
            usage.push(bytes, &[source, mode(mount), mount_point, fs_type, state]);
        }
    }
    let mut inodes = out.metric(&INODES);
    for (mount, space) in told {
        let (Some(total), Some(free)) = (space.files_total, space.files_free) else { continue };
        for (state, count) in [("used", total.saturating_sub(free)), ("free", free)] {
            let Mount { source, mount_point, fs_type, .. } = mount;
            inodes.push(count, &[source, mode(mount), mount_point, fs_type, state]);
        }
    }
    let mut utilization = out.metric(&UTILIZATION);
    for (mount, space) in told {
        let part = ratio(space.used(), space.used().saturating_add(space.available));
        let Mount { source, mount_point, fs_type, .. } = mount;
        utilization.maybe(part, &[source, mode(mount), mount_point, fs_type]);
    }
}

/// A folder of a file system that is mounted elsewhere too. A subvolume of btrfs is none.
fn is_bound(mount: &Mount) -> bool {
    let is_root = |option: &str| option.strip_prefix("subvol=") == Some(&*mount.root);
    mount.source.starts_with('/')
        && &*mount.root != "/"
        && !mount.super_options.split(',').any(is_root)
}
