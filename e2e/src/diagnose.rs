//! What one wants to see after a failure: pods, events, and the logs of agent and receiver.

use crate::cluster::Cluster;
use crate::cmd;
use crate::release::NAMESPACE;

/// Prints it; what cannot be had is left out.
pub(crate) fn print(cluster: &Cluster) {
    let queries: &[&[&str]] = &[
        &["get", "pods", "-A", "-o", "wide"],
        &["describe", "pods", "-n", NAMESPACE, "-l", "app.kubernetes.io/component=agent"],
        &["describe", "pods", "-n", NAMESPACE, "-l", "app.kubernetes.io/component=receiver"],
        &["logs", "-n", NAMESPACE, "-l", "app.kubernetes.io/component=agent", "--tail=40"],
        &["logs", "-n", NAMESPACE, "-l", "app.kubernetes.io/component=receiver", "--tail=20"],
        &["get", "events", "-A", "--field-selector=type!=Normal", "--sort-by=.lastTimestamp"],
    ];
    println!("---- what there is to see");
    for query in queries {
        println!("$ kubectl {}", query.join(" "));
        match cluster.kubectl(query) {
            Ok(text) => println!("{}", cmd::tail(&text)),
            Err(error) => println!("{error:#}"),
        }
    }
    println!("----");
}
