//! What is told of the node.
//!
//! In: the node as the API server gives it. Out: `k8s.node.*`, `cloud.*`, `host.*`, `os.*` by the semantic
//! conventions (<https://opentelemetry.io/docs/specs/semconv/resource/>), each only where it is certain.

use hawsepipe_model::Attributes;

use crate::cloud;
use crate::object::Node;

/// Labels that hold the region, the zone and the machine's type, with the names they had before Kubernetes 1.17
/// (<https://kubernetes.io/docs/reference/labels-annotations-taints/>).
const REGION: [&str; 2] =
    ["topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region"];
const ZONE: [&str; 2] = ["topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"];
const INSTANCE_TYPE: [&str; 2] =
    ["node.kubernetes.io/instance-type", "beta.kubernetes.io/instance-type"];

/// Where GKE writes the number that Compute Engine gave the instance.
const GKE_INSTANCE_ID: &str = "container.googleapis.com/instance_id";

/// The attributes of a node.
pub(crate) fn attributes(node: &Node) -> Attributes {
    let mut attributes = Attributes::new();
    attributes.set("k8s.node.name", node.metadata.name.as_str());
    attributes.set("k8s.node.uid", node.metadata.uid.as_str());
    set_host(node, &mut attributes);
    set_cloud(node, &mut attributes);
    attributes
}

/// Where the node's kubelet listens: its internal address, and the port if it says one.
pub(crate) fn kubelet(node: &Node) -> Option<(String, Option<u16>)> {
    let internal = node.status.addresses.iter().find(|address| address.kind == "InternalIP")?;
    let port = Some(node.status.daemon_endpoints.kubelet_endpoint.port).filter(|port| *port > 0);
    Some((internal.address.clone(), port))
}

fn set_host(node: &Node, attributes: &mut Attributes) {
    let info = &node.status.node_info;
    let hostname = node.status.addresses.iter().find(|address| address.kind == "Hostname");
    let hostname = hostname.map(|address| address.address.as_str());
    attributes
        .set("host.name", hostname.or(label(node, &["kubernetes.io/hostname"])).unwrap_or(""));
    attributes.set("host.arch", arch(&info.architecture));
    attributes.set("os.type", info.operating_system.as_str());
    attributes.set("os.description", info.os_image.as_str());
}

fn set_cloud(node: &Node, attributes: &mut Attributes) {
    let instance = cloud::read(&node.spec.provider_id);
    if instance.provider.is_empty() {
        // "For non-containerized systems, this should be the `machine-id`" (semantic conventions, `host.id`): the
        // host's own, as the kubelet read it. Labels of region and zone are the operator's word here.
        attributes.set("host.id", node.status.node_info.machine_id.as_str());
        attributes.set("cloud.region", label(node, &REGION).unwrap_or(""));
        attributes.set("cloud.availability_zone", label(node, &ZONE).unwrap_or(""));
        return;
    }
    attributes.set("cloud.provider", instance.provider);
    attributes.set("cloud.account.id", instance.account);
    attributes.set("cloud.resource_id", instance.resource);
    attributes.set("cloud.region", label(node, &REGION).unwrap_or(instance.region));
    attributes.set("cloud.availability_zone", zone(node, &instance));
    let gke = node.metadata.annotations.get(GKE_INSTANCE_ID);
    attributes.set("host.id", gke.map_or(instance.id, String::as_str));
    attributes.set("host.type", label(node, &INSTANCE_TYPE).unwrap_or(""));
}

/// Azure labels machines outside of any zone with the number of their fault domain.
fn zone<'a>(node: &'a Node, instance: &cloud::Instance<'a>) -> &'a str {
    let zone = label(node, &ZONE).unwrap_or(instance.zone);
    let fault_domain = instance.provider == "azure" && zone.bytes().all(|b| b.is_ascii_digit());
    if fault_domain { "" } else { zone }
}

fn label<'a>(node: &'a Node, names: &[&str]) -> Option<&'a str> {
    names.iter().find_map(|name| node.metadata.labels.get(*name)).map(String::as_str)
}

/// Go's names for architectures, in the semantic conventions' (`host.arch`); others stay as they are.
fn arch(goarch: &str) -> &str {
    match goarch {
        "arm" => "arm32",
        "386" => "x86",
        "ppc64le" => "ppc64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node(value: serde_json::Value) -> Attributes {
        attributes(&serde_json::from_value(value).unwrap())
    }

    fn pairs(attributes: &Attributes) -> Vec<(&str, &str)> {
        attributes.iter().map(|(key, _)| (key, attributes.str(key).unwrap())).collect()
    }

    #[test]
    fn an_eks_node_names_its_cloud_instance_and_machine_type() {
        let attributes = node(json!({
            "metadata": {
                "name": "ip-10-0-1-23.eu-central-1.compute.internal",
                "uid": "0c7d6c41-27f3-4bd8-9d5c-9b7c4e0a3c11",
                "resourceVersion": "7",
                "labels": {
                    "beta.kubernetes.io/instance-type": "m6i.large",
                    "node.kubernetes.io/instance-type": "m6i.large",
                    "topology.kubernetes.io/region": "eu-central-1",
                    "topology.kubernetes.io/zone": "eu-central-1a"
                },
                "managedFields": [{"manager": "kubelet"}]
            },
            "spec": {"providerID": "aws:///eu-central-1a/i-0a1b2c3d4e5f67890"},
            "status": {
                "addresses": [
                    {"type": "InternalIP", "address": "10.0.1.23"},
                    {"type": "Hostname", "address": "ip-10-0-1-23.eu-central-1.compute.internal"}
                ],
                "nodeInfo": {
                    "machineID": "ec2a1b", "architecture": "arm64", "operatingSystem": "linux",
                    "osImage": "Bottlerocket OS 1.20.0 (aws-k8s-1.30)"
                },
                "images": null
            }
        }));
        assert_eq!(
            pairs(&attributes),
            [
                ("cloud.availability_zone", "eu-central-1a"),
                ("cloud.provider", "aws"),
                ("cloud.region", "eu-central-1"),
                ("host.arch", "arm64"),
                ("host.id", "i-0a1b2c3d4e5f67890"),
                ("host.name", "ip-10-0-1-23.eu-central-1.compute.internal"),
                ("host.type", "m6i.large"),
                ("k8s.node.name", "ip-10-0-1-23.eu-central-1.compute.internal"),
                ("k8s.node.uid", "0c7d6c41-27f3-4bd8-9d5c-9b7c4e0a3c11"),
                ("os.description", "Bottlerocket OS 1.20.0 (aws-k8s-1.30)"),
                ("os.type", "linux"),
            ]
        );
    }

    #[test]
    fn the_kubelet_listens_at_the_nodes_internal_address_and_the_port_that_it_says() {
        let of = |status| kubelet(&serde_json::from_value(json!({"status": status})).unwrap());
        let addresses = json!([
            {"type": "ExternalIP", "address": "203.0.113.9"}, {"type": "InternalIP", "address": "10.0.1.23"},
            {"type": "InternalIP", "address": "fd00::23"}
        ]);
        let endpoints = json!({"kubeletEndpoint": {"Port": 10251}});
        let told = of(json!({"addresses": addresses, "daemonEndpoints": endpoints}));
        assert_eq!(told, Some(("10.0.1.23".to_owned(), Some(10251))));
        assert_eq!(of(json!({"addresses": addresses})), Some(("10.0.1.23".to_owned(), None)));
        assert_eq!(of(json!({})), None);
    }

    #[test]
    fn a_gke_node_takes_its_instance_id_from_the_annotation() {
        let attributes = node(json!({
            "metadata": {
                "name": "gke-1", "annotations": {"container.googleapis.com/instance_id": "4127356"},
                "labels": {"topology.kubernetes.io/zone": "europe-west4-a"}
            },
            "spec": {"providerID": "gce://my-project/europe-west4-a/gke-1"}
        }));
        assert_eq!(attributes.str("cloud.provider"), Some("gcp"));
        assert_eq!(attributes.str("cloud.account.id"), Some("my-project"));
        assert_eq!(attributes.str("host.id"), Some("4127356"));
    }

    #[test]
    fn a_fault_domain_of_azure_is_no_zone() {
        let zone = |zone: &str| {
            node(json!({
                "metadata": {"name": "aks-0", "labels": {"topology.kubernetes.io/zone": zone}},
                "spec": {"providerID": "azure:///subscriptions/s/resourceGroups/g"}
            }))
        };
        assert_eq!(zone("0").str("cloud.availability_zone"), None);
        assert_eq!(zone("westeurope-2").str("cloud.availability_zone"), Some("westeurope-2"));
        assert_eq!(zone("0").str("cloud.account.id"), Some("s"));
    }

    #[test]
    fn a_machine_in_no_cloud_goes_by_its_machine_id() {
        let attributes = node(json!({
            "metadata": {"name": "k3s-1", "labels": {
                "node.kubernetes.io/instance-type": "k3s", "kubernetes.io/hostname": "k3s-1",
                "topology.kubernetes.io/zone": "rack-4"
            }},
            "spec": {"providerID": "k3s://k3s-1"},
            "status": {"nodeInfo": {"machineID": "b5ab8f0c", "architecture": "arm"}}
        }));
        assert_eq!(
            pairs(&attributes),
            [
                ("cloud.availability_zone", "rack-4"),
                ("host.arch", "arm32"),
                ("host.id", "b5ab8f0c"),
                ("host.name", "k3s-1"),
                ("k8s.node.name", "k3s-1"),
            ]
        );
    }
}
