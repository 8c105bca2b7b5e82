//! What is bounded: what deleted files pin on the disk, how many files are open, and who has to wait.

use std::fs;

use hawsepipe_model::{Extent, LossReason};

use crate::rig::{
    CAPACITY, Rig, age, append, compress, is_held, let_age, line, lines, numbers, wait,
};

#[test]
fn deleted_files_pin_no_more_of_the_disk_than_they_may_and_what_is_let_go_is_counted_exactly() {
    let mut rig = Rig::new();
    rig.settings.max_unlinked = 10_000;
    rig.start();
    let count = 4000 / line("x").len();
    // One line of the first was read before.
    append(&rig.container("ns_pod0_uid0", "c").join("0.log"), line("x"));
    rig.wait_for(1);
    *rig.sink.full.lock() = true;
    for number in 0..5 {
        let dir = rig.container(&format!("ns_pod{number}_uid{number}"), "c");
        append(&dir.join("0.log"), line("x").repeat(count));
    }
    let tailer = rig.tailer.as_ref().unwrap();
    wait(|| tailer.status().open_files == 5, || format!("{:?}", tailer.status()));
    for entry in fs::read_dir(rig.root.path()).unwrap() {
        fs::remove_dir_all(entry.unwrap().path()).unwrap();
    }
    // Two of four thousand bytes fit. The note is taken however full the queue is.
    wait(|| tailer.status().open_files == 2, || format!("{:?}", tailer.status()));
    let lost = 3 * count as u64;
    rig.wait_for_loss(LossReason::UnlinkedOverBudget, Extent::known(lost, lost));
    *rig.sink.full.lock() = false;
    rig.wait_for(1 + 2 * count);
}

#[test]
fn of_a_line_that_is_let_go_in_its_middle_nothing_is_counted_twice() {
    let mut rig = Rig::new();
    rig.settings.max_unlinked = 10;
    rig.start();
    let dir = rig.container("ns_pod_uid", "c");
    append(&dir.join("0.log"), "2026-11-22T10:00:00Z stdout P one \n");
    append(&dir.join("0.log"), "2026-11-22T10:00:00Z stderr F aside\n");
    rig.wait_for(1);
    *rig.sink.full.lock() = true;
    append(&dir.join("0.log"), "2026-11-22T10:00:00Z stdout P two \n");
    append(&dir.join("0.log"), "2026-11-22T10:00:00Z stderr F more\n");
    append(&dir.join("0.log"), "2026-11-22T10:00:00Z stdout F three\n");
    append(&dir.join("0.log"), "2026-11-22T10:00:00Z stderr P without an end\n");
    append(&dir.join("0.log"), "2026-11-22T10:00:00Z stdout F no newline");
    fs::remove_dir_all(rig.root.path().join("ns_pod_uid")).unwrap();
    let lost = ["one two three", "more", "without an end", "no newline"];
    let bytes: usize = lost.iter().map(|line| line.len()).sum();
    rig.wait_for_loss(LossReason::UnlinkedOverBudget, Extent::known(4, bytes as u64));
}

#[test]
fn what_the_kubelet_has_compressed_is_read_on_in_the_copy_before_anything_is_let_go() {
    let mut rig = Rig::new();
    rig.settings.max_unlinked = 10_000;
    rig.start();
    let dir = rig.container("ns_pod_uid", "c");
    append(&dir.join("0.log"), lines(0..100));
    rig.wait_for(100);
    *rig.sink.full.lock() = true;
    append(&dir.join("0.log"), lines(100..1000));
    fs::rename(dir.join("0.log"), dir.join("0.log.20261122-100000")).unwrap();
    append(&dir.join("0.log"), lines(1000..2000));
    fs::rename(dir.join("0.log"), dir.join("0.log.20261122-110000")).unwrap();
    append(&dir.join("0.log"), lines(2000..2010));
    let tailer = rig.tailer.as_ref().unwrap();
    wait(|| tailer.status().open_files == 3, || format!("{:?}", tailer.status()));
    let rotated = dir.join("0.log.20261122-100000");
    compress(&rotated);
    wait(|| !is_held(&rotated), || rig.metrics.pinned_bytes().to_string());
    *rig.sink.full.lock() = false;
    rig.wait_for(2010);
    assert_eq!(rig.bodies(), numbers(0..2010));
    assert!(rig.losses().is_empty(), "{:?}", rig.losses());
}

#[test]
fn a_thousand_containers_are_read_with_sixty_four_open_files() {
    let mut rig = Rig::new();
    rig.settings.max_open_files = 64;
    let dirs: Vec<_> = (0..1000)
        .map(|number| rig.container(&format!("ns_pod{number}_uid{number}"), "c"))
        .collect();
    for (number, dir) in dirs.iter().enumerate() {
        append(&dir.join("0.log"), line(&number.to_string()));
    }
    rig.start();
    rig.wait_for(1000);
    let open = || rig.tailer.as_ref().unwrap().status().open_files;
    wait(|| open() <= 64, || open().to_string());
    // Closed ones are found again, be they written to, rotated or both.
    for (number, dir) in dirs.iter().enumerate() {
        append(&dir.join("0.log"), line(&(1000 + number).to_string()));
        if number % 3 == 0 {
            fs::rename(dir.join("0.log"), dir.join("0.log.20261122-100000")).unwrap();
            append(&dir.join("0.log"), line(&(2000 + number).to_string()));
        }
    }
    rig.wait_for(2000 + 334);
    wait(|| open() <= 64, || open().to_string());
    let mut bodies: Vec<usize> = rig.bodies().iter().map(|body| body.parse().unwrap()).collect();
    bodies.sort_unstable();
    let expected = (0..2000).chain((0..1000).step_by(3).map(|number| 2000 + number));
    assert!(bodies.into_iter().eq(expected));
    assert!(rig.losses().is_empty(), "{:?}", rig.losses());
}

#[test]
fn a_closed_file_that_was_compressed_meanwhile_is_read_on_in_the_copy() {
    let mut rig = Rig::new();
    rig.settings.max_open_files = 1;
    rig.start();
    let dir = rig.container("ns_pod_uid", "c");
    append(&dir.join("0.log"), lines(0..10));
    rig.wait_for(10);
    *rig.sink.full.lock() = true;
    // Files of other pods push it out.
    for number in 0..5 {
        let other = rig.container(&format!("ns_other{number}_uid{number}"), "c");
        append(&other.join("0.log"), "");
    }
    rig.wait_for_streams(6);
    append(&dir.join("0.log"), lines(10..20));
    // It is opened for what was written; others that are written to push it out again.
    let others =
        (0..5).cycle().map(|number| rig.container(&format!("ns_other{number}_uid{number}"), "c"));
    let others = std::cell::RefCell::new(others);
    let pushed_out = || {
        append(&others.borrow_mut().next().unwrap().join("0.log"), line("x"));
        !is_held(&dir.join("0.log"))
    };
    wait(pushed_out, String::new);
    fs::rename(dir.join("0.log"), dir.join("0.log.20261122-100000")).unwrap();
    compress(&dir.join("0.log.20261122-100000"));
    append(&dir.join("0.log"), lines(20..30));
    *rig.sink.full.lock() = false;
    let of_pod = || -> Vec<String> {
        let records = rig.records().into_iter();
        let of_pod = records.filter(|record| record.text("k8s.pod.name") == "pod");
        of_pod.map(|record| record.body).collect()
    };
    wait(|| of_pod().len() >= 30, || format!("{:?}", of_pod()));
    assert_eq!(of_pod(), numbers(0..30));
    assert!(rig.losses().is_empty(), "{:?}", rig.losses());
}

#[test]
fn a_closed_file_that_no_event_tells_of_is_found_under_its_new_name() {
    let mut rig = Rig::new();
    rig.settings.max_open_files = 1;
    let dir = rig.container("ns_pod_uid", "c");
    // A link makes the folder one that is looked at in turn.
    let elsewhere = tempfile::NamedTempFile::new().unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), dir.join("0.log")).unwrap();
    age(elsewhere.path());
    let live = dir.join("1.log");
    append(&live, lines(0..10));
    rig.start();
    rig.wait_for(10);
    append(&rig.container("ns_other_uid2", "c").join("0.log"), lines(100..110));
    rig.wait_for(20);
    wait(|| !is_held(&live), String::new);
    append(&live, lines(10..20));
    fs::rename(&live, dir.join("1.log.20261122-100000")).unwrap();
    append(&live, lines(20..30));
    rig.wait_for(40);
    let of_pod = rig.records().into_iter().filter(|record| record.text("k8s.pod.name") == "pod");
    assert!(of_pod.map(|record| record.body).eq(numbers(0..30)));
    assert!(rig.losses().is_empty(), "{:?}", rig.losses());
}

#[test]
fn a_file_that_is_deleted_soon_is_read_before_others() {
    let mut rig = Rig::new();
    *rig.sink.full.lock() = true;
    rig.start();
    let many = 30_000;
    for number in 0..3 {
        let dir = rig.container(&format!("ns_calm{number}_uid{number}"), "c");
        append(&dir.join("0.log"), lines(0..many));
    }
    let dir = rig.container("ns_rotates_uid", "c");
    for number in 0..3 {
        let rotated = dir.join(format!("0.log.20261122-10000{number}"));
        append(&rotated, lines(0..many / 3));
        age(&rotated);
    }
    append(&dir.join("0.log"), lines(0..10));
    let tailer = rig.tailer.as_ref().unwrap();
    wait(|| tailer.status().open_files == 7, || format!("{:?}", tailer.status()));
    *rig.sink.full.lock() = false;
    let records = rig.wait_for(4 * many + 10);
    let of = |record: &crate::rig::Record| record.text("k8s.pod.name") == "rotates";
    // Its first two files are through before any other has had more than a chunk or two.
    let behind_two =
        records.iter().enumerate().filter(|(_, record)| of(record)).nth(2 * many / 3).unwrap().0;
    let others = records[..behind_two].iter().filter(|record| !of(record)).count();
    let chunk = (256 << 10) / line("10000").len();
    assert!(others <= 3 * 2 * chunk, "{others} of {chunk} a chunk");
}

#[test]
fn a_backlog_that_will_be_deleted_does_not_wait_for_the_queue_to_be_nearly_empty() {
    let mut rig = Rig::new();
    let dir = rig.container("ns_rotates_uid-1", "c");
    append(&dir.join("0.log.20261122-100000"), lines(0..10));
    append(&dir.join("0.log.20261122-110000"), lines(10..20));
    append(&dir.join("0.log"), lines(20..30));
    let calm = rig.container("ns_calm_uid-2", "c").join("0.log");
    append(&calm, lines(100..110));
    let_age(&calm);
    *rig.sink.used.lock() = CAPACITY / 4;
    rig.start();
    // The oldest of three is in a hurry; what is left then is history like that of others.
    wait(|| rig.bodies().starts_with(&numbers(0..10)), || format!("{:?}", rig.bodies()));
    assert!(!rig.bodies().contains(&"100".to_owned()));
    *rig.sink.used.lock() = 0;
    rig.wait_for(40);
}
