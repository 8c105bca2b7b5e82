//! Taking the bare cluster down, whatever state it is in: after it no process, mount, namespace,
//! cgroup or file of it is left, and nothing that was there before is touched.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use crate::bare::{node, second};
use crate::process::{self, Process, Stat};
use crate::work::{State, Work};
use crate::{cmd, netns, wait};

/// Ended before the containers, so that nothing starts one again.
const FIRST: &[&str] =
    &["kubelet", "kube-proxy", "coredns", "kube-scheduler", "kube-controller-manager"];

/// Takes it down. With nothing up, this does nothing.
///
/// # Errors
/// When something could not be removed; everything else is removed first.
pub(crate) fn down(work: &Work) -> Result<()> {
    let Some(state) = work.state()? else {
        return remove_run(work);
    };
    let (first, last): (Vec<&Process>, Vec<&Process>) =
        state.processes.iter().partition(|process| FIRST.contains(&process.name.as_str()));
    // First of all the second node, as if its power was cut: it is another machine's kernel.
    for process in state.processes.iter().filter(|process| process.name == second::PROCESS) {
        process.kill_session();
    }
    for process in first {
        process.end(Duration::from_secs(3));
    }
    end_containers(work)?;
    // The API server drains open watches for a minute when asked politely.
    for process in last.into_iter().rev() {
        process.kill();
    }
    unmount_below(&work.run())?;
    for name in netns::list() {
        let ours = name == netns::NAME || name.starts_with("cni-");
        if ours && !state.foreign_namespaces.contains(&name) {
            netns::delete(&name);
        }
    }
    remove_cgroups()?;
    remove_outside(&state)?;
    remove_run(work)
}

/// Ends every container: the shims are known by our socket's path on their command line, and what
/// they hold is below them.
fn end_containers(work: &Work) -> Result<()> {
    let socket = node::socket(work);
    let shims = || -> Vec<u32> {
        process::all_pids().into_iter().filter(|pid| is_shim_of(*pid, &socket)).collect()
    };
    wait::until_true("the containers' end", Duration::from_secs(20), || {
        let shims = shims();
        for shim in &shims {
            // Children first: a dead shim's children would be handed to the machine's init.
            for pid in process::tree(*shim).into_iter().rev() {
                process::signal_pid(pid, Signal::KILL);
            }
        }
        shims.is_empty()
    })
}

fn is_shim_of(pid: u32, socket: &Path) -> bool {
    let Ok(line) = fs::read(format!("/proc/{pid}/cmdline")) else {
        return false;
    };
    let line = String::from_utf8_lossy(&line);
    let mut arguments = line.split('\0');
    let program = arguments.next().unwrap_or_default();
    program.contains("containerd-shim")
        && arguments.any(|argument| Path::new(argument) == socket)
        && Stat::read(pid).is_some_and(|stat| stat.state != 'Z')
}

/// Unmounts everything below a folder, deepest first.
fn unmount_below(folder: &Path) -> Result<()> {
    let mut mounts = mounts_below(folder)?;
    mounts.sort_by_key(|path| std::cmp::Reverse(path.components().count()));
    for mount in mounts {
        cmd::succeeds(Command::new("umount").arg("-l").arg(&mount));
    }
    // One more look decides whether the folder may be deleted.
    if let Some(left) = mounts_below(folder)?.first() {
        bail!("{} cannot be unmounted", left.display());
    }
    Ok(())
}

fn mounts_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let table = fs::read_to_string("/proc/self/mountinfo")?;
    // Field 5 is the mount point, spaces as \040 (proc(5)).
    let points = table.lines().filter_map(|line| line.split(' ').nth(4));
    Ok(points
        .map(|point| PathBuf::from(point.replace("\\040", " ")))
        .filter(|point| point.starts_with(folder))
        .collect())
}

/// Removes the kubelet's cgroups, in every hierarchy, children first; only empty ones can be.
fn remove_cgroups() -> Result<()> {
    let mut hierarchies = vec![PathBuf::from("/sys/fs/cgroup")];
    hierarchies.extend(fs::read_dir("/sys/fs/cgroup")?.flatten().map(|entry| entry.path()));
    let groups: Vec<PathBuf> = hierarchies
        .iter()
        .flat_map(|hierarchy| ["kubepods", "k8s.io"].map(|name| hierarchy.join(name)))
        .filter(|group| group.is_dir())
        .collect();
    for group in groups {
        // A process that was just killed leaves its cgroup a moment later.
        wait::until_true(
            &format!("{} to be empty", group.display()),
            Duration::from_secs(10),
            || remove_group(&group),
        )?;
    }
    Ok(())
}

fn remove_group(group: &Path) -> bool {
    if let Ok(entries) = fs::read_dir(group) {
        for entry in entries.flatten().filter(|entry| entry.path().is_dir()) {
            remove_group(&entry.path());
        }
    }
    fs::remove_dir(group).is_ok() || !group.exists()
}

/// Removes what the components made outside the work folder; a folder that was there before is
/// only emptied of what a node puts there.
fn remove_outside(state: &State) -> Result<()> {
    for path in &state.absent_before {
        unmount_below(path)?;
        remove(path)?;
    }
    for folder in ["/var/log/pods", "/var/log/containers", "/var/lib/cni"] {
        // `up` refuses a machine whose pod log folder is in use: what is in it is ours.
        let Ok(entries) = fs::read_dir(folder) else {
            continue;
        };
        for entry in entries.flatten() {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

fn remove_run(work: &Work) -> Result<()> {
    unmount_below(&work.run())?;
    remove(&work.run())
}

fn remove(path: &Path) -> Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(_) => Ok(()),
    };
    removed.with_context(|| format!("{} cannot be removed", path.display()))
}
