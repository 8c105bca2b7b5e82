//! Sends the ledger of losses to the destinations, as `hawsepipe.loss.*` metrics: "did we lose anything?" is one query there.
//!
//! In: the spool's ledger. Out: a frame of metrics in the lane `sampled`, when something was lost since the last one, and
//! from time to time so that the series do not end. Nothing while nothing was ever lost.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hawsepipe_model::codec::{CodecError, Compressor};
use hawsepipe_model::otlp::{MetricsRequest, write_losses};
use hawsepipe_model::{Attributes, Frame, FrameSink, Ledger, PodDirectory, PreferredCodec};
use hawsepipe_spool::Spool;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// How often it is looked whether something was lost.
const LOOK: Duration = Duration::from_secs(10);
/// How often the sums are sent though they are the same.
const AGAIN: Duration = Duration::from_secs(60);

/// What the sender needs.
pub(crate) struct Sender {
    pub(crate) spool: Arc<Spool>,
    pub(crate) codec: Arc<PreferredCodec>,
    pub(crate) pods: Arc<dyn PodDirectory>,
    /// What the admin adds to everything.
    pub(crate) attributes: Attributes,
}

impl Sender {
    /// Runs until `cancel`.
    pub(crate) async fn run(self, cancel: CancellationToken) {
        let mut ticks = interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last: Option<(Ledger, Instant)> = None;
        loop {
            tokio::select! {
                () = cancel.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let ledger = self.spool.ledger();
            let due =
                last.as_ref().is_none_or(|(sent, at)| *sent != ledger || at.elapsed() >= AGAIN);
            if ledger.is_empty() || !due {
                continue;
            }
            match self.frame(&ledger) {
                Ok(Some(frame)) => {
                    let spool = Arc::clone(&self.spool);
                    // It writes to a disk. A lane without room takes the next one: the sums are the same or greater.
                    let put = tokio::task::spawn_blocking(move || spool.sampled().append(frame));
                    if let Ok(Ok(())) = put.await {
                        last = Some((ledger, Instant::now()));
                    }
                }
                Ok(None) => {}
                Err(error) => tracing::error!(%error, "cannot compress the ledger of losses"),
            }
        }
    }

    fn frame(&self, ledger: &Ledger) -> Result<Option<Frame>, CodecError> {
        let mut resource = self.pods.node().attributes.clone();
        resource.extend(&self.attributes);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        let born = u64::try_from(self.spool.files().born()).unwrap_or(0);
        let mut request = MetricsRequest::default();
        write_losses(&mut request, ledger, &resource, born, now);
        request.frame(self.codec.get(), &mut Compressor::new()?)
    }
}
