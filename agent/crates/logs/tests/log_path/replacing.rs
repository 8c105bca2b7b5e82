//! Frames that were damaged in the queue: their lines come again from the files, in a frame that stands for them.

use std::fs;

use hawsepipe_model::{Extent, Frame, LossReason, Missing};

use crate::rig::{Rig, age, append, compress, line, lines, numbers, wait};

impl Rig {
    /// Takes every frame with lines out of the queue, as damaged; what they were.
    fn damage(&self, with_tallies: bool) -> Vec<Frame> {
        let mut frames = self.sink.frames.lock();
        let (damaged, kept) = frames.drain(..).partition(|frame| !frame.is_note());
        *frames = kept;
        let damaged: Vec<Frame> = damaged;
        let missing = damaged.iter().enumerate().map(|(id, frame)| Missing {
            id: id as u64,
            covers: frame.covers.clone(),
            tallies: if with_tallies { frame.tallies.clone() } else { Vec::new() },
        });
        self.sink.missing.lock().extend(missing);
        damaged
    }

    /// Waits until every damaged frame has another one in its place, of the same lines.
    #[track_caller]
    fn wait_for_replaced(&self, damaged: &[Frame]) {
        let replaced = |id: u64| {
            let frames = self.sink.frames.lock();
            frames.iter().find(|frame| frame.replaces == [id]).cloned()
        };
        let all = || (0..damaged.len() as u64).all(|id| replaced(id).is_some());
        wait(all, || format!("{:?}", self.sink.frames.lock()));
        for (id, frame) in damaged.iter().enumerate() {
            let again = replaced(id as u64).unwrap();
            assert!(again.covers.is_empty());
            assert_eq!(again.tallies, frame.tallies);
        }
    }
}

#[test]
fn a_damaged_frames_lines_are_read_again_from_plain_renamed_and_compressed_files() {
    let mut rig = Rig::new();
    let dir = rig.container("ns_pod_uid", "c");
    let live = dir.join("0.log");
    rig.start();
    append(&live, lines(0..10));
    rig.wait_for(10);
    append(&live, lines(10..20));
    rig.wait_for(20);
    let damaged = rig.damage(true);
    rig.wait_for_replaced(&damaged);
    assert_eq!(rig.bodies(), numbers(0..20));
    // Renamed, with a successor.
    fs::rename(&live, dir.join("0.log.20261122-100000")).unwrap();
    append(&live, lines(20..30));
    rig.wait_for(30);
    let tailer = rig.tailer.as_ref().unwrap();
    wait(|| tailer.status().open_files == 1, || format!("{:?}", tailer.status()));
    rig.sink.frames.lock().retain(|frame| frame.replaces.is_empty());
    *rig.sink.missing.lock() = vec![];
    let mut all = damaged;
    all.extend(rig.damage(true));
    let ask = |all: &[Frame]| {
        let missing = all.iter().enumerate().map(|(id, frame)| Missing {
            id: id as u64,
            covers: frame.covers.clone(),
            tallies: frame.tallies.clone(),
        });
        *rig.sink.missing.lock() = missing.collect();
    };
    ask(&all);
    rig.wait_for_replaced(&all);
    assert_eq!(rig.bodies(), numbers(0..30));
    // Compressed.
    append(&dir.join("0.log.20261122-110000"), "");
    compress(&dir.join("0.log.20261122-100000"));
    rig.sink.frames.lock().clear();
    ask(&all);
    rig.wait_for_replaced(&all);
    assert_eq!(rig.bodies(), numbers(0..30));
    assert!(rig.losses().is_empty(), "{:?}", rig.losses());
}

#[test]
fn a_range_begins_and_ends_at_the_byte_for_each_output() {
    let mut rig = Rig::new();
    let live = rig.container("ns_pod_uid", "c").join("0.log");
    rig.start();
    append(&live, "2026-11-22T10:00:00Z stdout P one \n");
    append(&live, "2026-11-22T10:00:00Z stderr F aside\n");
    rig.wait_for(1);
    append(&live, "2026-11-22T10:00:00Z stdout P two \n");
    append(&live, "2026-11-22T10:00:00Z stderr P more \n");
    append(&live, "2026-11-22T10:00:00Z stdout F three\n");
    rig.wait_for(2);
    append(&live, "2026-11-22T10:00:00Z stderr F end\n");
    append(&live, line("last"));
    rig.wait_for(4);
    let expected = ["aside", "one two three", "more end", "last"];
    assert_eq!(rig.bodies(), expected);
    let damaged = rig.damage(false);
    rig.wait_for_replaced(&damaged);
    assert_eq!(rig.bodies(), expected);
}

#[test]
fn a_line_across_two_files_is_read_again_from_both() {
    let mut rig = Rig::new();
    let dir = rig.container("ns_pod_uid", "c");
    rig.start();
    append(&dir.join("0.log"), line("first"));
    append(&dir.join("0.log"), "2026-11-22T10:00:01Z stdout P one \n");
    append(&dir.join("0.log"), "2026-11-22T10:00:00Z stderr F aside\n");
    rig.wait_for(2);
    fs::rename(dir.join("0.log"), dir.join("0.log.20261122-100000")).unwrap();
    // More than one read, so that the later file is covered before the line is whole that began in the earlier one.
    let next = "2026-11-22T10:00:00Z stderr F next\n".repeat(10_000);
    append(&dir.join("0.log"), next + "2026-11-22T10:00:00Z stdout F two\n" + &line("last"));
    rig.wait_for(10_004);
    let bodies = rig.bodies();
    assert_eq!(bodies[10_002..], ["one two", "last"]);
    let damaged = rig.damage(true);
    rig.wait_for_replaced(&damaged);
    assert_eq!(rig.bodies(), bodies);
}

#[test]
fn what_the_files_do_not_have_any_more_is_lost_exactly() {
    let mut rig = Rig::new();
    let [gone, here] = ["ns_gone_uid-1", "ns_here_uid-2"].map(|name| rig.container(name, "c"));
    append(&gone.join("0.log"), lines(0..10));
    append(&here.join("0.log"), lines(10..20));
    rig.start();
    rig.wait_for(20);
    fs::remove_dir_all(rig.root.path().join("ns_gone_uid-1")).unwrap();
    rig.wait_for_streams(1);
    let damaged = rig.damage(true);
    rig.wait_for_loss(LossReason::SpoolDamage, Extent::known(10, 10));
    wait(
        || {
            rig.sink.frames.lock().iter().filter(|frame| !frame.replaces.is_empty()).count()
                == damaged.len()
        },
        || format!("{:?}", rig.sink.frames.lock()),
    );
    assert_eq!(rig.bodies(), numbers(10..20));
    let frames = rig.sink.frames.lock();
    let losses = frames.iter().flat_map(|frame| &frame.losses);
    assert!(losses.into_iter().all(|loss| &*loss.key.pod == "gone"));
}

#[test]
fn what_is_left_of_a_damaged_frame_is_not_counted_as_lost() {
    let mut rig = Rig::new();
    let dir = rig.container("ns_pod_uid", "c");
    let rotated = dir.join("0.log.20261122-100000");
    append(&rotated, lines(0..10));
    append(&dir.join("0.log"), lines(10..30));
    // Nobody writes to the rotated one any more, so that both go into one frame.
    age(&rotated);
    rig.start();
    rig.wait_for(30);
    let tailer = rig.tailer.as_ref().unwrap();
    wait(|| tailer.status().open_files == 1, || format!("{:?}", tailer.status()));
    fs::remove_file(&rotated).unwrap();
    let damaged = rig.damage(true);
    assert_eq!(damaged.len(), 1);
    rig.wait_for_loss(LossReason::SpoolDamage, Extent::known(10, 10));
    assert_eq!(rig.bodies(), numbers(10..30));
}

#[test]
fn of_a_damaged_frame_of_which_nothing_is_left_a_note_stands_in_its_place() {
    let mut rig = Rig::new();
    let gone = rig.container("ns_gone_uid-1", "c");
    append(&gone.join("0.log"), lines(0..10));
    rig.start();
    rig.wait_for(10);
    fs::remove_dir_all(rig.root.path().join("ns_gone_uid-1")).unwrap();
    rig.wait_for_streams(0);
    // What was in it is not known either.
    let damaged = rig.damage(false);
    assert_eq!(damaged.len(), 1);
    rig.wait_for_loss(LossReason::SpoolDamage, Extent::UNKNOWN);
    let frames = rig.sink.frames.lock();
    let note = frames.iter().find(|frame| frame.replaces == [0]).unwrap();
    assert!(note.is_note());
}

#[test]
fn a_replaced_frame_waits_for_no_room_and_cuts_are_not_counted_twice() {
    let mut rig = Rig::new();
    rig.settings.max_record_bytes = 1000;
    let live = rig.container("ns_pod_uid", "c").join("0.log");
    append(&live, line(&"x".repeat(1500)));
    rig.start();
    rig.wait_for(1);
    rig.wait_for_loss(LossReason::RecordTooLarge, Extent::known(1, 500));
    *rig.sink.full.lock() = true;
    let damaged = rig.damage(true);
    rig.wait_for_replaced(&damaged);
    assert!(rig.losses().is_empty(), "{:?}", rig.losses());
}

#[test]
fn a_replaced_frame_that_the_disk_has_no_room_for_is_tried_again() {
    let mut rig = Rig::new();
    let live = rig.container("ns_pod_uid", "c").join("0.log");
    append(&live, lines(0..10));
    rig.start();
    rig.wait_for(10);
    *rig.sink.dead.lock() = true;
    let damaged = rig.damage(true);
    rig.wait_for_refusal();
    *rig.sink.dead.lock() = false;
    rig.wait_for_replaced(&damaged);
    assert_eq!(rig.bodies(), numbers(0..10));
}
