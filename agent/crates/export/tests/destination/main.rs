//! A destination against real servers on loopback sockets.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod check;
mod codec;
mod delivery;
mod delta;
mod key;
mod metrics;
mod pace;
mod rejections;
mod server;
mod shutdown;
mod silence;
mod sizes;
mod support;
mod tls;
mod trouble;
