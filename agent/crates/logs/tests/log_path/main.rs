//! The log path against real files, with a queue that keeps what it is given. The runtime and the kubelet are played
//! by the test: it writes, renames, compresses and deletes as they do.

#![allow(clippy::unwrap_used, clippy::panic)]

mod bounds;
mod counting;
mod following;
mod kubelet;
mod losing;
mod replacing;
mod resuming;
mod rig;
mod starting;
mod truncating;
