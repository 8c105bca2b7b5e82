//! Clouds, by a node's `spec.providerID`.
//!
//! In: the provider id, which every cloud's node controller writes in a form of its own. Out: what it says for
//! certain: `cloud.provider` by the semantic conventions' list
//! (<https://opentelemetry.io/docs/specs/semconv/registry/attributes/cloud/>), account, zone and the id of the
//! instance. What is no cloud (kind, k3s, vSphere, none) gives nothing.

/// What a provider id says; empty where it says nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Instance<'a> {
    /// `cloud.provider`.
    pub(crate) provider: &'static str,
    /// `cloud.account.id`.
    pub(crate) account: &'a str,
    /// `cloud.region`.
    pub(crate) region: &'a str,
    /// `cloud.availability_zone`.
    pub(crate) zone: &'a str,
    /// `cloud.resource_id`.
    pub(crate) resource: &'a str,
    /// `host.id`: the id that the cloud gave the instance. A name that the user gave it is none.
    pub(crate) id: &'a str,
}

/// How the rest of a provider id, behind `scheme://`, is read.
type Reader = for<'a> fn(&'a str, Instance<'a>) -> Instance<'a>;

/// Scheme of the provider id, `cloud.provider`, how the rest is read. Providers that the semantic conventions do not
/// list go by the name that the OpenTelemetry Collector's resource detectors use for them, or else their own.
const CLOUDS: [(&str, &str, Reader); 14] = [
    ("aws", "aws", aws),
    ("gce", "gcp", gce),
    ("azure", "azure", azure),
    ("alicloud", "alibaba_cloud", last_segment),
    ("qcloud", "tencent_cloud", last_segment),
    ("oci", "oracle_cloud", last_segment),
    ("ibm", "ibm_cloud", nothing),
    ("linode", "akamai_cloud", last_segment),
    ("hcloud", "hetzner", last_segment),
    ("vultr", "vultr", last_segment),
    ("digitalocean", "digitalocean", last_segment),
    ("openstack", "openstack", openstack),
    ("scaleway", "scaleway", scaleway),
    ("exoscale", "exoscale", last_segment),
];

/// Reads a provider id.
pub(crate) fn read(provider_id: &str) -> Instance<'_> {
    let Some((scheme, rest)) = provider_id.split_once("://") else {
        return without_scheme(provider_id);
    };
    let cloud = CLOUDS.iter().find(|(known, _, _)| *known == scheme);
    cloud.map_or_else(Instance::default, |(_, provider, reader)| {
        reader(rest, Instance { provider, ..Instance::default() })
    })
}

/// Two clouds write no scheme: Alibaba (`<region>.<instance>`) and Oracle (the instance's OCID).
fn without_scheme(provider_id: &str) -> Instance<'_> {
    if provider_id.starts_with("ocid1.instance.") {
        return Instance { provider: "oracle_cloud", id: provider_id, ..Instance::default() };
    }
    match provider_id.split_once('.') {
        Some((region, id)) if id.starts_with("i-") => {
            Instance { provider: "alibaba_cloud", region, id, ..Instance::default() }
        }
        _ => Instance::default(),
    }
}

/// `aws:///<zone>/<instance>`; on Fargate the last part is no instance.
fn aws<'a>(rest: &'a str, cloud: Instance<'a>) -> Instance<'a> {
    let mut parts = rest.trim_start_matches('/').split('/');
    let zone = parts.next().unwrap_or_default();
    let id = parts.next_back().filter(|id| id.starts_with("i-")).unwrap_or_default();
    Instance { zone, id, ..cloud }
}

/// `gce://<project>/<zone>/<instance name>`. The id is a number that is not in it.
fn gce<'a>(rest: &'a str, cloud: Instance<'a>) -> Instance<'a> {
    let mut parts = rest.split('/');
    let account = parts.next().unwrap_or_default();
    Instance { account, zone: parts.next().unwrap_or_default(), ..cloud }
}

/// `azure://` and the fully qualified resource id. The VM's id is not in it.
fn azure<'a>(rest: &'a str, cloud: Instance<'a>) -> Instance<'a> {
    let account = rest.strip_prefix("/subscriptions/").and_then(|rest| rest.split('/').next());
    Instance { account: account.unwrap_or_default(), resource: rest, ..cloud }
}

/// `openstack:///<instance>` or `openstack://<region>/<instance>`.
fn openstack<'a>(rest: &'a str, cloud: Instance<'a>) -> Instance<'a> {
    let (region, id) = rest.split_once('/').unwrap_or(("", rest));
    Instance { region, id, ..cloud }
}

/// `scaleway://instance/<zone>/<instance>`.
fn scaleway<'a>(rest: &'a str, cloud: Instance<'a>) -> Instance<'a> {
    let mut parts = rest.split('/').skip(1);
    let zone = parts.next().unwrap_or_default();
    Instance { zone, id: parts.next().unwrap_or_default(), ..cloud }
}

fn last_segment<'a>(rest: &'a str, cloud: Instance<'a>) -> Instance<'a> {
    Instance { id: rest.rsplit('/').next().unwrap_or_default(), ..cloud }
}

fn nothing<'a>(_: &'a str, cloud: Instance<'a>) -> Instance<'a> {
    cloud
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn provider_ids_of_each_cloud_say_what_is_certain() {
        let azure = "/subscriptions/1d6a6d5c-0000-4000-8000-3c8ffa0ce7fb/resourceGroups/mc_rg_aks_westeurope/\
                     providers/Microsoft.Compute/virtualMachineScaleSets/aks-pool-vmss/virtualMachines/0";
        let azure_id = format!("azure://{azure}");
        let is = |provider| Instance { provider, ..Instance::default() };
        let ocid = "ocid1.instance.oc1.phx.abyhqljtexample";
        for (provider_id, expected) in [
            (
                "aws:///eu-central-1a/i-0a1b2c3d4e5f67890",
                Instance { zone: "eu-central-1a", id: "i-0a1b2c3d4e5f67890", ..is("aws") },
            ),
            (
                "aws:///us-west-2b/c6ac4f5c20-13e1/fargate-ip-192-168-1-1.us-west-2.compute.internal",
                Instance { zone: "us-west-2b", ..is("aws") },
            ),
            (
                "gce://my-project/europe-west4-a/gke-prod-default-pool-1b2c3d4e-x5z1",
                Instance { account: "my-project", zone: "europe-west4-a", ..is("gcp") },
            ),
            (
                &azure_id,
                Instance {
                    account: "1d6a6d5c-0000-4000-8000-3c8ffa0ce7fb",
                    resource: azure,
                    ..is("azure")
                },
            ),
            ("hcloud://48218375", Instance { id: "48218375", ..is("hetzner") }),
            ("digitalocean://379123456", Instance { id: "379123456", ..is("digitalocean") }),
            ("linode://54321098", Instance { id: "54321098", ..is("akamai_cloud") }),
            (
                "qcloud:///800002/ins-aq1sw2de",
                Instance { id: "ins-aq1sw2de", ..is("tencent_cloud") },
            ),
            (
                "cn-hangzhou.i-bp1abcdefghij",
                Instance { region: "cn-hangzhou", id: "i-bp1abcdefghij", ..is("alibaba_cloud") },
            ),
            (ocid, Instance { id: ocid, ..is("oracle_cloud") }),
            (
                "openstack:///5e4b4d2c-7d9b-4c1f-9f53-c0ffee000001",
                Instance { id: "5e4b4d2c-7d9b-4c1f-9f53-c0ffee000001", ..is("openstack") },
            ),
            (
                "openstack://RegionOne/5e4b4d2c-7d9b-4c1f-9f53-c0ffee000001",
                Instance {
                    region: "RegionOne",
                    id: "5e4b4d2c-7d9b-4c1f-9f53-c0ffee000001",
                    ..is("openstack")
                },
            ),
            (
                "scaleway://instance/fr-par-1/11111111-1111-4111-8111-111111111111",
                Instance {
                    zone: "fr-par-1",
                    id: "11111111-1111-4111-8111-111111111111",
                    ..is("scaleway")
                },
            ),
            ("ibm://account///cluster/kube-cluster-worker-1", is("ibm_cloud")),
            ("kind://docker/kind/kind-control-plane", Instance::default()),
            ("k3s://node-1", Instance::default()),
            ("vsphere://4230e1d4-0000-4000-8000-0123456789ab", Instance::default()),
            ("", Instance::default()),
        ] {
            assert_eq!(read(provider_id), expected, "{provider_id}");
        }
    }
}
