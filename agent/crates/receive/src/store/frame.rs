//! A frame of the store: what a request says about itself, so that queries need not open it.

use std::collections::HashSet;

use hawsepipe_model::Codec;
use hawsepipe_model::codec::{CodecError, Compressor, decompress};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use prost::Message;

use crate::otlp;

/// A frame names at most this many containers; one of more is opened by every query.
const MAX_NAMED: usize = 1000;

/// A container by its names; those that a resource does not have are empty.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Message)]
pub struct ContainerName {
    /// `k8s.namespace.name`.
    #[prost(string, tag = "1")]
    pub namespace: String,
    /// `k8s.pod.name`.
    #[prost(string, tag = "2")]
    pub pod: String,
    /// `k8s.container.name`.
    #[prost(string, tag = "3")]
    pub container: String,
    /// Not what it wrote, but events about it: log records that have a name.
    #[prost(bool, tag = "4")]
    pub events: bool,
}

/// The meta of a frame, a protobuf message in the segment file. The frame's body is an `ExportLogsServiceRequest`,
/// compressed with zstd. Tags are for ever; new fields must be ones that an old reader may overlook.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct FrameMeta {
    /// The frame's number in order of arrival, without gaps, across all segments.
    #[prost(uint64, tag = "1")]
    pub(crate) sequence: u64,
    /// When it came in, nanoseconds since the epoch.
    #[prost(fixed64, tag = "2")]
    pub(crate) received: u64,
    /// The oldest time of its records ([`otlp::time`]).
    #[prost(fixed64, tag = "3")]
    pub(crate) min_time: u64,
    /// The newest time of its records.
    #[prost(fixed64, tag = "4")]
    pub(crate) max_time: u64,
    /// Its log records.
    #[prost(uint64, tag = "5")]
    pub(crate) records: u64,
    /// Bytes of its body before compression.
    #[prost(uint64, tag = "6")]
    pub(crate) raw_bytes: u64,
    /// The containers that its records come from.
    #[prost(message, repeated, tag = "7")]
    pub(crate) containers: Vec<ContainerName>,
    /// There are more containers than are named.
    #[prost(bool, tag = "8")]
    pub(crate) more_containers: bool,
}

impl FrameMeta {
    /// Reads a meta as it stands in a segment.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, prost::DecodeError> {
        Self::decode(bytes)
    }
}

/// A request on its way into the store: everything that needs no lock is done.
pub(crate) struct NewFrame {
    pub(crate) meta: FrameMeta,
    pub(crate) body: Vec<u8>,
}

impl NewFrame {
    /// Describes and compresses `request`, which came in at `received`.
    pub(crate) fn new(
        request: &ExportLogsServiceRequest,
        received: u64,
    ) -> Result<Self, CodecError> {
        let raw = request.encode_to_vec();
        let mut meta = FrameMeta {
            received,
            min_time: u64::MAX,
            raw_bytes: raw.len() as u64,
            ..FrameMeta::default()
        };
        let mut containers = HashSet::new();
        for resource_logs in &request.resource_logs {
            // Whether there are lines, and events.
            let mut has = [false, false];
            for scope_logs in &resource_logs.scope_logs {
                meta.records += scope_logs.log_records.len() as u64;
                for record in &scope_logs.log_records {
                    let time = otlp::time(record, received);
                    meta.min_time = meta.min_time.min(time);
                    meta.max_time = meta.max_time.max(time);
                    has[usize::from(!record.event_name.is_empty())] = true;
                }
            }
            for events in [false, true].into_iter().filter(|events| has[usize::from(*events)]) {
                containers.insert(ContainerName { events, ..container_name(resource_logs) });
            }
        }
        meta.more_containers = containers.len() > MAX_NAMED;
        meta.containers = containers.into_iter().take(MAX_NAMED).collect();
        let body = Compressor::new()?.compress(Codec::Zstd, &raw)?;
        Ok(Self { meta, body })
    }
}

/// The names of the container that `resource_logs` comes from.
pub(crate) fn container_name(
    resource_logs: &opentelemetry_proto::tonic::logs::v1::ResourceLogs,
) -> ContainerName {
    let attributes =
        resource_logs.resource.as_ref().map_or(&[][..], |resource| &resource.attributes);
    let name = |key| otlp::string(attributes, key).to_owned();
    ContainerName {
        namespace: name("k8s.namespace.name"),
        pod: name("k8s.pod.name"),
        container: name("k8s.container.name"),
        events: false,
    }
}

/// The request in a frame's body; `None` if the body is none.
pub(crate) fn open(meta: &FrameMeta, body: &[u8]) -> Option<ExportLogsServiceRequest> {
    let cap = usize::try_from(meta.raw_bytes).ok()?;
    let raw = decompress(Codec::Zstd, body, cap).ok()?;
    ExportLogsServiceRequest::decode(raw.as_slice()).ok()
}
