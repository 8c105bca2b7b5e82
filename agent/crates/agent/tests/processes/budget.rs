//! More is written than the budgets hold: reading stops, and what the kubelet deletes meanwhile is counted exactly.

use std::collections::VecDeque;
use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::agent::Settings;
use crate::pods::Container;
use crate::process::wait_until;
use crate::rig::Rig;
use crate::two_destinations::Noise;

/// Bytes of one line that do not compress to much less.
const LINE: usize = 1000;
/// The kubelet keeps so many rotated files.
const KEPT: usize = 3;

#[test]
fn the_ledger_counts_exactly_what_was_deleted_while_the_budget_was_used_up() {
    let rig = Rig::new();
    let away = rig.dead_port();
    let settings = Settings {
        max_record_bytes: "64KiB",
        files_max_bytes: "9MiB",
        max_unlinked: "2MiB",
        ..Settings::to(away)
    };
    let mut web = rig.pod("web");
    let mut agent = rig.agent(&settings);
    let mut noise = Noise(1);
    let mut rotated: VecDeque<PathBuf> = VecDeque::new();
    // 1 MiB a file, 26 MiB in all: far more than spool and deleted files may hold.
    for file in 0..26 {
        for _ in 0..1000 {
            web.line("stdout", &noise.text(LINE));
        }
        // What it never saw could not be counted in lines.
        wait_until(&format!("file {file} is seen"), || agent.holds(&web.path()));
        let newest = web.rotate();
        if let Some(last) = rotated.back() {
            Container::compress(last);
        }
        rotated.push_back(newest);
        if rotated.len() > KEPT
            && let Some(oldest) = rotated.pop_front()
        {
            fs::remove_file(format!("{}.gz", oldest.display())).unwrap();
        }
    }
    wait_until("reading stops", || agent.status()["logs"]["blockedBySpool"] == true);

    let mut receiver = rig.receiver_at(away, "data");
    wait_until("what is left arrives", || {
        let lost = lost(&agent.status());
        receiver.received() + lost.0 >= web.written()
    });
    let status = agent.status();
    agent.stop();
    let (records, unknown) = lost(&status);
    let numbers = web.numbers(&receiver.records());
    let wrong = numbers.windows(2).position(|pair| pair[0] >= pair[1]);
    let around = wrong.map(|at| &numbers[at.saturating_sub(3)..numbers.len().min(at + 5)]);
    assert_eq!(around, None, "in order, none twice; at {wrong:?} of {}", numbers.len());
    assert_eq!(unknown, 0, "{}", status["losses"]);
    assert_eq!(numbers.len() as u64 + records, web.written(), "{}", status["losses"]);
    assert!(records > 3_000, "{records}");
}

/// Records and losses of unknown extent in the ledger.
fn lost(status: &Value) -> (u64, u64) {
    let losses = status["losses"].as_array().unwrap();
    let sum = |key: &str| losses.iter().map(|loss| loss[key].as_u64().unwrap()).sum();
    (sum("records"), sum("unknownExtent"))
}
