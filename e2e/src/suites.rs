//! The promises, one file a suite. They see the cluster only through [`crate::cluster::Cluster`].
//!
//! The order matters for time alone: suites that can share an installed release come first.

mod clients;
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

/// All suites, in the order in which they run. Those of a row run side by side: they share an installed release, and leave it and
/// the cluster as they are.
pub(crate) const ALL: &[&[Suite]] = &[
    &[workloads::SUITE, rotation::SUITE, deleted::SUITE, security::SUITE],
    &[gone::SUITE],
    &[outage::SUITE],
    &[idle::SUITE],
    &[second::SUITE],
    &[metrics::SUITE],
    &[objects::SUITE],
    &[cronjobs::SUITE],
    &[events::SUITE],
    &[key::SUITE],
    &[helm::SUITE],
    &[manifests::SUITE],
    &[clients::SUITE],
];
