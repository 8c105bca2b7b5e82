//! The records of a frame as responses: sources numbered, large frames in pieces.

use std::collections::{HashMap, VecDeque};

use hawsepipe_proto::v1::{QueryResponse, Source};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::logs::v1::ResourceLogs;
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;

use super::convert;
use super::filter::Filter;
use crate::otlp;
use crate::store::container_name;

/// A response is sent once it is this large.
const RESPONSE_BYTES: usize = 512 << 10;
/// So many sources have a number at a time, on both sides.
const MAX_SOURCES: usize = 1024;

/// The numbers of the sources that the client knows: the last [`MAX_SOURCES`].
#[derive(Debug, Default)]
pub(super) struct Sources {
    ids: HashMap<Vec<u8>, u32>,
    order: VecDeque<Vec<u8>>,
}

/// Builds responses from frames.
#[derive(Debug, Default)]
pub(super) struct Answer {
    sources: Sources,
    open: QueryResponse,
    open_bytes: usize,
    done: Vec<QueryResponse>,
}

// === impl Answer ===

impl Answer {
    /// Adds what `filter` selects of a frame, without the first `skip` selected records. Gives how many of these it
    /// found.
    pub(super) fn add(
        &mut self,
        filter: &Filter,
        request: &ExportLogsServiceRequest,
        received: u64,
        skip: u64,
    ) -> u64 {
        let mut skipped = 0;
        for resource_logs in &request.resource_logs {
            if !filter.is_named(&container_name(resource_logs)) {
                continue;
            }
            let mut source = None;
            for record in records(resource_logs).filter(|record| filter.record(record, received)) {
                if skipped < skip {
                    skipped += 1;
                    continue;
                }
                let source = *source.get_or_insert_with(|| self.source(resource_logs));
                let record = convert::record(source, record, received);
                self.open_bytes += record.encoded_len();
                self.open.records.push(record);
                if self.open_bytes >= RESPONSE_BYTES {
                    self.flush();
                }
            }
        }
        skipped
    }

    /// Everything since the last call.
    pub(super) fn take(&mut self) -> Vec<QueryResponse> {
        self.flush();
        std::mem::take(&mut self.done)
    }

    fn flush(&mut self) {
        let open = std::mem::take(&mut self.open);
        self.open_bytes = 0;
        if open != QueryResponse::default() {
            self.done.push(open);
        }
    }

    fn source(&mut self, resource_logs: &ResourceLogs) -> u32 {
        let none = Resource::default();
        let resource = resource_logs.resource.as_ref().unwrap_or(&none);
        let key = resource.encode_to_vec();
        if let Some(id) = self.sources.ids.get(&key) {
            return *id;
        }
        let id = match self.sources.free() {
            Some(id) => id,
            None => {
                // Records under the old source must not be read under the new one.
                self.flush();
                self.sources.evict()
            }
        };
        self.open.sources.push(Source {
            id,
            container: Some(convert::container(&container_name(resource_logs))),
            pod_uid: otlp::string(&resource.attributes, "k8s.pod.uid").to_owned(),
            attributes: convert::attributes(&resource.attributes),
        });
        self.sources.order.push_back(key.clone());
        self.sources.ids.insert(key, id);
        id
    }
}

// === impl Sources ===

impl Sources {
    /// A number that was never given.
    fn free(&self) -> Option<u32> {
        let known = self.ids.len();
        (known < MAX_SOURCES).then(|| u32::try_from(known).ok())?
    }

    /// The number of the oldest source, which is forgotten.
    fn evict(&mut self) -> u32 {
        let oldest = self.order.pop_front();
        oldest.and_then(|key| self.ids.remove(&key)).unwrap_or(0)
    }
}

/// How many records of a frame `filter` selects.
pub(super) fn count(filter: &Filter, request: &ExportLogsServiceRequest, received: u64) -> u64 {
    let selected = |resource_logs: &&ResourceLogs| filter.is_named(&container_name(resource_logs));
    let records = request.resource_logs.iter().filter(selected).flat_map(records);
    records.filter(|record| filter.record(record, received)).count() as u64
}

fn records(
    resource_logs: &ResourceLogs,
) -> impl Iterator<Item = &opentelemetry_proto::tonic::logs::v1::LogRecord> {
    resource_logs.scope_logs.iter().flat_map(|scope_logs| &scope_logs.log_records)
}
