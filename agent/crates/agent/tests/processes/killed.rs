//! The agent is killed with SIGKILL, or stopped with frames unsent: what it had read is in the spool, and what it had not is
//! in the files.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::agent::Settings;
use crate::pods::Container;
use crate::process::{program, wait_until};
use crate::rig::Rig;

const KILLS: u32 = 12;

/// Duplicates are only what was in flight at a kill: one frame each.
#[test]
fn no_line_is_lost_while_the_agent_is_killed_again_and_again() {
    let rig = Rig::new();
    let mut receiver = rig.receiver();
    let mut web = rig.pod("web");
    let stop = Arc::new(AtomicBool::new(false));
    let writer = {
        let stop = Arc::clone(&stop);
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                web.lines(20);
                std::thread::sleep(Duration::from_millis(2));
            }
            web
        })
    };
    let settings = Settings::to(receiver.grpc);
    let mut doubled_at_most = 0;
    for kill in 0..KILLS {
        let mut agent = rig.agent(&settings);
        if kill % 3 > 0 {
            // At work: somewhere between two frames.
            let sent = |name: &str| agent.destination("main")[name].as_u64().unwrap();
            wait_until("it sends", || sent("frames") > 1);
            doubled_at_most += 1;
        }
        agent.process.signal(Signal::KILL);
        agent.process.wait();
    }
    stop.store(true, Ordering::Relaxed);
    let web = writer.join().unwrap();
    let mut agent = rig.agent(&settings);
    let mut times: BTreeMap<u64, u32> = BTreeMap::new();
    wait_until("every line arrives", || {
        times.clear();
        for number in web.numbers(&receiver.records()) {
            *times.entry(number).or_default() += 1;
        }
        times.len() as u64 == web.written()
    });
    agent.stop();
    assert!(times.keys().copied().eq(0..web.written()));
    let doubled = times.values().filter(|count| **count > 1).count();
    assert!(times.values().all(|count| *count <= 1 + doubled_at_most));
    println!("{} lines, {doubled} twice after {KILLS} kills", web.written());
}

#[test]
fn what_was_not_sent_at_the_stop_is_sent_after_the_start_and_once() {
    let rig = Rig::new();
    let port = rig.dead_port();
    let mut web = rig.pod("web");
    web.lines(1000);
    let settings = Settings { shutdown_timeout: "0s", ..Settings::to(port) };
    let mut agent = rig.agent(&settings);
    agent.wait_until_read(web.bytes());
    agent.stop();
    web.lines(100);
    let mut agent = rig.agent(&settings);
    let mut receiver = rig.receiver_at(port, "data");
    receiver.wait_for_records(web.written());
    agent.stop();
    web.assert_exact(&receiver.records());
}

/// Nothing before the byte where it was killed comes again, nothing behind it is missing.
#[test]
fn after_a_kill_reading_goes_on_at_the_exact_byte_inside_the_compressed_file_with_a_line_open() {
    let rig = Rig::new();
    let mut receiver = rig.receiver();
    let mut web = rig.pod("web");
    web.lines(500);
    let mut agent = rig.agent(&Settings::to(receiver.grpc));
    receiver.wait_for_records(500);
    // A line of stdout is open while stderr goes on.
    let (open, begins) = (web.number(), web.bytes());
    web.piece("stdout", 'P', &format!("{open} begins, "));
    (0..100).for_each(|_| web.line("stderr", "goes on"));
    receiver.wait_for_records(600);
    let killed = web.bytes();
    agent.wait_until_read(killed);
    // What was in the destination's hand would come again.
    wait_until("it is settled", || agent.status()["spool"]["files"]["frames"] == 0);
    agent.process.signal(Signal::KILL);
    agent.process.wait();

    web.piece("stdout", 'P', "goes on, ");
    web.line("stderr", "while the agent is away");
    let first = web.rotate();
    web.piece("stdout", 'F', "ends");
    web.lines(100);
    let second = web.rotate();
    web.lines(100);
    Container::compress(&first);
    Container::compress(&second);
    let mut agent = rig.agent(&Settings { level: "debug", ..Settings::to(receiver.grpc) });
    receiver.wait_for_records(web.written());
    agent.stop();
    let said = agent.process.stderr();
    let goes_on: Vec<Value> = said
        .iter()
        .filter(|line| line.contains("reading goes on"))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let [goes_on] = &goes_on[..] else { panic!("{goes_on:?}") };
    assert!(goes_on["file"].as_str().unwrap().ends_with(".gz"), "{goes_on}");
    // stdout at the first byte of the line that was open, stderr behind the last one that was read.
    assert_eq!((&goes_on["stdout"], &goes_on["stderr"]), (&begins.into(), &killed.into()));
    let records = receiver.records();
    let mut numbers = web.numbers(&records);
    numbers.sort_unstable();
    assert!(numbers.iter().copied().eq(0..web.written()), "each line once");
    let whole = format!("{open} begins, goes on, ends");
    assert!(records.iter().any(|record| record["body"] == whole.as_str()));
}

#[test]
fn a_second_agent_on_the_same_spool_is_refused_and_told_why() {
    let rig = Rig::new();
    let settings = Settings::to(rig.dead_port());
    let mut agent = rig.agent(&settings);
    let mut second = program();
    second.args(["agent", "--config"]).arg(rig.path("config.yaml"));
    let output = second.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("used by another hawsepipe"), "{said}");
    agent.process.signal(Signal::KILL);
    agent.process.wait();
}
