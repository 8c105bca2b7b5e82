//! A destination that is killed, hangs, talks nonsense or hangs up: nothing is lost while the agent lives.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::Signal;

use crate::agent::Settings;
use crate::process::wait_until;
use crate::rig::Rig;
use crate::two_destinations::Noise;

/// A frame whose acknowledgement was lost with the receiver is sent again: that OTLP cannot tell apart from a new one.
/// So lines may come twice here, but none may be missing, and the first time they come they are in order.
#[test]
fn no_line_is_lost_while_the_receiver_is_killed_and_started_again() {
    let rig = Rig::new();
    let mut receiver = rig.receiver();
    let address = receiver.grpc;
    let mut web = rig.pod("web");
    let mut agent = rig.agent(&Settings::to(address));
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
    for _ in 0..2 {
        receiver.wait_for_records(1000);
        receiver.process.signal(Signal::KILL);
        receiver.process.wait();
        agent.wait_for_retries(2);
        receiver = rig.receiver_at(address, "data");
    }
    receiver.wait_for_records(1000);
    stop.store(true, Ordering::Relaxed);
    let web = writer.join().unwrap();
    agent.wait_until_read(web.bytes());
    agent.stop();

    let mut seen = BTreeSet::new();
    let mut first = web.numbers(&receiver.records());
    first.retain(|number| seen.insert(*number));
    assert!(first.is_sorted(), "out of order");
    assert_eq!(first, Vec::from_iter(0..web.written()));
}

#[test]
fn a_destination_that_hangs_costs_no_line() {
    // Ended by the time limit of a request.
    costs_no_line(|mut stream| drop(stream.read_to_end(&mut Vec::new())));
}

#[test]
fn a_destination_that_answers_garbage_costs_no_line() {
    costs_no_line(|mut stream| drop(stream.write_all(&b"\xff\x00garbage".repeat(100))));
}

#[test]
fn a_destination_that_hangs_up_costs_no_line() {
    costs_no_line(|mut stream| drop(stream.read(&mut [0; 24])));
}

/// A receiver is stopped, something that answers like this stands in its place for a while, then a receiver again.
fn costs_no_line(answer: fn(TcpStream)) {
    let rig = Rig::new();
    let mut receiver = rig.receiver();
    let address = receiver.grpc;
    let mut web = rig.pod("web");
    web.lines(100);
    let mut agent = rig.agent(&Settings::to(address));
    receiver.wait_for_records(100);
    receiver.process.signal(Signal::TERM);
    receiver.process.ends_well();
    web.lines(100);
    // From here on a frame waits.
    agent.wait_for_retries(1);

    let fake = Fake::serve(address, answer);
    wait_until("it is tried", || fake.connections() > 0);
    agent.wait_for_retries(1);
    let reason = agent.destination("main")["reason"].clone();
    assert!(reason.as_str().is_some_and(|it| it.contains(&address.to_string())), "{reason}");
    fake.end();

    let mut receiver = rig.receiver_at(address, "data");
    receiver.wait_for_records(100);
    agent.stop();
    web.assert_exact(&receiver.records());
}

/// How much of a connection passes before it breaks, in bytes: less than a frame of noise.
const PART: usize = 200_000;

/// A frame that did not come whole is not taken, so nothing is doubled either.
#[test]
fn a_connection_that_hangs_or_breaks_in_the_middle_of_a_frame_costs_no_line() {
    let rig = Rig::new();
    let mut receiver = rig.receiver();
    let proxy = Proxy::start(rig.listen(), receiver.grpc);
    let mut web = rig.pod("web");
    let mut noise = Noise(1);
    (0..3000).for_each(|_| web.line("stdout", &noise.text(1000)));
    let mut agent = rig.agent(&Settings::to(proxy.address));
    receiver.wait_for_records(web.written());
    assert!(proxy.connections.load(Ordering::Relaxed) >= 3, "two were broken");
    assert!(agent.retries() >= 2, "{}", agent.destination("main"));
    agent.stop();
    web.assert_exact(&receiver.records());
}

/// Hands connections on: of the first a part, then no more; of the second a part, then it is closed; of others all.
struct Proxy {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Proxy {
    fn start(listener: TcpListener, to: SocketAddr) -> Self {
        let address = listener.local_addr().unwrap();
        let connections = Arc::<AtomicUsize>::default();
        let counter = Arc::clone(&connections);
        std::thread::spawn(move || {
            for (number, client) in listener.incoming().enumerate() {
                counter.fetch_add(1, Ordering::Relaxed);
                std::thread::spawn(move || hand_on(number, &client.unwrap(), to));
            }
        });
        Self { address, connections }
    }
}

fn hand_on(number: usize, client: &TcpStream, to: SocketAddr) {
    // The receiver goes before the last connection does.
    let Ok(server) = TcpStream::connect(to) else { return };
    let (mut from, mut into) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    std::thread::spawn(move || drop(std::io::copy(&mut from, &mut into)));
    let part = if number < 2 { PART as u64 } else { u64::MAX };
    drop(std::io::copy(&mut client.take(part), &mut &server));
    if number == 0 {
        // Stays open, and nothing goes through.
        loop {
            std::thread::park();
        }
    }
    drop(client.shutdown(Shutdown::Both));
    drop(server.shutdown(Shutdown::Both));
}

/// A server that is none.
struct Fake {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    ended: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Fake {
    /// Gives each connection to `answer`; what it leaves open stays open until the client ends it.
    fn serve(address: SocketAddr, answer: fn(TcpStream)) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let (connections, ended) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let (counter, over) = (Arc::clone(&connections), Arc::clone(&ended));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                counter.fetch_add(1, Ordering::Relaxed);
                let stream = stream.unwrap();
                std::thread::spawn(move || answer(stream));
            }
        });
        Self { address, connections, ended, thread }
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Listens no more.
    fn end(self) {
        self.ended.store(true, Ordering::Relaxed);
        // One more connection makes it look.
        drop(TcpStream::connect(self.address));
        self.thread.join().unwrap();
    }
}
