//! Hawsepipe's own protocol, generated from the `.proto` files beside this crate.
//!
//! In: `hawsepipe/v1/*.proto`, where every message and field is documented. Out: prost messages, and
//! tonic's client and server stubs. OpenTelemetry's protocol is not here: its types come from the
//! `opentelemetry-proto` crate.

mod json;

pub use json::attributes_to_json;

/// Package `hawsepipe.v1`.
#[allow(missing_docs, unreachable_pub, unused_qualifications, clippy::all, clippy::pedantic)]
pub mod v1 {
    tonic::include_proto!("hawsepipe.v1");
}
