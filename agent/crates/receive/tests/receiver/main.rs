//! Whole receivers over loopback, with OpenTelemetry's own gRPC clients and plain HTTP.

mod export;
mod harness;
mod query;
mod store;
