//! Whether a refusal says that the request is too large, and which size would do.
//!
//! In: a gRPC code and the server's words. Out: [`Told`], or `None` when it is about something else. gRPC has no code of
//! its own for it: `RESOURCE_EXHAUSTED` is also a quota, for which OTLP wants the same request again later. So only words
//! that a library is known to use for a message's size count. Each library checks the message as it travels and again
//! when it is decompressed, against one limit.

use std::time::Duration;

use hawsepipe_model::Measured;
use tonic::Code;

/// What a server said of a size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Told {
    /// The largest size it takes, in bytes, if it said so.
    pub(crate) limit: Option<usize>,
    pub(crate) measured: Measured,
}

/// A smaller number in such words is no limit: no server limits messages to less.
const LEAST_LIMIT: usize = 1024;

/// How libraries say it, in lower case; whether a limit follows, among at most two numbers.
const WORDS: [(&str, bool, Measured); 10] = [
    // grpc-go, rpc_util.go: "grpc: received message larger than max (5000000 vs. 4194304)", "grpc: received message
    // after decompression larger than max 4194304"; the same words in gRPC core (C++, Python) and grpc-js.
    ("larger than max", true, Measured::Plain),
    // grpc-js, server-interceptors.ts: "Received message that decompresses to a size larger than 4194304".
    ("decompresses to a size larger than", true, Measured::Plain),
    // grpc-java, MessageDeframer.java: "gRPC message exceeds maximum size 4194304: 6144592", "Decompressed gRPC message
    // exceeds maximum size 4194304".
    ("message exceeds maximum size", true, Measured::Plain),
    // grpc-dotnet, PipeExtensions.cs: "Received message exceeds the maximum configured message size."
    ("exceeds the maximum configured message size", false, Measured::Plain),
    // tonic, codec/decode.rs, OUT_OF_RANGE: "decoded message length too large: found 5 bytes, the limit is: 4 bytes".
    ("message length too large", true, Measured::Plain),
    // tonic, codec/decode.rs: "size limit, of 4194304 bytes, exceeded while decompressing message".
    ("error decompressing: size limit, of", true, Measured::Plain),
    // connect-go, envelope.go: "message size 5000000 is larger than configured max 4194304".
    ("larger than configured max", true, Measured::Plain),
    // HTTP's words for 413, old and new (RFC 7231, RFC 9110). Envoy turns its 413 into UNKNOWN with these words
    // (filter_manager.cc, "Payload Too Large"); it sees what travels.
    ("payload too large", false, Measured::Wire),
    ("content too large", false, Measured::Wire),
    ("request entity too large", false, Measured::Wire),
];

/// What the answer says of the request's size. A server that asks to come back later (`RetryInfo`) means a quota,
/// whatever its words.
pub(crate) fn told(code: Code, retry_after: Option<Duration>, message: &str) -> Option<Told> {
    let may_mean_size = matches!(
        code,
        Code::ResourceExhausted | Code::OutOfRange | Code::InvalidArgument | Code::Unknown
    );
    if !may_mean_size || retry_after.is_some() {
        return None;
    }
    let message = message.to_ascii_lowercase();
    WORDS.iter().find_map(|(words, names_limit, measured)| {
        let at = message.find(words)? + words.len();
        let limit = if *names_limit { smallest_number(&message[at..]) } else { None };
        Some(Told { limit, measured: *measured })
    })
}

/// The smaller of the first two numbers: what was found is larger than what is allowed.
fn smallest_number(text: &str) -> Option<usize> {
    let numbers = text.split(|c: char| !c.is_ascii_digit()).filter(|digits| !digits.is_empty());
    let parsed = numbers.take(2).filter_map(|digits| digits.parse().ok());
    parsed.filter(|number| *number >= LEAST_LIMIT).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_libraries_say_of_a_message_too_large_is_understood() {
        const MAX: Option<usize> = Some(4_194_304);
        for (code, words, limit) in [
            (8, "grpc: received message larger than max (4331797 vs. 4194304)", MAX),
            (8, "grpc: received message after decompression larger than max 4194304", MAX),
            (8, "SERVER: Received message larger than max (17777780 vs. 4194304)", MAX),
            (8, "Received message that decompresses to a size larger than 4194304", MAX),
            (8, "gRPC message exceeds maximum size 4194304: 6144592", MAX),
            (8, "Decompressed gRPC message exceeds maximum size 4194304", MAX),
            (8, "Received message exceeds the maximum configured message size.", None),
            (8, "message size 5000000 is larger than configured max 4194304", MAX),
            (
                11,
                "Error, decoded message length too large: found 9000000 bytes, the limit is: 4194304 bytes",
                MAX,
            ),
            (
                8,
                "Error decompressing: size limit, of 4194304 bytes, exceeded while decompressing message",
                MAX,
            ),
            (2, "Payload Too Large", None),
        ] {
            let told = told(Code::from_i32(code), None, words);
            assert_eq!(told.map(|told| told.limit), Some(limit), "{words}");
        }
    }

    #[test]
    fn a_quota_is_no_size() {
        for words in [
            "ingestion rate limit (4194304 bytes) exceeded while adding 120 lines for tenant 17",
            "Too many active requests for the connection",
            "RATE_LIMITED: ingestion rate limit exceeded for user, limit: 15000000 bytes",
            "sending queue is full",
            "memory limit exceeded",
            "",
        ] {
            assert_eq!(told(Code::ResourceExhausted, None, words), None, "{words}");
        }
        let large = "grpc: received message larger than max (4331797 vs. 4194304)";
        assert_eq!(told(Code::ResourceExhausted, Some(Duration::from_secs(1)), large), None);
        assert_eq!(told(Code::Unavailable, None, large), None);
    }

    #[test]
    fn a_number_that_is_no_limit_is_not_taken_for_one() {
        let words = "received message larger than max (5000000 vs. 4194304), tenant 2048";
        let limit = told(Code::ResourceExhausted, None, words).unwrap().limit;
        assert_eq!(limit, Some(4_194_304));
        let words = "received message larger than max of 7 things";
        assert_eq!(told(Code::ResourceExhausted, None, words).unwrap().limit, None);
    }
}
