//! The readers on trees of several kernels, on this machine, on a large one and on bad input.

#![allow(clippy::expect_used, clippy::panic)] // a test may, its helpers too

mod bad_input;
mod cgroups;
mod devices;
mod large;
mod live;
mod processes;
mod recorded;
mod support;
