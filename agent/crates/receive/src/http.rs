//! The HTTP port: OTLP/HTTP (OTLP 1.9, "OTLP/HTTP"), protobuf and JSON.
//!
//! In: POST `/v1/logs`, `/v1/metrics`, `/v1/traces`, with `content-encoding` gzip, zstd or none. Out: an empty export
//! response, or a `google.rpc.Status` in the encoding of the request.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use hawsepipe_model::Codec;
use hawsepipe_model::codec::{CodecError, decompress};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use tokio::task::spawn_blocking;
use tonic::Code;

use crate::door::Door;
use crate::ingest::{Export, Ingest};

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";
/// What a sender is told to wait when the store cannot be written.
const RETRY_SECONDS: u32 = 5;

#[derive(Debug, Clone)]
struct Port {
    ingest: Ingest,
    max_message_bytes: usize,
}

/// The port's routes.
pub(crate) fn router(ingest: Ingest, door: Arc<Door>, max_message_bytes: usize) -> Router {
    let port = Port { ingest, max_message_bytes };
    Router::new()
        .route("/v1/logs", post(export::<ExportLogsServiceRequest>))
        .route("/v1/metrics", post(export::<ExportMetricsServiceRequest>))
        .route("/v1/traces", post(export::<ExportTraceServiceRequest>))
        .fallback(unknown_path)
        .method_not_allowed_fallback(unknown_method)
        .layer(from_fn_with_state(door, check_key))
        .with_state(port)
}

/// How a body is encoded; the answer is encoded likewise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Protobuf,
    Json,
}

/// A refusal, as OTLP/HTTP answers it.
#[derive(Debug)]
struct Refusal {
    http: StatusCode,
    code: Code,
    message: String,
}

/// `google.rpc.Status` without its details (google/rpc/status.proto).
#[derive(Clone, PartialEq, Message, serde::Serialize)]
struct RpcStatus {
    /// A `google.rpc.Code`.
    #[prost(int32, tag = "1")]
    code: i32,
    /// What is wrong, for a developer to read.
    #[prost(string, tag = "2")]
    message: String,
}

async fn check_key(State(door): State<Arc<Door>>, request: Request, next: Next) -> Response {
    match door.check(request.headers()) {
        Ok(()) => {
            let response = next.run(request).await;
            door.count_refusal(&response);
            response
        }
        Err(denied) => Refusal {
            http: StatusCode::UNAUTHORIZED,
            code: Code::Unauthenticated,
            message: denied.to_string(),
        }
        .answer(Encoding::of(request.headers())),
    }
}

async fn export<E: Export>(State(port): State<Port>, headers: HeaderMap, body: Body) -> Response {
    let encoding = Encoding::of(&headers);
    match port.take::<E>(encoding, &headers, body).await {
        Ok(()) => encoding.unwrap_or(Encoding::Protobuf).everything_taken(),
        Err(refusal) => refusal.answer(encoding),
    }
}

async fn unknown_path(request: Request) -> Response {
    let path = request.uri().path();
    Refusal {
        http: StatusCode::NOT_FOUND,
        code: Code::NotFound,
        message: format!("no `{path}` here; OTLP/HTTP is /v1/logs, /v1/metrics and /v1/traces"),
    }
    .answer(Encoding::of(request.headers()))
}

async fn unknown_method(request: Request) -> Response {
    Refusal {
        http: StatusCode::METHOD_NOT_ALLOWED,
        code: Code::Unimplemented,
        message: format!("{} is not allowed; OTLP/HTTP is POST", request.method()),
    }
    .answer(Encoding::of(request.headers()))
}

// === impl Port ===

impl Port {
    async fn take<E: Export>(
        &self,
        encoding: Option<Encoding>,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<(), Refusal> {
        let encoding = encoding.ok_or_else(|| {
            let found = headers.get(CONTENT_TYPE);
            Refusal::unsupported(&format!("content-type {found:?}; send {PROTOBUF} or {JSON}"))
        })?;
        let name = headers.get(CONTENT_ENCODING).map_or("", text);
        let codec = name.parse::<Codec>();
        let codec = codec.or(Err(Refusal::unsupported(&format!(
            "content-encoding `{name}`; send gzip, zstd or none"
        ))))?;
        let max = self.max_message_bytes;
        let body = to_bytes(body, max).await.map_err(|error| {
            if std::error::Error::source(&error)
                .is_some_and(|source| source.is::<http_body_util::LengthLimitError>())
            {
                Refusal::too_large(max)
            } else {
                Refusal::malformed(format!("the body broke off: {error}"))
            }
        })?;
        // Megabytes to decompress and decode: not on a thread that others wait for.
        let decoded = spawn_blocking(move || {
            let raw = match codec {
                Codec::Identity => body,
                _ => decompress(codec, &body, max)
                    .map_err(|error| match error {
                        CodecError::TooLarge { cap } => Refusal::too_large(cap),
                        error => Refusal::malformed(error.to_string()),
                    })?
                    .into(),
            };
            encoding.decode::<E>(&raw)
        });
        let request = decoded
            .await
            .map_err(|error| Refusal::malformed(format!("the decoding broke off: {error}")))??;
        let taken = self.ingest.take(request).await.map_err(|error| {
            let status = error.status();
            Refusal {
                http: match status.code() {
                    Code::ResourceExhausted => StatusCode::PAYLOAD_TOO_LARGE,
                    _ => StatusCode::SERVICE_UNAVAILABLE,
                },
                code: status.code(),
                message: status.message().to_owned(),
            }
        });
        taken.map(drop)
    }
}

// === impl Encoding ===

impl Encoding {
    fn of(headers: &HeaderMap) -> Option<Self> {
        let content_type = headers.get(CONTENT_TYPE).map_or("", text);
        let essence = content_type.split(';').next()?.trim();
        if essence.eq_ignore_ascii_case(PROTOBUF) {
            Some(Self::Protobuf)
        } else if essence.eq_ignore_ascii_case(JSON) {
            Some(Self::Json)
        } else {
            None
        }
    }

    fn decode<E: Export>(self, raw: &[u8]) -> Result<E, Refusal> {
        let signal = E::SIGNAL;
        let wrong = |error: &dyn std::fmt::Display| {
            Refusal::malformed(format!("no OTLP export request for {signal}: {error}"))
        };
        match self {
            Self::Protobuf => E::decode(raw).map_err(|error| wrong(&error)),
            Self::Json => serde_json::from_slice(raw).map_err(|error| wrong(&error)),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Protobuf => PROTOBUF,
            Self::Json => JSON,
        }
    }

    /// The export response that says that there is nothing to say: an empty message.
    fn everything_taken(self) -> Response {
        let body = match self {
            Self::Protobuf => "",
            Self::Json => "{}",
        };
        ([(CONTENT_TYPE, self.name())], body).into_response()
    }
}

// === impl Refusal ===

impl Refusal {
    fn unsupported(message: &str) -> Self {
        Self {
            http: StatusCode::UNSUPPORTED_MEDIA_TYPE,
            code: Code::InvalidArgument,
            message: format!("unsupported {message}"),
        }
    }

    fn malformed(message: String) -> Self {
        Self { http: StatusCode::BAD_REQUEST, code: Code::InvalidArgument, message }
    }

    fn too_large(max: usize) -> Self {
        Self {
            http: StatusCode::PAYLOAD_TOO_LARGE,
            code: Code::ResourceExhausted,
            message: format!("the request has more than {max} bytes; send smaller ones"),
        }
    }

    /// The refusal in the request's encoding, in JSON where that is none of ours.
    fn answer(self, encoding: Option<Encoding>) -> Response {
        let encoding = encoding.unwrap_or(Encoding::Json);
        let status = RpcStatus { code: self.code as i32, message: self.message };
        let body = match encoding {
            Encoding::Protobuf => status.encode_to_vec(),
            Encoding::Json => serde_json::to_vec(&status).unwrap_or_default(),
        };
        let mut response = (self.http, [(CONTENT_TYPE, encoding.name())], body).into_response();
        let headers = response.headers_mut();
        match self.http {
            StatusCode::UNAUTHORIZED => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(RETRY_AFTER, HeaderValue::from(RETRY_SECONDS));
            }
            _ => {}
        }
        response
    }
}

fn text(value: &HeaderValue) -> &str {
    value.to_str().unwrap_or("?")
}
