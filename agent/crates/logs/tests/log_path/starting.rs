//! The first start of an agent on a node, and those after it: what was there before, and what was born since.

use std::fs;
use std::path::Path;
use std::time::UNIX_EPOCH;

use hawsepipe_logs::StartAt;

use crate::rig::{Rig, append, compress, let_age, lines, numbers, wait};

#[test]
fn a_first_start_reads_compressed_files_too_unless_it_starts_at_new() {
    for (start_at, expected) in [(StartAt::All, 0..30), (StartAt::New, 20..30)] {
        let mut rig = Rig::new();
        rig.settings.start_at = start_at;
        let dir = rig.container("ns_pod_uid", "c");
        append(&dir.join("0.log.20261122-100000"), lines(0..10));
        compress(&dir.join("0.log.20261122-100000"));
        append(&dir.join("0.log.20261122-110000"), lines(10..20));
        let_age(&dir.join("0.log.20261122-110000"));
        rig.start();
        rig.wait_for_streams(1);
        append(&dir.join("0.log"), lines(20..30));
        rig.wait_for(expected.len());
        assert_eq!(rig.bodies(), numbers(expected));
    }
}

#[test]
fn what_a_first_start_passed_over_stays_passed_over() {
    let mut rig = Rig::new();
    rig.settings.start_at = StartAt::New;
    let dir = rig.container("ns_pod_uid", "c");
    append(&dir.join("0.log.20261122-100000"), lines(0..10));
    append(&dir.join("0.log"), lines(10..20));
    let_age(&dir.join("0.log"));
    rig.start();
    rig.wait_for_streams(1);
    append(&dir.join("0.log"), lines(20..30));
    rig.wait_for(10);
    rig.kill();
    append(&dir.join("0.log"), lines(30..40));
    compress(&dir.join("0.log.20261122-100000"));
    // What is found now is not older than the first start, but what was passed over is known.
    rig.settings.start_at = StartAt::All;
    rig.restart();
    rig.wait_for(20);
    assert_eq!(rig.bodies(), numbers(20..40));
}

/// When a file was born, nanoseconds since the epoch.
fn birth(path: &Path) -> i64 {
    let born = fs::metadata(path).unwrap().created().unwrap();
    born.duration_since(UNIX_EPOCH).unwrap().as_nanos() as i64
}

#[test]
fn what_was_passed_over_is_in_the_queue_before_any_line() {
    let mut rig = Rig::new();
    rig.settings.start_at = StartAt::New;
    *rig.sink.full.lock() = true;
    let live = rig.container("ns_pod_uid", "c").join("0.log");
    append(&live, lines(0..10));
    let_age(&live);
    rig.start();
    wait(|| rig.positions().len() == 1, || format!("{:?}", rig.positions()));
    // Killed right away, and started as if there had been no first start: the position alone says it.
    rig.kill();
    append(&live, lines(10..20));
    rig.settings.start_at = StartAt::All;
    *rig.sink.full.lock() = false;
    rig.restart();
    rig.wait_for(10);
    assert_eq!(rig.bodies(), numbers(10..20));
}

#[test]
fn a_later_start_reads_what_was_born_since_the_first_from_its_beginning() {
    let mut rig = Rig::new();
    rig.settings.start_at = StartAt::New;
    let old = rig.container("ns_old_uid-1", "c").join("0.log");
    append(&old, lines(0..10));
    let_age(&old);
    let new = rig.container("ns_new_uid-2", "c").join("0.log");
    append(&new, lines(10..20));
    let_age(&new);
    rig.settings.first_start = Some((birth(&old) + birth(&new)) / 2);
    rig.start();
    rig.wait_for(10);
    append(&old, lines(20..30));
    rig.wait_for(20);
    assert_eq!(rig.bodies(), numbers(10..30));
}

#[test]
fn at_a_later_start_a_compressed_file_is_as_old_as_it_is_compressed() {
    let mut rig = Rig::new();
    rig.settings.start_at = StartAt::New;
    let dir = rig.container("ns_pod_uid", "c");
    let [old, new] = ["0.log.20261122-100000", "0.log.20261122-110000"].map(|name| dir.join(name));
    append(&old, lines(0..10));
    compress(&old);
    let old = dir.join("0.log.20261122-100000.gz");
    let_age(&old);
    append(&new, lines(10..20));
    compress(&new);
    rig.settings.first_start = Some(birth(&old) + 50_000_000);
    append(&dir.join("0.log"), lines(20..30));
    rig.start();
    rig.wait_for(20);
    assert_eq!(rig.bodies(), numbers(10..30));
}

#[test]
fn a_compressed_file_that_was_passed_over_stays_passed_over() {
    let mut rig = Rig::new();
    rig.settings.start_at = StartAt::New;
    let dir = rig.container("ns_pod_uid", "c");
    append(&dir.join("0.log.20261122-100000"), lines(0..10));
    compress(&dir.join("0.log.20261122-100000"));
    rig.start();
    wait(|| rig.positions().len() == 1, || format!("{:?}", rig.positions()));
    rig.kill();
    rig.settings.start_at = StartAt::All;
    append(&dir.join("0.log"), lines(10..20));
    rig.restart();
    rig.wait_for(10);
    assert_eq!(rig.bodies(), numbers(10..20));
}
