//! Across restarts of the agent: reading goes on from the exact byte, in the plain file, the renamed one, or inside the
//! compressed one. The queue keeps its frames over the restart, as the spool does.

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use hawsepipe_logs::StartAt;
use hawsepipe_model::{Cover, SegmentId, SegmentState, StreamKey};
use proptest::prelude::*;

use crate::rig::{Rig, append, line, lines, numbers, wait};

impl Rig {
    /// The positions that the frames in the queue say.
    fn positions(&self) -> Vec<Cover> {
        let mut last: HashMap<(StreamKey, SegmentId), Cover> = HashMap::new();
        for cover in self.sink.frames.lock().iter().flat_map(|frame| &frame.covers) {
            let key = (cover.stream.clone(), cover.segment);
            if cover.state == SegmentState::Gone {
                last.remove(&key);
            } else {
                last.insert(key, cover.clone());
            }
        }
        last.into_values().collect()
    }

    /// The agent ends without a word. What is not in a frame is forgotten.
    fn kill(&mut self) {
        *self.sink.full.lock() = true;
        self.tailer = None;
        *self.sink.full.lock() = false;
    }

    fn restart(&mut self) {
        self.settings.positions = self.positions();
        self.start();
    }
}

/// What the kubelet does with a rotated file, once there is a newer one.
fn compress(plain: &Path) {
    let name = plain.file_name().unwrap().to_str().unwrap();
    let (tmp, gz) =
        (plain.with_file_name(format!("{name}.tmp")), plain.with_file_name(format!("{name}.gz")));
    let mut encoder = GzEncoder::new(fs::File::create(&tmp).unwrap(), Compression::fast());
    encoder.write_all(&fs::read(plain).unwrap()).unwrap();
    encoder.finish().unwrap();
    fs::rename(&tmp, gz).unwrap();
    fs::remove_file(plain).unwrap();
}

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
fn a_first_start_reads_compressed_files_too_unless_it_starts_at_new() {
    for (start_at, expected) in [(StartAt::All, 0..30), (StartAt::New, 20..30)] {
        let mut rig = Rig::new();
        rig.settings.start_at = start_at;
        let dir = rig.container("ns_pod_uid", "c");
        append(&dir.join("0.log.20261122-100000"), lines(0..10));
        compress(&dir.join("0.log.20261122-100000"));
        append(&dir.join("0.log.20261122-110000"), lines(10..20));
        crate::rig::let_age(&dir.join("0.log.20261122-110000"));
        rig.start();
        let tailer = rig.tailer.as_ref().unwrap();
        wait(|| tailer.status().streams == 1, || format!("{:?}", tailer.status()));
        append(&dir.join("0.log"), lines(20..30));
        rig.wait_for(expected.len());
        assert_eq!(rig.bodies(), numbers(expected));
    }
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
fn what_a_first_start_passed_over_stays_passed_over() {
    let mut rig = Rig::new();
    rig.settings.start_at = StartAt::New;
    let dir = rig.container("ns_pod_uid", "c");
    append(&dir.join("0.log.20261122-100000"), lines(0..10));
    append(&dir.join("0.log"), lines(10..20));
    crate::rig::let_age(&dir.join("0.log"));
    rig.start();
    let tailer = rig.tailer.as_ref().unwrap();
    wait(|| tailer.status().streams == 1, || format!("{:?}", tailer.status()));
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

#[derive(Debug, Clone)]
enum Step {
    Write(usize),
    WritePieces(usize),
    Rotate,
    Compress,
    Restart,
    KillAndRestart,
    Wait,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1..40_usize).prop_map(Step::Write),
        2 => (1..5_usize).prop_map(Step::WritePieces),
        2 => Just(Step::Rotate),
        2 => Just(Step::Compress),
        1 => Just(Step::Restart),
        2 => Just(Step::KillAndRestart),
        1 => Just(Step::Wait),
    ];
    proptest::collection::vec(step, 1..25)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 20, ..ProptestConfig::default() })]

    /// Scenario: a runtime writes, a kubelet rotates and compresses, the agent is killed and started, in any order.
    /// Guarantees: every line once, in order, in the frames that the queue kept.
    #[test]
    fn prop_every_line_arrives_once_whatever_happens_between(steps in steps()) {
        let mut rig = Rig::new();
        let dir = rig.container("ns_pod_uid", "c");
        let live = dir.join("0.log");
        append(&live, "");
        rig.start();
        let (mut written, mut rotations) = (0, 0);
        for step in steps {
            match step {
                Step::Write(count) => {
                    append(&live, lines(written..written + count));
                    written += count;
                }
                Step::WritePieces(count) => {
                    // In pieces, and in more than one write.
                    for number in written..written + count {
                        // No two lines of a container have the same time.
                        let text = number.to_string();
                        for (index, piece) in text.chars().enumerate() {
                            let nanos = number * 10 + index;
                            append(&live, format!("2026-11-22T10:00:00.{nanos:09}Z stdout P {piece}\n"));
                        }
                        append(&live, "2026-11-22T10:00:00Z stdout F \n");
                    }
                    written += count;
                }
                Step::Rotate => {
                    fs::rename(&live, dir.join(format!("0.log.20261122-{rotations:06}"))).unwrap();
                    append(&live, "");
                    rotations += 1;
                }
                // All but the newest, as the kubelet does.
                Step::Compress => {
                    for number in 0..rotations.max(1) - 1 {
                        let plain = dir.join(format!("0.log.20261122-{number:06}"));
                        if plain.exists() {
                            compress(&plain);
                        }
                    }
                }
                Step::Restart => {
                    rig.tailer = None;
                    rig.restart();
                }
                Step::KillAndRestart => {
                    rig.kill();
                    rig.restart();
                }
                Step::Wait => {
                    wait(|| rig.records().len() >= written, || format!("{:?}", rig.bodies()));
                }
            }
        }
        wait(|| rig.records().len() >= written, || format!("{:?} of {written}", rig.bodies()));
        prop_assert_eq!(rig.bodies(), numbers(0..written));
    }
}
