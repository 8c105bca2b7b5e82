//! The program as whole processes over loopback, without a cluster: pods are folders that the test writes as a container
//! runtime would, the receiving end is `hawsepipe receive`, and what arrived is read back with `hawsepipe logs`.
//!
//! Nothing here waits for a time to pass: every test waits for a condition, with a deadline that only a broken program
//! reaches.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test may, its helpers too"
)]

mod admin;
mod agent;
mod bad_config;
mod bad_files;
mod budget;
mod catching_up;
mod check;
mod delivery;
mod demo;
mod feedback;
mod heartbeat_port;
mod heartbeat_run;
mod http;
mod key;
mod killed;
mod leading;
mod memory;
mod metrics;
mod pods;
mod process;
mod receiver;
mod receiver_away;
mod rig;
mod shutdown;
mod status;
mod two_destinations;
