//! The second node: Debian's user-mode-linux, a kernel of its own that runs as a process of this
//! machine, joined to the bare cluster. It has cgroup v2, and a power switch: when the process is
//! killed, what its kernel had not written to the disk image is gone, as in a power cut; started
//! again it is the same node, with its disk and its pods.
//!
//! A system call takes some 65 µs there: it is for behaviour, never for speed. Pods are kept away from
//! it by a taint, except those that ask for it and the agents, which run everywhere.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::bare::control_plane::kubeconfig;
use crate::certs::Certs;
use crate::process::Process;
use crate::work::Work;
use crate::{cmd, images, netns, wait};

/// Its name.
pub(crate) const NODE: &str = "hawsepipe-e2e-2";
/// The name of its process.
pub(crate) const PROCESS: &str = "second-node";
/// The taint that keeps pods away.
const TAINT: &str = "hawsepipe-e2e/second";
pub(crate) const ADDRESS: &str = "172.31.0.2";
const GATEWAY: &str = "172.31.0.1";
const TAP: &str = "tap2";
/// Its pods' addresses.
const PODS: &str = "10.244.1.0/24";

/// The folder that e2e and the node share, besides what the node may only read.
fn share(work: &Work) -> PathBuf {
    work.run().join("second/share")
}

/// What was found on its disk at each boot, by number: folders like /var/log/pods, with what was
/// compressed unpacked.
pub(crate) fn found(work: &Work) -> PathBuf {
    share(work).join("found")
}

/// The script that adds what is on its disk now.
pub(crate) fn find_now(work: &Work) -> String {
    format!("sh {}/second/found.sh now", work.run().display())
}

/// Makes its disk, its network and everything that it reads.
pub(crate) fn prepare(work: &Work, binaries: &Path, certs: &Certs) -> Result<()> {
    for folder in ["in", "out", "log", "found"] {
        fs::create_dir_all(share(work).join(folder))?;
    }
    let disk = work.run().join("second/disk.img");
    cmd::run(Command::new("truncate").args(["-s", "8G"]).arg(&disk))?;
    cmd::run(Command::new("mkfs.ext4").args(["-q", "-m", "0"]).arg(&disk))?;
    for line in [
        format!("tuntap add dev {TAP} mode tap"),
        format!("addr add {GATEWAY}/24 dev {TAP}"),
        format!("link set {TAP} up"),
        format!("route add {PODS} via {ADDRESS}"),
    ] {
        cmd::run(netns::command("ip").args(line.split(' ')))?;
    }
    let modules = work.run_folder("second/modules/lib")?;
    link(Path::new("/usr/lib/uml/modules"), &modules.join("modules"))?;
    // That kernel has no NAT in nftables: the tools of before, under the names of today.
    let tools = work.run_folder("second/bin")?;
    for family in ["iptables", "ip6tables"] {
        for kind in ["", "-save", "-restore"] {
            let legacy = format!("/usr/sbin/{family}-legacy{kind}");
            link(Path::new(&legacy), &tools.join(format!("{family}{kind}")))?;
        }
    }
    work.run_file("second/network/10-pods.conflist", network().to_string())?;
    work.run_file("second/containerd.toml", containerd(work))?;
    work.run_file("second/kubelet.json", kubelet(work, certs)?.to_string())?;
    work.run_file("second/kube-proxy.json", proxy(work).to_string())?;
    work.run_file("second/found.sh", include_str!("second/found.sh"))?;
    let boot = include_str!("second/boot.sh")
        .replace("@RUN@", &work.run().display().to_string())
        .replace("@BINARIES@", &binaries.display().to_string())
        .replace("@NAME@", NODE)
        .replace("@ADDRESS@", ADDRESS)
        .replace("@GATEWAY@", GATEWAY);
    let boot = work.run_file("second/boot.sh", boot)?;
    cmd::run(Command::new("chmod").arg("755").arg(boot)).map(drop)
}

/// Switches it on and waits until containers can run there.
pub(crate) fn power_on(work: &Work) -> Result<Process> {
    let share = share(work);
    let ready = share.join("ready");
    drop(fs::remove_file(&ready));
    // A script that was not run before the power cut is nobody's any more.
    for folder in ["in", "out"] {
        for entry in fs::read_dir(share.join(folder))?.flatten() {
            drop(fs::remove_file(entry.path()));
        }
    }
    let run = work.run();
    let process = Process::spawn(
        PROCESS,
        netns::command("linux.uml")
            .args(["mem=2G", "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro"])
            .arg(format!("ubda={}", run.join("second/disk.img").display()))
            .arg(format!("vec0:transport=tap,ifname={TAP},depth=128,gro=1"))
            .arg(format!("init={}", run.join("second/boot.sh").display()))
            .arg(format!("uml_dir={}", run.join("second/uml").display()))
            .args(["con=null", "con0=null,fd:1", "con1=null", "ssl=null", "panic=1"]),
        &work.log(PROCESS)?,
    )?;
    let boot = Duration::from_secs(90);
    let up =
        wait::until_true("the second node to boot", boot, || ready.exists() || !process.is_alive());
    if up.is_ok() && process.is_alive() {
        return Ok(process);
    }
    let read = |path: PathBuf| fs::read_to_string(path).unwrap_or_default();
    let (kernel, boot) = (read(work.log(PROCESS)?), read(share.join("log/boot.log")));
    process.kill_session();
    bail!("the second node does not come up:\n{}\n{}", cmd::tail(&kernel), cmd::tail(&boot))
}

/// Runs a script as root in the node; its output.
pub(crate) fn shell(work: &Work, script: &str, patience: Duration) -> Result<String> {
    let share = share(work);
    let name = crate::bare::random_hex()?;
    let new = share.join(format!("in/{name}.new"));
    fs::write(&new, script)?;
    fs::rename(&new, share.join(format!("in/{name}.sh")))?;
    let code = share.join(format!("out/{name}.code"));
    let started = Instant::now();
    let status = wait::until("the second node", patience, Duration::from_millis(100), || {
        Ok(Some(fs::read_to_string(&code)?))
    })
    .with_context(|| format!("{script:?} after {} s", started.elapsed().as_secs()))?;
    let output = fs::read_to_string(share.join(format!("out/{name}.text")))?;
    if status.trim() != "0" {
        bail!("on the second node: {script}: exit code {}\n{}", status.trim(), cmd::tail(&output));
    }
    Ok(output)
}

/// Imports an image archive, and has it on the disk.
pub(crate) fn load_image(work: &Work, archive: &Path) -> Result<()> {
    let script = format!("ctr -n k8s.io images import {} && sync", archive.display());
    shell(work, &script, Duration::from_secs(180)).map(drop)
}

fn link(to: &Path, at: &Path) -> Result<()> {
    std::os::unix::fs::symlink(to, at).with_context(|| at.display().to_string())
}

fn network() -> Value {
    json!({
        "cniVersion": "0.4.0",
        "name": "pods",
        "plugins": [
            {
                "type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": false,
                "hairpinMode": true,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": PODS}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
        ],
    })
}

fn containerd(work: &Work) -> String {
    format!(
        r#"version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "/var/lib/containerd/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "/usr/lib/cni"
  conf_dir = "{run}/second/network"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
"#,
        pause = images::PAUSE,
        run = work.run().display(),
    )
}

/// As the first node's, but for what the place demands.
fn kubelet(work: &Work, certs: &Certs) -> Result<Value> {
    let mut config = crate::bare::node::kubelet_config(work, certs)?;
    config["containerRuntimeEndpoint"] = json!("unix:///run/containerd/containerd.sock");
    config["providerID"] = json!("aws:///eu-north-1a/i-0e2e0000000000002");
    config["volumePluginDir"] = json!("/var/lib/kubelet/volume-plugins");
    config["registerWithTaints"] = json!([{"key": TAINT, "effect": "NoSchedule"}]);
    config.as_object_mut().context("the kubelet's configuration")?.remove("staticPodPath");
    Ok(config)
}

fn proxy(work: &Work) -> Value {
    json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "clusterCIDR": "10.244.0.0/16",
        "hostnameOverride": NODE,
        "conntrack": {"maxPerCore": 0, "min": 0},
        "clientConnection": {"kubeconfig": kubeconfig(work, "proxy")},
    })
}
