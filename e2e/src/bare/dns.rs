//! CoreDNS as a process at the node's address, behind the Service that pods ask.

use std::path::Path;

use anyhow::Result;

use crate::bare::control_plane::kubeconfig;
use crate::netns;
use crate::process::Process;
use crate::work::Work;

/// The Service has no selector: its end point is the process.
pub(crate) const SERVICE: &str = r#"
apiVersion: v1
kind: Service
metadata: {name: kube-dns, namespace: kube-system, labels: {k8s-app: kube-dns}}
spec:
  clusterIP: 10.96.0.10
  ports:
  - {name: dns, port: 53, protocol: UDP}
  - {name: dns-tcp, port: 53, protocol: TCP}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: kube-dns-e2e, namespace: kube-system, labels: {kubernetes.io/service-name: kube-dns}}
addressType: IPv4
endpoints: [{addresses: [172.30.0.1], conditions: {ready: true}}]
ports:
- {name: dns, port: 53, protocol: UDP}
- {name: dns-tcp, port: 53, protocol: TCP}
"#;

/// Answers for `cluster.local` only: nothing is forwarded, the namespace leads nowhere.
pub(crate) fn coredns(work: &Work, binary: &Path) -> Result<Process> {
    let corefile = format!(
        ".:53 {{\n  bind {}\n  errors\n  kubernetes cluster.local in-addr.arpa {{\n    \
         kubeconfig {} e2e\n  }}\n}}\n",
        netns::NODE_IP,
        kubeconfig(work, "dns"),
    );
    let corefile = work.run_file("Corefile", corefile)?;
    Process::spawn(
        "coredns",
        netns::command(binary).arg("-conf").arg(corefile),
        &work.log("coredns")?,
    )
}
