//! Events on their way into one frame.
//!
//! In: events. Out: a frame, with what it holds of each namespace, so that it can be counted should it be lost. Always: a frame
//! is closed at [`FULL`], or [`OLD`] after its first event.

use std::collections::BTreeMap;
use std::time::Duration;

use hawsepipe_cluster::{Event, EventsProgress};
use hawsepipe_model::codec::{CodecError, Compressor};
use hawsepipe_model::otlp::{EventRecord, LogsRequest, encode_entity};
use hawsepipe_model::{Codec, Extent, Frame, Loss, LossReason, StreamKey, Tally};
use jiff::Timestamp;
use tokio::time::Instant;

use super::{EventSettings, record};

/// A frame is closed when it has this many bytes before compression; a longest record may follow.
const FULL: usize = 512 << 10;
/// Or at this age.
const OLD: Duration = Duration::from_secs(1);

/// Events on their way into one frame.
#[derive(Debug, Default)]
pub(super) struct Batch {
    request: LogsRequest,
    /// The resource of the open block, encoded.
    resource: Vec<u8>,
    /// Records and bytes of each namespace.
    tallies: BTreeMap<String, (u64, u64)>,
    losses: Vec<Loss>,
    since: Option<Instant>,
    reached: Option<EventsProgress>,
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.request.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.request.len() >= FULL
    }

    /// When it is to be closed, if there is something in it.
    pub(super) fn due(&self) -> Option<Instant> {
        self.since.map(|since| since + OLD)
    }

    /// Everything up to here is in it, or came before.
    pub(super) fn reach(&mut self, reached: EventsProgress) {
        self.reached = Some(reached);
    }

    /// How far everything is with what it held.
    pub(super) fn reached(&mut self) -> Option<EventsProgress> {
        self.reached.take()
    }

    pub(super) fn push(&mut self, event: &Event, cluster: Option<&str>, settings: &EventSettings) {
        let resource = encode_entity(&record::resource(event, cluster, &settings.attributes));
        if self.is_empty() || resource != self.resource {
            self.request.begin_resource(&resource);
            self.resource = resource;
        }
        let namespace = event.metadata.namespace.as_str();
        let note = event.note.as_str();
        let body = &note[..note.floor_char_boundary(settings.max_record_bytes)];
        let is_cut = body.len() < note.len();
        if is_cut {
            let extent = Extent::known(1, (note.len() - body.len()) as u64);
            let stream = stream(namespace);
            self.losses.push(Loss::of_stream(&stream, LossReason::RecordTooLarge, extent));
        }
        self.request.push_event(&EventRecord {
            time_unix_nano: event.time().map_or(0, nanos),
            observed_time_unix_nano: nanos(Timestamp::now()),
            severity: record::severity(event),
            severity_text: &event.kind,
            name: record::NAME,
            body,
            original_bytes: is_cut.then_some(note.len() as u64),
            attributes: &record::attributes(event),
        });
        let tally = self.tallies.entry(namespace.to_owned()).or_default();
        *tally = (tally.0 + 1, tally.1 + body.len() as u64);
        self.since.get_or_insert_with(Instant::now);
    }

    /// Gives what is in it as a frame, and is empty.
    ///
    /// # Errors
    /// When it cannot be compressed: [`give_up`](Self::give_up).
    pub(super) fn pack(
        &mut self,
        codec: Codec,
        compressor: &mut Compressor,
    ) -> Result<Option<Frame>, CodecError> {
        let frame = self.request.frame(codec, compressor)?;
        self.since = None;
        let (tallies, losses) = (self.take_tallies(), std::mem::take(&mut self.losses));
        Ok(frame.map(|frame| Frame { tallies, losses, ..frame }))
    }

    /// Gives the word that what was in it is lost.
    pub(super) fn give_up(&mut self) -> Option<Frame> {
        self.request.clear();
        self.since = None;
        let (tallies, losses) = (self.take_tallies(), std::mem::take(&mut self.losses));
        let frame = Frame { tallies, ..Frame::note(Vec::new(), losses, Vec::new()) };
        Some(frame.given_up(LossReason::NotSpooled))
    }

    fn take_tallies(&mut self) -> Vec<Tally> {
        let tallies = std::mem::take(&mut self.tallies).into_iter();
        let tally = |(namespace, (records, bytes)): (String, (u64, u64))| {
            let stream = stream(&namespace);
            Tally { stream, records, bytes }
        };
        tallies.map(tally).collect()
    }
}

/// What the ledger knows the events of a namespace by: it has no pod.
fn stream(namespace: &str) -> StreamKey {
    StreamKey(format!("{namespace}__/events").into())
}

/// Nanoseconds since the epoch; 0 for what is before it.
fn nanos(time: Timestamp) -> u64 {
    u64::try_from(time.as_nanosecond()).unwrap_or(0)
}
