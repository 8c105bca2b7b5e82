//! The kubelet's part of the trees: from folders' names to pods and containers.
//!
//! In: names that the kubelet, systemd and the container runtimes gave. Out: UIDs, classes and container IDs. No
//! runtime is asked. Which names there are:
//!
//! | driver | cgroup of a pod | of its container |
//! |---|---|---|
//! | cgroupfs | `kubepods/burstable/podUID` | `ID`; CRI-O `crio-ID` |
//! | systemd | `kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podU_I_D.slice` | `cri-containerd-ID.scope`, `crio-ID.scope`, `docker-ID.scope` |
//!
//! A pod that is guaranteed has no folder of its class. With the kubelet's `--cgroup-root`, or when a node is itself
//! a container (kind, k3d), all of it is further down, and systemd writes the slices above into the names
//! (`kubelet-kubepods-burstable-pod….slice`). CRI-O makes `crio-conmon-ID.scope` for its monitor, which is no
//! container, and crun a cgroup `container` inside the container's: neither is listed. Sources: `pkg/kubelet/cm` in
//! kubernetes/kubernetes (`cgroup_manager_linux.go`, `pod_container_manager_linux.go`), `getCgroupsPath` in
//! containerd's CRI plugin, `internal/config/cgmgr` in cri-o/cri-o.

use super::{CgroupPath, Cgroups};
use crate::error::ReadError;

/// A pod's quality of service: the kubelet's classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Qos {
    /// Every container has limits, and requests that are the same.
    Guaranteed,
    /// At least one container has a request or a limit.
    Burstable,
    /// None has.
    BestEffort,
}

/// A pod's cgroup. It may outlive the pod for a while, without containers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodCgroup {
    /// The pod's UID. For a static pod it is the hash of its manifest, 32 digits without dashes: the annotation
    /// `kubernetes.io/config.hash` of its mirror pod, not its UID in the API.
    pub uid: Box<str>,
    /// Its class.
    pub qos: Qos,
    /// Where it is.
    pub path: CgroupPath,
    /// Its containers, the sandbox (pause) among them where the runtime makes one.
    pub containers: Vec<ContainerCgroup>,
}

/// A container's cgroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerCgroup {
    /// The container's ID, as the runtime has it and the pod's status, there with `containerd://` or the like before
    /// it.
    pub id: Box<str>,
    /// Where it is.
    pub path: CgroupPath,
}

/// How far down from the top the kubelet's part is looked for: a node in a container with a `--cgroup-root` has it at
/// four.
const DEPTH: usize = 6;

impl Cgroups {
    /// All pods of all kubelets on the host, sorted by path. What ends meanwhile is left out.
    ///
    /// # Errors
    /// When the tree cannot be listed.
    pub fn pods(&mut self) -> Result<Vec<PodCgroup>, ReadError> {
        let mut pods = Vec::new();
        if !self.list_pods(&mut pods)? || pods.is_empty() {
            // The kubelet came later, or with another driver, or it never was here.
            pods.clear();
            self.kube.clear();
            let top = CgroupPath::root();
            let mut kube = Vec::new();
            search(self, &top, DEPTH, &mut kube)?;
            self.kube = kube;
            self.list_pods(&mut pods)?;
        }
        let mut above: Vec<_> = pods.iter().map(|pod| pod.path.parent()).collect();
        above.dedup();
        self.hold(&above);
        Ok(pods)
    }

    /// False when one of the places where pods were is not there any more.
    fn list_pods(&self, pods: &mut Vec<PodCgroup>) -> Result<bool, ReadError> {
        for top in &self.kube {
            let Some(children) = self.still(top)? else { return Ok(false) };
            for child in children {
                match class_of(child.name()) {
                    None => pods.extend(self.pod(child, Qos::Guaranteed)?),
                    Some(qos) => {
                        for child in self.still(&child)?.unwrap_or_default() {
                            pods.extend(self.pod(child, qos)?);
                        }
                    }
                }
            }
        }
        Ok(true)
    }

    fn pod(&self, path: CgroupPath, qos: Qos) -> Result<Option<PodCgroup>, ReadError> {
        let Some(uid) = pod_uid(path.name()) else { return Ok(None) };
        let Some(children) = self.still(&path)? else { return Ok(None) };
        let container = |child: CgroupPath| {
            let id = container_id(child.name())?.into();
            Some(ContainerCgroup { id, path: child })
        };
        Ok(Some(PodCgroup {
            uid,
            qos,
            containers: children.into_iter().filter_map(container).collect(),
            path,
        }))
    }

    /// The cgroups below one; `None` when it ended.
    fn still(&self, path: &CgroupPath) -> Result<Option<Vec<CgroupPath>>, ReadError> {
        match self.children(path) {
            Ok(children) => Ok(Some(children)),
            Err(ReadError::Gone { .. } | ReadError::Missing { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Finds where kubelets have their pods. What is in a pod is not searched: what a container there calls `kubepods` is
/// its own affair.
fn search(
    cgroups: &Cgroups,
    path: &CgroupPath,
    depth: usize,
    found: &mut Vec<CgroupPath>,
) -> Result<(), ReadError> {
    let names = cgroups.folder(cgroups.listed(), path).folders();
    let names = match names {
        // Below the top: it ended, or it is nobody's business.
        Err(_) if depth < DEPTH => return Ok(()),
        names => names?,
    };
    for name in &names {
        let child = path.child(name);
        if name == "kubepods" || name == "kubepods.slice" || name.ends_with("-kubepods.slice") {
            found.push(child);
        } else if depth > 1 {
            search(cgroups, &child, depth - 1, found)?;
        }
    }
    Ok(())
}

/// The class whose folder this is.
fn class_of(name: &str) -> Option<Qos> {
    let class =
        name.strip_suffix(".slice").map_or(name, |slice| slice.rsplit('-').next().unwrap_or(slice));
    match class {
        "burstable" => Some(Qos::Burstable),
        "besteffort" => Some(Qos::BestEffort),
        _ => None,
    }
}

/// The UID in the name of a pod's folder. systemd takes a `-` for a level of slices, so the kubelet writes `_` there.
fn pod_uid(name: &str) -> Option<Box<str>> {
    let uid: Box<str> = match name.strip_suffix(".slice") {
        Some(slice) => slice.rsplit_once("-pod")?.1.replace('_', "-").into(),
        None => name.strip_prefix("pod")?.into(),
    };
    let is_uid = |uid: &str| {
        !uid.is_empty() && uid.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    Some(uid).filter(|uid| is_uid(uid))
}

/// The ID in the name of a container's folder.
fn container_id(name: &str) -> Option<&str> {
    let name = name.strip_suffix(".scope").unwrap_or(name);
    let (runtime, id) = name.rsplit_once('-').unwrap_or(("", name));
    let is_id = id.len() == 64 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    (is_id && !runtime.ends_with("conmon")).then_some(id)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn uids_are_read_from_names_of_either_driver() {
        let uid = "0fe03e81-a405-49d9-a779-eb3058079316";
        let systemd = "0fe03e81_a405_49d9_a779_eb3058079316";
        for name in [
            format!("pod{uid}"),
            format!("kubepods-pod{systemd}.slice"),
            format!("kubepods-burstable-pod{systemd}.slice"),
            format!("kubelet-kubepods-besteffort-pod{systemd}.slice"),
        ] {
            assert_eq!(pod_uid(&name).as_deref(), Some(uid), "{name}");
        }
        let hash = "b9d2f7a3f0e6c1d4a5b8e7f60123abcd";
        assert_eq!(pod_uid(&format!("kubepods-burstable-pod{hash}.slice")).as_deref(), Some(hash));
        for name in [
            "burstable",
            "kubepods-burstable.slice",
            "pod",
            "pod/x",
            "system.slice",
            "podman.slice",
        ] {
            assert_eq!(pod_uid(name), None, "{name}");
        }
    }

    #[test]
    fn classes_are_read_from_names_of_either_driver() {
        assert_eq!(class_of("burstable"), Some(Qos::Burstable));
        assert_eq!(class_of("kubepods-besteffort.slice"), Some(Qos::BestEffort));
        assert_eq!(class_of("kubelet-kubepods-burstable.slice"), Some(Qos::Burstable));
        assert_eq!(class_of("kubepods-burstable-pod1_2.slice"), None);
    }

    #[test]
    fn ids_are_read_from_names_of_every_runtime_and_monitors_are_none() {
        for name in [
            ID.to_owned(),
            format!("cri-containerd-{ID}.scope"),
            format!("crio-{ID}.scope"),
            format!("crio-{ID}"),
            format!("docker-{ID}.scope"),
        ] {
            assert_eq!(container_id(&name), Some(ID), "{name}");
        }
        for name in [
            format!("crio-conmon-{ID}.scope"),
            format!("crio-conmon-{ID}"),
            "container".to_owned(),
            "kata_overhead".to_owned(),
            ID[1..].to_owned(),
            format!("{ID}0"),
            ID.to_uppercase(),
        ] {
            assert_eq!(container_id(&name), None, "{name}");
        }
    }

    proptest! {
        #[test]
        fn prop_any_name_is_read_without_panic(name in "\\PC{0,40}(\\.slice|\\.scope)?") {
            let _ = (pod_uid(&name), class_of(&name), container_id(&name));
        }
    }
}
