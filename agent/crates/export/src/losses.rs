//! What a frame loses at its destination, gathered until the frame is settled.
//!
//! In: the parts of a frame that the destination refused for good, refused in part, or took only when they were cut. Out:
//! one [`Loss`] for each pod and reason, which goes to the queue with the word that the frame is settled. Always: a frame
//! that is given up before it is settled has lost nothing, it comes again whole and is counted then; the metrics stay per
//! destination and reason, per pod is the ledger's affair.

use std::collections::BTreeMap;
use std::sync::Arc;

use hawsepipe_model::otlp::split::{Origin, Records};
use hawsepipe_model::{Extent, Frame, Loss, LossKey, LossReason, Signal, codec};

use crate::parts::Part;

/// The losses of the frame at hand.
#[derive(Debug)]
pub(crate) struct Losses {
    destination: Arc<str>,
    found: BTreeMap<LossKey, (Extent, Arc<str>)>,
}

impl Losses {
    /// None yet, at the destination of this name.
    pub(crate) fn at(destination: &str) -> Self {
        Self { destination: destination.into(), found: BTreeMap::new() }
    }

    /// `part` is refused for good.
    pub(crate) async fn refused(&mut self, part: &Part, reason: LossReason, words: &str) {
        for origin in origins(part.whole()).await {
            let extent = Extent::known(origin.records, origin.bytes);
            self.add(&origin, reason, extent, words);
        }
    }

    /// The destination has `part`, but for `rejected` of its records.
    pub(crate) async fn taken(&mut self, part: &Part, rejected: u64, words: &str) {
        if rejected >= part.frame.records && rejected > 0 {
            return self.refused(part, LossReason::PartialSuccess, words).await;
        }
        if rejected > 0 {
            // How many is said, not which: the pod is known only if there is but one, and nobody knows the bytes.
            let all = origins(&part.frame).await;
            let only = if let [one] = &all[..] { one.clone() } else { nobody(0) };
            let extent = Extent::known(rejected, 0);
            self.add(&only, LossReason::PartialSuccess, extent, words);
        }
        if let Some(cut) = &part.cut {
            for origin in origins(&part.frame).await {
                let extent = Extent::known(origin.records, cut.bytes);
                self.add(&origin, LossReason::Cut, extent, &cut.words);
            }
        }
    }

    fn add(&mut self, whose: &Origin, reason: LossReason, extent: Extent, words: &str) {
        let name = |name: &Option<String>| name.as_deref().unwrap_or_default().into();
        let (namespace, pod) = (name(&whose.namespace), name(&whose.pod));
        let destination = Some(Arc::clone(&self.destination));
        let key = LossKey { namespace, pod, destination, reason };
        let (sum, last_words) = self.found.entry(key).or_default();
        sum.add(extent);
        *last_words = words.into();
    }

    /// All of them, each pod and reason once.
    pub(crate) fn into_list(self) -> Vec<Loss> {
        let loss = |(key, (extent, words))| Loss { key, extent, words };
        self.found.into_iter().map(loss).collect()
    }
}

/// Records of which nobody knows whose they are.
fn nobody(records: u64) -> Origin {
    Origin { namespace: None, pod: None, records, bytes: 0 }
}

/// Whose records are in `frame`: as its resources say; if it cannot be read, as was noted when it was made; else nobody's.
async fn origins(frame: &Frame) -> Vec<Origin> {
    if frame.signal != Signal::Logs {
        return vec![nobody(frame.records)];
    }
    let read = {
        let frame = frame.clone();
        move || {
            let plain =
                codec::decompress(frame.codec, &frame.payload, frame.uncompressed_len).ok()?;
            Records::read(&plain).ok().map(|records| records.origins())
        }
    };
    let read = tokio::task::spawn_blocking(read).await.ok().flatten().unwrap_or_default();
    let found = if read.is_empty() { noted(frame) } else { read };
    if found.is_empty() { vec![nobody(frame.records)] } else { found }
}

fn noted(frame: &Frame) -> Vec<Origin> {
    let name = |name: &str| (!name.is_empty()).then(|| name.to_owned());
    let tallies = frame.tallies.iter().map(|tally| {
        let (namespace, pod) = tally.stream.namespace_and_pod();
        let (records, bytes) = (tally.records, tally.bytes);
        Origin { namespace: name(namespace), pod: name(pod), records, bytes }
    });
    tallies.collect()
}
