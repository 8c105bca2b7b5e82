//! What a destination type is: something that answers a frame with a verdict.

use std::sync::Arc;

use hawsepipe_model::{Codec, Frame, Outcome};

/// An [`Outcome`] with the word that it is counted under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What the destination said.
    pub outcome: Outcome,
    /// One of a small fixed set (it is a label of a metric): why it is tried again; of a rejection, the name of a
    /// [`LossReason`](hawsepipe_model::LossReason).
    pub label: &'static str,
}

impl Verdict {
    pub(crate) fn ack() -> Self {
        Self { outcome: Outcome::Ack { rejected: 0, message: String::new() }, label: "ok" }
    }

    pub(crate) fn retry(label: &'static str, reason: impl Into<String>) -> Self {
        Self { outcome: Outcome::Retry { after: None, reason: reason.into() }, label }
    }
}

/// One destination type. A new one is one file with an implementation of this.
pub trait Exporter: Send + 'static {
    /// The word for it in the config's `type`.
    const TYPE: &'static str;

    /// Asks, without any data, whether the destination can be reached, takes the key, and how it wants frames
    /// compressed. `Ack` when all is well.
    fn greet(&mut self) -> impl Future<Output = Verdict> + Send;

    /// Sends one frame and waits for the answer, within the destination's time limit.
    fn send(&mut self, frame: &Arc<Frame>) -> impl Future<Output = Verdict> + Send;

    /// The codec that frames are sent with, once it is known.
    fn codec(&self) -> Option<Codec>;

    /// Frames that had to be compressed anew since the last call.
    fn take_reencoded(&mut self) -> u64;

    /// Whether there is a key now other than the one used last: a reason to try again at once.
    fn key_changed(&self) -> bool;
}
