//! Debian packages: the node's own parts, installed by name when one is missing.

use std::process::Command;

use anyhow::{Result, bail};

use crate::{cmd, process, wait};

/// What the bare cluster is made of, besides what is built from Go modules.
pub(crate) const BARE: &[&str] = &[
    "etcd-server",
    "etcd-client",
    "containerd",
    "runc",
    "containernetworking-plugins",
    "iptables",
    "nftables",
    "conntrack",
    "busybox-static",
    "kmod",
    "iproute2",
    "util-linux",
    "e2fsprogs",
    "procps",
    "user-mode-linux",
    "buildah",
    "gcc",
    "libc6-dev",
];

/// What the images need where a docker engine runs the cluster.
pub(crate) const KIND: &[&str] = &["busybox-static"];

/// Installs what is missing.
///
/// # Errors
/// When something is missing and this is not root on a Debian: says what to install.
pub(crate) fn ensure(packages: &[&str]) -> Result<()> {
    let missing: Vec<&str> = packages.iter().copied().filter(|name| !is_installed(name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let wanted = missing.join(" ");
    if !process::is_root() || cmd::find("apt-get").is_none() {
        bail!("these packages are missing, install them by `apt-get install {wanted}`");
    }
    wait::step(&format!("apt-get install {wanted}"), || {
        // A source that is away does not matter when the others have what is wanted.
        cmd::succeeds(Command::new("apt-get").args(["update", "-qq"]));
        // RUNLEVEL=1: a package that brings a service must not start it on this machine.
        cmd::run(
            Command::new("apt-get")
                .args(["install", "-y", "-qq", "--no-install-recommends"])
                .args(&missing)
                .env("DEBIAN_FRONTEND", "noninteractive")
                .env("RUNLEVEL", "1"),
        )?;
        Ok(())
    })
}

fn is_installed(package: &str) -> bool {
    cmd::run(Command::new("dpkg-query").args(["-W", "-f", "${db:Status-Status}", package]))
        .is_ok_and(|status| status == "installed")
}
