//! What an answer over gRPC means for the frame.
//!
//! In: an [`Answer`] or a [`CallError`]. Out: a [`Verdict`], by OTLP's rules ("Failures" and "OTLP/gRPC Throttling",
//! opentelemetry.io/docs/specs/otlp) with one difference: what OTLP calls not retryable and drops, but is no word
//! about the data, blocks the destination instead. Nothing is lost by waiting for someone to look.

use std::time::Duration;

use hawsepipe_model::{BlockedReason, Measured, Outcome};
use http::StatusCode;
use tonic::Code;

use crate::explain;
use crate::exporter::Verdict;
use crate::grpc::{Answer, CallError, HttpAnswer};
use crate::key::Key;
use crate::size;

/// What to say about the key when it is refused.
#[derive(Clone, Copy)]
pub(crate) struct Said<'a> {
    /// The destination, as its endpoint.
    pub(crate) who: &'a dyn std::fmt::Display,
    /// The key in use, which must not show in the destination's words.
    pub(crate) key: Option<&'a Key>,
    /// The file that the key is from.
    pub(crate) key_file: Option<&'a std::path::Path>,
}

impl Said<'_> {
    /// The destination's words, fit for a log.
    pub(crate) fn words(&self, text: &str) -> String {
        match self.key {
            Some(key) => explain::words(&key.redact(text)),
            None => explain::words(text),
        }
    }

    fn refused(&self, what: &str) -> Verdict {
        let reason = match self.key_file {
            Some(path) => format!(
                "{} refuses the key ({what}); put the right key into {}, it is read again by itself",
                self.who,
                path.display()
            ),
            None => format!(
                "{} wants a key ({what}), and none is configured; set auth.header and auth.keyFile",
                self.who
            ),
        };
        blocked(BlockedReason::KeyRefused, reason)
    }
}

/// A verdict that holds everything until someone changes something.
pub(crate) fn blocked(kind: BlockedReason, reason: String) -> Verdict {
    Verdict { outcome: Outcome::Blocked { kind, reason }, label: kind.name() }
}

/// The verdict on an answer whose code is not `Ok`.
pub(crate) fn of_answer(answer: &Answer, said: Said<'_>) -> Verdict {
    let what = with_words(code_name(answer.code), &said.words(&answer.message));
    // By its words, before its code: no library has a code for it alone.
    if let Some(told) = size::told(answer.code, answer.retry_after, &answer.message) {
        return too_large(told.limit, told.measured, what);
    }
    match answer.code {
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss
        | Code::ResourceExhausted => {
            retry(label(answer.code), answer.retry_after, format!("{} says {what}", said.who))
        }
        Code::Unauthenticated | Code::PermissionDenied => said.refused(&what),
        Code::InvalidArgument => {
            Verdict { outcome: Outcome::Reject { reason: what }, label: "invalid_argument" }
        }
        // Left out of OTLP's list of what may be retried, and no word about the data.
        Code::Ok
        | Code::Unknown
        | Code::NotFound
        | Code::AlreadyExists
        | Code::FailedPrecondition
        | Code::Unimplemented
        | Code::Internal => {
            let remedy = match answer.code {
                Code::Unimplemented => {
                    "is there an OTLP/gRPC server with logs behind this endpoint?"
                }
                Code::NotFound => "is the endpoint right, and does the key belong to it?",
                _ => "look into the destination's own log",
            };
            blocked(BlockedReason::Destination, format!("{} says {what}; {remedy}", said.who))
        }
    }
}

/// The verdict on a call that brought no gRPC status.
pub(crate) fn of_error(error: CallError, said: Said<'_>) -> Verdict {
    match error {
        CallError::Timeout { reason } => Verdict::retry("timeout", reason),
        CallError::Transport { reason } => Verdict::retry("transport", said.words(&reason)),
        CallError::Protocol { reason } => Verdict::retry("protocol", said.words(&reason)),
        CallError::Http(answer) => of_http(&answer, said),
    }
}

/// By gRPC's own table (grpc/doc/http-grpc-status-mapping.md), and 413 as a word about the size.
fn of_http(answer: &HttpAnswer, said: Said<'_>) -> Verdict {
    let what = with_words(&answer.what, &said.words(&answer.said));
    match answer.status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => said.refused(&what),
        StatusCode::PAYLOAD_TOO_LARGE => too_large(None, Measured::Wire, what),
        StatusCode::REQUEST_TIMEOUT
        | StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => retry("http", answer.retry_after, what),
        _ => blocked(
            BlockedReason::Destination,
            format!("{what}; is this the destination's gRPC port?"),
        ),
    }
}

/// The destination's words, if they may mean the service of one signal: it is not there, or the key is not for it.
pub(crate) fn about_service(
    answered: &Result<Answer, CallError>,
    said: Said<'_>,
) -> Option<String> {
    match answered {
        Ok(answer) if matches!(answer.code, Code::Unimplemented | Code::PermissionDenied) => {
            Some(with_words(code_name(answer.code), &said.words(&answer.message)))
        }
        // A proxy that knows the paths of some services only.
        Err(CallError::Http(answer))
            if matches!(answer.status, StatusCode::NOT_FOUND | StatusCode::FORBIDDEN) =>
        {
            Some(with_words(&answer.what, &said.words(&answer.said)))
        }
        _ => None,
    }
}

fn with_words(what: &str, words: &str) -> String {
    if words.is_empty() { what.to_owned() } else { format!("{what}: {words}") }
}

fn too_large(limit: Option<usize>, measured: Measured, reason: String) -> Verdict {
    Verdict { outcome: Outcome::TooLarge { limit, measured, reason }, label: "too_large" }
}

fn retry(label: &'static str, after: Option<Duration>, reason: String) -> Verdict {
    Verdict { outcome: Outcome::Retry { after, reason }, label }
}

/// The name of a code in gRPC's specification.
pub(crate) fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

fn label(code: Code) -> &'static str {
    match code {
        Code::Cancelled => "cancelled",
        Code::DeadlineExceeded => "deadline_exceeded",
        Code::Aborted => "aborted",
        Code::OutOfRange => "out_of_range",
        Code::DataLoss => "data_loss",
        Code::ResourceExhausted => "resource_exhausted",
        _ => "unavailable",
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn verdict(code: Code) -> Verdict {
        let answer = Answer {
            code,
            message: "why".to_owned(),
            retry_after: Some(Duration::from_secs(7)),
            accepts: None,
            body: Bytes::new(),
        };
        of_answer(&answer, Said { who: &"https://host:4317", key: None, key_file: None })
    }

    #[test]
    fn only_an_explicit_word_about_the_data_rejects_it() {
        for number in 1..=16 {
            let code = Code::from_i32(number);
            let rejected = matches!(verdict(code).outcome, Outcome::Reject { .. });
            assert_eq!(rejected, code == Code::InvalidArgument, "{code:?}");
        }
    }

    #[test]
    fn what_otlp_lists_as_retryable_is_retried_after_the_time_asked_for() {
        for code in [
            Code::Cancelled,
            Code::DeadlineExceeded,
            Code::ResourceExhausted,
            Code::Aborted,
            Code::OutOfRange,
            Code::Unavailable,
            Code::DataLoss,
        ] {
            let Outcome::Retry { after, .. } = verdict(code).outcome else {
                panic!("{code:?} is not retried");
            };
            assert_eq!(after, Some(Duration::from_secs(7)), "{code:?}");
        }
    }

    #[test]
    fn a_refused_key_and_a_wrong_endpoint_are_told_apart() {
        for (code, expected) in [
            (Code::Unauthenticated, BlockedReason::KeyRefused),
            (Code::PermissionDenied, BlockedReason::KeyRefused),
            (Code::Unimplemented, BlockedReason::Destination),
            (Code::Internal, BlockedReason::Destination),
            (Code::Unknown, BlockedReason::Destination),
        ] {
            let Outcome::Blocked { kind, reason } = verdict(code).outcome else {
                panic!("{code:?} does not block");
            };
            assert_eq!(kind, expected, "{code:?}");
            assert!(reason.contains("why") && reason.contains(';'), "{reason}");
        }
    }
}
