//! Memory is bounded by what the queue may hold, whatever is logged and whoever is away.

use std::fs::OpenOptions;
use std::io::{BufWriter, Write};

use crate::agent::{Agent, Settings};
use crate::process::wait_until;
use crate::rig::Rig;
use crate::two_destinations::Noise;

const LINE: usize = 100_000_000;
/// One piece of it; a runtime's have 16 KiB.
const PIECE: usize = 16_000;
/// `spool.files.maxBytes`, and the program itself with a frame under way at each place.
const BOUND: u64 = (16 + 64) << 20;

/// The most memory that the agent ever had, in bytes (proc_pid_status(5), `VmHWM`).
fn peak(agent: &Agent) -> u64 {
    let status = agent.process.proc("status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
}

#[test]
fn a_line_and_a_burst_of_100_mb_while_the_receiver_is_down_stay_within_the_bound() {
    let rig = Rig::new();
    let address = rig.dead_port();
    let settings = Settings { files_max_bytes: "16MiB", ..Settings::to(address) };
    let mut agent = rig.agent(&settings);

    let mut noise = Noise(1);
    let some = noise.text(PIECE);
    let part = |tag| format!("2026-01-01T00:00:00Z stdout {tag} {some}");
    // As a runtime writes it, in pieces; and in one, as none does.
    write_long(&rig, "pieces", "", &format!("{}\n", part('P')), &format!("{}\n", part('F')));
    write_long(&rig, "long", &part('F'), &some, "\n");

    let mut burst = rig.pod("burst");
    let texts: Vec<_> = (0..1000).map(|_| noise.text(10_000)).collect();
    texts.iter().cycle().take(10_000).for_each(|text| burst.line("stdout", text));
    wait_until("reading stops", || agent.status()["logs"]["blockedBySpool"] == true);
    let held = peak(&agent);
    assert!(held <= BOUND, "{held} bytes");

    let mut receiver = rig.receiver_at(address, "data");
    receiver.wait_for_records(2 + burst.written());
    let drained = peak(&agent);
    assert!(drained <= BOUND, "{drained} bytes");
    agent.stop();
    let records = receiver.records();
    burst.assert_exact(&records);
    for pod in ["pieces", "long"] {
        let cut = records.iter().find(|record| record["pod"] == pod).unwrap();
        assert_eq!(cut["body"].as_str().unwrap().len(), 1 << 20, "{pod}");
        assert_eq!(cut["attributes"]["hawsepipe.log.truncated"], true, "{pod}");
        assert_eq!(cut["attributes"]["hawsepipe.log.original_bytes"], LINE, "{pod}");
    }
}

/// Writes a line of [`LINE`] bytes: `first`, `middle` as often as needed, `last`.
fn write_long(rig: &Rig, pod: &str, first: &str, middle: &str, last: &str) {
    let path = rig.pod(pod).dir.join("0.log");
    let mut file = BufWriter::new(OpenOptions::new().append(true).open(path).unwrap());
    file.write_all(first.as_bytes()).unwrap();
    for _ in 1..LINE / PIECE {
        file.write_all(middle.as_bytes()).unwrap();
    }
    file.write_all(last.as_bytes()).unwrap();
    file.flush().unwrap();
}
