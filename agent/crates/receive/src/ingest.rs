//! What happens to an export request once its sender is known: counted, and stored if it holds logs.

use std::fmt;

use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use prost::Message;
use serde::de::DeserializeOwned;
use tokio::task::spawn_blocking;
use tonic::Status;

use crate::metrics::Metrics;
use crate::seen::Seen;
use crate::store::{Store, StoreError};

/// Why a request with a good key is not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IngestError {
    #[error("not stored: {0}")]
    Store(#[from] StoreError),
    #[error("not stored: the write broke off ({0})")]
    Broken(#[from] tokio::task::JoinError),
}

impl IngestError {
    /// The same as a status: UNAVAILABLE is what senders try again after (OTLP 1.9, "Failures").
    pub(crate) fn status(&self) -> Status {
        match self {
            Self::Store(StoreError::TooLarge { .. }) => {
                Status::resource_exhausted(self.to_string())
            }
            _ => Status::unavailable(self.to_string()),
        }
    }
}

/// Takes requests in; clones share everything.
#[derive(Debug, Clone)]
pub(crate) struct Ingest {
    pub(crate) store: Store,
    pub(crate) metrics: Metrics,
    pub(crate) seen: Seen,
}

/// An export request of any signal.
pub(crate) trait Export:
    Message + Default + DeserializeOwned + fmt::Debug + 'static
{
    /// The answer to it; its default says that everything was taken.
    type Response: Message + Default;
    /// The signal's name in metrics.
    const SIGNAL: &'static str;
    /// Log records, data points or spans in it.
    fn records(&self) -> u64;
    /// Notes what metrics are in it.
    fn note(&self, seen: &Seen);
    /// The request, if it goes into the store.
    fn into_logs(self) -> Option<ExportLogsServiceRequest>;
}

impl Ingest {
    /// Takes a request in. When this returns without an error, its records are safe from the end of this process.
    pub(crate) async fn take<E: Export>(&self, request: E) -> Result<E::Response, IngestError> {
        let (records, bytes) = (request.records(), request.encoded_len() as u64);
        request.note(&self.seen);
        // An empty request is how senders ask whether we are there.
        if records > 0
            && let Some(logs) = request.into_logs()
        {
            let store = self.store.clone();
            spawn_blocking(move || store.append(&logs)).await??;
        }
        self.metrics.receive(E::SIGNAL, records, bytes);
        Ok(E::Response::default())
    }
}

impl Export for ExportLogsServiceRequest {
    type Response = ExportLogsServiceResponse;
    const SIGNAL: &'static str = "logs";

    fn records(&self) -> u64 {
        let scopes = self.resource_logs.iter().flat_map(|of| &of.scope_logs);
        scopes.map(|scope| scope.log_records.len() as u64).sum()
    }

    fn note(&self, _seen: &Seen) {}

    fn into_logs(self) -> Option<ExportLogsServiceRequest> {
        Some(self)
    }
}

impl Export for ExportMetricsServiceRequest {
    type Response = ExportMetricsServiceResponse;
    const SIGNAL: &'static str = "metrics";

    fn records(&self) -> u64 {
        let scopes = self.resource_metrics.iter().flat_map(|of| &of.scope_metrics);
        let metrics = scopes.flat_map(|scope| &scope.metrics);
        let points = metrics.map(|metric| match &metric.data {
            None => 0,
            Some(Data::Gauge(gauge)) => gauge.data_points.len(),
            Some(Data::Sum(sum)) => sum.data_points.len(),
            Some(Data::Histogram(histogram)) => histogram.data_points.len(),
            Some(Data::ExponentialHistogram(histogram)) => histogram.data_points.len(),
            Some(Data::Summary(summary)) => summary.data_points.len(),
        });
        points.map(|points| points as u64).sum()
    }

    fn note(&self, seen: &Seen) {
        seen.note(self);
    }

    fn into_logs(self) -> Option<ExportLogsServiceRequest> {
        None
    }
}

impl Export for ExportTraceServiceRequest {
    type Response = ExportTraceServiceResponse;
    const SIGNAL: &'static str = "traces";

    fn records(&self) -> u64 {
        let scopes = self.resource_spans.iter().flat_map(|of| &of.scope_spans);
        scopes.map(|scope| scope.spans.len() as u64).sum()
    }

    fn note(&self, _seen: &Seen) {}

    fn into_logs(self) -> Option<ExportLogsServiceRequest> {
        None
    }
}
