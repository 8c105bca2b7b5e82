//! The gRPC port: OTLP's three export services and our own query service, all under the key.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request as HttpRequest, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::Response as HttpResponse;
use hawsepipe_proto::v1::log_query_server::LogQueryServer;
use http::HeaderValue;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{
    LogsService, LogsServiceServer,
};
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use tonic::codec::CompressionEncoding::{Gzip, Zstd};
use tonic::service::Routes;
use tonic::{Code, Request, Response, Status};

use crate::door::Door;
use crate::ingest::{Export, Ingest};
use crate::query::QueryService;

const GRPC_STATUS: &str = "grpc-status";

/// The port's routes.
pub(crate) fn router(
    ingest: Ingest,
    query: QueryService,
    door: Arc<Door>,
    max_message_bytes: usize,
) -> Router {
    let exports = Exports(ingest);
    // tonic answers a compression that is not among these with UNIMPLEMENTED and `grpc-accept-encoding`, as the
    // gRPC compression spec asks.
    let logs = LogsServiceServer::new(exports.clone())
        .accept_compressed(Gzip)
        .accept_compressed(Zstd)
        .max_decoding_message_size(max_message_bytes);
    let metrics = MetricsServiceServer::new(exports.clone())
        .accept_compressed(Gzip)
        .accept_compressed(Zstd)
        .max_decoding_message_size(max_message_bytes);
    let traces = TraceServiceServer::new(exports)
        .accept_compressed(Gzip)
        .accept_compressed(Zstd)
        .max_decoding_message_size(max_message_bytes);
    let query = LogQueryServer::new(query)
        .accept_compressed(Gzip)
        .accept_compressed(Zstd)
        .send_compressed(Zstd)
        .send_compressed(Gzip);
    Routes::new(logs)
        .add_service(metrics)
        .add_service(traces)
        .add_service(query)
        .prepare()
        .into_axum_router()
        .layer(from_fn(too_large_is_final))
        .layer(from_fn_with_state(door, check_key))
}

#[derive(Debug, Clone)]
struct Exports(Ingest);

impl Exports {
    async fn take<E: Export>(&self, request: Request<E>) -> Result<Response<E::Response>, Status> {
        let taken = self.0.take(request.into_inner()).await;
        taken.map(Response::new).map_err(|error| error.status())
    }
}

#[tonic::async_trait]
impl LogsService for Exports {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        self.take(request).await
    }
}

#[tonic::async_trait]
impl MetricsService for Exports {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        self.take(request).await
    }
}

#[tonic::async_trait]
impl TraceService for Exports {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.take(request).await
    }
}

async fn check_key(
    State(door): State<Arc<Door>>,
    request: HttpRequest,
    next: Next,
) -> HttpResponse {
    match door.check(request.headers()) {
        Ok(()) => {
            let response = next.run(request).await;
            door.count_refusal(&response);
            response
        }
        Err(denied) => Status::unauthenticated(denied.to_string()).into_http(),
    }
}

/// tonic says OUT_OF_RANGE of a message that is too large, which OTLP's senders take for a reason to try again, for
/// ever. RESOURCE_EXHAUSTED without `RetryInfo` is final (OTLP 1.9, "Failures") and what other servers say.
async fn too_large_is_final(request: HttpRequest, next: Next) -> HttpResponse {
    let mut response = next.run(request).await;
    if let Some(status) = response.headers_mut().get_mut(GRPC_STATUS)
        && code(status) == Code::OutOfRange
    {
        *status = HeaderValue::from(Code::ResourceExhausted as i32);
    }
    response
}

/// The code in a `grpc-status` header.
pub(crate) fn code(status: &HeaderValue) -> Code {
    Code::from_bytes(status.as_bytes())
}
