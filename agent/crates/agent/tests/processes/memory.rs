//! Memory is bounded by what the queue may hold, whatever is logged and whoever is away.

use std::fs::OpenOptions;
use std::io::{BufWriter, Write};

use crate::agent::{Agent, Settings};
use crate::process::wait_until;
use crate::rig::Rig;
use crate::two_destinations::Noise;

const LINE: usize = 100_000_000;
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

    let long = rig.pod("long");
    let file = OpenOptions::new().append(true).open(long.dir.join("0.log")).unwrap();
    let mut file = BufWriter::new(file);
    file.write_all(b"2026-01-01T00:00:00Z stdout F ").unwrap();
    let mut noise = Noise(1);
    let some = noise.text(1_000_000);
    (0..LINE / some.len()).for_each(|_| file.write_all(some.as_bytes()).unwrap());
    file.write_all(b"\n").unwrap();
    file.flush().unwrap();

    let mut burst = rig.pod("burst");
    let texts: Vec<_> = (0..1000).map(|_| noise.text(10_000)).collect();
    texts.iter().cycle().take(10_000).for_each(|text| burst.line("stdout", text));
    wait_until("reading stops", || agent.status()["logs"]["blockedBySpool"] == true);
    let held = peak(&agent);
    assert!(held <= BOUND, "{held} bytes");

    let mut receiver = rig.receiver_at(address, "data");
    receiver.wait_for_records(1 + burst.written());
    let drained = peak(&agent);
    assert!(drained <= BOUND, "{drained} bytes");
    agent.stop();
    let records = receiver.records();
    burst.assert_exact(&records);
    let cut = records.iter().find(|record| record["pod"] == "long").unwrap();
    assert_eq!(cut["body"].as_str().unwrap().len(), 1 << 20);
    assert_eq!(cut["attributes"]["hawsepipe.log.truncated"], true);
    assert_eq!(cut["attributes"]["hawsepipe.log.original_bytes"], LINE);
}
