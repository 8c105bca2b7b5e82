//! What waits while the queue takes nothing is counted: if it is deleted while no agent runs, it is known what it held.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use hawsepipe_model::{Cover, Extent, LossReason};

use crate::rig::{Rig, age, append, compress, line, lines, numbers, wait};

/// The queue takes nothing, and a container has two rotated files and one that is written to.
fn waiting(rig: &mut Rig, old: &str, newer: &str, live: &str) -> std::path::PathBuf {
    *rig.sink.full.lock() = true;
    rig.start();
    let dir = rig.container("ns_pod_uid", "c");
    for (name, text) in
        [("0.log.20261122-100000", old), ("0.log.20261122-110000", newer), ("0.log", live)]
    {
        append(&dir.join("0.log"), text);
        if name != "0.log" {
            age(&dir.join("0.log"));
            fs::rename(dir.join("0.log"), dir.join(name)).unwrap();
        }
    }
    dir
}

/// Waits until the rotated files are counted up to their ends.
#[track_caller]
fn wait_for_counts(rig: &Rig, files: &[&Path]) {
    let sizes: Vec<_> = files.iter().map(|file| fs::metadata(file).unwrap().len()).collect();
    let counted = || {
        let ends: Vec<_> =
            rig.positions().iter().filter_map(|cover| Some(cover.rest?.end)).collect();
        sizes.iter().all(|size| ends.contains(size))
    };
    wait(counted, || format!("{:?}", rig.positions()));
}

/// What so many numbered lines are when they are lost.
fn lost(range: std::ops::Range<usize>) -> Extent {
    let bytes: usize = numbers(range.clone()).iter().map(String::len).sum();
    Extent::known(range.len() as u64, bytes as u64)
}

#[test]
fn what_waited_and_was_deleted_while_the_agent_was_away_is_counted_exactly() {
    let mut rig = Rig::new();
    let dir = waiting(&mut rig, &lines(0..10), &lines(10..25), &lines(25..30));
    let [old, newer] =
        ["0.log.20261122-100000", "0.log.20261122-110000"].map(|name| dir.join(name));
    wait_for_counts(&rig, &[&old, &newer]);
    rig.kill();
    fs::remove_file(&old).unwrap();
    compress(&newer);
    *rig.sink.full.lock() = false;
    rig.restart();
    rig.wait_for(20);
    assert_eq!(rig.bodies(), numbers(10..30));
    rig.wait_for_loss(LossReason::DeletedBeforeRead, lost(0..10));
}

#[test]
fn what_waited_of_a_pod_that_is_gone_is_counted_exactly() {
    let mut rig = Rig::new();
    *rig.sink.full.lock() = true;
    rig.start();
    let log = rig.container("ns_pod_uid", "c").join("0.log");
    append(&log, lines(0..10));
    // It is held open from then on.
    wait(|| rig.positions().len() == 1, || format!("{:?}", rig.positions()));
    fs::remove_dir_all(rig.root.path().join("ns_pod_uid")).unwrap();
    let counted = || rig.positions().iter().any(|cover| cover.rest.is_some());
    wait(counted, || format!("{:?}", rig.positions()));
    rig.kill();
    *rig.sink.full.lock() = false;
    rig.restart();
    rig.wait_for_loss(LossReason::DeletedBeforeRead, lost(0..10));
}

#[test]
fn lines_that_were_read_after_the_count_are_not_lost() {
    let mut rig = Rig::new();
    let old = lines(0..60_000);
    let dir = waiting(&mut rig, &old, &lines(0..10), &lines(0..10));
    let [old, newer] =
        ["0.log.20261122-100000", "0.log.20261122-110000"].map(|name| dir.join(name));
    wait_for_counts(&rig, &[&old, &newer]);
    *rig.sink.frames_left.lock() = Some(1);
    *rig.sink.full.lock() = false;
    wait(|| !rig.records().is_empty(), String::new);
    rig.kill();
    let read = rig.bodies();
    assert!(read.len() < 60_000 && read == numbers(0..read.len()), "{}", read.len());
    fs::remove_file(&old).unwrap();
    *rig.sink.frames_left.lock() = None;
    *rig.sink.full.lock() = false;
    rig.restart();
    rig.wait_for(read.len() + 20);
    rig.wait_for_loss(LossReason::DeletedBeforeRead, lost(read.len()..60_000));
}

#[test]
fn what_a_runtime_wrote_into_a_counted_file_is_counted_too() {
    let mut rig = Rig::new();
    let dir = waiting(&mut rig, &lines(0..10), &lines(20..25), &lines(25..30));
    let [old, newer] =
        ["0.log.20261122-100000", "0.log.20261122-110000"].map(|name| dir.join(name));
    wait_for_counts(&rig, &[&old, &newer]);
    append(&old, lines(10..20));
    age(&old);
    wait_for_counts(&rig, &[&old]);
    rig.kill();
    fs::remove_file(&old).unwrap();
    *rig.sink.full.lock() = false;
    rig.restart();
    rig.wait_for(10);
    rig.wait_for_loss(LossReason::DeletedBeforeRead, lost(0..20));
}

#[test]
fn a_count_that_misses_the_end_of_a_line_says_so() {
    let mut rig = Rig::new();
    let old = format!("{}2026-11-22T10:00:00Z stdout P begun, ", line("1"));
    let dir = waiting(&mut rig, &old, "2026-11-22T10:00:00Z stdout F ended\n", &line("2"));
    let [old, newer] =
        ["0.log.20261122-100000", "0.log.20261122-110000"].map(|name| dir.join(name));
    wait_for_counts(&rig, &[&old, &newer]);
    rig.kill();
    fs::remove_file(&old).unwrap();
    *rig.sink.full.lock() = false;
    rig.restart();
    rig.wait_for(2);
    let extent = Extent { records: 1, bytes: 1, unknown: 1 };
    rig.wait_for_loss(LossReason::DeletedBeforeRead, extent);
}

#[test]
fn a_file_that_was_found_empty_is_recognized_when_it_was_compressed_meanwhile() {
    let mut rig = Rig::new();
    *rig.sink.full.lock() = true;
    rig.start();
    let dir = rig.container("ns_pod_uid", "c");
    append(&dir.join("0.log"), "");
    wait(|| rig.positions().len() == 1, || format!("{:?}", rig.positions()));
    append(&dir.join("0.log"), lines(0..10));
    let known = || rig.positions().iter().all(|cover| cover.fingerprint.head != 0);
    wait(known, || format!("{:?}", rig.positions()));
    rig.kill();
    let rotated = dir.join("0.log.20261122-100000");
    fs::rename(dir.join("0.log"), &rotated).unwrap();
    append(&dir.join("0.log"), lines(10..20));
    compress(&rotated);
    *rig.sink.full.lock() = false;
    rig.restart();
    rig.wait_for(20);
    assert_eq!(rig.bodies(), numbers(0..20));
    assert!(rig.losses().is_empty(), "{:?}", rig.losses());
}

#[test]
fn what_is_known_of_other_files_does_not_wait_behind_a_frame_that_the_disk_has_no_room_for() {
    let mut rig = Rig::new();
    *rig.sink.refuses.lock() = true;
    rig.start();
    append(&rig.container("ns_a_uid-1", "c").join("0.log"), lines(0..10));
    rig.wait_for_refusal();
    append(&rig.container("ns_b_uid-2", "c").join("0.log"), lines(10..20));
    let known = |pod: &str| rig.positions().iter().any(|cover| cover.stream.0.contains(pod));
    wait(|| known("_b_"), || format!("{:?}", rig.positions()));
    let of_a = |cover: &Cover| cover.stream.0.contains("_a_") && cover.position.upper() > 0;
    assert!(!rig.positions().iter().any(of_a), "its lines are in no frame yet");
    assert!(rig.records().is_empty());
    *rig.sink.refuses.lock() = false;
    rig.wait_for(20);
    assert_eq!(rig.bodies(), numbers(0..20));
}

#[test]
fn rotations_of_a_busy_container_are_noticed_soon_while_the_queue_is_full() {
    let mut rig = Rig::new();
    *rig.sink.full.lock() = true;
    rig.start();
    let dir = rig.container("ns_pod_uid", "c");
    // Many writes: it is not followed by events any more.
    (0..200).for_each(|number| {
        append(&dir.join("0.log"), lines(number..number + 1));
        std::thread::sleep(Duration::from_millis(2));
    });
    // All of them before a look at everything, each 10 s, would have shown them.
    let deadline = Instant::now() + Duration::from_secs(25);
    for number in 0..5 {
        fs::rename(dir.join("0.log"), dir.join(format!("0.log.20261122-10000{number}"))).unwrap();
        append(&dir.join("0.log"), lines(number..number + 1));
        wait(|| rig.positions().len() == number + 2, || format!("{:?}", rig.positions()));
    }
    assert!(Instant::now() < deadline, "noticed late");
}

#[test]
fn a_file_that_is_shorter_than_what_was_read_of_it_is_counted_once_and_the_rest_goes_on() {
    let mut rig = Rig::new();
    rig.start();
    let dir = rig.container("ns_pod_uid", "c");
    append(&dir.join("0.log"), lines(0..10));
    rig.wait_for(10);
    let read = fs::metadata(dir.join("0.log")).unwrap().len();
    *rig.sink.full.lock() = true;
    let old = dir.join("0.log.20261122-100000");
    fs::rename(dir.join("0.log"), &old).unwrap();
    append(&dir.join("0.log"), lines(10..20));
    // What a power cut or a person may do.
    fs::OpenOptions::new().write(true).open(&old).unwrap().set_len(100).unwrap();
    age(&old);
    // The frame of its lines, and the note of the count.
    let told = || {
        let frames = rig.sink.frames.lock();
        let covers = frames.iter().flat_map(|frame| &frame.covers);
        covers.filter(|cover| cover.position.upper() == read).count()
    };
    wait(|| told() > 1, || format!("{}", told()));
    *rig.sink.full.lock() = false;
    wait(|| rig.bodies().ends_with(&numbers(10..20)), || format!("{:?}", rig.bodies()));
}
