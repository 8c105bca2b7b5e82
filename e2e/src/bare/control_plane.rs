//! etcd, the API server, the controllers and the scheduler.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use crate::bare::api_url;
use crate::certs::Certs;
use crate::process::Process;
use crate::work::Work;
use crate::{cmd, netns, wait};

/// Whose requests the audit log has, by namespace and name of the service account: those of the agents that
/// [`crate::clients`] starts. Nobody else's, so that it costs nothing.
pub(crate) const AUDITED: (&str, &str) = ("hawsepipe-e2e-clients", "agent");

const ETCD: &str = "http://127.0.0.1:2379";

/// Who may call the API server: a name (also its token's name), its user and its groups. The rights
/// of the components are those that Kubernetes gives these users by itself.
const USERS: &[(&str, &str, &str)] = &[
    ("admin", "admin", "system:masters"),
    ("controller-manager", "system:kube-controller-manager", ""),
    ("scheduler", "system:kube-scheduler", ""),
    ("proxy", "system:kube-proxy", ""),
    ("kubelet", "system:node:hawsepipe-e2e", "system:nodes"),
    ("kubelet-2", "system:node:hawsepipe-e2e-2", "system:nodes"),
    ("dns", "coredns", "system:masters"),
];

/// Writes the token file and a kubeconfig for each user. Tokens are random, new at each `up`.
pub(crate) fn write_credentials(work: &Work, certs: &Certs) -> Result<()> {
    let mut tokens = String::new();
    for (name, user, groups) in USERS {
        let token = random_hex()?;
        tokens.push_str(&format!("{token},{user},{user},\"{groups}\"\n"));
        let config = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: e2e\n\
             clusters: [{{name: e2e, cluster: {{server: \"{}\", certificate-authority: \"{}\"}}}}]\n\
             users: [{{name: \"{user}\", user: {{token: \"{token}\"}}}}]\n\
             contexts: [{{name: e2e, context: {{cluster: e2e, user: \"{user}\"}}}}]\n",
            api_url(),
            certs.path("ca.crt"),
        );
        work.run_file(&format!("kubeconfig/{name}"), config)?;
    }
    work.run_file("pki/tokens.csv", tokens)?;
    Ok(())
}

/// A kubeconfig's path.
pub(crate) fn kubeconfig(work: &Work, name: &str) -> String {
    work.run().join("kubeconfig").join(name).display().to_string()
}

/// etcd on loopback; what it holds need not outlive the machine.
pub(crate) fn etcd(work: &Work) -> Result<Process> {
    let process = Process::spawn(
        "etcd",
        netns::command("etcd")
            .arg("--data-dir")
            .arg(work.run().join("etcd"))
            .args(["--listen-client-urls", ETCD, "--advertise-client-urls", ETCD])
            .args(["--listen-peer-urls", "http://127.0.0.1:2380"])
            .args(["--unsafe-no-fsync", "--log-level=warn"]),
        &work.log("etcd")?,
    )?;
    Ok(process)
}

/// etcd's client.
pub(crate) fn etcdctl() -> Command {
    let mut command = netns::command("etcdctl");
    command.env("ETCDCTL_API", "3").arg(format!("--endpoints={ETCD}"));
    command
}

/// The API server; the caller waits until it is ready.
pub(crate) fn api_server(work: &Work, binaries: &Path, certs: &Certs) -> Result<Process> {
    wait::until_true("etcd", Duration::from_secs(20), || {
        cmd::succeeds(etcdctl().args(["endpoint", "health", "--dial-timeout=1s"]))
    })?;
    let (namespace, account) = AUDITED;
    let audited = format!("system:serviceaccount:{namespace}:{account}");
    let audit_policy = json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [{"level": "Metadata", "users": [audited]}, {"level": "None"}],
    });
    let audit_policy = work.run_file("audit-policy.json", audit_policy.to_string())?;
    Process::spawn(
        "kube-apiserver",
        netns::command(binaries.join("kube-apiserver"))
            .arg(format!("--etcd-servers={ETCD}"))
            .arg(format!("--advertise-address={}", netns::NODE_IP))
            .args(["--service-cluster-ip-range=10.96.0.0/24", "--secure-port=6443"])
            .args(["--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction"])
            .arg("--allow-privileged=true")
            .arg(format!("--token-auth-file={}", certs.path("tokens.csv")))
            .arg(format!("--tls-cert-file={}", certs.path("apiserver.crt")))
            .arg(format!("--tls-private-key-file={}", certs.path("apiserver.key")))
            .arg(format!("--client-ca-file={}", certs.path("ca.crt")))
            .arg(format!("--service-account-key-file={}", certs.path("sa.pub")))
            .arg(format!("--service-account-signing-key-file={}", certs.path("sa.key")))
            .arg("--service-account-issuer=https://kubernetes.default.svc")
            .arg(format!("--kubelet-client-certificate={}", certs.path("kubelet-client.crt")))
            .arg(format!("--kubelet-client-key={}", certs.path("kubelet-client.key")))
            .arg("--kubelet-preferred-address-types=InternalIP")
            .arg(format!("--audit-policy-file={}", audit_policy.display()))
            .arg(format!("--audit-log-path={}", work.log("audit")?.display()))
            .args(["--audit-log-maxsize=64", "--audit-log-maxbackup=1"]),
        &work.log("kube-apiserver")?,
    )
}

/// The controllers, each with the rights of its own service account.
pub(crate) fn controller_manager(work: &Work, binaries: &Path, certs: &Certs) -> Result<Process> {
    let kubeconfig = kubeconfig(work, "controller-manager");
    Process::spawn(
        "kube-controller-manager",
        netns::command(binaries.join("kube-controller-manager"))
            .arg(format!("--kubeconfig={kubeconfig}"))
            .arg(format!("--authentication-kubeconfig={kubeconfig}"))
            .arg(format!("--authorization-kubeconfig={kubeconfig}"))
            .arg(format!("--service-account-private-key-file={}", certs.path("sa.key")))
            .arg(format!("--root-ca-file={}", certs.path("ca.crt")))
            .arg(format!("--cert-dir={}", work.run_folder("pki/controller-manager")?.display()))
            .arg(format!(
                "--flex-volume-plugin-dir={}",
                work.run_folder("volume-plugins")?.display()
            ))
            .args(["--use-service-account-credentials=true", "--leader-elect=false"]),
        &work.log("kube-controller-manager")?,
    )
}

/// The scheduler.
pub(crate) fn scheduler(work: &Work, binaries: &Path) -> Result<Process> {
    let kubeconfig = kubeconfig(work, "scheduler");
    Process::spawn(
        "kube-scheduler",
        netns::command(binaries.join("kube-scheduler"))
            .arg(format!("--kubeconfig={kubeconfig}"))
            .arg(format!("--authentication-kubeconfig={kubeconfig}"))
            .arg(format!("--authorization-kubeconfig={kubeconfig}"))
            .arg(format!("--cert-dir={}", work.run_folder("pki/scheduler")?.display()))
            .arg("--leader-elect=false"),
        &work.log("kube-scheduler")?,
    )
}

/// 128 random bits.
pub(crate) fn random_hex() -> Result<String> {
    use std::io::Read;
    let mut bytes = [0_u8; 16];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
