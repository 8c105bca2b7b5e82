//! The answer to a unary call: headers, one message, trailers.
//!
//! In: an HTTP response from anyone. Out: a gRPC status with what belongs to it, or why it is none. tonic's own
//! reading of a status (`Status::from_header_map`) panics when the details are not base64, so it is done here.

use std::time::Duration;

use base64::Engine;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::{Buf, Bytes, BytesMut};
use hawsepipe_model::{Codec, codec};
use http::{HeaderMap, Response, StatusCode, header};
use http_body_util::BodyExt;
use percent_encoding::percent_decode;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::CallError;
use crate::explain;
use crate::settings::Endpoint;

/// The largest answer that is read, in bytes, before and after decompression: gRPC's default limit of a message.
pub(crate) const MAX_ANSWER: usize = 4 * 1024 * 1024;

/// How much of an answer that is not gRPC is read, to say what it was.
const MAX_SNIPPET: usize = 16 * 1024;

/// "Binary-Header": base64 with or without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A gRPC status, and the message if there is one.
#[derive(Debug)]
pub(crate) struct Answer {
    /// `grpc-status`.
    pub(crate) code: Code,
    /// `grpc-message`, decoded; the server's words as they are.
    pub(crate) message: String,
    /// `RetryInfo.retry_delay` in `grpc-status-details-bin`.
    pub(crate) retry_after: Option<Duration>,
    /// The codecs in `grpc-accept-encoding`, as far as we know them; `None` when the server does not say.
    pub(crate) accepts: Option<Vec<Codec>>,
    /// The message, decompressed. There is one whenever the code is `Ok`.
    pub(crate) body: Bytes,
}

/// An answer without a gRPC status.
#[derive(Debug)]
pub(crate) struct HttpAnswer {
    pub(crate) status: StatusCode,
    /// What it was, for a person: who, status, content type.
    pub(crate) what: String,
    /// The beginning of the body as it is.
    pub(crate) said: String,
    /// `retry-after` in seconds.
    pub(crate) retry_after: Option<Duration>,
}

/// Reads a response to its end.
pub(crate) async fn read(
    response: Response<tonic::body::Body>,
    endpoint: &Endpoint,
) -> Result<Answer, CallError> {
    let (head, body) = response.into_parts();
    let is_grpc = head
        .headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"));
    if head.status != StatusCode::OK || !is_grpc {
        // A proxy may put a gRPC status beside an HTTP one, and then it is the one that counts.
        if is_grpc && let Some(status) = status_of(&head.headers) {
            return Ok(Answer::of(&status, &head.headers, Bytes::new()));
        }
        return Err(CallError::Http(http_answer(head.status, &head.headers, body, endpoint).await));
    }
    // "Trailers-Only": no message, the status among the headers.
    if let Some(status) = status_of(&head.headers) {
        if status.code() == Code::Ok {
            return Err(protocol(endpoint, "it said OK without an answer"));
        }
        return Ok(Answer::of(&status, &head.headers, Bytes::new()));
    }
    let (data, trailers) = collect(body, endpoint).await?;
    let Some(status) = trailers.as_ref().and_then(status_of) else {
        return Err(protocol(endpoint, "the answer ended without a grpc-status"));
    };
    if status.code() != Code::Ok {
        return Ok(Answer::of(&status, &head.headers, Bytes::new()));
    }
    let body = message(data, &head.headers).map_err(|what| protocol(endpoint, &what))?;
    Ok(Answer::of(&status, &head.headers, body))
}

impl Answer {
    fn of(status: &Status, headers: &HeaderMap, body: Bytes) -> Self {
        let accepts = headers.get("grpc-accept-encoding").map(|value| {
            let names = String::from_utf8_lossy(value.as_bytes()).into_owned();
            names.split(',').filter_map(|name| name.trim().parse().ok()).collect()
        });
        Self {
            code: status.code(),
            message: status.message().to_owned(),
            retry_after: status.get_details_retry_info().and_then(|info| info.retry_delay),
            accepts,
            body,
        }
    }
}

fn protocol(endpoint: &Endpoint, what: &str) -> CallError {
    CallError::Protocol { reason: format!("{endpoint} does not answer as gRPC does: {what}") }
}

/// The gRPC status in a header block. Broken details are no details; the status counts.
fn status_of(headers: &HeaderMap) -> Option<Status> {
    let code = Code::from_bytes(headers.get("grpc-status")?.as_bytes());
    let message = headers
        .get("grpc-message")
        .map(|value| percent_decode(value.as_bytes()).decode_utf8_lossy().into_owned());
    let details = headers
        .get("grpc-status-details-bin")
        .and_then(|value| BASE64.decode(value.as_bytes()).ok())
        .unwrap_or_default();
    Some(Status::with_details(code, message.unwrap_or_default(), details.into()))
}

async fn collect(
    mut body: tonic::body::Body,
    endpoint: &Endpoint,
) -> Result<(Bytes, Option<HeaderMap>), CallError> {
    let mut data = BytesMut::new();
    let mut trailers = None;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|status| CallError::Transport {
            reason: format!(
                "{endpoint} broke off its answer: {}",
                explain::words(status.message())
            ),
        })?;
        match frame.into_data() {
            Ok(piece) if data.len() + piece.len() > MAX_ANSWER => {
                return Err(protocol(endpoint, "the answer is larger than 4 MiB"));
            }
            Ok(piece) => data.extend_from_slice(&piece),
            Err(frame) => trailers = frame.into_trailers().ok().or(trailers),
        }
    }
    Ok((data.freeze(), trailers))
}

/// The one message of the body.
fn message(mut data: Bytes, headers: &HeaderMap) -> Result<Bytes, String> {
    if data.len() < 5 {
        return Err("it said OK without an answer".to_owned());
    }
    let flag = data.get_u8();
    let length = data.get_u32() as usize;
    if length != data.len() {
        return Err(format!("a message of {length} bytes came as {}", data.len()));
    }
    match flag {
        0 => Ok(data),
        1 => {
            let name = headers.get("grpc-encoding").map(|value| value.as_bytes());
            let name = String::from_utf8_lossy(name.unwrap_or_default());
            let codec: Codec =
                name.parse().map_err(|error: codec::CodecError| error.to_string())?;
            if codec == Codec::Identity {
                return Err("a compressed message that does not say how".to_owned());
            }
            codec::decompress(codec, &data, MAX_ANSWER)
                .map(Bytes::from)
                .map_err(|error| error.to_string())
        }
        other => Err(format!("a message with the flag {other}")),
    }
}

async fn http_answer(
    status: StatusCode,
    headers: &HeaderMap,
    mut body: tonic::body::Body,
    endpoint: &Endpoint,
) -> HttpAnswer {
    let mut snippet = Vec::new();
    while snippet.len() < MAX_SNIPPET
        && let Some(Ok(frame)) = body.frame().await
    {
        if let Ok(data) = frame.into_data() {
            snippet.extend_from_slice(&data[..data.len().min(MAX_SNIPPET - snippet.len())]);
        }
    }
    let kind = headers.get(header::CONTENT_TYPE).map_or_else(
        || "no content type".to_owned(),
        |value| explain::words(&String::from_utf8_lossy(value.as_bytes())),
    );
    let retry_after = headers
        .get(header::RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.trim().parse().ok())
        .map(Duration::from_secs);
    HttpAnswer {
        status,
        what: format!("{endpoint} answered with HTTP {status} ({kind}), not gRPC"),
        said: String::from_utf8_lossy(&snippet).into_owned(),
        retry_after,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use tonic_types::{ErrorDetails, StatusExt};

    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.insert(*name, HeaderValue::from_str(value).unwrap());
        }
        map
    }

    #[test]
    fn details_that_are_no_base64_do_not_hide_the_status() {
        let status = status_of(&headers(&[
            ("grpc-status", "14"),
            ("grpc-message", "over%20capacity %zz"),
            ("grpc-status-details-bin", "!!! no base64 !!!"),
        ]));
        let answer = Answer::of(&status.unwrap(), &HeaderMap::new(), Bytes::new());
        assert_eq!(answer.code, Code::Unavailable);
        assert_eq!(answer.message, "over capacity %zz");
        assert_eq!(answer.retry_after, None);
    }

    #[test]
    fn the_delay_in_the_details_is_read_with_and_without_padding() {
        let details = ErrorDetails::with_retry_info(Some(Duration::from_millis(1500)));
        let full = Status::with_error_details(Code::Unavailable, "x", details);
        for engine in [
            base64::engine::general_purpose::STANDARD,
            base64::engine::general_purpose::STANDARD_NO_PAD,
        ] {
            let encoded = engine.encode(full.details());
            let status = status_of(&headers(&[
                ("grpc-status", "14"),
                ("grpc-status-details-bin", &encoded),
            ]));
            let answer = Answer::of(&status.unwrap(), &HeaderMap::new(), Bytes::new());
            assert_eq!(answer.retry_after, Some(Duration::from_millis(1500)));
        }
    }

    #[test]
    fn a_body_that_is_no_message_is_an_error() {
        for data in [&b""[..], b"\0\0", b"\0\0\0\0\x09abc", b"\x07\0\0\0\0", b"\x01\0\0\0\x03abc"] {
            assert!(message(Bytes::copy_from_slice(data), &HeaderMap::new()).is_err(), "{data:?}");
        }
        let zstd = headers(&[("grpc-encoding", "zstd")]);
        assert!(message(Bytes::from_static(b"\x01\0\0\0\x03abc"), &zstd).is_err());
        assert_eq!(message(Bytes::from_static(b"\0\0\0\0\0"), &zstd).unwrap(), Bytes::new());
    }
}
