//! Files that become shorter: `copytruncate` on plain hosts, and rotation by hand. The kubelet never does that.

use std::fs::{self, OpenOptions};
use std::path::Path;

use hawsepipe_model::{Extent, LossReason};

use crate::rig::{Rig, append, line, lines, numbers, wait};

fn truncate(path: &Path) {
    OpenOptions::new().write(true).open(path).unwrap().set_len(0).unwrap();
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).unwrap().len()
}

#[test]
fn a_file_that_becomes_shorter_is_read_from_its_beginning_and_nothing_was_lost() {
    let mut rig = Rig::new();
    let log = rig.container("ns_pod_uid", "c").join("0.log");
    append(&log, lines(0..10));
    rig.start();
    rig.wait_for(10);
    truncate(&log);
    append(&log, lines(10..12));
    rig.wait_for(12);
    // Across a kill too: the position is that of the new content.
    rig.kill();
    append(&log, lines(12..15));
    rig.restart();
    rig.wait_for(15);
    assert_eq!(rig.bodies(), numbers(0..15));
    assert!(rig.losses().is_empty(), "{:?}", rig.losses());
}

#[test]
fn what_was_written_and_not_read_before_a_truncation_is_counted_as_far_as_it_is_known() {
    let mut rig = Rig::new();
    let log = rig.container("ns_pod_uid", "c").join("0.log");
    append(&log, lines(0..10));
    rig.start();
    rig.wait_for(10);
    let read = size(&log);
    *rig.sink.full.lock() = true;
    append(&log, lines(10..100));
    let written = size(&log);
    // A look at everything is ten seconds away at most, and a write is an event.
    let seen = rig.container("ns_other_uid2", "c").join("0.log");
    append(&seen, "");
    rig.wait_for_streams(2);
    truncate(&log);
    append(&log, lines(100..105));
    *rig.sink.full.lock() = false;
    rig.wait_for(15);
    let extent = Extent { records: 0, bytes: written - read, unknown: 1 };
    rig.wait_for_loss(LossReason::TruncatedBeforeRead, extent);
}

#[test]
fn the_beginning_of_a_line_that_was_truncated_away_is_one_line() {
    let mut rig = Rig::new();
    let log = rig.container("ns_pod_uid", "c").join("0.log");
    append(&log, lines(0..10) + "2026-11-22T10:00:00Z stdout F begun");
    rig.start();
    rig.wait_for(10);
    truncate(&log);
    append(&log, lines(10..12));
    rig.wait_for(12);
    assert_eq!(rig.bodies(), numbers(0..12));
    let bytes = "2026-11-22T10:00:00Z stdout F begun".len() as u64;
    rig.wait_for_loss(LossReason::TruncatedBeforeRead, Extent::known(1, bytes));
}

#[test]
fn a_file_that_was_written_anew_beyond_the_position_is_read_from_its_beginning() {
    let mut rig = Rig::new();
    let log = rig.container("ns_pod_uid", "c").join("0.log");
    append(&log, lines(0..10));
    rig.start();
    rig.wait_for(10);
    *rig.sink.full.lock() = true;
    truncate(&log);
    append(&log, lines(100..140));
    *rig.sink.full.lock() = false;
    rig.wait_for(50);
    assert_eq!(rig.bodies()[10..], numbers(100..140));
}

#[test]
fn a_file_that_was_truncated_while_the_agent_was_away_is_read_from_its_beginning() {
    let mut rig = Rig::new();
    let log = rig.container("ns_pod_uid", "c").join("0.log");
    append(&log, lines(0..10));
    rig.start();
    rig.wait_for(10);
    rig.kill();
    truncate(&log);
    append(&log, lines(10..15));
    rig.restart();
    rig.wait_for(15);
    assert_eq!(rig.bodies(), numbers(0..15));
}

#[test]
fn a_file_that_was_truncated_and_grows_while_the_agent_is_away_is_read_whole() {
    let mut rig = Rig::new();
    let log = rig.container("ns_pod_uid", "c").join("0.log");
    append(&log, lines(0..10));
    rig.start();
    rig.wait_for(10);
    let truncated = || rig.positions().iter().all(|cover| cover.position.upper() == 0);
    truncate(&log);
    wait(truncated, || format!("{:?}", rig.positions()));
    rig.kill();
    // Shorter than what was read before, and beginning as it did.
    append(&log, lines(0..5));
    rig.restart();
    rig.wait_for(15);
    assert_eq!(rig.bodies()[10..], numbers(0..5));
}

#[test]
fn an_output_that_was_ahead_in_a_file_that_a_power_cut_made_shorter_misses_nothing() {
    for written_anew in [false, true] {
        let mut rig = Rig::new();
        let log = rig.container("ns_pod_uid", "c").join("0.log");
        append(&log, line("first") + "2026-11-22T10:00:00Z stderr P open \n");
        let kept = size(&log);
        append(&log, lines(0..10));
        rig.start();
        rig.wait_for(11);
        rig.kill();
        OpenOptions::new().write(true).open(&log).unwrap().set_len(kept).unwrap();
        if written_anew {
            // Beyond the position that was ahead.
            append(&log, lines(10..30));
            rig.restart();
        } else {
            rig.restart();
            let tailer = rig.tailer.as_ref().unwrap();
            wait(|| tailer.status().open_files == 1, || format!("{:?}", tailer.status()));
            append(&log, lines(10..30));
        }
        wait(|| rig.bodies().ends_with(&numbers(10..30)), || format!("{:?}", rig.bodies()));
    }
}
