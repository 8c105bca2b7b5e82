//! Services, and how many endpoints are behind them.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

use super::meta::ObjectMeta;
use super::parts::words;
use super::text::Text;
use crate::object::or_default;

/// A Service.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Service {
    /// Who it is.
    #[serde(deserialize_with = "or_default")]
    pub metadata: ObjectMeta,
    /// What is asked for.
    #[serde(deserialize_with = "or_default")]
    pub spec: ServiceSpec,
    /// How it is.
    #[serde(deserialize_with = "or_default")]
    pub status: ServiceStatus,
}

/// `spec` of a Service.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ServiceSpec {
    /// From where it can be reached.
    #[serde(rename = "type", deserialize_with = "or_default")]
    pub kind: ServiceType,
    /// The labels of its pods; empty: somebody else says what is behind it.
    #[serde(deserialize_with = "or_default")]
    pub selector: Selector,
    /// Whether pods that are not ready are told of, too.
    #[serde(deserialize_with = "or_default")]
    pub publish_not_ready_addresses: bool,
    /// `PreferClose`, ..; may be empty.
    #[serde(deserialize_with = "or_default")]
    pub traffic_distribution: Text,
}

/// Labels that pods must have, by name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Selector(pub Box<[(Text, Text)]>);

words! {
    /// `spec.type` of a Service.
    ServiceType {
        /// From inside the cluster.
        ClusterIP = "ClusterIP",
        /// At a port of every node.
        NodePort,
        /// By the cloud's load balancer.
        LoadBalancer,
        /// It is another name for something outside.
        ExternalName,
    }
}

/// `status` of a Service.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ServiceStatus {
    /// Of its load balancer.
    #[serde(deserialize_with = "or_default")]
    pub load_balancer: LoadBalancerStatus,
}

/// `status.loadBalancer` of a Service.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct LoadBalancerStatus {
    /// How many ways in it has.
    #[serde(deserialize_with = "count")]
    pub ingress: u32,
}

/// An EndpointSlice (`discovery.k8s.io/v1`); [`ObjectMeta::service_name`] says of which Service.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct EndpointSlice {
    /// Who it is.
    #[serde(deserialize_with = "or_default")]
    pub metadata: ObjectMeta,
    /// Of what sort its addresses are.
    #[serde(deserialize_with = "or_default")]
    pub address_type: AddressType,
    /// How many endpoints it has, by zone.
    #[serde(deserialize_with = "or_default")]
    pub endpoints: Endpoints,
}

words! {
    /// `addressType` of an EndpointSlice.
    AddressType {
        /// Not said.
        Unspecified = "",
        /// IPv4 addresses.
        IPv4,
        /// IPv6 addresses.
        IPv6,
        /// Names.
        FQDN,
    }
}

/// The endpoints of a slice, by zone.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Endpoints(pub Box<[ZoneEndpoints]>);

/// How many endpoints there are in a zone. One counts wherever it belongs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ZoneEndpoints {
    /// The zone; empty where it is not known.
    pub zone: Text,
    /// All of them.
    pub all: u32,
    /// Those that take new connections (`conditions.ready`; not said counts as ready).
    pub ready: u32,
    /// Those that serve, on their way out or not (`conditions.serving`; not said counts as `ready` does).
    pub serving: u32,
    /// Those on their way out.
    pub terminating: u32,
}

impl<'de> Deserialize<'de> for Selector {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let labels = BTreeMap::<Text, Text>::deserialize(deserializer)?;
        Ok(Self(labels.into_iter().collect()))
    }
}

impl<'de> Deserialize<'de> for Endpoints {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Endpoint {
            #[serde(deserialize_with = "or_default")]
            zone: Text,
            #[serde(deserialize_with = "or_default")]
            conditions: Conditions,
        }

        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Conditions {
            ready: Option<bool>,
            serving: Option<bool>,
            terminating: Option<bool>,
        }

        let mut zones: BTreeMap<Text, ZoneEndpoints> = BTreeMap::new();
        for endpoint in Vec::<Endpoint>::deserialize(deserializer)? {
            let ready = endpoint.conditions.ready.unwrap_or(true);
            let serving = endpoint.conditions.serving.unwrap_or(ready);
            let terminating = endpoint.conditions.terminating.unwrap_or(false);
            let zone = zones.entry(endpoint.zone).or_default();
            zone.all += 1;
            zone.ready += u32::from(ready);
            zone.serving += u32::from(serving);
            zone.terminating += u32::from(terminating);
        }
        let named = zones.into_iter().map(|(zone, counts)| ZoneEndpoints { zone, ..counts });
        Ok(Self(named.collect()))
    }
}

fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let all: Vec<serde::de::IgnoredAny> = Option::deserialize(deserializer)?.unwrap_or_default();
    Ok(u32::try_from(all.len()).unwrap_or(u32::MAX))
}
