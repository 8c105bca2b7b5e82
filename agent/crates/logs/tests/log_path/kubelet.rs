//! A kubelet and a runtime that do what they may do, in any order.

use std::fs;

use proptest::prelude::*;

use crate::rig::{Rig, append, compress, lines, numbers, wait};

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
