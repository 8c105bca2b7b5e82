//! What is found becomes frames in the lane.
//!
//! In: events, and how far everything was given. Out: frames; how far of that is settled. Always: a frame that the lane does not take
//! is offered until it is taken, and nothing more is read meanwhile.

use std::sync::{Arc, OnceLock};

use hawsepipe_cluster::{EventsProgress, Found};
use hawsepipe_model::codec::Compressor;
use hawsepipe_model::{Frame, PreferredCodec, SettlingSink};
use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::EventSettings;
use super::batch::Batch;
use crate::lane;
use crate::marks::Marks;

/// What makes frames of events, and knows how far they are settled.
pub(super) struct Writer {
    settings: EventSettings,
    sink: Arc<dyn SettlingSink>,
    codec: Arc<PreferredCodec>,
    /// The cluster's UID, once it is known.
    pub(super) cluster_uid: OnceLock<String>,
    marks: Mutex<Marks<EventsProgress>>,
    pub(super) sent: Counter,
    pub(super) excluded: Counter,
}

impl Writer {
    pub(super) fn new(
        settings: EventSettings,
        sink: Arc<dyn SettlingSink>,
        codec: Arc<PreferredCodec>,
    ) -> Self {
        Self {
            settings,
            sink,
            codec,
            cluster_uid: OnceLock::new(),
            marks: Mutex::default(),
            sent: Counter::default(),
            excluded: Counter::default(),
        }
    }

    /// A term begins where the last one got.
    pub(super) fn begin(&self, since: Option<EventsProgress>) {
        self.marks.lock().begin(since);
    }

    /// How far everything is settled.
    pub(super) fn progress(&self) -> Option<EventsProgress> {
        let settled = self.sink.settled();
        self.marks.lock().settled(settled)
    }

    /// Writes what is found until nothing comes any more, or `retire`.
    pub(super) async fn write(&self, mut found: mpsc::Receiver<Found>, retire: CancellationToken) {
        let mut batch = Batch::default();
        loop {
            let due = batch.due();
            let wait = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = retire.cancelled() => break,
                () = wait => {}
                next = found.recv() => match next {
                    Some(next) => self.take(&mut batch, next),
                    None => break,
                },
            }
            if batch.is_full() || batch.due().is_some_and(|due| due <= Instant::now()) {
                self.flush(&mut batch).await;
            }
        }
        self.flush(&mut batch).await;
    }

    fn take(&self, batch: &mut Batch, Found { event, reached }: Found) {
        if let Some(event) = event {
            if self.settings.selection.takes(&event) {
                let uid = self.cluster_uid.get().map(String::as_str);
                batch.push(&event, uid, &self.settings);
            } else {
                self.excluded.inc();
            }
        }
        let Some(reached) = reached else { return };
        if batch.is_empty() {
            self.marks.lock().reached(reached);
        } else {
            batch.reach(reached);
        }
    }

    /// Puts what is at hand into the lane, however long that takes.
    async fn flush(&self, batch: &mut Batch) {
        let (Some(frame), reached) = self.frame(batch) else { return };
        let records = frame.records;
        let number = lane::put(&self.sink, frame, "events").await;
        self.sent.inc_by(records);
        self.marks.lock().put(number, reached);
    }

    fn frame(&self, batch: &mut Batch) -> (Option<Frame>, Option<EventsProgress>) {
        let packed = Compressor::new()
            .and_then(|mut compressor| batch.pack(self.codec.get(), &mut compressor));
        let reached = batch.reached();
        let frame = packed.unwrap_or_else(|error| {
            tracing::error!(%error, "cannot compress a frame of events, it is lost");
            batch.give_up()
        });
        (frame, reached)
    }
}
