//! Heartbeats on their way into frames.
//!
//! In: heartbeats, and whose they are. Out: frames, with what each holds of each namespace, so that it can be counted should it be
//! lost. Always: a frame is closed at [`FULL`].

use std::collections::BTreeMap;

use hawsepipe_model::codec::{CodecError, Compressor};
use hawsepipe_model::otlp::{LogsRequest, encode_entity};
use hawsepipe_model::{Attributes, Codec, Frame, LossReason, StreamKey, Tally};

use super::known::Due;
use crate::heartbeats::push;

/// A frame is closed when it has this many bytes before compression.
const FULL: usize = 512 << 10;

/// Makes frames of heartbeats. What cannot be compressed, which only a lack of memory explains, is said to be lost in its frame.
pub(super) fn frames(
    due: &[Due],
    cluster: Option<&str>,
    added: &Attributes,
    codec: Codec,
) -> Vec<Frame> {
    let mut frames = Vec::new();
    let mut request = LogsRequest::default();
    let mut tallies = BTreeMap::<String, (u64, u64)>::new();
    let mut resource = Vec::new();
    for (at, Due { whose, heartbeat }) in due.iter().enumerate() {
        let encoded = encode_entity(&whose.resource(cluster, added));
        if request.is_empty() || encoded != resource {
            request.begin_resource(&encoded);
            resource = encoded;
        }
        let bytes = push(&mut request, &whose.name(), heartbeat);
        let tally = tallies.entry(whose.namespace().to_owned()).or_default();
        *tally = (tally.0 + 1, tally.1 + bytes);
        if request.len() >= FULL || at + 1 == due.len() {
            let tallies = std::mem::take(&mut tallies).into_iter().map(tally_of).collect();
            frames.extend(close(&mut request, tallies, codec));
        }
    }
    frames
}

fn close(request: &mut LogsRequest, tallies: Vec<Tally>, codec: Codec) -> Option<Frame> {
    match pack(request, codec) {
        Ok(frame) => frame.map(|frame| Frame { tallies, ..frame }),
        Err(error) => {
            tracing::error!(%error, "cannot compress a frame of heartbeats, it is lost");
            request.clear();
            let frame = Frame { tallies, ..Frame::note(Vec::new(), Vec::new(), Vec::new()) };
            Some(frame.given_up(LossReason::NotSpooled))
        }
    }
}

fn pack(request: &mut LogsRequest, codec: Codec) -> Result<Option<Frame>, CodecError> {
    request.frame(codec, &mut Compressor::new()?)
}

/// What the ledger knows the heartbeats of a namespace by: they have no pod.
fn tally_of((namespace, (records, bytes)): (String, (u64, u64))) -> Tally {
    Tally { stream: StreamKey(format!("{namespace}__/heartbeats").into()), records, bytes }
}
