//! What cannot be delivered is counted, in the frame or note that passes over it, exactly where that can be known.

use std::fs;

use hawsepipe_model::{Extent, LossReason};

use crate::rig::{Rig, append, compress, line, lines, numbers, wait};

#[test]
fn frames_say_what_they_hold_of_each_stream() {
    let mut rig = Rig::new();
    append(&rig.container("ns_a_uid-1", "c").join("0.log"), lines(0..10));
    append(&rig.container("ns_b_uid-2", "c").join("0.log"), line("hello"));
    rig.start();
    rig.wait_for(11);
    let frames = rig.sink.frames.lock();
    let tallies = frames.iter().flat_map(|frame| &frame.tallies);
    let mut sums = std::collections::BTreeMap::new();
    for tally in tallies {
        let sum: &mut (u64, u64) = sums.entry(tally.stream.to_string()).or_default();
        *sum = (sum.0 + tally.records, sum.1 + tally.bytes);
    }
    let expected = [("ns_a_uid-1/c".to_owned(), (10, 10)), ("ns_b_uid-2/c".to_owned(), (1, 5))];
    assert!(sums.into_iter().eq(expected));
}

#[test]
fn what_is_cut_off_and_holes_are_counted_in_the_frame_of_their_lines() {
    let mut rig = Rig::new();
    rig.settings.max_record_bytes = 1000;
    let log = rig.container("ns_pod_uid", "c").join("0.log");
    append(&log, [0; 5000]);
    append(&log, line(&"x".repeat(1500)));
    append(&log, line(&"y".repeat(1700)));
    rig.start();
    rig.wait_for(2);
    let losses = rig.losses();
    assert_eq!(losses[&LossReason::RecordTooLarge], Extent::known(2, 500 + 700));
    assert_eq!(losses[&LossReason::NulBytes], Extent::known(0, 5000));
    let frames = rig.sink.frames.lock();
    assert!(frames.iter().all(|frame| !frame.is_note() || frame.losses.is_empty()));
    let key = &frames.iter().flat_map(|frame| &frame.losses).next().unwrap().key;
    assert_eq!((&*key.namespace, &*key.pod, &key.destination), ("ns", "pod", &None));
}

#[test]
fn a_corrupt_compressed_file_is_a_loss_of_an_unknown_extent_counted_once() {
    let mut rig = Rig::new();
    let dir = rig.container("ns_pod_uid", "c");
    let rotated = dir.join("0.log.20261122-100000");
    append(&rotated, lines(0..10));
    compress(&rotated);
    let gz = dir.join("0.log.20261122-100000.gz");
    let bytes = fs::read(&gz).unwrap();
    fs::write(&gz, &bytes[..bytes.len() / 2]).unwrap();
    append(&dir.join("0.log"), lines(10..20));
    rig.start();
    wait(|| rig.bodies().ends_with(&numbers(10..20)), || format!("{:?}", rig.bodies()));
    append(&dir.join("1.log"), lines(20..30));
    wait(|| rig.bodies().ends_with(&numbers(10..30)), || format!("{:?}", rig.bodies()));
    rig.wait_for_loss(LossReason::FileCorrupt, Extent::UNKNOWN);
}

#[test]
fn what_was_deleted_while_the_agent_was_away_is_an_unknown_loss_and_said_without_any_line() {
    let mut rig = Rig::new();
    let [file, folder] = ["ns_a_uid-1", "ns_b_uid-2"].map(|name| rig.container(name, "c"));
    append(&file.join("0.log"), lines(0..10));
    append(&folder.join("0.log"), lines(10..20));
    rig.start();
    rig.wait_for(20);
    rig.kill();
    fs::remove_file(file.join("0.log")).unwrap();
    fs::remove_dir_all(rig.root.path().join("ns_b_uid-2")).unwrap();
    rig.restart();
    let extent = Extent { unknown: 2, ..Extent::default() };
    rig.wait_for_loss(LossReason::DeletedBeforeRead, extent);
    assert!(rig.positions().is_empty(), "{:?}", rig.positions());
    // Said once: the next start knows nothing of it any more.
    rig.kill();
    rig.restart();
    append(&rig.container("ns_c_uid-3", "c").join("0.log"), lines(20..30));
    rig.wait_for(30);
    rig.wait_for_loss(LossReason::DeletedBeforeRead, extent);
}

#[test]
fn a_file_that_was_found_and_never_read_is_missed_when_it_is_deleted_while_the_agent_is_away() {
    let mut rig = Rig::new();
    *rig.sink.full.lock() = true;
    rig.start();
    let log = rig.container("ns_pod_uid", "c").join("0.log");
    append(&log, lines(0..10));
    wait(|| rig.positions().len() == 1, || format!("{:?}", rig.positions()));
    rig.kill();
    fs::remove_file(&log).unwrap();
    *rig.sink.full.lock() = false;
    rig.restart();
    rig.wait_for_loss(LossReason::DeletedBeforeRead, Extent::UNKNOWN);
}

#[test]
fn a_loss_that_the_queue_cannot_take_now_is_told_later_and_once() {
    let mut rig = Rig::new();
    let log = rig.container("ns_pod_uid", "c").join("0.log");
    append(&log, lines(0..10));
    rig.start();
    rig.wait_for(10);
    rig.kill();
    fs::remove_file(&log).unwrap();
    *rig.sink.dead.lock() = true;
    *rig.sink.refused.lock() = 0;
    rig.restart();
    rig.wait_for_refusal();
    append(&rig.container("ns_other_uid2", "c").join("0.log"), lines(10..20));
    rig.wait_for_streams(2);
    assert!(rig.losses().is_empty());
    *rig.sink.dead.lock() = false;
    rig.wait_for(20);
    rig.wait_for_loss(LossReason::DeletedBeforeRead, Extent::UNKNOWN);
}

#[test]
fn a_frame_that_the_queue_can_never_take_is_counted_and_passed() {
    let mut rig = Rig::new();
    *rig.sink.tiny.lock() = true;
    let log = rig.container("ns_pod_uid", "c").join("0.log");
    append(&log, lines(0..10));
    rig.start();
    rig.wait_for_loss(LossReason::NotSpooled, Extent::known(10, 10));
    assert_eq!(rig.positions()[0].position.lower(), fs::metadata(&log).unwrap().len());
    *rig.sink.tiny.lock() = false;
    append(&log, lines(10..20));
    rig.wait_for(10);
    assert_eq!(rig.bodies(), numbers(10..20));
}

#[test]
fn what_the_queue_did_not_take_before_the_end_is_no_loss_but_read_again() {
    let mut rig = Rig::new();
    rig.start();
    let log = rig.container("ns_pod_uid", "c").join("0.log");
    append(&log, lines(0..10));
    rig.wait_for(10);
    // The room goes when the lines are read already.
    *rig.sink.dead.lock() = true;
    append(&log, lines(10..20));
    let metrics = rig.metrics.clone();
    let read = fs::metadata(&log).unwrap().len();
    wait(|| metrics.read_bytes() == read, || metrics.read_bytes().to_string());
    rig.kill();
    rig.restart();
    rig.wait_for(20);
    assert_eq!(rig.bodies(), numbers(0..20));
    assert!(rig.losses().is_empty(), "{:?}", rig.losses());
}

#[test]
fn new_files_are_still_opened_while_a_frame_waits_for_room() {
    let mut rig = Rig::new();
    rig.start();
    *rig.sink.dead.lock() = true;
    append(&rig.container("ns_a_uid-1", "c").join("0.log"), lines(0..10));
    rig.wait_for_refusal();
    let dir = rig.container("ns_b_uid-2", "c");
    append(&dir.join("0.log"), lines(10..20));
    let tailer = rig.tailer.as_ref().unwrap();
    wait(|| tailer.status().open_files == 2, || format!("{:?}", tailer.status()));
    fs::remove_dir_all(rig.root.path().join("ns_b_uid-2")).unwrap();
    *rig.sink.dead.lock() = false;
    rig.wait_for(20);
    assert_eq!(rig.bodies(), numbers(0..20));
}
