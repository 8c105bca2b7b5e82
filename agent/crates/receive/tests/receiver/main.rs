//! Whole receivers over loopback, with OpenTelemetry's own gRPC clients and plain HTTP.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test may, its helpers too

mod export;
mod harness;
mod query;
mod store;
