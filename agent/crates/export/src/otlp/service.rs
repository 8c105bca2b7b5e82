//! The export services of OTLP, a line for each signal.
//!
//! In: a signal. Out: where its requests go, and what an answer says beside OK. Always: for every signal the answer's
//! `partial_success` names a number of records and has words (OTLP, "Partial Success").

use hawsepipe_model::Signal;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use prost::{DecodeError, Message};

/// Reads an answer: how many records were refused, and the words.
type Decode = fn(&[u8]) -> Result<(i64, String), DecodeError>;

/// The service of one signal.
#[derive(Debug)]
pub(super) struct Service {
    /// `/package.Service/Method`.
    pub(super) path: &'static str,
    partial: Decode,
}

/// `opentelemetry/proto/collector/logs/v1/logs_service.proto`.
pub(super) const LOGS: Service = Service {
    path: "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
    partial: |answer| {
        let partial = ExportLogsServiceResponse::decode(answer)?.partial_success;
        Ok(partial.map(|it| (it.rejected_log_records, it.error_message)).unwrap_or_default())
    },
};

/// `opentelemetry/proto/collector/metrics/v1/metrics_service.proto`.
const METRICS: Service = Service {
    path: "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
    partial: |answer| {
        let partial = ExportMetricsServiceResponse::decode(answer)?.partial_success;
        Ok(partial.map(|it| (it.rejected_data_points, it.error_message)).unwrap_or_default())
    },
};

impl Service {
    pub(super) const fn of(signal: Signal) -> &'static Self {
        match signal {
            Signal::Logs => &LOGS,
            Signal::Metrics => &METRICS,
        }
    }

    /// How many records the server refused of a request that it took, and its words.
    ///
    /// # Errors
    /// When the answer is none of this service.
    pub(super) fn partial(&self, answer: &[u8]) -> Result<(u64, String), DecodeError> {
        let (rejected, words) = (self.partial)(answer)?;
        Ok((u64::try_from(rejected).unwrap_or(0), words))
    }
}
