//! The PersistentVolumes of the cluster, and the claims to them.

use hawsepipe_cluster::objects::{
    ObjectKind, PersistentVolume, PersistentVolumeClaim, PersistentVolumeClaimPhase,
    PersistentVolumePhase, ResourceList,
};

use crate::collector::{Collector, Need};
use crate::objects::{NAMESPACES, Teller, about, moment, states};
use crate::points::Points;

const NEEDS: &[Need] = &[
    Need::Objects(ObjectKind::PersistentVolumes),
    Need::Objects(ObjectKind::PersistentVolumeClaims),
];

pub(crate) static COLLECTOR: Collector = Collector {
    name: "cluster_volumes",
    about: "The PersistentVolumes of the cluster and the claims to them. Each is a resource, with its storage class, a claim \
            with its volume. Names that do not begin with `hawsepipe.` are those of the Collector's k8s_cluster \
            receiver, where they are off",
    reads: &["/api/v1/persistentvolumes", "/api/v1/persistentvolumeclaims"],
    needs: NEEDS,
    default: true,
    metrics: METRICS,
    selects: Some(NAMESPACES),
    top: None,
    new: |options| Box::new(Teller::new(NEEDS, options).of(volume).of(claim)),
};

metrics! {
    /// Whether a claim has the volume: 1 for the phase that it is in, 0 for the others
    VOLUME_PHASE: UpDownCounter Int "k8s.persistentvolume.status.phase" "{persistentvolume}" ["k8s.persistentvolume.status.phase"] on;
    /// How much the volume holds
    VOLUME_CAPACITY: UpDownCounter Int "k8s.persistentvolume.storage.capacity" "By" [] on;
    /// Of a volume that is being deleted: since when, in seconds since the epoch
    VOLUME_DELETED: Gauge Int "hawsepipe.k8s.persistentvolume.deleted" "s" [] on;
    /// Whether the claim has a volume: 1 for the phase that it is in, 0 for the others
    CLAIM_PHASE: UpDownCounter Int "k8s.persistentvolumeclaim.status.phase" "{persistentvolumeclaim}" ["k8s.persistentvolumeclaim.status.phase"] on;
    /// How much the claim's volume holds
    CLAIM_CAPACITY: UpDownCounter Int "k8s.persistentvolumeclaim.storage.capacity" "By" [] on;
    /// How much the claim asks for
    CLAIM_REQUEST: UpDownCounter Int "k8s.persistentvolumeclaim.storage.request" "By" [] on;
    /// Of a claim that is being deleted: since when, in seconds since the epoch
    CLAIM_DELETED: Gauge Int "hawsepipe.k8s.persistentvolumeclaim.deleted" "s" [] on;
}

fn volume(volume: &PersistentVolume, out: &mut Points) {
    let (metadata, spec) = (&volume.metadata, &volume.spec);
    let mut attributes = about("k8s.persistentvolume", metadata);
    attributes.set("k8s.storageclass.name", spec.storage_class_name.as_str());
    out.resource(attributes, 0);
    let all = PersistentVolumePhase::ALL.iter().map(|phase| phase.as_str());
    let all = all.filter(|phase| !phase.is_empty());
    states(out.metric(&VOLUME_PHASE), all, volume.status.phase.as_str());
    let capacity = spec.capacity.get("storage");
    out.metric(&VOLUME_CAPACITY).maybe(capacity.map(|it| it.whole()), &[]);
    moment(out.metric(&VOLUME_DELETED), metadata.deleted);
}

fn claim(claim: &PersistentVolumeClaim, out: &mut Points) {
    let (metadata, spec, status) = (&claim.metadata, &claim.spec, &claim.status);
    let mut attributes = about("k8s.persistentvolumeclaim", metadata);
    attributes.set("k8s.storageclass.name", spec.storage_class_name.as_str());
    attributes.set("k8s.persistentvolume.name", spec.volume_name.as_str());
    out.resource(attributes, 0);
    let all = PersistentVolumeClaimPhase::ALL.iter().map(|phase| phase.as_str());
    let all = all.filter(|phase| !phase.is_empty());
    states(out.metric(&CLAIM_PHASE), all, status.phase.as_str());
    let storage = |amounts: &ResourceList| amounts.get("storage").map(|it| it.whole());
    out.metric(&CLAIM_CAPACITY).maybe(storage(&status.capacity), &[]);
    out.metric(&CLAIM_REQUEST).maybe(storage(&spec.resources.requests), &[]);
    moment(out.metric(&CLAIM_DELETED), metadata.deleted);
}
