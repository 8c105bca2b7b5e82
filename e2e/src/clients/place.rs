//! What the agents need in the cluster: an account with the rights that the chart gives a node's agent, a kubeconfig for
//! it, a namespace for the pods.
//!
//! In: the cluster and the chart. Out: [`Place`]. Always: everything is gone when it goes out of scope, and what a killed
//! run left is removed before.

use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::json;

use super::nodes;
use crate::bare::AUDITED;
use crate::cluster::Cluster;
use crate::work::Work;

/// The namespace of the account and of the pods.
pub(crate) const NAMESPACE: &str = AUDITED.0;
/// The account.
const ACCOUNT: &str = AUDITED.1;

/// The place.
pub(crate) struct Place<'a> {
    cluster: &'a Cluster,
    /// The kubeconfig of the account.
    pub(crate) kubeconfig: PathBuf,
}

impl<'a> Place<'a> {
    /// Makes it.
    pub(crate) fn create(cluster: &'a Cluster) -> Result<Self> {
        // Only the bare cluster has a network that processes can be put into, and an audit log.
        cluster.second_node()?;
        let kubeconfig = cluster.work().run().join("kubeconfig/clients");
        let place = Self { cluster, kubeconfig };
        place.remove()?;
        place.cluster.kubectl(&["create", "namespace", NAMESPACE])?;
        place.cluster.kubectl(&["create", "serviceaccount", ACCOUNT, "-n", NAMESPACE])?;
        place.grant()?;
        place.write_kubeconfig()?;
        Ok(place)
    }

    /// The administrator's kubeconfig.
    pub(crate) fn admin(&self) -> PathBuf {
        self.cluster.work().run().join("kubeconfig/admin")
    }

    /// Gives the account what the chart gives a node's agent.
    fn grant(&self) -> Result<()> {
        let chart = Work::repository().join("chart").display().to_string();
        let rights = self.cluster.helm(&[
            "template",
            NAMESPACE,
            &chart,
            "--namespace",
            NAMESPACE,
            "--set",
            &format!("serviceAccount.create=false,serviceAccount.name={ACCOUNT}"),
            "--set",
            "destinations.receiver.type=otlp,destinations.receiver.endpoint=http://nowhere:4317",
            "--set",
            "cluster.runIn=none",
            "--show-only",
            "templates/rbac.yaml",
        ])?;
        self.cluster.apply(&rights)
    }

    fn write_kubeconfig(&self) -> Result<()> {
        let token = self.cluster.kubectl(&[
            "create",
            "token",
            ACCOUNT,
            "-n",
            NAMESPACE,
            "--duration=6h",
        ])?;
        let admin = std::fs::read_to_string(self.admin())?;
        let cluster = admin.lines().find(|line| line.starts_with("clusters:"));
        let cluster = cluster.context("the administrator's kubeconfig names no cluster")?;
        let context = json!([{"name": "e2e", "context": {"cluster": "e2e", "user": ACCOUNT}}]);
        let users = json!([{"name": ACCOUNT, "user": {"token": token.trim()}}]);
        let config = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: e2e\n{cluster}\nusers: {users}\ncontexts: {context}\n"
        );
        self.cluster.work().run_file("kubeconfig/clients", config).map(drop)
    }

    /// Removes it, and what is in it.
    fn remove(&self) -> Result<()> {
        nodes::remove(self)?;
        let ours = format!("app.kubernetes.io/instance={NAMESPACE}");
        self.cluster.kubectl(&["delete", "clusterrolebinding,clusterrole", "-l", &ours])?;
        let namespace = ["delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout=120s"];
        self.cluster.kubectl(&namespace).map(drop)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            eprintln!("{error:#}");
        }
    }
}
