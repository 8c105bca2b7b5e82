//! A destination is back after a time away: what is written now does not wait behind what is old.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::agent::{Agent, Settings};
use crate::pods::Container;
use crate::process::wait_until;
use crate::receiver::Receiver;
use crate::rig::Rig;
use crate::two_destinations::Noise;

/// Bytes of one line that do not compress to much less.
const LINE: usize = 1000;
/// Lines of the backlog: some twenty frames.
const BACKLOG: u64 = 16_000;
/// Lines that a frame holds at most.
const FRAME: usize = 1200;
/// What waits for so long is a backlog, and a little more.
const LATE: Duration = Duration::from_secs(11);

/// A container's backlog, made while the receiver was away, with the receiver back behind a slow line.
fn backlog(rig: &Rig) -> (Container, Agent, Receiver, Settings) {
    let away = rig.dead_port();
    // What was sent and not answered in time is sent again: on a slow line and a busy machine that takes long.
    let settings = Settings { catch_up: "newestFirst", timeout: "60s", ..Settings::to(away) };
    // Before there is anything to read: of what is older than the agent only a part is read ahead of sending.
    let agent = rig.agent(&settings);
    let mut web = rig.pod("web");
    let mut noise = Noise(1);
    (0..BACKLOG).for_each(|_| web.line("stdout", &noise.text(LINE)));
    agent.wait_until_read(web.bytes());
    let read = Instant::now();
    wait_until("what was read has waited", || read.elapsed() > LATE);
    let receiver = rig.receiver();
    slow_line(away, receiver.grpc);
    wait_until("the destination is back", || receiver.received() > 0);
    (web, agent, receiver, settings)
}

#[test]
fn what_is_written_now_arrives_before_the_backlog_is_through_and_everything_once() {
    let rig = Rig::new();
    let (web, mut agent, mut receiver, _) = backlog(&rig);
    let mut news = rig.pod("news");
    for _ in 0..3 {
        let before = receiver.received();
        news.lines(10);
        wait_until("something arrives", || receiver.received() > before);
    }
    let waiting = agent.status()["spool"]["files"].clone();
    assert!(waiting["frames"].as_u64() > Some(5), "the backlog is seen: {waiting}");
    assert!(waiting["waitingBytes"].as_u64() > Some(4 << 20), "{waiting}");
    receiver.wait_for_records(web.written() + news.written());
    agent.stop();

    let records = receiver.records();
    let last = records.iter().rposition(|record| record["pod"] == "news").unwrap();
    assert!(last < records.len() * 3 / 4, "the last new line is number {last}");
    // Each of the two is at one end alone: in order.
    web.assert_exact(&records);
    news.assert_exact(&records);
}

#[test]
fn a_kill_while_it_catches_up_costs_no_line_and_doubles_what_was_in_flight_alone() {
    let rig = Rig::new();
    let (web, mut agent, mut receiver, settings) = backlog(&rig);
    let mut news = rig.pod("news");
    for round in 0..3 {
        let before = receiver.received();
        news.lines(10);
        wait_until("something arrives", || receiver.received() > before + 1000);
        agent.process.signal(Signal::KILL);
        agent.process.wait();
        assert!(receiver.received() < BACKLOG, "in the middle of it, round {round}");
        agent = rig.agent(&settings);
    }
    let mut records = Vec::new();
    wait_until("every line arrives", || {
        records = receiver.records();
        distinct(&web, &records) == web.written() && distinct(&news, &records) == news.written()
    });
    agent.stop();
    let all = web.written() + news.written();
    let doubled = receiver.records().len() - usize::try_from(all).unwrap();
    assert!(doubled <= 3 * FRAME, "{doubled} lines came twice");
}

fn distinct(pod: &Container, records: &[Value]) -> u64 {
    let mut numbers = pod.numbers(records);
    numbers.sort_unstable();
    numbers.dedup();
    numbers.len() as u64
}

/// Passes on what comes to `from`, a MiB a second.
fn slow_line(from: SocketAddr, to: SocketAddr) {
    let listener = TcpListener::bind(from).unwrap();
    std::thread::spawn(move || {
        while let Ok((client, _)) = listener.accept() {
            let server = TcpStream::connect(to).unwrap();
            let (mut back, mut answers) =
                (client.try_clone().unwrap(), server.try_clone().unwrap());
            std::thread::spawn(move || drop(std::io::copy(&mut answers, &mut back)));
            std::thread::spawn(move || pass_slowly(client, server));
        }
    });
}

fn pass_slowly(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = vec![0; 16 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..read]).is_err() {
            return;
        }
        std::thread::sleep(Duration::from_secs(1) * u32::try_from(read).unwrap() / (1 << 20));
    }
    drop(to.shutdown(std::net::Shutdown::Both));
}
