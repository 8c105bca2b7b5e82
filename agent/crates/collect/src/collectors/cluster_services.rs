//! The Services of the cluster, and how many endpoints are behind each.

use std::collections::{BTreeMap, HashMap};

use hawsepipe_cluster::objects::{
    AddressType, EndpointSlice, ObjectKind, ObjectStore, Service, ServiceType, Text, Uid,
    ZoneEndpoints,
};

use crate::collector::{Collector, Need};
use crate::objects::{Held, NAMESPACES, Tell, Teller, about};
use crate::points::Points;

const NEEDS: &[Need] =
    &[Need::Objects(ObjectKind::Services), Need::Objects(ObjectKind::EndpointSlices)];

pub(crate) static COLLECTOR: Collector = Collector {
    name: "cluster_services",
    about: "The Services of the cluster and how many endpoints are behind each, by its EndpointSlices. Each Service is a \
            resource. Names are those of the Collector's k8s_cluster receiver, where they are off",
    reads: &["/api/v1/services", "/apis/discovery.k8s.io/v1/endpointslices"],
    needs: NEEDS,
    default: true,
    metrics: METRICS,
    selects: Some(NAMESPACES),
    top: None,
    new: |options| Box::new(Teller::new(NEEDS, options).of(Services::default())),
};

metrics! {
    /// Endpoints of the Service that take new connections (`ready`), that serve, on their way out or not (`serving`), and that are on their way out (`terminating`); the zone is empty where it is not known
    ENDPOINTS: Gauge Int "k8s.service.endpoint.count" "{endpoint}" ["k8s.service.endpoint.address_type", "k8s.service.endpoint.condition", "k8s.service.endpoint.zone"] on;
    /// Ways in through the load balancer, of Services that have one
    INGRESS: Gauge Int "k8s.service.load_balancer.ingress.count" "{ingress}" [] on;
}

/// What the endpoints of a Service are counted by.
type Group = (AddressType, Text);

/// The endpoints by namespace and name of their Service, and which groups there were in the tick before.
#[derive(Default)]
struct Services {
    endpoints: HashMap<(Text, Box<str>), BTreeMap<Group, ZoneEndpoints>>,
    held: Held<Uid, Group>,
}

impl Tell<Service> for Services {
    fn begin(&mut self, store: &ObjectStore) {
        if !store.is_synced(ObjectKind::EndpointSlices) {
            return;
        }
        self.held.begin();
        for slice in store.all::<EndpointSlice>() {
            let metadata = &slice.metadata;
            let of = (metadata.namespace.clone(), Box::from(metadata.service_name()));
            let groups = self.endpoints.entry(of).or_default();
            // One without endpoints is told of: there are none.
            let none = ZoneEndpoints::default();
            let none = slice.endpoints.0.is_empty().then_some(&none);
            for zone in slice.endpoints.0.iter().chain(none) {
                let sum = groups.entry((slice.address_type, zone.zone.clone())).or_default();
                sum.ready += zone.ready;
                sum.serving += zone.serving;
                sum.terminating += zone.terminating;
            }
        }
    }

    fn tell(&mut self, service: &Service, out: &mut Points) {
        let metadata = &service.metadata;
        let mut attributes = about("k8s.service", metadata);
        attributes.set("k8s.service.type", service.spec.kind.as_str());
        out.resource(attributes, 0);
        if service.spec.kind == ServiceType::LoadBalancer {
            out.metric(&INGRESS).push(service.status.load_balancer.ingress, &[]);
        }
        let of = (metadata.namespace.clone(), metadata.name.clone());
        let groups = self.endpoints.remove(&of).unwrap_or_default();
        let mut series = out.metric(&ENDPOINTS);
        self.held.tell(metadata.uid.clone(), groups.keys().cloned(), |group, _| {
            let none = ZoneEndpoints::default();
            let count = groups.get(group).unwrap_or(&none);
            let (address_type, zone) = (group.0.as_str(), group.1.as_str());
            series.push(count.ready, &[address_type, "ready", zone]);
            series.push(count.serving, &[address_type, "serving", zone]);
            series.push(count.terminating, &[address_type, "terminating", zone]);
        });
    }

    fn end(&mut self, _out: &mut Points) {
        self.endpoints = HashMap::new();
    }
}
