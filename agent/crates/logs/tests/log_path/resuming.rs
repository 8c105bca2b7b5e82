//! Across restarts of the agent: reading goes on from the exact byte, in the plain file, the renamed one, or inside the
//! compressed one. The queue keeps its frames over the restart, as the spool does.

use std::fs;

use crate::rig::{Rig, age, append, compress, line, lines, numbers, wait};

#[test]
fn reading_goes_on_in_the_plain_the_renamed_and_the_compressed_file() {
    let mut rig = Rig::new();
    let dir = rig.container("ns_pod_uid", "c");
    let live = dir.join("0.log");
    append(&live, lines(0..10));
    rig.start();
    rig.wait_for(10);
    rig.kill();
    // Plain.
    append(&live, lines(10..20));
    rig.restart();
    rig.wait_for(20);
    rig.kill();
    // Renamed.
    append(&live, lines(20..30));
    fs::rename(&live, dir.join("0.log.20261122-100000")).unwrap();
    append(&live, lines(30..40));
    rig.restart();
    rig.wait_for(40);
    rig.kill();
    // Two rotations while away: one is compressed, the one between is still plain.
    append(&live, lines(40..50));
    fs::rename(&live, dir.join("0.log.20261122-110000")).unwrap();
    append(&live, lines(50..60));
    fs::rename(&live, dir.join("0.log.20261122-120000")).unwrap();
    append(&live, lines(60..70));
    compress(&dir.join("0.log.20261122-100000"));
    compress(&dir.join("0.log.20261122-110000"));
    rig.restart();
    rig.wait_for(70);
    assert_eq!(rig.bodies(), numbers(0..70));
}

#[test]
fn with_a_partial_line_open_each_output_goes_on_at_its_own_byte() {
    let mut rig = Rig::new();
    let dir = rig.container("ns_pod_uid", "c");
    let live = dir.join("0.log");
    append(&live, "2026-11-22T10:00:00Z stdout P one \n");
    append(&live, "2026-11-22T10:00:00Z stderr F aside\n");
    let end = fs::metadata(&live).unwrap().len();
    rig.start();
    rig.wait_for(1);
    rig.kill();
    let positions = rig.positions();
    assert_eq!((positions[0].position.stdout, positions[0].position.stderr), (0, end));
    append(&live, "2026-11-22T10:00:00Z stdout P two \n");
    fs::rename(&live, dir.join("0.log.20261122-100000")).unwrap();
    append(&live, "2026-11-22T10:00:00Z stdout F three\n");
    append(&live, line("next"));
    compress(&dir.join("0.log.20261122-100000"));
    rig.restart();
    rig.wait_for(3);
    assert_eq!(rig.bodies(), ["aside", "one two three", "next"]);
    rig.kill();
    append(&live, line("last"));
    rig.restart();
    rig.wait_for(4);
    assert_eq!(rig.bodies(), ["aside", "one two three", "next", "last"]);
}

#[test]
fn of_two_lines_that_go_on_in_the_next_file_the_one_that_is_told_leaves_no_half_behind() {
    let mut rig = Rig::new();
    let dir = rig.container("ns_pod_uid", "c");
    let live = dir.join("0.log");
    append(&live, "2026-11-22T10:00:00Z stdout P one \n");
    append(&live, "2026-11-22T10:00:00Z stderr P aside \n");
    fs::rename(&live, dir.join("0.log.20261122-100000")).unwrap();
    append(&live, "2026-11-22T10:00:00Z stdout F two\n");
    rig.start();
    rig.wait_for(1);
    rig.kill();
    append(&live, line("next"));
    append(&live, "2026-11-22T10:00:00Z stderr F end\n");
    rig.restart();
    rig.wait_for(3);
    assert_eq!(rig.bodies(), ["one two", "next", "aside end"]);
}

#[test]
fn a_file_that_a_power_cut_made_shorter_goes_on_at_its_end() {
    let mut rig = Rig::new();
    let live = rig.container("ns_pod_uid", "c").join("0.log");
    append(&live, lines(0..10));
    rig.start();
    rig.wait_for(10);
    rig.kill();
    let file = fs::OpenOptions::new().write(true).open(&live).unwrap();
    file.set_len(line("0").len() as u64 * 7).unwrap();
    append(&live, "");
    rig.restart();
    let tailer = rig.tailer.as_ref().unwrap();
    wait(|| tailer.status().open_files == 1, || format!("{:?}", tailer.status()));
    append(&live, lines(10..20));
    rig.wait_for(20);
    assert_eq!(rig.bodies(), numbers(0..20));
}

#[test]
fn a_corrupt_compressed_file_holds_up_nothing_behind_it() {
    let mut rig = Rig::new();
    let dir = rig.container("ns_pod_uid", "c");
    append(&dir.join("0.log.20261122-100000"), lines(0..10));
    compress(&dir.join("0.log.20261122-100000"));
    let gz = dir.join("0.log.20261122-100000.gz");
    let bytes = fs::read(&gz).unwrap();
    fs::write(&gz, &bytes[..bytes.len() / 2]).unwrap();
    append(&dir.join("0.log"), lines(10..20));
    rig.start();
    wait(|| rig.bodies().ends_with(&numbers(10..20)), || format!("{:?}", rig.bodies()));
}

#[test]
fn a_compressed_file_that_is_corrupt_in_its_middle_is_left_there() {
    let mut rig = Rig::new();
    let dir = rig.container("ns_pod_uid", "c");
    let rotated = dir.join("0.log.20261122-100000");
    append(&rotated, lines(0..40_000));
    compress(&rotated);
    let gz = dir.join("0.log.20261122-100000.gz");
    let mut bytes = fs::read(&gz).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 100].fill(0xff);
    fs::write(&gz, bytes).unwrap();
    append(&dir.join("0.log"), lines(40_000..40_010));
    rig.start();
    wait(|| rig.bodies().ends_with(&numbers(40_000..40_010)), || format!("{}", rig.bodies().len()));
    let bodies = rig.bodies();
    assert!(bodies.len() > 100 && bodies.len() < 40_010, "{}", bodies.len());
    assert_eq!(bodies[..100], numbers(0..100));
}

#[test]
fn nothing_is_remembered_of_what_is_gone() {
    let mut rig = Rig::new();
    rig.start();
    let dir = rig.container("ns_pod_uid", "c");
    append(&dir.join("0.log"), lines(0..10));
    rig.wait_for(10);
    fs::remove_dir_all(rig.root.path().join("ns_pod_uid")).unwrap();
    let tailer = rig.tailer.as_ref().unwrap();
    wait(|| tailer.status().streams == 0, || format!("{:?}", tailer.status()));
    append(&rig.container("ns_other_uid2", "c").join("0.log"), lines(10..11));
    rig.wait_for(11);
    let streams: Vec<_> = rig.positions().iter().map(|cover| cover.stream.to_string()).collect();
    assert_eq!(streams, ["ns_other_uid2/c"]);
}

#[test]
fn what_was_written_into_a_renamed_file_after_it_was_left_is_found_in_its_copy() {
    for killed in [false, true] {
        let mut rig = Rig::new();
        let dir = rig.container("ns_pod_uid", "c");
        let rotated = dir.join("0.log.20261122-100000");
        append(&rotated, lines(0..10));
        age(&rotated);
        append(&dir.join("0.log"), lines(10..20));
        rig.start();
        rig.wait_for(20);
        let tailer = rig.tailer.as_ref().unwrap();
        wait(|| tailer.status().open_files == 1, || format!("{:?}", tailer.status()));
        if killed {
            rig.kill();
        }
        // The copy holds more than the original did when it was looked at last.
        let name = rotated.file_name().unwrap();
        let aside = tempfile::tempdir_in(rig.root.path().parent().unwrap()).unwrap();
        append(&aside.path().join(name), lines(0..10) + &lines(20..25));
        compress(&aside.path().join(name));
        let gz = dir.join("0.log.20261122-100000.gz");
        fs::rename(aside.path().join("0.log.20261122-100000.gz"), gz).unwrap();
        fs::remove_file(&rotated).unwrap();
        if killed {
            rig.restart();
        }
        rig.wait_for(25);
        assert_eq!(rig.bodies(), numbers(0..25));
        assert!(rig.losses().is_empty(), "{:?}", rig.losses());
    }
}
