//! The OTLP/gRPC destination: frames go out as they are.
//!
//! In: frames, each a compressed export request of one signal. Out: verdicts by OTLP's rules (`verdict`). A frame whose
//! codec the server does not take is compressed anew on its way, once, however often it is tried. Every server is asked
//! whether it takes logs; what it says of another signal alone never holds up logs.

mod service;

use std::sync::Arc;

use bytes::Bytes;
use hawsepipe_model::{BlockedReason, Codec, Frame, Outcome, PreferredCodec, Signal, codec};
use tokio::time::Instant;
use tonic::Code;

use crate::exporter::{Exporter, Verdict};
use crate::grpc::{Answer, Call, CallError, GrpcClient};
use crate::key::{Key, KeyFile};
use crate::negotiate::{self, Known, Step};
use crate::settings::{Auth, Compression, Endpoint, Settings};
use crate::verdict::{self, Said};
use service::Service;

/// An OTLP/gRPC destination.
#[derive(Debug)]
pub struct Otlp {
    client: GrpcClient,
    auth: Option<(Auth, KeyFile)>,
    compression: Compression,
    preferred: Arc<PreferredCodec>,
    known: Option<Known>,
    key: Option<Key>,
    reencoded: Option<Reencoded>,
    reencoded_frames: u64,
}

/// The frame at hand in another codec.
#[derive(Debug)]
struct Reencoded {
    frame: Arc<Frame>,
    codec: Codec,
    payload: Bytes,
}

impl Otlp {
    /// A destination that is told `settings`; it writes the codec that its server takes to `preferred`.
    #[must_use]
    pub fn new(settings: &Settings, preferred: Arc<PreferredCodec>) -> Self {
        Self {
            client: GrpcClient::new(settings),
            auth: settings.auth().map(|auth| (auth.clone(), KeyFile::new(auth.key_file()))),
            compression: settings.compression(),
            preferred,
            known: None,
            key: None,
            reencoded: None,
            reencoded_frames: 0,
        }
    }

    /// Where it sends.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        self.client.endpoint()
    }

    /// Opens the connection if none is.
    pub(crate) async fn connect(&mut self) -> Result<(), Verdict> {
        let connected = self.client.connect().await;
        connected.map_err(|error| verdict::of_error(error, self.said()))
    }

    fn said(&self) -> Said<'_> {
        Said {
            who: self.client.endpoint(),
            key: self.key.as_ref(),
            key_file: self.auth.as_ref().map(|(auth, _)| auth.key_file()),
        }
    }

    /// One request, with the key as it is in its file now.
    async fn call(
        &mut self,
        path: &'static str,
        codec: Codec,
        message: Bytes,
    ) -> Result<Result<Answer, CallError>, Verdict> {
        let auth = match &mut self.auth {
            None => None,
            Some((auth, file)) => {
                let key = file.read().map_err(|error| {
                    verdict::blocked(BlockedReason::KeyUnreadable, error.to_string())
                });
                // Forgotten when unreadable: any good key is then news.
                self.key = key.as_ref().ok().cloned();
                let value = key?.header_value(auth.format());
                value.map(|value| (auth.header().clone(), value))
            }
        };
        Ok(self.client.call(Call { path, codec, message, auth }).await)
    }

    /// The codec that the server takes, asked for with empty requests when it is not known. No answer to an empty
    /// request is a word about the frame at hand: what would reject it blocks the destination.
    async fn negotiate(&mut self) -> Result<Codec, Verdict> {
        self.ask_for_codec().await.map_err(|verdict| match verdict.outcome {
            Outcome::Reject { reason } | Outcome::TooLarge { reason, .. } => verdict::blocked(
                BlockedReason::Destination,
                format!("{} refuses an empty export request: {reason}", self.endpoint()),
            ),
            _ => verdict,
        })
    }

    async fn ask_for_codec(&mut self) -> Result<Codec, Verdict> {
        if let Some(known) = &self.known
            && known.holds(self.client.connection(), Instant::now())
        {
            return Ok(known.codec);
        }
        let mut step = negotiate::first(self.compression);
        loop {
            match step {
                Step::Ask(codec) => {
                    let empty = recode(Codec::Identity, codec, &[], 0).await?;
                    let answer = self.call(service::LOGS.path, codec, empty).await?;
                    let answer = answer.map_err(|error| verdict::of_error(error, self.said()))?;
                    step = negotiate::next(self.compression, codec, &answer);
                    if let Step::Failed = step {
                        return Err(self.refusal(codec, &answer));
                    }
                }
                Step::Takes(codec) => {
                    if self.known.as_ref().is_none_or(|known| known.codec != codec) {
                        tracing::debug!(endpoint = %self.endpoint(), %codec, "codec agreed");
                    }
                    self.known = Some(Known {
                        codec,
                        connection: self.client.connection(),
                        since: Instant::now(),
                    });
                    self.preferred.set(codec);
                    return Ok(codec);
                }
                // Answered above, where the answer is at hand.
                Step::Failed => {
                    return Err(Verdict::retry("protocol", "no codec could be agreed"));
                }
            }
        }
    }

    fn refusal(&self, codec: Codec, answer: &Answer) -> Verdict {
        if answer.code == Code::Unimplemented
            && let Compression::Fixed(fixed) = self.compression
            && fixed != Codec::Identity
        {
            let words = self.said().words(&answer.message);
            return verdict::blocked(
                BlockedReason::Destination,
                format!(
                    "{} does not take requests compressed with {codec} (UNIMPLEMENTED: {words}); \
                     set compression: auto, or check that it serves OTLP/gRPC",
                    self.endpoint()
                ),
            );
        }
        verdict::of_answer(answer, self.said())
    }

    /// The frame's bytes in `codec`.
    async fn payload(&mut self, frame: &Arc<Frame>, codec: Codec) -> Result<Bytes, Verdict> {
        if frame.codec == codec {
            return Ok(frame.payload.clone());
        }
        if let Some(done) = &self.reencoded
            && Arc::ptr_eq(&done.frame, frame)
            && done.codec == codec
        {
            return Ok(done.payload.clone());
        }
        let payload = recode(frame.codec, codec, &frame.payload, frame.uncompressed_len).await?;
        self.reencoded_frames += 1;
        self.reencoded =
            Some(Reencoded { frame: Arc::clone(frame), codec, payload: payload.clone() });
        Ok(payload)
    }

    async fn try_send(&mut self, frame: &Arc<Frame>) -> Result<Verdict, Verdict> {
        let auto = self.compression == Compression::Auto;
        let asked_before = self.known.is_some();
        let mut codec = self.negotiate().await?;
        let mut answered = self.send_in(frame, codec).await?;
        let compressed = codec != Codec::Identity;
        if frame.signal == Signal::Logs {
            // The server behind the name may have changed since it was asked.
            if is_unimplemented(&answered) && asked_before && auto && compressed {
                self.known = None;
                codec = self.negotiate().await?;
                answered = self.send_in(frame, codec).await?;
            }
        } else if verdict::about_service(&answered, self.said()).is_some() {
            // Whoever does not take logs either is blocked by this.
            self.known = None;
            codec = self.negotiate().await?;
            // A server may take a codec for logs alone.
            if auto && compressed {
                codec = Codec::Identity;
                answered = self.send_in(frame, codec).await?;
            }
            if let Some(words) = verdict::about_service(&answered, self.said()) {
                let (who, what) = (self.endpoint(), frame.signal.name());
                let reason = format!("{who} takes logs and no {what} ({words})");
                return Ok(Verdict { outcome: Outcome::Unserved { reason }, label: "unserved" });
            }
        }
        let answer = answered.map_err(|error| verdict::of_error(error, self.said()))?;
        if answer.code == Code::Ok {
            return Ok(self.acknowledged(frame, &answer));
        }
        Ok(self.refusal(codec, &answer))
    }

    async fn send_in(
        &mut self,
        frame: &Arc<Frame>,
        codec: Codec,
    ) -> Result<Result<Answer, CallError>, Verdict> {
        let payload = self.payload(frame, codec).await?;
        self.call(Service::of(frame.signal).path, codec, payload).await
    }

    fn acknowledged(&self, frame: &Frame, answer: &Answer) -> Verdict {
        let (rejected, words) = match Service::of(frame.signal).partial(&answer.body) {
            Ok(partial) => partial,
            Err(error) => {
                return Verdict::retry(
                    "protocol",
                    format!("{} said OK with an answer that is none: {error}", self.endpoint()),
                );
            }
        };
        Verdict {
            outcome: Outcome::Ack {
                rejected: rejected.min(frame.records),
                message: self.said().words(&words),
            },
            label: "ok",
        }
    }
}

impl Exporter for Otlp {
    const TYPE: &'static str = "otlp";

    async fn greet(&mut self) -> Verdict {
        // Asked, also when the answer is known.
        self.known = None;
        match self.negotiate().await {
            Ok(_codec) => Verdict::ack(),
            Err(verdict) => verdict,
        }
    }

    async fn send(&mut self, frame: &Arc<Frame>) -> Verdict {
        let verdict = match self.try_send(frame).await {
            Ok(verdict) | Err(verdict) => verdict,
        };
        if !matches!(verdict.outcome, Outcome::Retry { .. } | Outcome::Blocked { .. }) {
            self.reencoded = None;
        }
        verdict
    }

    fn codec(&self) -> Option<Codec> {
        self.known.as_ref().map(|known| known.codec)
    }

    fn take_reencoded(&mut self) -> u64 {
        std::mem::take(&mut self.reencoded_frames)
    }

    fn key_changed(&self) -> bool {
        self.auth.as_ref().is_some_and(|(_, file)| file.holds_other_than(self.key.as_ref()))
    }
}

fn is_unimplemented(answered: &Result<Answer, CallError>) -> bool {
    answered.as_ref().is_ok_and(|answer| answer.code == Code::Unimplemented)
}

/// Compresses anew, away from the async threads: a frame takes milliseconds. A frame that is not what it says it is
/// can never be sent, and is rejected here, with the reason.
async fn recode(from: Codec, to: Codec, data: &[u8], cap: usize) -> Result<Bytes, Verdict> {
    let data = data.to_vec();
    let work = move || -> Result<Bytes, Verdict> {
        let plain = codec::decompress(from, &data, cap).map_err(|error| Verdict {
            outcome: Outcome::Reject {
                reason: format!("cannot turn the frame from {from} into {to}: {error}"),
            },
            label: "unencodable",
        })?;
        // Only a lack of memory makes this fail, and that passes.
        let packed = codec::Compressor::new().and_then(|mut codec| codec.compress(to, &plain));
        packed.map(Bytes::from).map_err(|error| Verdict::retry("internal", error.to_string()))
    };
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| {
        Err(Verdict::retry("internal", format!("compressing stopped: {error}")))
    })
}
