//! Which codec the server takes: asked with empty requests, zstd first, then gzip, then none.
//!
//! In: the configured [`Compression`] and the answers. Out: the next question or the codec. There is no other way to
//! know: a server names its codecs (`grpc-accept-encoding`) only when it refuses one, and not all do even then.

use std::time::Duration;

use hawsepipe_model::Codec;
use tokio::time::Instant;
use tonic::Code;

use crate::grpc::Answer;
use crate::settings::Compression;

/// After this time the question is asked again: a server that was upgraded may take a better codec.
const ASK_AGAIN: Duration = Duration::from_secs(3600);

/// What the server said it takes.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) codec: Codec,
    pub(crate) connection: Option<u64>,
    pub(crate) since: Instant,
}

impl Known {
    /// Whether it still holds for what is the open connection now.
    pub(crate) fn holds(&self, connection: Option<u64>, now: Instant) -> bool {
        connection.is_some() && self.connection == connection && now - self.since < ASK_AGAIN
    }
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Send an empty request in this codec.
    Ask(Codec),
    /// The server takes this.
    Takes(Codec),
    /// The last answer is no word about the codec; it stands for itself.
    Failed,
}

/// The first question.
pub(crate) fn first(compression: Compression) -> Step {
    match compression {
        Compression::Auto => Step::Ask(Codec::Zstd),
        Compression::Fixed(codec) => Step::Ask(codec),
    }
}

/// What follows from the answer to an empty request in `asked`.
pub(crate) fn next(compression: Compression, asked: Codec, answer: &Answer) -> Step {
    match (answer.code, compression) {
        (Code::Ok, _) => Step::Takes(asked),
        // The service is there and read the request, it only wants some data in it.
        (Code::InvalidArgument, Compression::Fixed(_)) => Step::Takes(asked),
        // OTLP/gRPC: "All server components MUST support [...] Gzip compression".
        (Code::InvalidArgument, Compression::Auto) if asked == Codec::Identity => {
            Step::Takes(Codec::Gzip)
        }
        // gRPC says UNIMPLEMENTED for a codec that is not known; not all libraries keep to it.
        (
            Code::Unimplemented | Code::Internal | Code::Unknown | Code::InvalidArgument,
            Compression::Auto,
        ) => worse(asked, answer.accepts.as_deref()),
        _ => Step::Failed,
    }
}

fn worse(asked: Codec, accepts: Option<&[Codec]>) -> Step {
    let takes_gzip = accepts.is_none_or(|codecs| codecs.contains(&Codec::Gzip));
    match asked {
        Codec::Zstd if takes_gzip => Step::Ask(Codec::Gzip),
        Codec::Zstd | Codec::Gzip => Step::Ask(Codec::Identity),
        Codec::Identity => Step::Failed,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn answer(code: Code, accepts: Option<Vec<Codec>>) -> Answer {
        Answer { code, message: String::new(), retry_after: None, accepts, body: Bytes::new() }
    }

    #[test]
    fn zstd_then_gzip_then_nothing() {
        let no = answer(Code::Unimplemented, None);
        assert_eq!(first(Compression::Auto), Step::Ask(Codec::Zstd));
        assert_eq!(next(Compression::Auto, Codec::Zstd, &no), Step::Ask(Codec::Gzip));
        assert_eq!(next(Compression::Auto, Codec::Gzip, &no), Step::Ask(Codec::Identity));
        assert_eq!(next(Compression::Auto, Codec::Identity, &no), Step::Failed);
        let only_plain = answer(Code::Unimplemented, Some(vec![Codec::Identity]));
        assert_eq!(next(Compression::Auto, Codec::Zstd, &only_plain), Step::Ask(Codec::Identity));
    }

    #[test]
    fn a_refused_key_is_no_word_about_the_codec() {
        for code in [Code::Unauthenticated, Code::PermissionDenied, Code::Unavailable] {
            assert_eq!(next(Compression::Auto, Codec::Zstd, &answer(code, None)), Step::Failed);
        }
    }

    #[test]
    fn a_server_that_refuses_empty_requests_gets_what_every_otlp_server_takes() {
        let picky = answer(Code::InvalidArgument, None);
        assert_eq!(next(Compression::Auto, Codec::Identity, &picky), Step::Takes(Codec::Gzip));
        let zstd = Compression::Fixed(Codec::Zstd);
        assert_eq!(next(zstd, Codec::Zstd, &picky), Step::Takes(Codec::Zstd));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_holds_for_its_connection_and_for_an_hour() {
        let known = Known { codec: Codec::Zstd, connection: Some(1), since: Instant::now() };
        assert!(known.holds(Some(1), Instant::now()));
        assert!(!known.holds(Some(2), Instant::now()));
        assert!(!known.holds(None, Instant::now()));
        tokio::time::advance(ASK_AGAIN).await;
        assert!(!known.holds(Some(1), Instant::now()));
    }
}
