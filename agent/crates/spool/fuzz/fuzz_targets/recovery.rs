//! A spool of a few frames, changed in any way: it opens, and no frame comes out that did not go in.
//!
//! In: edits (offset, bits to flip) and a number of bytes to cut, or, when the first byte is odd, the whole segment file. Never a
//! panic, never an endless loop, never a wrong payload.

#![no_main]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use hawsepipe_model::{Codec, Frame, FrameSink, FrameSource, Signal};
use hawsepipe_spool::{CatchUp, DestinationSettings, MinFree, Settings, Spool, WhenFull};
use libfuzzer_sys::fuzz_target;

const FRAMES: u8 = 4;

fn settings(path: &Path) -> Settings {
    Settings {
        path: path.to_owned(),
        files_max_bytes: 4 << 20,
        pushed_max_bytes: 4 << 20,
        sampled_max_bytes: 4 << 20,
        working_set: 1 << 20,
        min_free: MinFree::Bytes(0),
        destinations: vec![DestinationSettings {
            name: "main".into(),
            when_full: WhenFull::Block,
            catch_up: CatchUp::InOrder,
        }],
    }
}

fn payload(number: u8) -> Vec<u8> {
    vec![number; 40 + usize::from(number)]
}

/// The files of a spool that holds the frames.
fn original() -> &'static BTreeMap<String, Vec<u8>> {
    static FILES: OnceLock<BTreeMap<String, Vec<u8>>> = OnceLock::new();
    FILES.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let (spool, _) = Spool::open(&settings(folder.path())).unwrap();
        for number in 0..FRAMES {
            let frame = Frame {
                signal: Signal::Logs,
                codec: Codec::Identity,
                uncompressed_len: payload(number).len(),
                records: 1,
                payload: payload(number).into(),
                ..Frame::note(Vec::new(), Vec::new(), Vec::new())
            };
            spool.files().append(frame).unwrap();
        }
        drop(spool);
        let files = fs::read_dir(folder.path().join("files")).unwrap();
        let read = |entry: fs::DirEntry| {
            let name = entry.file_name().into_string().unwrap();
            name.ends_with(".seg").then(|| (name, fs::read(entry.path()).unwrap()))
        };
        files.filter_map(|entry| read(entry.unwrap())).collect()
    })
}

fuzz_target!(|data: &[u8]| {
    let Some((first, data)) = data.split_first() else { return };
    let folder = tempfile::tempdir().unwrap();
    let files = folder.path().join("files");
    fs::create_dir(&files).unwrap();
    for (name, bytes) in original() {
        let mut bytes = bytes.clone();
        if first % 2 == 1 {
            bytes = data.to_vec();
        } else {
            for edit in data.chunks_exact(3) {
                let at = usize::from(u16::from_le_bytes([edit[0], edit[1]])) % bytes.len();
                bytes[at] ^= edit[2];
            }
            let cut = usize::from(first / 2);
            bytes.truncate(bytes.len().saturating_sub(cut));
        }
        fs::write(files.join(name), bytes).unwrap();
    }
    let Ok((spool, _)) = Spool::open(&settings(folder.path())) else { return };
    let mut source = spool.source("main").unwrap();
    spool.close();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        for _ in 0..=FRAMES {
            let Some(frame) = source.next().await else { return };
            let number = frame.payload[0];
            assert_eq!(frame.payload, payload(number), "a frame that did not go in");
            source.settle(Vec::new()).await;
        }
        panic!("more frames than went in");
    });
});
