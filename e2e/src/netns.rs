//! The network namespace that the bare cluster lives in: loopback, one interface with the node's
//! address and a default route that leads nowhere, so that nothing in it reaches beyond it.
//!
//! It is entered by `nsenter --net`, not by `ip netns exec`: that mounts /sys anew and so hides the
//! cgroup mounts from the kubelet.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::cmd;

/// The namespace's name.
pub(crate) const NAME: &str = "hawsepipe-e2e";
/// The node's address in it.
pub(crate) const NODE_IP: &str = "172.30.0.1";

/// Where the namespace is mounted.
pub(crate) fn path() -> PathBuf {
    PathBuf::from("/run/netns").join(NAME)
}

/// A command that will run inside.
pub(crate) fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net={}", path().display())).arg(program);
    command
}

/// Takes the calling thread inside, and the threads that it starts from then on.
pub(crate) fn enter() -> Result<()> {
    let path = path();
    let namespace = File::open(&path).with_context(|| path.display().to_string())?;
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
        .with_context(|| path.display().to_string())
}

/// Makes it.
pub(crate) fn create() -> Result<()> {
    cmd::run(Command::new("ip").args(["netns", "add", NAME]))?;
    let address = format!("{NODE_IP}/24");
    for line in [
        "link set lo up",
        // The kubelet picks the interface of the default route, so there must be one. Nobody has
        // the gateway's address: what is sent there is dropped.
        "link add eth0 type veth peer name peer0",
        "link set peer0 up",
        "link set eth0 up",
        &format!("addr add {address} dev eth0"),
        "route add default via 172.30.0.254",
    ] {
        cmd::run(command("ip").args(line.split(' ')))?;
    }
    cmd::run(command("sysctl").args(["-q", "-w", "net.ipv4.ip_forward=1"]))?;
    Ok(())
}

/// Names of all namespaces that `ip netns` knows.
pub(crate) fn list() -> Vec<String> {
    let Ok(entries) = std::fs::read_dir("/run/netns") else {
        return Vec::new();
    };
    entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// Removes one; one that is gone is no error.
pub(crate) fn delete(name: &str) {
    cmd::succeeds(Command::new("ip").args(["netns", "delete", name]));
}
