//! How soon a start sends, with a full spool behind it.
//!
//! In: a spool of so many GiB, made here (frames of 200 kB that cover log positions, as 1 MiB of log lines compresses to).
//! Out: the time to open it, and to the first frame in a destination's hand.
//!
//! `cargo bench -p hawsepipe-benches --bench spool_start` (gibibytes, folder: `-- 10 /var/tmp`).

#![allow(missing_docs, clippy::print_stdout, clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};
use std::time::Instant;

use hawsepipe_model::{
    Codec, Cover, Fingerprint, Frame, FrameSink, FrameSource, Position, SegmentId, SegmentState,
    Signal, StreamKey, Tally,
};
use hawsepipe_spool::{CatchUp, DestinationSettings, MinFree, Settings, Spool, WhenFull};

const FRAME: usize = 200_000;
const STREAMS: u64 = 50;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let number = arguments.iter().find_map(|arg| arg.parse().ok());
    let gibibytes: u64 = number.unwrap_or(1);
    let folder = arguments.iter().find(|arg| arg.starts_with('/')).map(PathBuf::from);
    let root = match folder {
        Some(folder) => tempfile::tempdir_in(folder).unwrap(),
        None => tempfile::tempdir().unwrap(),
    };
    let settings = settings(root.path(), gibibytes);
    let frames = fill(&settings, gibibytes << 30);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();

    let begun = Instant::now();
    let (spool, remembered) = Spool::open(&settings).unwrap();
    let opened = begun.elapsed();
    let mut source = spool.source("main").unwrap();
    let frame = runtime.block_on(source.next()).unwrap();
    let first = begun.elapsed();
    assert_eq!(frame.payload.len(), FRAME);
    assert_eq!(remembered.positions.len() as u64, STREAMS);
    assert_eq!(spool.files().usage().frames, frames);
    println!(
        "spool      {gibibytes} GiB in {} segments, {frames} frames",
        spool.files().usage().segments
    );
    println!("opened     {:8.3} s", opened.as_secs_f64());
    println!("first frame{:8.3} s", first.as_secs_f64());
}

fn settings(path: &Path, gibibytes: u64) -> Settings {
    Settings {
        path: path.to_owned(),
        files_max_bytes: (gibibytes + 1) << 30,
        pushed_max_bytes: 64 << 20,
        sampled_max_bytes: 64 << 20,
        working_set: 12 << 20,
        min_free: MinFree::Bytes(0),
        destinations: vec![DestinationSettings {
            name: "main".into(),
            when_full: WhenFull::Block,
            catch_up: CatchUp::default(),
        }],
    }
}

fn fill(settings: &Settings, bytes: u64) -> u64 {
    let (spool, _) = Spool::open(settings).unwrap();
    let mut count = 0;
    let mut state = 1_u64;
    while spool.files().usage().used < bytes {
        // Not all alike, for file systems that would notice.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let payload = state.to_le_bytes().repeat(FRAME / 8);
        spool.files().append(frame(count, payload)).unwrap();
        count += 1;
    }
    count
}

fn frame(number: u64, payload: Vec<u8>) -> Frame {
    let stream = StreamKey(format!("team_service-{}_1f0e-22/app", number % STREAMS).into());
    let both = |at| Position { stdout: at, stderr: at };
    let at = number / STREAMS;
    let segment = SegmentId { restart: 0, device: 1, inode: number % STREAMS, born_nanos: 1 };
    let (from, position) = (both(at << 20), both((at + 1) << 20));
    let (fingerprint, state) = (Fingerprint { head: 1, before: 2 }, SegmentState::Open);
    Frame {
        signal: Signal::Logs,
        codec: Codec::Zstd,
        uncompressed_len: 1 << 20,
        records: 5000,
        payload: payload.into(),
        covers: vec![Cover {
            stream: stream.clone(),
            segment,
            from,
            position,
            fingerprint,
            state,
            rest: None,
        }],
        tallies: vec![Tally { stream, records: 5000, bytes: 1 << 20 }],
        losses: Vec::new(),
        replaces: Vec::new(),
    }
}
