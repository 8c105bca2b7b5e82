//! The promises, one file a suite. They see the cluster only through [`crate::cluster::Cluster`].
//!
//! The order matters for time alone: suites that can share an installed release come first.

mod cronjobs;
mod deleted;
mod events;
mod gone;
mod helm;
mod idle;
mod key;
mod manifests;
mod metrics;
mod objects;
mod outage;
mod rotation;
mod second;
mod security;
mod workloads;

use crate::promise::Suite;

/// All suites, in the order in which they run.
pub(crate) const ALL: &[Suite] = &[
    workloads::SUITE,
    security::SUITE,
    rotation::SUITE,
    deleted::SUITE,
    gone::SUITE,
    outage::SUITE,
    idle::SUITE,
    second::SUITE,
    metrics::SUITE,
    objects::SUITE,
    events::SUITE,
    cronjobs::SUITE,
    key::SUITE,
    helm::SUITE,
    manifests::SUITE,
];
