//! The node: containerd with a CNI bridge, the kubelet and kube-proxy.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use crate::bare::NODE;
use crate::bare::control_plane::kubeconfig;
use crate::certs::Certs;
use crate::process::Process;
use crate::work::Work;
use crate::{cmd, images, netns, wait};

/// containerd's socket; its path also marks the shims that belong to this cluster.
pub(crate) fn socket(work: &Work) -> PathBuf {
    work.run().join("containerd/containerd.sock")
}

/// containerd's client, in the kubelet's namespace of names.
pub(crate) fn ctr(work: &Work) -> Command {
    let mut command = netns::command("ctr");
    command.arg("--address").arg(socket(work)).args(["--namespace", "k8s.io"]);
    command
}

/// containerd, everything of it in the work folder.
pub(crate) fn containerd(work: &Work) -> Result<Process> {
    let network = json!({
        "cniVersion": "0.4.0",
        "name": "pods",
        "plugins": [
            {
                "type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": false,
                "hairpinMode": true,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": "10.244.0.0/24"}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
        ],
    });
    work.run_file("cni/10-pods.conflist", network.to_string())?;
    let run = work.run();
    let run = run.display();
    // restrict_oom_score_adj: without CAP_SYS_RESOURCE a negative score cannot be set, and every
    // sandbox would fail.
    let config = format!(
        r#"version = 2
root = "{run}/containerd/root"
state = "{run}/containerd/state"
[grpc]
  address = "{run}/containerd/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "{run}/containerd/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "/usr/lib/cni"
  conf_dir = "{run}/cni"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
"#,
        pause = images::PAUSE,
    );
    let path = work.run_file("containerd/config.toml", config)?;
    let process = Process::spawn(
        "containerd",
        netns::command("containerd").arg("--config").arg(path),
        &work.log("containerd")?,
    )?;
    wait::until_true("containerd", Duration::from_secs(20), || {
        cmd::succeeds(ctr(work).arg("version"))
    })?;
    Ok(process)
}

/// The kubelet's configuration: log rotation happens within seconds.
pub(crate) fn kubelet_config(work: &Work, certs: &Certs) -> Result<Value> {
    let resolv = work.run_file("resolv.conf", format!("nameserver {}\n", netns::NODE_IP))?;
    Ok(json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true},
            "x509": {"clientCAFile": certs.path("ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs",
        "clusterDNS": ["10.96.0.10"],
        "clusterDomain": "cluster.local",
        "containerLogMaxFiles": 3,
        "containerLogMaxSize": "1Mi",
        "containerLogMonitorInterval": "3s",
        // What crashes is started again after a second, not after minutes: how an agent that is killed
        // again and again resumes shall be seen, not how long the kubelet makes it wait.
        "crashLoopBackOff": {"maxContainerRestartPeriod": "1s"},
        "featureGates": {"KubeletCrashLoopBackOffMax": true},
        "containerRuntimeEndpoint": format!("unix://{}", socket(work).display()),
        "enforceNodeAllocatable": [],
        "evictionHard": {
            "imagefs.available": "1%", "memory.available": "1%",
            "nodefs.available": "1%", "nodefs.inodesFree": "1%",
        },
        "failSwapOn": false,
        // 100 turns the collection of unused images off: none of them could be pulled again.
        "imageGCHighThresholdPercent": 100,
        "providerID": "aws:///eu-north-1a/i-0e2e0000000000001",
        "resolvConf": resolv,
        // A changed Secret is in its pods after seconds: that it comes there shall be seen, not how long the kubelet takes.
        "syncFrequency": "10s",
        "staticPodPath": work.run_folder("static-pods")?,
        // As with serverTLSBootstrap and an approver: of the cluster's own authority.
        "tlsCertFile": certs.path("kubelet-serving.crt"),
        "tlsPrivateKeyFile": certs.path("kubelet-serving.key"),
        "volumePluginDir": work.run_folder("volume-plugins")?,
    }))
}

/// The kubelet.
pub(crate) fn kubelet(work: &Work, binaries: &Path, certs: &Certs) -> Result<Process> {
    let run = work.run();
    let config = kubelet_config(work, certs)?;
    let config = work.run_file("kubelet.json", config.to_string())?;
    Process::spawn(
        "kubelet",
        netns::command(binaries.join("kubelet"))
            .arg("--config")
            .arg(config)
            .arg(format!("--kubeconfig={}", kubeconfig(work, "kubelet")))
            .arg(format!("--root-dir={}", run.join("kubelet").display()))
            .arg(format!("--cert-dir={}", run.join("pki/kubelet").display()))
            .arg(format!("--hostname-override={NODE}"))
            .arg(format!("--node-ip={}", netns::NODE_IP))
            .arg(
                "--node-labels=topology.kubernetes.io/region=eu-north-1,\
                 topology.kubernetes.io/zone=eu-north-1a,node.kubernetes.io/instance-type=e2e.large",
            ),
        &work.log("kubelet")?,
    )
}

/// kube-proxy over nftables.
pub(crate) fn proxy(work: &Work, binaries: &Path) -> Result<Process> {
    let config = json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clusterCIDR": "10.244.0.0/16",
        "hostnameOverride": NODE,
        // The limits of connection tracking belong to the machine, not to this namespace.
        "conntrack": {"maxPerCore": 0, "min": 0},
        "clientConnection": {"kubeconfig": kubeconfig(work, "proxy")},
    });
    let config = work.run_file("kube-proxy.json", config.to_string())?;
    Process::spawn(
        "kube-proxy",
        netns::command(binaries.join("kube-proxy")).arg("--config").arg(config),
        &work.log("kube-proxy")?,
    )
}
