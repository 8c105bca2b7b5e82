//! What a segment file promises: every frame that was appended is read again, whatever happened to others.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test may, its helpers too

use std::fs;
use std::path::{Path, PathBuf};

use hawsepipe_spool::segment::{
    FILE_HEADER_BYTES, Scanned, SegmentError, SegmentReader, SegmentWriter, cut_torn_tail,
};
use proptest::prelude::*;

const ID: u64 = 7;

type Payload = (Vec<u8>, Vec<u8>);

/// Writes `frames`; gives the path and the end offset of each frame.
fn segment(folder: &Path, frames: &[Payload]) -> (PathBuf, Vec<u64>) {
    let path = folder.join("7.seg");
    let mut writer = SegmentWriter::create(&path, ID).unwrap();
    let ends = frames
        .iter()
        .map(|(meta, body)| {
            writer.append(meta, body).unwrap();
            writer.len()
        })
        .collect();
    (path, ends)
}

/// All frames that can be read, and the bytes that cannot.
fn read(path: &Path) -> (Vec<Payload>, u64) {
    let reader = SegmentReader::open(path, ID).unwrap();
    let (mut frames, mut damaged) = (Vec::new(), 0);
    for scanned in reader.scan(0, reader.file_len().unwrap()) {
        match scanned.unwrap() {
            Scanned::Frame(frame) => match reader.body(&frame) {
                Ok(body) => frames.push((frame.meta.clone(), body)),
                Err(SegmentError::Damaged { .. }) => damaged += frame.end() - frame.offset,
                Err(error) => panic!("{error}"),
            },
            Scanned::Damage { bytes, .. } => damaged += bytes,
        }
    }
    (frames, damaged)
}

fn payloads() -> impl Strategy<Value = Vec<Payload>> {
    let bytes = |max| proptest::collection::vec(any::<u8>(), 0..max);
    proptest::collection::vec((bytes(40), bytes(3000)), 1..12)
}

#[test]
fn frames_come_back_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let frames: Vec<Payload> =
        (0..100_u8).map(|n| (vec![n], vec![n; usize::from(n) * 300])).collect();
    let (path, _) = segment(folder.path(), &frames);
    assert_eq!(read(&path), (frames, 0));
}

#[test]
fn a_scan_goes_on_where_the_last_one_ended() {
    let folder = tempfile::tempdir().unwrap();
    let frames = [(vec![1], vec![1]), (vec![2], vec![2])];
    let (path, ends) = segment(folder.path(), &frames);
    let reader = SegmentReader::open(&path, ID).unwrap();
    let metas = |from, end| {
        reader
            .scan(from, end)
            .map(|scanned| match scanned.unwrap() {
                Scanned::Frame(frame) => frame.meta,
                damage @ Scanned::Damage { .. } => panic!("{damage:?}"),
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(metas(0, ends[0]), [[1]]);
    assert_eq!(metas(ends[0], ends[1]), [[2]]);
}

#[test]
fn a_segment_that_was_logged_into_another_is_no_part_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("inner");
    fs::create_dir(&inner).unwrap();
    let (inner, _) = segment(&inner, &[(b"m".to_vec(), b"not a frame of the outer".to_vec())]);
    let logged = fs::read(inner).unwrap();
    let (path, _) = segment(folder.path(), &[(vec![], logged), (vec![1], vec![1])]);
    let mut bytes = fs::read(&path).unwrap();
    bytes[FILE_HEADER_BYTES as usize] ^= 1;
    fs::write(&path, bytes).unwrap();
    assert_eq!(read(&path).0, [(vec![1], vec![1])]);
}

#[test]
fn a_segment_of_a_newer_format_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = segment(folder.path(), &[]);
    let mut bytes = fs::read(&path).unwrap();
    bytes[8] = 2;
    let crc = crc32c::crc32c(&bytes[..28]);
    bytes[28..32].copy_from_slice(&crc.to_le_bytes());
    fs::write(&path, bytes).unwrap();
    let error = SegmentReader::open(&path, ID).unwrap_err();
    assert!(matches!(error, SegmentError::Newer { found: 2 }), "{error}");
}

#[test]
fn zeroes_behind_the_last_frame_are_cut() {
    let folder = tempfile::tempdir().unwrap();
    let frames = vec![(vec![1], vec![1; 100])];
    let (path, ends) = segment(folder.path(), &frames);
    let mut bytes = fs::read(&path).unwrap();
    bytes.resize(bytes.len() + 100_000, 0);
    fs::write(&path, bytes).unwrap();
    let recovery = cut_torn_tail(&path, ID).unwrap();
    assert_eq!((recovery.len, recovery.cut_bytes), (ends[0], 100_000));
    assert_eq!(read(&path), (frames, 0));
}

proptest! {
    #[test]
    fn prop_a_file_cut_anywhere_keeps_every_whole_frame(
        frames in payloads(), cut in any::<prop::sample::Index>(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let (path, ends) = segment(folder.path(), &frames);
        let bytes = fs::read(&path).unwrap();
        let cut = cut.index(bytes.len() + 1);
        fs::write(&path, &bytes[..cut]).unwrap();
        let whole = ends.iter().filter(|&&end| end <= cut as u64).count();

        let recovery = cut_torn_tail(&path, ID).unwrap();
        prop_assert_eq!(recovery.len + recovery.cut_bytes, cut as u64);
        prop_assert_eq!(read(&path), (frames[..whole].to_vec(), 0));
    }

    #[test]
    fn prop_a_flipped_byte_costs_its_frame_alone(
        frames in payloads(), at in any::<prop::sample::Index>(), flip in 1..=255_u8,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let (path, ends) = segment(folder.path(), &frames);
        let mut bytes = fs::read(&path).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        fs::write(&path, &bytes).unwrap();

        let (kept, damaged) = read(&path);
        let hit = (at as u64 >= FILE_HEADER_BYTES)
            .then(|| ends.iter().position(|&end| (at as u64) < end).unwrap());
        let mut expected = frames.clone();
        let mut lost = 0;
        if let Some(hit) = hit {
            let (meta, body) = expected.remove(hit);
            lost = 24 + (meta.len() + body.len()) as u64;
        }
        prop_assert_eq!(kept, expected);
        prop_assert_eq!(damaged, lost);
    }
}
