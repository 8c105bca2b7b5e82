//! Lines as numbers, and the frames that hold them.
//!
//! In: runs of lines. Out: frames whose payload says which they are, and the runs again.

use hawsepipe_model::{
    Codec, Cover, Fingerprint, Frame, Loss, Position, SegmentId, SegmentState, Signal, StreamKey,
    Tally,
};

pub(super) fn stream(index: usize) -> StreamKey {
    StreamKey(format!("ns_pod-{index}_uid/c").into())
}

fn segment(index: usize) -> SegmentId {
    SegmentId { restart: 0, device: 1, inode: index as u64, born_nanos: 7 }
}

fn both(at: u64) -> Position {
    Position { stdout: at, stderr: at }
}

pub(super) fn cover(index: usize, from: u64, to: u64) -> Cover {
    Cover {
        stream: stream(index),
        segment: segment(index),
        from: both(from),
        position: both(to),
        fingerprint: Fingerprint::default(),
        state: SegmentState::Open,
        rest: None,
    }
}

/// Runs of lines: stream, first, and the one behind the last.
pub(super) type Runs = Vec<(usize, u64, u64)>;

fn payload(runs: &Runs, padding: usize) -> Vec<u8> {
    let mut bytes = vec![u8::try_from(runs.len()).unwrap()];
    for (index, from, to) in runs {
        bytes.push(u8::try_from(*index).unwrap());
        bytes.extend(from.to_le_bytes());
        bytes.extend(to.to_le_bytes());
    }
    bytes.resize(bytes.len() + padding, 0xaa);
    bytes
}

pub(super) fn runs(payload: &[u8]) -> Runs {
    let number = |at: usize| u64::from_le_bytes(payload[at..at + 8].try_into().unwrap());
    let run = |n: usize| {
        let at = 1 + n * 17;
        (usize::from(payload[at]), number(at + 1), number(at + 9))
    };
    (0..usize::from(payload[0])).map(run).collect()
}

pub(super) fn frame(
    runs: &Runs,
    covers: Vec<Cover>,
    losses: Vec<Loss>,
    replaces: Vec<u64>,
    padding: usize,
) -> Frame {
    let count = |run: &(usize, u64, u64)| run.2 - run.1;
    let records = runs.iter().map(count).sum();
    if records == 0 {
        return Frame::note(covers, losses, replaces);
    }
    let tally =
        |run: &(usize, u64, u64)| Tally { stream: stream(run.0), records: count(run), bytes: 1 };
    let tallies = runs.iter().map(tally).collect();
    let payload = payload(runs, padding);
    Frame {
        signal: Signal::Logs,
        codec: Codec::Identity,
        uncompressed_len: payload.len(),
        records,
        payload: payload.into(),
        covers,
        tallies,
        losses,
        replaces,
    }
}
