//! What torture needs on the node besides pods: a small file system that holds the agent's spool and
//! can be filled, and a folder that keeps what the receiver has while it is stopped.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::release::NAMESPACE;

/// The claim that the receiver's data is under.
pub(crate) const CLAIM: &str = "torture-receiver";
/// Of the file system with the spool.
const DISK_MIB: u64 = 512;

/// The place on the node.
pub(crate) struct Place<'a> {
    cluster: &'a Cluster,
    folder: String,
}

impl<'a> Place<'a> {
    /// Where it is or will be.
    pub(crate) fn of(cluster: &'a Cluster) -> Result<Self> {
        Ok(Self { cluster, folder: cluster.node_folder()? })
    }

    /// Makes it anew.
    pub(crate) fn create(cluster: &'a Cluster) -> Result<Self> {
        let place = Self::of(cluster)?;
        place.remove().context("what an earlier run left")?;
        let folder = &place.folder;
        // ext4, as on a node: what is written and what is there differ until it is written back.
        cluster.node_shell(&format!(
            "set -e; mkdir -p {folder}/disk {folder}/receiver; chown 65532:65532 {folder}/receiver; \
             truncate -s {DISK_MIB}M {folder}/disk.img; mkfs.ext4 -q -m 0 {folder}/disk.img; \
             mount -o loop {folder}/disk.img {folder}/disk; mkdir {folder}/disk/spool"
        ))?;
        Ok(place)
    }

    /// The spool's folder on the node.
    pub(crate) fn spool(&self) -> String {
        format!("{}/disk/spool", self.folder)
    }

    /// The volume of the receiver and the claim to it.
    pub(crate) fn volume(&self) -> Value {
        let size = json!({"storage": "20Gi"});
        let modes = json!(["ReadWriteOnce"]);
        let volume = json!({
            "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": CLAIM},
            "spec": {
                "capacity": size, "accessModes": modes, "storageClassName": "",
                "persistentVolumeReclaimPolicy": "Retain",
                "hostPath": {"path": format!("{}/receiver", self.folder), "type": "Directory"},
                "claimRef": {"namespace": NAMESPACE, "name": CLAIM},
            },
        });
        let claim = json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": {"name": CLAIM, "namespace": NAMESPACE},
            "spec": {
                "accessModes": modes, "storageClassName": "", "volumeName": CLAIM,
                "resources": {"requests": size},
            },
        });
        json!({"apiVersion": "v1", "kind": "List", "items": [volume, claim]})
    }

    /// Fills the file system to the last block.
    pub(crate) fn fill(&self) -> Result<()> {
        let filler = format!("{}/disk/filler", self.folder);
        // Most of it is only reserved, which is quick; the rest is written until there is no more.
        self.cluster
            .node_shell(&format!(
                "free=$(df -B1 --output=avail {}/disk | tail -n 1); \
                 fallocate -l $((free - 4194304)) {filler} 2>/dev/null; \
                 dd if=/dev/zero bs=4k of={filler} oflag=append conv=notrunc 2>/dev/null; true",
                self.folder
            ))
            .map(drop)
    }

    /// Gives the space back.
    pub(crate) fn free(&self) -> Result<()> {
        self.cluster.node_shell(&format!("rm -f {}/disk/filler", self.folder)).map(drop)
    }

    /// Removes it. The pods that use it must be gone.
    pub(crate) fn remove(&self) -> Result<()> {
        self.cluster.kubectl(&["delete", "pv", CLAIM, "--ignore-not-found", "--timeout=60s"])?;
        let folder = &self.folder;
        self.cluster
            .node_shell(&format!(
                "mountpoint -q {folder}/disk && umount -l {folder}/disk; rm -rf {folder}"
            ))
            .map(drop)
    }
}
