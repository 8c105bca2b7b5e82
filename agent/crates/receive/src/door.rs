//! What stands in front of both ports: the key check, and the count of what was refused.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::response::Response;
use http::{HeaderMap, StatusCode};
use tonic::Code;

use crate::auth::{Denied, KeyCheck, KeyFileError};
use crate::grpc::code;
use crate::metrics::Metrics;
use crate::store::now_unix_nano;

/// Refused keys are logged at most this often; all are counted.
const SAY_EVERY: Duration = Duration::from_secs(60);

/// Guards the ports.
#[derive(Debug)]
pub(crate) struct Door {
    key: KeyCheck,
    metrics: Metrics,
    said_at: AtomicU64,
}

impl Door {
    pub(crate) fn new(key_file: PathBuf, metrics: Metrics) -> Result<Self, KeyFileError> {
        Ok(Self { key: KeyCheck::new(key_file)?, metrics, said_at: AtomicU64::new(0) })
    }

    /// Lets a request in that shows the key.
    pub(crate) fn check(&self, headers: &HeaderMap) -> Result<(), Denied> {
        self.key.check(headers).inspect_err(|denied| {
            self.metrics.refuse(denied.reason());
            let now = now_unix_nano();
            let said_at = self.said_at.load(Ordering::Relaxed);
            if u128::from(now.saturating_sub(said_at)) >= SAY_EVERY.as_nanos() {
                self.said_at.store(now, Ordering::Relaxed);
                tracing::warn!(
                    reason = %denied,
                    "requests are refused (said once a minute, counted in refused_requests)",
                );
            }
        })
    }

    /// Counts a request that was let in and then refused.
    pub(crate) fn count_refusal(&self, response: &Response) {
        let reason = match response.headers().get("grpc-status").map(code) {
            None => match response.status() {
                StatusCode::PAYLOAD_TOO_LARGE => "too_large",
                StatusCode::BAD_REQUEST => "malformed",
                StatusCode::UNSUPPORTED_MEDIA_TYPE => "unsupported",
                StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => "unknown_method",
                StatusCode::SERVICE_UNAVAILABLE => "store",
                _ => return,
            },
            Some(Code::ResourceExhausted) => "too_large",
            Some(Code::Internal) => "malformed",
            // Of a compression or of a method.
            Some(Code::Unimplemented) => "unsupported",
            Some(Code::Unavailable) => "store",
            Some(Code::InvalidArgument) => "bad_query",
            Some(_) => return,
        };
        self.metrics.refuse(reason);
    }
}
