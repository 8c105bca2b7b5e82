//! What was lost at a destination, told to whoever keeps the books.
//!
//! In: a part of a frame that was refused for good, or cut. Out: one [`Rejection`] for each pod in it. The metrics stay
//! per destination and reason; per pod is a ledger's affair.

use hawsepipe_model::otlp::split::{Origin, Records};
use hawsepipe_model::{Frame, codec};

/// Records of one pod that a destination refused for good, or had to be cut for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rejection<'a> {
    /// The destination's name in the config.
    pub destination: &'a str,
    /// As in the metric's `reason`, and `cut` for records whose body was shortened and then taken: `records` of them
    /// arrived, without `bytes` of their text.
    pub reason: &'static str,
    /// The destination's words.
    pub message: &'a str,
    /// `k8s.namespace.name` of the records' resource; `None` where it is not known.
    pub namespace: Option<&'a str>,
    /// `k8s.pod.name` of the records' resource; `None` where it is not known.
    pub pod: Option<&'a str>,
    /// Records.
    pub records: u64,
    /// Bytes of the records' bodies; `None` where the destination named a number of records and not which.
    pub bytes: Option<u64>,
}

/// Whoever keeps the books of what is lost. It is called on an async thread and must not wait.
pub trait RejectionSink: Send + Sync + 'static {
    /// Records are lost, for good.
    fn rejected(&self, rejection: &Rejection<'_>);
}

/// Whose records are in `frame`; empty when that cannot be read.
pub(crate) async fn origins(frame: &Frame) -> Vec<Origin> {
    let frame = frame.clone();
    let read = move || {
        let plain = codec::decompress(frame.codec, &frame.payload, frame.uncompressed_len).ok()?;
        Records::read(&plain).ok().map(|records| records.origins())
    };
    tokio::task::spawn_blocking(read).await.ok().flatten().unwrap_or_default()
}
